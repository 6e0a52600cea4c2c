package peers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"

	"altmail.se/altmail/bench/load"
)

// format is how Dovecot keeps mail.
type format struct{ sdbox, zstd, crypt bool }

// dovecot is Dovecot 2.3: LMTP in, IMAP out.
type dovecot struct {
	cfg  Config
	name string
	f    format

	proc *process
	tls  []string
}

func newDovecot(cfg Config, name string, f format) *dovecot {
	return &dovecot{cfg: cfg, name: name, f: f}
}

func (d *dovecot) Name() string       { return d.name }
func (d *dovecot) DeliveryOnly() bool { return false }
func (d *dovecot) imaps() []string    { return d.tls }

func (d *dovecot) Note() string {
	n := "LMTP, mail_fsync=always, passwords SHA512-CRYPT, no auth cache, imap-login in high-performance mode"
	switch {
	case d.f.sdbox && d.f.zstd && d.f.crypt:
		n += ", sdbox, zstd, mail_crypt with a global P-256 key"
	case d.f.sdbox && d.f.zstd:
		n += ", sdbox, zstd"
	case d.f.sdbox:
		n += ", sdbox, not compressed"
	case d.f.zstd:
		n += ", maildir, zstd"
	default:
		n += ", maildir, not compressed"
	}
	return n
}

func (d *dovecot) Version(ctx context.Context) (string, error) {
	bin, err := d.cfg.find("/usr/sbin/dovecot")
	if err != nil {
		return "", err
	}
	for _, p := range []string{"/usr/lib/dovecot/imap", "/usr/lib/dovecot/lmtp"} {
		if _, err := d.cfg.find(p); err != nil {
			return "", err
		}
	}
	v, err := output(ctx, bin, "--version")
	if err != nil {
		return "", err
	}
	return "Dovecot " + strings.Fields(v + " ?")[0], nil
}

func (d *dovecot) Start(ctx context.Context, dir string) (*load.Target, error) {
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	accts, err := d.prepare(ctx, dir, ports)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.name, err)
	}
	bin, err := d.cfg.find("/usr/sbin/dovecot")
	if err != nil {
		return nil, err
	}
	p, err := run(ctx, filepath.Join(dir, "pid"), filepath.Join(dir, "log"),
		exec.Command(bin, "-F", "-c", filepath.Join(dir, "dovecot.conf")))
	if err != nil {
		return nil, err
	}
	d.proc, d.tls = p, []string{ports[2]}
	t := &load.Target{
		Name:     d.name,
		Delivery: load.Delivery{Proto: load.LMTP, Addrs: []string{ports[0]}},
		IMAP:     load.IMAP{Addrs: []string{ports[1]}},
		Accounts: accts,
		PIDs:     func() []int { return []int{p.pid()} },
		DataDirs: []string{filepath.Join(dir, "mail")}, InsecureTLS: true,
	}
	return t, startedOr(ctx, d, waitLogins(ctx, t, p.ended))
}

// startedOr stops a peer that did not come up.
func startedOr(ctx context.Context, p Peer, err error) error {
	if err == nil {
		return nil
	}
	if serr := p.Stop(context.WithoutCancel(ctx)); serr != nil {
		return fmt.Errorf("%w; %w", err, serr)
	}
	return err
}

// prepare makes the directory, accounts and configuration.
func (d *dovecot) prepare(ctx context.Context, dir string, ports []string) ([]load.Account, error) {
	mail, runDir := filepath.Join(dir, "mail"), filepath.Join(dir, "run")
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(runDir); err != nil {
		return nil, err
	}
	for _, sub := range []string{mail, runDir} {
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return nil, err
		}
	}
	who, err := runAs("mail")
	if err != nil {
		return nil, err
	}
	if err := who.own(mail); err != nil {
		return nil, err
	}
	accts, err := accounts(dir, d.cfg.Accounts)
	if err != nil {
		return nil, err
	}
	if err := d.users(ctx, filepath.Join(dir, "users"), accts); err != nil {
		return nil, err
	}
	cert, key, err := certificate(dir)
	if err != nil {
		return nil, err
	}
	conf := d.config(dir, ports, cert, key, who)
	if d.f.crypt {
		if err := cryptKeys(dir, who); err != nil {
			return nil, err
		}
	}
	return accts, os.WriteFile(filepath.Join(dir, "dovecot.conf"), []byte(conf), 0o644)
}

// users writes the passwd-file, hashed as doveadm does by itself.
func (d *dovecot) users(ctx context.Context, path string, accts []load.Account) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	doveadm, err := d.cfg.find("/usr/bin/doveadm")
	if err != nil {
		return err
	}
	var s strings.Builder
	for _, a := range accts {
		// The password guards scratch mail on loopback for some minutes, so
		// that it may be seen in the list of processes.
		h, err := output(ctx, doveadm, "pw", "-s", "SHA512-CRYPT", "-p", a.Password)
		if err != nil {
			return err
		}
		fmt.Fprintf(&s, "%s:%s\n", a.Address, h)
	}
	return os.WriteFile(path, []byte(s.String()), 0o644)
}

