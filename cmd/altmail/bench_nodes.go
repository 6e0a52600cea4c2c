package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"altmail.se/altmail/bench/corpus"
	"altmail.se/altmail/bench/load"
	"altmail.se/altmail/cmd/altmail/config"
	"altmail.se/altmail/frontend/admin/adminpb"
)

type mail = corpus.Source

// mail runs a work that needs mail on a target.
func (b *benchTarget) mail(e *env, asJSON bool, tls load.TLSMode, m benchMail, work func(context.Context, *load.Target, mail) ([]*load.Result, error)) error {
	src, end, err := m.source()
	if err != nil {
		return err
	}
	defer end()
	return b.with(e, asJSON, tls, func(ctx context.Context, t *load.Target) ([]*load.Result, error) {
		return work(ctx, t, src)
	})
}

// fill puts messages into an account's INBOX.
func fill(ctx context.Context, e *env, t *load.Target, m mail, account, n int) error {
	if n == 0 {
		return nil
	}
	r, err := load.Fill(ctx, t, load.FillOptions{Count: n, Source: m, Account: account, Connections: 8, Append: len(t.Delivery.Addrs) == 0, Progress: progressLine(e)})
	if err != nil {
		return err
	}
	if f := r.Failed(); f > 0 {
		return fmt.Errorf("filling the mailbox: %d of %d messages were refused", f, n)
	}
	return nil
}

// demo starts a demo to be measured.
func (b *benchTarget) demo(e *env, tls load.TLSMode) (*load.Target, func(), error) {
	if b.Nodes < 1 || b.Nodes > 9 || b.DemoAccounts < 1 || b.DemoAccounts > 100_000 {
		return nil, nil, codedf(exitUsage, "between 1 and 9 nodes, and at least one account")
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	d := &demo{e: e, exe: exe, dir: b.DemoDir, procs: map[string]*demoProc{}}
	stop := d.stopAll
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "altmail-bench-"); err != nil {
			return nil, nil, err
		}
		stop = func() {
			d.stopAll()
			if err := os.RemoveAll(d.dir); err != nil {
				fmt.Fprintln(e.stderr, "altmail:", err)
			}
		}
	}
	t, err := b.startDemo(d, tls)
	if err != nil {
		stop()
		return nil, nil, err
	}
	return t, stop, nil
}

func (b *benchTarget) startDemo(d *demo, tls load.TLSMode) (*load.Target, error) {
	if err := d.plaintext(b.Nodes, b.DemoAccounts); err != nil {
		return nil, err
	}
	if err := d.startOrResume(b.Nodes); err != nil {
		return nil, err
	}
	t := &load.Target{Name: b.Name, Delivery: load.Delivery{Proto: load.LMTP}, IMAP: load.IMAP{TLS: tls}, InsecureTLS: true}
	if t.Name == "" {
		t.Name = fmt.Sprintf("altmail-%d", b.Nodes)
	}
	for _, n := range d.info.Nodes {
		t.Delivery.Addrs = append(t.Delivery.Addrs, n.LMTP)
		t.DataDirs = append(t.DataDirs, n.DataDir)
		if tls == load.TLSImplicit {
			t.IMAP.Addrs = append(t.IMAP.Addrs, n.IMAPS)
		} else {
			t.IMAP.Addrs = append(t.IMAP.Addrs, n.IMAP)
		}
	}
	t.PIDs = func() []int {
		d.mu.Lock()
		defer d.mu.Unlock()
		var pids []int
		for _, p := range d.procs {
			pids = append(pids, p.cmd.Process.Pid)
		}
		return pids
	}
	t.Nodes = &demoNodes{d}
	var err error
	t.Accounts, err = d.benchAccounts(b.DemoAccounts)
	return t, err
}

