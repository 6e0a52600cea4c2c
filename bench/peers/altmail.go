package peers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"altmail.se/altmail/bench/load"
)

// altmail is ours, driven as an operator does: the demo makes the cluster on a
// scratch directory, later starts serve each node, and the rest is the command
// line.
type altmail struct {
	cfg   Config
	nodes int

	procs []*process
	tls   []string
	data  []string
}

func newAltmail(cfg Config, nodes int) *altmail { return &altmail{cfg: cfg, nodes: nodes} }

func (a *altmail) Name() string       { return fmt.Sprintf("altmail-%d", a.nodes) }
func (a *altmail) DeliveryOnly() bool { return false }
func (a *altmail) imaps() []string    { return a.tls }

func (a *altmail) Note() string {
	if a.nodes == 1 {
		return "LMTP, one node, sealed and compressed, default settings but for limits"
	}
	return fmt.Sprintf("LMTP, %d nodes on this one machine, clients spread over them, sealed, compressed and on a majority of disks before the answer, default settings but for limits", a.nodes)
}

func (a *altmail) Version(ctx context.Context) (string, error) {
	if a.cfg.Altmail == "" {
		return "", ErrNotInstalled
	}
	v, err := output(ctx, a.cfg.Altmail, "version")
	if err != nil {
		return "", err
	}
	rev, err := output(ctx, "go", "version", "-m", a.cfg.Altmail)
	if err != nil {
		return v, nil // without a toolchain the version has to do
	}
	for line := range strings.Lines(rev) {
		if _, r, ok := strings.Cut(strings.TrimSpace(line), "vcs.revision="); ok && len(r) >= 12 {
			v += ", commit " + r[:12]
		}
	}
	return v, nil
}

// demoInfo is what altmail demo --json prints.
type demoInfo struct {
	Nodes []struct {
		PID     int    `json:"pid"`
		DataDir string `json:"data_dir"`
		Config  string `json:"config"`
		IMAP    string `json:"imap"`
		IMAPS   string `json:"imaps"`
		LMTP    string `json:"lmtp"`
	} `json:"nodes"`
}

func (a *altmail) Start(ctx context.Context, dir string) (*load.Target, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	accts, err := accounts(dir, a.cfg.Accounts)
	if err != nil {
		return nil, err
	}
	if err := a.configure(dir); err != nil {
		return nil, err
	}
	info, err := a.serve(ctx, dir)
	if err != nil {
		return nil, startedOr(ctx, a, err)
	}
	t := &load.Target{
		Name: a.Name(), Accounts: accts, InsecureTLS: true,
		Delivery: load.Delivery{Proto: load.LMTP},
	}
	a.tls = nil
	var pids []int
	for _, n := range info.Nodes {
		pids = append(pids, n.PID)
		t.Delivery.Addrs = append(t.Delivery.Addrs, n.LMTP)
		t.IMAP.Addrs = append(t.IMAP.Addrs, n.IMAP)
		t.DataDirs = append(t.DataDirs, n.DataDir)
		a.tls = append(a.tls, n.IMAPS)
	}
	a.data = t.DataDirs
	t.PIDs = func() []int { return pids }
	err = a.addAccounts(ctx, info.Nodes[0].Config, accts)
	if err == nil {
		err = waitLogins(ctx, t, a.ended)
	}
	return t, startedOr(ctx, a, err)
}

// ended tells whether a process of ours has ended.
func (a *altmail) ended() error {
	for _, p := range a.procs {
		if err := p.ended(); err != nil {
			return err
		}
	}
	return nil
}

// serve runs every node, the first time by the demo, which makes them members.
func (a *altmail) serve(ctx context.Context, dir string) (*demoInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	known := filepath.Join(dir, "demo.json")
	b, err := os.ReadFile(known)
	if errors.Is(err, os.ErrNotExist) {
		if b, err = a.demo(ctx, dir); err != nil {
			return nil, err
		}
		return a.parse(b, os.WriteFile(known, b, 0o600))
	}
	info, err := a.parse(b, err)
	if err != nil {
		return nil, err
	}
	for i := range info.Nodes {
		n := &info.Nodes[i]
		sub := filepath.Dir(n.Config)
		p, err := run(ctx, filepath.Join(sub, "pid"), filepath.Join(sub, "log"), exec.Command(a.cfg.Altmail, "serve", "--config", n.Config))
		if err != nil {
			return nil, err
		}
		n.PID = p.pid()
		a.procs = append(a.procs, p)
	}
	return info, waitFor(ctx, a.ended, func() error { return a.healthy(ctx, info.Nodes[0].Config) })
}

func (a *altmail) parse(b []byte, err error) (*demoInfo, error) {
	if err != nil {
		return nil, err
	}
	var info demoInfo
	if err := json.Unmarshal(b, &info); err != nil {
		return nil, fmt.Errorf("altmail demo: %w", err)
	}
	if len(info.Nodes) != a.nodes {
		return nil, fmt.Errorf("altmail demo: %d nodes", len(info.Nodes))
	}
	return &info, nil
}