// cryptKeys makes mail_crypt's global key pair.
func cryptKeys(dir string, who identity) error {
	private, public := filepath.Join(dir, "ecprivkey.pem"), filepath.Join(dir, "ecpubkey.pem")
	if _, err := os.Stat(private); err == nil {
		return nil
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		return err
	}
	if err := os.WriteFile(public, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644); err != nil {
		return err
	}
	if err := writeKey(private, k); err != nil {
		return err
	}
	return who.own(private)
}

func (d *dovecot) config(dir string, ports []string, cert, key string, who identity) string {
	var c strings.Builder
	add := func(format string, a ...any) { fmt.Fprintf(&c, format+"\n", a...) }
	in := func(name string) string { return filepath.Join(dir, name) }
	add("base_dir = %s", in("run"))
	add("state_dir = %s", in("run"))
	add("log_path = %s", in("log"))
	add("protocols = imap lmtp")
	add("postmaster_address = postmaster@%s", domain)
	add("hostname = localhost")
	add("ssl = yes\nssl_cert = <%s\nssl_key = <%s", cert, key)
	add("disable_plaintext_auth = no\nauth_mechanisms = plain")
	add("first_valid_uid = 1\nfirst_valid_gid = 1")
	add("mail_home = %s/%%u", in("mail"))
	if d.f.sdbox {
		add("mail_location = sdbox:~/mail")
	} else {
		add("mail_location = maildir:~/mail")
	}
	add("mail_fsync = always")
	var plugins []string
	if d.f.zstd {
		plugins = append(plugins, "zlib")
	}
	if d.f.crypt {
		plugins = append(plugins, "mail_crypt")
	}
	if len(plugins) > 0 {
		add("mail_plugins = %s", strings.Join(plugins, " "))
	}
	add("plugin {")
	if d.f.zstd {
		add("  zlib_save = zstd")
	}
	if d.f.crypt {
		add("  mail_crypt_global_private_key = <%s", in("ecprivkey.pem"))
		add("  mail_crypt_global_public_key = <%s", in("ecpubkey.pem"))
		add("  mail_crypt_save_version = 2")
	}
	add("}")
	// Everything comes from one address here.
	add("mail_max_userip_connections = 5000")
	add("default_client_limit = 20000\ndefault_process_limit = 4000\ndefault_vsz_limit = 1 G")
	add("passdb {\n  driver = passwd-file\n  args = scheme=SHA512-CRYPT username_format=%%u %s\n}", in("users"))
	add("userdb {\n  driver = static\n  args = uid=%s gid=%s\n}", who.user, who.group)
	add("service lmtp {\n  inet_listener lmtp {\n    address = 127.0.0.1\n    port = %s\n  }\n  process_min_avail = 4\n}", port(ports[0]))
	chroot := ""
	if os.Geteuid() != 0 {
		// Nobody to change to: everything runs as who started it.
		chroot = "  chroot =\n"
		add("default_internal_user = %s\ndefault_login_user = %s\ndefault_internal_group = %s", who.user, who.user, who.group)
		add("service anvil {\n  chroot =\n}\nservice stats {\n  chroot =\n}")
	}
	add(`service imap-login {
%s  inet_listener imap {
    address = 127.0.0.1
    port = %s
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = %s
    ssl = yes
  }
  service_count = 0
  process_min_avail = 2
  process_limit = 4
}`, chroot, port(ports[1]), port(ports[2]))
	return c.String()
}

// Settle has nothing to wait for: an answered message is in its file.
func (d *dovecot) Settle(context.Context) error { return nil }

func (d *dovecot) Stop(ctx context.Context) error {
	if d.proc == nil {
		return nil
	}
	p := d.proc
	d.proc = nil
	return p.stop(ctx)
}

// identity is the user that a server's mail belongs to.
type identity struct {
	user, group string
	uid, gid    int
}

// runAs returns a system user when we are root and ourselves when not.
func runAs(name string) (identity, error) {
	var u *user.User
	var err error
	if os.Geteuid() == 0 {
		u, err = user.Lookup(name)
	} else {
		u, err = user.Current()
	}
	if err != nil {
		return identity{}, err
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return identity{}, err
	}
	id := identity{user: u.Username, group: g.Name}
	if _, err := fmt.Sscan(u.Uid+" "+u.Gid, &id.uid, &id.gid); err != nil {
		return identity{}, err
	}
	return id, nil
}

// own gives a file to the user.
func (i identity) own(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Chown(path, i.uid, i.gid)
}
