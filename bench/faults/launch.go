package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"altmail.se/altmail/bench/faults/disk"
	"altmail.se/altmail/bench/faults/lan"
)

// Launch says what cluster to make.
type Launch struct {
	Bin   string
	Dir   string // of everything; must not hold a cluster yet
	Nodes int
	Seed  uint64
	// Accounts is how many mail accounts are made.
	Accounts int
	// Plain asks for loopback ports in place of a network of namespaces; with
	// them no wire can be hurt.
	Plain bool
	// Wires are the undisturbed wires of the network; nil is lan.Flat.
	Wires lan.Profile
	// LogEntries and EraseWithin are small so that logs are cut and states
	// installed within a run; 0 leaves the defaults.
	LogEntries  int
	EraseWithin time.Duration
	// Disks puts a disk that can be hurt under every data directory.
	Disks     bool
	DiskRules disk.Rules
	// CertFile and KeyFile are the certificate that mail clients are shown by
	// every node; empty: each makes one of its own.
	CertFile, KeyFile string
	Log               *slog.Logger
}

// Start makes the cluster, runs it, and waits until it is healthy. It needs
// nobody but Stop to clean up after it.
func (l Launch) Start(ctx context.Context) (*Cluster, error) {
	c := &Cluster{Bin: l.Bin, Dir: l.Dir, launch: &l}
	if l.Log == nil {
		l.Log = slog.New(slog.DiscardHandler)
	}
	if !l.Plain {
		n, err := lan.Open(l.Seed, l.Log)
		if err != nil {
			return nil, err
		}
		c.net = n
	}
	if err := c.begin(ctx, l); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *Cluster) begin(ctx context.Context, l Launch) error {
	for i := range l.Nodes {
		n, err := c.Make(ctx, fmt.Sprintf("node%d", i+1), nil)
		if err != nil {
			return err
		}
		c.Nodes = append(c.Nodes, n)
		if i == 0 {
			if out, _, err := c.CLI(ctx, n, "cluster", "init"); err != nil {
				return fmt.Errorf("%w\n%s", err, out)
			}
			if err := c.Serve(ctx, n); err != nil {
				return fmt.Errorf("%w\n%s", err, n.Log(20))
			}
		} else if err := c.Join(ctx, n, c.Nodes[0]); err != nil {
			return fmt.Errorf("%w\n%s", err, n.Log(20))
		}
		if err := c.WaitHealthy(ctx, c.Nodes[0], i+1); err != nil {
			return err
		}
	}
	for i := range max(l.Accounts, 1) {
		a := Account{Address: fmt.Sprintf("user%d@altmail.example", i+1), Password: fmt.Sprintf("passwort-%d-%x", i+1, l.Seed)}
		if err := c.AddAccount(ctx, c.Nodes[i%len(c.Nodes)], a); err != nil {
			return err
		}
		c.Accounts = append(c.Accounts, a)
	}
	c.Account = c.Accounts[0]
	return nil
}

// AddAccount makes a mail account.
func (c *Cluster) AddAccount(ctx context.Context, at *Node, a Account) error {
	_, err := c.pipe(ctx, at, a.Password+"\n", "account", "add", a.Address, "--password-file", "-")
	return err
}