// healthy demands that a node sees all members well.
func (a *altmail) healthy(ctx context.Context, config string) error {
	out, err := output(ctx, a.cfg.Altmail, "cluster", "status", "--json", "--config", config)
	if err != nil {
		return err
	}
	var s struct {
		Healthy  bool       `json:"healthy"`
		Nodes    []struct{} `json:"nodes"`
		Problems []string   `json:"problems"`
	}
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		return err
	}
	if !s.Healthy || len(s.Nodes) != a.nodes {
		return fmt.Errorf("not healthy: %s", strings.Join(s.Problems, "; "))
	}
	return nil
}

// demo runs altmail demo and returns what it prints once all nodes serve.
func (a *altmail) demo(ctx context.Context, dir string) ([]byte, error) {
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(a.cfg.Altmail, "demo", "--json", "--dir", dir, "--nodes", fmt.Sprint(a.nodes))
	cmd.Stdout = in
	p, err := run(ctx, filepath.Join(dir, "pid"), filepath.Join(dir, "log"), cmd)
	in.Close() // the child has its own
	if err != nil {
		return nil, err
	}
	a.procs = []*process{p}
	line := make(chan []byte, 1)
	go func() {
		// Ends when out is closed at the latest; without a line the demo has
		// ended.
		b, err := bufio.NewReader(io.LimitReader(out, 1<<20)).ReadBytes('\n')
		if err == nil {
			line <- b
		}
	}()
	select {
	case b := <-line:
		return b, nil
	case <-p.done:
		return nil, p.ended()
	case <-ctx.Done():
		return nil, fmt.Errorf("altmail demo: %w: %s", ctx.Err(), lastLines(p.log, 5))
	}
}

// configure writes the nodes' files before the demo would: logins without TLS
// are allowed, as at the other peers, and the limits fit clients that all come
// from one address.
func (a *altmail) configure(dir string) error {
	cert, key, err := certificate(dir)
	if err != nil {
		return err
	}
	// All at once, or two nodes might be given the same one.
	ports, err := freePorts(8 * a.nodes)
	if err != nil {
		return err
	}
	for i := range a.nodes {
		name := fmt.Sprintf("node%d", i+1)
		sub := filepath.Join(dir, name)
		path := filepath.Join(sub, "altmail.toml")
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if err := os.MkdirAll(sub, 0o700); err != nil {
			return err
		}
		p := ports[8*i:]
		conf := fmt.Sprintf(`name = %[1]q
data_dir = %[2]q
hostname = "%[1]s.altmail.example"
[key]
file = %[3]q
[cluster]
listen = %[4]q
[tls]
cert_file = %[12]q
key_file = %[13]q
[smtp]
listen = [%[5]q]
[submission]
listen = [%[6]q]
[submissions]
listen = [%[7]q]
[lmtp]
listen = [%[8]q]
[imap]
listen = [%[9]q]
[imaps]
listen = [%[10]q]
[admin]
http = %[11]q
[limits]
connections_per_ip = 20000
sessions_per_account = 5000
allow_plaintext_login = true
`, name, filepath.Join(sub, "data"), filepath.Join(sub, "unlock.key"), p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], cert, key)
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// addAccounts makes the accounts that are not there yet.
func (a *altmail) addAccounts(ctx context.Context, config string, accts []load.Account) error {
	list, err := output(ctx, a.cfg.Altmail, "account", "list", "--json", "--config", config)
	if err != nil {
		return err
	}
	for _, acct := range accts {
		if strings.Contains(list, `"`+acct.Address+`"`) {
			continue
		}
		cmd := exec.CommandContext(ctx, a.cfg.Altmail, "account", "add", "--config", config, "--password-file", "-", acct.Address)
		cmd.Stdin = strings.NewReader(acct.Password + "\n")
		var errb bytes.Buffer
		cmd.Stderr = &errb
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("account add: %w: %s", err, strings.TrimSpace(errb.String()))
		}
	}
	return nil
}

// Settle waits until the data directories have not changed for two seconds:
// followers have applied, segments are trimmed, the state is flushed.
func (a *altmail) Settle(ctx context.Context) error {
	const quiet = 2 * time.Second
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var last int64 = -1
	since := time.Now()
	err := poll(ctx, 200*time.Millisecond, func() (bool, error) {
		now, err := allocated(a.data)
		if err != nil {
			return false, err
		}
		if now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) >= quiet, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // it changes slowly all the time: what is there counts
	}
	return err
}

func (a *altmail) Stop(ctx context.Context) error {
	procs := a.procs
	a.procs = nil
	// All are asked at once: the last ones would else go without a majority.
	errs := make([]error, len(procs))
	var wg sync.WaitGroup
	for i, p := range procs {
		wg.Go(func() { errs[i] = p.stop(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