// plaintext makes the nodes' configurations with logins without TLS allowed,
// as the peers are measured, and with enough sessions for an account.
func (d *demo) plaintext(nodes, accounts int) error {
	var ports portList
	defer ports.release()
	for i := range nodes {
		n, err := d.configure(fmt.Sprintf("node%d", i+1), &ports)
		if err != nil {
			return err
		}
		cfg, err := config.Load(n.Config)
		if err != nil {
			return err
		}
		cfg.Limits.AllowPlaintext = true
		cfg.Limits.SessionsPerAccount = max(cfg.Limits.SessionsPerAccount, 20_000/accounts)
		out, err := cfg.Encode()
		if err != nil {
			return err
		}
		if err := os.WriteFile(n.Config, out, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// startOrResume starts a demo, or all nodes of one that was there before: none
// of those is healthy alone.
func (d *demo) startOrResume(nodes int) error {
	for i := range nodes {
		_, err := os.Stat(filepath.Join(d.dir, fmt.Sprintf("node%d", i+1), "data", "keyring"))
		if errors.Is(err, os.ErrNotExist) {
			return d.start(nodes)
		} else if err != nil {
			return err
		}
	}
	var ports portList
	defer ports.release()
	for i := range nodes {
		n, err := d.configure(fmt.Sprintf("node%d", i+1), &ports)
		if err != nil {
			return err
		}
		d.info.Nodes = append(d.info.Nodes, n)
		if err := d.serve(n); err != nil {
			return err
		}
	}
	if err := d.waitHealthy(nodes, 60*time.Second); err != nil {
		return err
	}
	return d.account()
}

// benchAccounts makes accounts, or gives those that are there a new password.
func (d *demo) benchAccounts(n int) ([]load.Account, error) {
	var raw [10]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return nil, err
	}
	password := strings.ToLower(base32.StdEncoding.EncodeToString(raw[:]))
	a, err := adminOf(d.info.Nodes[0])
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(d.e.ctx, time.Minute+time.Duration(n)*time.Second)
	defer cancel()
	out := make([]load.Account, n)
	for i := range out {
		out[i] = load.Account{Address: benchAddress(i), Password: password}
		if _, err := unary(ctx, a.ShowAccount, &adminpb.ShowAccountRequest{Address: out[i].Address}); err == nil {
			_, err = unary(ctx, a.SetPassword, &adminpb.SetPasswordRequest{Address: out[i].Address, Password: []byte(password)})
			if err != nil {
				return nil, err
			}
			continue
		}
		if _, err := unary(ctx, a.AddAccount, &adminpb.AddAccountRequest{Address: out[i].Address, Password: []byte(password)}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// demoNodes kills and starts the nodes of a demo.
type demoNodes struct{ d *demo }

// Leader asks the first node that answers.
func (n *demoNodes) Leader(ctx context.Context, a load.Account) (int, error) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		i, err := n.leader(ctx, a)
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return i, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (n *demoNodes) leader(ctx context.Context, a load.Account) (int, error) {
	api, err := adminOf(n.d.info.Nodes[0])
	if err != nil {
		return 0, err
	}
	acct, err := unary(ctx, api.ShowAccount, &adminpb.ShowAccountRequest{Address: a.Address})
	if err != nil {
		return 0, err
	}
	st, err := unary(ctx, api.ClusterStatus, &adminpb.ClusterStatusRequest{})
	if err != nil {
		return 0, err
	}
	names := map[string]string{}
	for _, x := range st.Nodes {
		names[x.Id] = x.Name
	}
	for _, g := range st.Groups {
		if g.Group != acct.Group {
			continue
		}
		for i, x := range n.d.info.Nodes {
			if x.Name == names[g.Leader] {
				return i, nil
			}
		}
	}
	return 0, errors.New("the account's group has no leader")
}

// Kill ends a node as a power cut ends its process.
func (n *demoNodes) Kill(node int) error {
	n.d.mu.Lock()
	p := n.d.procs[n.d.info.Nodes[node].Name]
	n.d.mu.Unlock()
	return p.cmd.Process.Signal(syscall.SIGKILL)
}

// Restart starts a node again and waits until it says itself that the cluster
// is healthy: the others may not have noticed yet that it was gone.
func (n *demoNodes) Restart(ctx context.Context, node int) error {
	x := n.d.info.Nodes[node]
	n.d.mu.Lock()
	p := n.d.procs[x.Name]
	n.d.mu.Unlock()
	<-p.done
	if err := n.d.serve(x); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for {
		r, err := nodeStatus(ctx, x.Socket)
		if err == nil && r.Healthy && len(r.Nodes) == len(n.d.info.Nodes) {
			return nil
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = errors.New(strings.Join(r.Problems, "; "))
			}
			return fmt.Errorf("%s is not whole again: %w", x.Name, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// shellNodes are nodes that a command starts. Who leads is not known, so each
// is killed in its turn.
type shellNodes struct {
	pids    []int
	restart string
	turn    int
}

func (n *shellNodes) Leader(context.Context, load.Account) (int, error) {
	n.turn++
	return (n.turn - 1) % len(n.pids), nil
}

func (n *shellNodes) Kill(node int) error {
	if n.pids[node] <= 1 {
		return codedf(exitUsage, "process %d is no node", n.pids[node])
	}
	return syscall.Kill(n.pids[node], syscall.SIGKILL)
}

func (n *shellNodes) Restart(ctx context.Context, node int) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", n.restart)
	cmd.Env = append(os.Environ(), "NODE="+strconv.Itoa(node))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("starting node %d again: %w: %.500s", node, err, stderr.String())
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil || pid <= 1 {
		return codedf(exitData, "the restart command did not print the process id of node %d", node)
	}
	n.pids[node] = pid
	return nil
}
