package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"altmail.se/altmail/bench/load"
)

// cyrus is Cyrus IMAP: lmtpd in, imapd out, idled between them.
type cyrus struct {
	cfg Config

	proc, idled *process
	tls         []string
}

func newCyrus(cfg Config) *cyrus { return &cyrus{cfg: cfg} }

func (c *cyrus) Name() string       { return "cyrus" }
func (c *cyrus) DeliveryOnly() bool { return false }
func (c *cyrus) imaps() []string    { return c.tls }

func (c *cyrus) Note() string {
	return "LMTP, fsync and duplicate suppression as by default, passwords in sasldb (compared, not hashed), not compressed, idled runs"
}

// cyrusBins are the programs a peer needs.
type cyrusBins struct{ master, imapd, lmtpd, idled, ctl, saslpasswd string }

func (c *cyrus) bins() (b cyrusBins, err error) {
	for _, p := range []struct {
		to   *string
		from []string
	}{
		{&b.master, []string{"/usr/sbin/cyrmaster", "/usr/lib/cyrus/bin/master"}},
		{&b.imapd, []string{"/usr/lib/cyrus/bin/imapd"}},
		{&b.lmtpd, []string{"/usr/lib/cyrus/bin/lmtpd"}},
		{&b.idled, []string{"/usr/lib/cyrus/bin/idled"}},
		{&b.ctl, []string{"/usr/lib/cyrus/bin/ctl_cyrusdb"}},
		{&b.saslpasswd, []string{"/usr/sbin/saslpasswd2"}},
	} {
		if *p.to, err = c.cfg.find(p.from...); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (c *cyrus) Version(ctx context.Context) (string, error) {
	b, err := c.bins()
	if err != nil {
		return "", err
	}
	v, err := output(ctx, b.master, "-V")
	if err != nil {
		return "", err
	}
	return "Cyrus " + strings.TrimPrefix(v, "cyrus-imapd "), nil
}

func (c *cyrus) Start(ctx context.Context, dir string) (*load.Target, error) {
	b, err := c.bins()
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(3)
	if err != nil {
		return nil, err
	}
	accts, err := c.prepare(ctx, dir, ports, b)
	if err != nil {
		return nil, fmt.Errorf("cyrus: %w", err)
	}
	conf := filepath.Join(dir, "imapd.conf")
	if c.proc, err = run(ctx, filepath.Join(dir, "pid"), filepath.Join(dir, "log"),
		exec.Command(b.master, "-C", conf, "-M", filepath.Join(dir, "cyrus.conf"), "-p", filepath.Join(dir, "master.pid"))); err != nil {
		return nil, err
	}
	// -d keeps it in the foreground, so that it can be ended with the rest.
	if c.idled, err = run(ctx, filepath.Join(dir, "idled.pid"), filepath.Join(dir, "idled.log"),
		exec.Command(b.idled, "-C", conf, "-d")); err != nil {
		return nil, startedOr(ctx, c, err)
	}
	pids := []int{c.proc.pid(), c.idled.pid()}
	c.tls = []string{ports[2]}
	t := &load.Target{
		Name:     "cyrus",
		Delivery: load.Delivery{Proto: load.LMTP, Addrs: []string{ports[0]}},
		IMAP:     load.IMAP{Addrs: []string{ports[1]}},
		Accounts: accts,
		PIDs:     func() []int { return pids },
		DataDirs: []string{filepath.Join(dir, "data")}, InsecureTLS: true,
	}
	main, idled := c.proc, c.idled
	running := func() error { return errors.Join(main.ended(), idled.ended()) }
	// Mailboxes are made by the first login and mail for others is refused, so
	// this order matters: waitLogins logs in to every one.
	if err := waitLogins(ctx, t, running); err != nil {
		return nil, startedOr(ctx, c, err)
	}
	return t, nil
}

func (c *cyrus) prepare(ctx context.Context, dir string, ports []string, b cyrusBins) ([]load.Account, error) {
	who, err := runAs("cyrus")
	if err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	in := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
	for _, sub := range []string{in("run"), in("data"), in("data", "conf"), in("data", "spool"), in("data", "conf", "socket"), in("run", "lock"), in("run", "proc")} {
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return nil, err
		}
		if err := who.own(sub); err != nil {
			return nil, err
		}
	}
	if err := who.own(dir); err != nil { // for master.pid
		return nil, err
	}
	accts, err := accounts(dir, c.cfg.Accounts)
	if err != nil {
		return nil, err
	}
	db := in("sasldb2")
	if _, err := os.Stat(db); errors.Is(err, os.ErrNotExist) {
		for _, a := range accts {
			name, _, _ := strings.Cut(a.Address, "@")
			cmd := exec.CommandContext(ctx, b.saslpasswd, "-p", "-c", "-f", db, "-u", domain, name)
			cmd.Stdin = strings.NewReader(a.Password)
			if out, err := cmd.CombinedOutput(); err != nil {
				return nil, errors.Join(fmt.Errorf("saslpasswd2: %w: %s", err, out), os.Remove(db))
			}
		}
	}
	if err := who.own(db); err != nil {
		return nil, err
	}
	cert, key, err := certificate(dir)
	if err != nil {
		return nil, err
	}
	if err := who.own(key); err != nil {
		return nil, err
	}
	imapd := fmt.Sprintf(`configdirectory: %[1]s/data/conf
partition-default: %[1]s/data/spool
defaultpartition: default
cyrus_user: %[5]s
admins: admin
sasl_pwcheck_method: auxprop
sasl_auxprop_plugin: sasldb
sasl_sasldb_path: %[2]s
sasl_mech_list: PLAIN
allowplaintext: yes
unixhierarchysep: yes
virtdomains: userid
autocreate_quota: 0
proc_path: %[1]s/run/proc
mboxname_lockpath: %[1]s/run/lock
idlesocket: %[1]s/data/conf/socket/idle
tls_server_cert: %[3]s
tls_server_key: %[4]s
tls_session_timeout: 0
`, dir, db, cert, key, who.user)
	if err := os.WriteFile(in("imapd.conf"), []byte(imapd), 0o644); err != nil {
		return nil, err
	}
	conf := in("imapd.conf")
	// -U: how many sessions a process serves before it ends, as in Debian.
	services := fmt.Sprintf(`START {
  recover cmd="%[1]s -C %[2]s -r"
}
SERVICES {
  imap cmd="%[3]s -C %[2]s -U 30" listen="%[5]s" prefork=2 maxchild=4000
  imaps cmd="%[3]s -C %[2]s -s -U 30" listen="%[6]s" prefork=2 maxchild=4000
  lmtp cmd="%[4]s -C %[2]s -a" listen="%[7]s" prefork=4 maxchild=400
}
DAEMON {
}
EVENTS {
}
`, b.ctl, conf, b.imapd, b.lmtpd, ports[1], ports[2], ports[0])
	return accts, os.WriteFile(in("cyrus.conf"), []byte(services), 0o644)
}

// Settle has nothing to wait for: an answered message is in its file.
func (c *cyrus) Settle(context.Context) error { return nil }

func (c *cyrus) Stop(ctx context.Context) error {
	var err error
	for _, p := range []**process{&c.proc, &c.idled} {
		if *p != nil {
			err = errors.Join(err, (*p).stop(ctx))
			*p = nil
		}
	}
	return err
}
