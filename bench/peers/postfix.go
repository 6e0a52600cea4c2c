package peers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"altmail.se/altmail/bench/load"
)

// postfix is Postfix in front of Dovecot.
type postfix struct {
	cfg     Config
	dovecot *dovecot

	proc  *process
	queue string
}

func newPostfix(cfg Config) *postfix {
	return &postfix{cfg: cfg, dovecot: newDovecot(cfg, "dovecot-sdbox-zstd", format{sdbox: true, zstd: true})}
}

func (p *postfix) Name() string       { return "postfix-dovecot" }
func (p *postfix) DeliveryOnly() bool { return true }
func (p *postfix) imaps() []string    { return p.dovecot.imaps() }

func (p *postfix) Note() string {
	return "SMTP to Postfix, whose 250 only says that the message is durable in its queue; LMTP from there to dovecot-sdbox-zstd, which shares the machine meanwhile and is behind at the end"
}

const postfixBin = "/usr/sbin/postfix"

func (p *postfix) Version(ctx context.Context) (string, error) {
	if _, err := p.cfg.find(postfixBin); err != nil {
		return "", err
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("%w: Postfix runs as root only", ErrNotInstalled)
	}
	conf, err := p.cfg.find("/usr/sbin/postconf")
	if err != nil {
		return "", err
	}
	v, err := output(ctx, conf, "-d", "-h", "mail_version")
	if err != nil {
		return "", err
	}
	dv, err := p.dovecot.Version(ctx)
	if err != nil {
		return "", err
	}
	return "Postfix " + v + ", " + dv, nil
}

func (p *postfix) Start(ctx context.Context, dir string) (*load.Target, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	t, err := p.dovecot.Start(ctx, filepath.Join(dir, "dovecot"))
	if err != nil {
		return nil, err
	}
	addr, err := p.startMTA(ctx, dir, t)
	if err != nil {
		return nil, startedOr(ctx, p, err)
	}
	mda, mta := p.dovecot.proc, p.proc
	t.Name = p.Name()
	t.Delivery = load.Delivery{Proto: load.SMTP, Addrs: []string{addr}}
	t.PIDs = func() []int { return []int{mta.pid(), mda.pid()} }
	return t, startedOr(ctx, p, waitFor(ctx, func() error { return errors.Join(mta.ended(), mda.ended()) },
		func() error { return greeting(ctx, addr, "220") }))
}

func (p *postfix) startMTA(ctx context.Context, dir string, t *load.Target) (string, error) {
	ports, err := freePorts(1)
	if err != nil {
		return "", err
	}
	bin, err := p.cfg.find(postfixBin)
	if err != nil {
		return "", err
	}
	who, err := runAs("postfix")
	if err != nil {
		return "", err
	}
	conf := filepath.Join(dir, "conf")
	p.queue = filepath.Join(dir, "queue")
	data := filepath.Join(dir, "data")
	for _, d := range []string{conf, p.queue, data} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", err
		}
	}
	if err := who.own(data); err != nil {
		return "", err
	}
	var boxes strings.Builder
	for _, a := range t.Accounts {
		fmt.Fprintf(&boxes, "%s ok\n", a.Address)
	}
	main := fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s
data_directory = %[2]s
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
myhostname = localhost
myorigin = localhost
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = %[3]s
virtual_mailbox_maps = texthash:%[4]s/boxes
virtual_transport = lmtp:inet:%[5]s
smtpd_peername_lookup = no
message_size_limit = 104857600
mailbox_size_limit = 0
maillog_file = %[4]s/log
maillog_file_prefixes = /
`, p.queue, data, domain, dir, t.Delivery.Addrs[0])
	// The services an MX uses, none of them in a chroot.
	master := fmt.Sprintf(`%s inet n - n - - smtpd
postlog unix-dgram n - n - 1 postlogd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
`, ports[0])
	for name, text := range map[string]string{
		filepath.Join(conf, "main.cf"): main, filepath.Join(conf, "master.cf"): master, filepath.Join(dir, "boxes"): boxes.String(),
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	p.proc, err = run(ctx, filepath.Join(dir, "pid"), filepath.Join(dir, "start.log"),
		exec.CommandContext(context.WithoutCancel(ctx), bin, "-c", conf, "start-fg"))
	return ports[0], err
}

// Settle waits until the queue is empty.
func (p *postfix) Settle(ctx context.Context) error {
	return poll(ctx, 50*time.Millisecond, func() (bool, error) {
		for _, sub := range []string{"incoming", "active", "deferred", "maildrop"} {
			empty := true
			err := filepath.WalkDir(filepath.Join(p.queue, sub), func(_ string, e fs.DirEntry, err error) error {
				if errors.Is(err, fs.ErrNotExist) {
					return nil // sent meanwhile
				}
				if err == nil && !e.IsDir() {
					empty = false
					return fs.SkipAll
				}
				return err
			})
			if err != nil || !empty {
				return false, err
			}
		}
		return true, nil
	})
}

func (p *postfix) Stop(ctx context.Context) error {
	var err error
	if p.proc != nil {
		// The shell that start-fg runs in waits for master and passes no
		// signal on to it.
		for _, c := range tree(p.proc.pid()) {
			if name, rerr := os.Readlink(fmt.Sprintf("/proc/%d/exe", c.pid)); rerr == nil && filepath.Base(name) == "master" {
				err = errors.Join(err, terminate(c))
			}
		}
		err = errors.Join(err, p.proc.stop(ctx))
		p.proc = nil
	}
	return errors.Join(err, p.dovecot.Stop(ctx))
}