// Make writes the configuration of a new node, which is no member yet. In a
// network of ours it is at home in host; nil is a new one.
func (c *Cluster) Make(ctx context.Context, name string, host *lan.Host) (*Node, error) {
	dir := filepath.Join(c.Dir, name)
	n := &Node{Name: name, DataDir: filepath.Join(dir, "data"), Config: filepath.Join(dir, "altmail.toml")}
	if err := os.MkdirAll(n.DataDir, 0o700); err != nil {
		return nil, err
	}
	var peers string
	addrs := []*string{&peers, &n.SMTP, &n.Submission, &n.Submissions, &n.LMTP, &n.IMAP, &n.IMAPS}
	if c.net != nil {
		h := host
		if h == nil {
			var err error
			if h, err = c.net.AddHost(name); err != nil {
				return nil, err
			}
		}
		n.host = h
		for i, port := range []int{7190, 25, 587, 465, 24, 143, 993} {
			*addrs[i] = fmt.Sprintf("%s:%d", h.Addr, port)
		}
	} else {
		free, err := freePorts(len(addrs))
		if err != nil {
			return nil, err
		}
		for i, a := range addrs {
			*a = free[i]
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "name = %q\ndata_dir = %q\nhostname = \"%s.altmail.example\"\n", name, n.DataDir, name)
	fmt.Fprintf(&b, "[key]\nsource = \"file\"\nfile = %q\n[cluster]\nlisten = %q\n", filepath.Join(dir, "unlock.key"), peers)
	for i, s := range []string{"smtp", "submission", "submissions", "lmtp", "imap", "imaps"} {
		fmt.Fprintf(&b, "[%s]\nlisten = [%q]\n", s, *addrs[i+1])
	}
	// The socket is not in the data directory, which may be a disk of ours
	// that hangs; clients log in without TLS, whose cost proves nothing here.
	fmt.Fprintf(&b, "[admin]\nsocket = %q\n[limits]\nconnections_per_ip = 20000\nsessions_per_account = 1000\nallow_plaintext_login = true\n[store]\ncache = \"16MiB\"\n", filepath.Join(dir, "admin.sock"))
	if c.launch.LogEntries > 0 {
		fmt.Fprintf(&b, "log_entries = %d\n", c.launch.LogEntries)
	}
	if c.launch.EraseWithin > 0 {
		fmt.Fprintf(&b, "erase_within = %q\n", c.launch.EraseWithin)
	}
	if c.launch.CertFile != "" {
		fmt.Fprintf(&b, "[tls]\ncert_file = %q\nkey_file = %q\n", c.launch.CertFile, c.launch.KeyFile)
	}
	if err := os.WriteFile(n.Config, []byte(b.String()), 0o600); err != nil {
		return nil, err
	}
	if c.launch.Disks {
		return n, c.giveDisk(ctx, n)
	}
	return n, nil
}

// Ports of a node lie below those the kernel gives to outgoing connections
// (32768 and up): a node that is down for a while must find its own free.
const firstPort, lastPort = 20_000, 32_000

// freePorts returns n loopback addresses nobody listens on.
func freePorts(n int) (out []string, err error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			err = errors.Join(err, l.Close())
		}
	}()
	for range 1000 {
		l, lerr := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort)))
		if lerr != nil {
			err = lerr
			continue
		}
		held = append(held, l)
		if out = append(out, l.Addr().String()); len(out) == n {
			return out, nil
		}
	}
	return nil, fmt.Errorf("no free ports: %w", err)
}

// release ends a node's disk.
func (n *Node) release() error {
	if n.disk == nil {
		return nil
	}
	return n.disk.Unmount()
}

// Join makes a node a member with a token from another and serves it.
func (c *Cluster) Join(ctx context.Context, n, from *Node) error {
	tok, _, err := c.CLI(ctx, from, "cluster", "token")
	if err != nil {
		return err
	}
	if _, err := c.pipe(ctx, n, tok, "cluster", "join", "--token-file", "-"); err != nil {
		return err
	}
	return c.Serve(ctx, n)
}

// pipe runs a command in a node's namespace with something to read.
func (c *Cluster) pipe(ctx context.Context, n *Node, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.Bin, append(args, "--config", n.Config)...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	begin := cmd.Start
	if n.host != nil {
		begin = func() error { return n.host.Start(cmd) }
	}
	err := begin()
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		return out.String(), fmt.Errorf("altmail %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errb.String()))
	}
	return out.String(), nil
}

// stopTime is how long a node may take to stop in good order.
const stopTime = 30 * time.Second

// stopOwn ends the nodes of a launched cluster, those that do not end by
// themselves by force, and its network.
func (c *Cluster) stopOwn() error {
	errs := make([]error, len(c.Nodes))
	var wg sync.WaitGroup
	for i, n := range c.Nodes {
		wg.Go(func() { errs[i] = errors.Join(n.Terminate(stopTime), n.release()) })
	}
	wg.Wait()
	if c.net != nil {
		errs = append(errs, c.net.Close())
	}
	return errors.Join(errs...)
}

// Terminate asks the node to end, waits, and kills it if it does not.
func (n *Node) Terminate(within time.Duration) error {
	n.mu.Lock()
	p := n.proc
	n.up = false
	n.mu.Unlock()
	if p == nil {
		return nil
	}
	for _, s := range []syscall.Signal{syscall.SIGCONT, syscall.SIGTERM} {
		if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
	}
	select {
	case <-p.done:
		n.mu.Lock()
		n.proc = nil
		n.mu.Unlock()
		return nil
	case <-time.After(within):
	}
	return errors.Join(fmt.Errorf("%s does not end within %s of SIGTERM", n.Name, within), n.Kill())
}

// Ended reports whether a node that should run has ended by itself, and how.
func (n *Node) Ended() (bool, error) {
	n.mu.Lock()
	p, up := n.proc, n.up
	n.mu.Unlock()
	if p == nil || !up {
		return false, nil
	}
	select {
	case <-p.done:
		return true, p.err
	default:
		return false, nil
	}
}

// Groups returns the groups a node knows and who leads them, nil where
// nobody does.
func (c *Cluster) Groups(ctx context.Context, at *Node) (map[uint32]*Node, error) {
	s, err := c.Status(ctx, at)
	if err != nil {
		return nil, err
	}
	names := map[string]*Node{}
	for _, sn := range s.Nodes {
		for _, n := range c.Nodes {
			if n.Name == sn.Name {
				names[sn.ID] = n
			}
		}
	}
	out := map[uint32]*Node{}
	for _, g := range s.Groups {
		out[g.Group] = names[g.Leader]
	}
	return out, nil
}
