//go:build e2e

package faults

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// addNode makes the configuration of a further node from an existing one's,
// with ports of its own, and joins it.
func addNode(t *testing.T, c *Cluster, name string) *Node {
	t.Helper()
	dir := filepath.Join(c.Dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(c.Nodes[0].Config)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(b), c.Nodes[0].Name, name)
	n := &Node{Name: name, DataDir: filepath.Join(dir, "data"), Config: filepath.Join(dir, "altmail.toml")}
	// Every loopback address of the file becomes a free one.
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		if i := strings.Index(line, "127.0.0.1:"); i >= 0 {
			end := i + strings.IndexAny(line[i:], `'"]`)
			line = line[:i] + freeAddr(t) + line[end:]
		}
		out = append(out, line)
	}
	if err := os.WriteFile(n.Config, []byte(strings.Join(out, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	section := ""
	for _, line := range out {
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
		}
		if i := strings.Index(line, "127.0.0.1:"); i >= 0 {
			addr := line[i : i+strings.IndexAny(line[i:], `'"]`)]
			switch section {
			case "smtp":
				n.SMTP = addr
			case "imaps":
				n.IMAPS = addr
			case "lmtp":
				n.LMTP = addr
			}
		}
	}
	join(t, c, n)
	return n
}

// join gives a node a token from another one and starts it.
func join(t *testing.T, c *Cluster, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var from *Node
	for _, x := range c.Nodes {
		if x.Up() && x != n {
			from = x
		}
	}
	tok, _, err := c.CLI(ctx, from, "cluster", "token")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, c.Bin, "cluster", "join", "--token-file", "-", "--config", n.Config)
	cmd.Stdin = strings.NewReader(tok)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("join: %v\n%s", err, out)
	}
	if err := c.Serve(ctx, n); err != nil {
		t.Fatal(err)
	}
}

// traffic delivers until stop is called, and counts into a history.
func traffic(c *Cluster, h *History) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				n := c.Nodes[i]
				id, raw := h.New("INBOX", 3000)
				o, _ := Deliver(n.SMTP, c.Account.Address, raw)
				h.Done(id, o)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// TestWipedNodeComesBack deletes a node's data directory; it is evicted, joins
// again as a new member while mail flows, and gets everything back.
func TestWipedNodeComesBack(t *testing.T) {
	c := start(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	h := NewHistory()
	for range 30 {
		id, raw := h.New("INBOX", 20_000)
		o, err := Deliver(c.Nodes[0].SMTP, c.Account.Address, raw)
		if h.Done(id, o); o != Answered {
			t.Fatal(err)
		}
	}
	stop := traffic(c, h)
	victim := c.Nodes[2]
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(victim.DataDir); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.CLI(ctx, c.Nodes[0], "cluster", "evict", victim.Name); err != nil {
		t.Fatal(err)
	}
	join(t, c, victim)
	if err := c.WaitHealthy(ctx, c.Nodes[0], 3); err != nil {
		t.Fatal(err)
	}
	stop()
	for _, n := range c.Nodes {
		if err := c.VerifyAt(ctx, n, h, []string{"INBOX"}); err != nil {
			t.Error(err)
		}
	}
	if err := c.Compare(ctx, c.Nodes[0]); err != nil {
		t.Error(err)
	}
	if err := c.Check(ctx); err != nil {
		t.Error(err)
	}
	// It really holds the bodies: alone with one other it serves them.
	if err := c.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.VerifyAt(ctx, victim, h, []string{"INBOX"}); err != nil {
		t.Error(err)
	}
}

// TestFourthNode lets a node join, vote, and leave.
func TestFourthNode(t *testing.T) {
	c := start(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	h := NewHistory()
	stop := traffic(c, h)
	n := addNode(t, c, "node4")
	if err := c.WaitHealthy(ctx, c.Nodes[0], 4); err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(ctx, c.Nodes[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range s.Groups {
		voters := 0
		for _, r := range g.Replicas {
			if r.Voter {
				voters++
			}
		}
		if voters != 4 {
			t.Errorf("group %d has %d voters, not 4", g.Group, voters)
		}
	}
	if err := c.VerifyNow(ctx, n); err != nil {
		t.Error(err)
	}
	if _, _, err := c.CLI(ctx, n, "cluster", "leave"); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitHealthy(ctx, c.Nodes[0], 3); err != nil {
		t.Fatal(err)
	}
	n.reap(t)
	// A node that left refuses to start on its old data.
	out, err := exec.CommandContext(ctx, c.Bin, "serve", "--config", n.Config).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "removed from its cluster") {
		t.Errorf("a node that left starts again: %v\n%s", err, out)
	}
	stop()
	if err := c.VerifyAt(ctx, c.Nodes[1], h, []string{"INBOX"}); err != nil {
		t.Error(err)
	}
	if err := c.Compare(ctx, c.Nodes[0]); err != nil {
		t.Error(err)
	}
}

// VerifyNow demands that a node serves the account.
func (c *Cluster) VerifyNow(ctx context.Context, n *Node) error {
	return c.Wait(ctx, func() (bool, error) {
		cl, err := Dial(n, c.Account)
		if err != nil {
			return false, nil
		}
		defer cl.Close()
		_, err = cl.Select("INBOX", nil).Wait()
		return err == nil, nil
	})
}

// reap waits for a process of ours that ends by itself.
func (n *Node) reap(t *testing.T) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		t.Fatal("not started by this test")
	}
	if <-n.proc.done; n.proc.err != nil {
		t.Errorf("%s ended: %v\n%s", n.Name, n.proc.err, n.Log(40))
	}
	n.proc, n.up = nil, false
}

// TestEvicted evicts a dead node and shows that its certificate opens nothing
// any more, and that it stops when it finds out.
func TestEvicted(t *testing.T) {
	c := start(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	victim := c.Nodes[2]
	if err := victim.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.CLI(ctx, c.Nodes[0], "cluster", "evict", victim.Name); err != nil {
		t.Fatal(err)
	}
	if err := c.WaitHealthy(ctx, c.Nodes[0], 2); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, c.Bin, "serve", "--config", victim.Config)
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("an evicted node ends as if all were well\n%s", out)
	}
	if !strings.Contains(string(out), "removed from its cluster") {
		t.Errorf("an evicted node does not say why it stops:\n%s", out)
	}
	if !strings.Contains(c.Nodes[0].Log(400)+c.Nodes[1].Log(400), "not a member") {
		t.Error("no node refused the evicted one's connections")
	}
	if err := c.WaitHealthy(ctx, c.Nodes[0], 2); err != nil {
		t.Error(err)
	}
}

// TestQuorumGuard tries membership commands that would lose the quorum.
func TestQuorumGuard(t *testing.T) {
	c := start(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := c.Nodes[2].Kill(); err != nil {
		t.Fatal(err)
	}
	refused := func(n *Node, args ...string) {
		t.Helper()
		_, code, err := c.CLI(ctx, n, args...)
		if err == nil || code != 69 && code != 77 {
			t.Errorf("%v: exit %d, %v; want 69 or 77 and a reason", args, code, err)
		}
		t.Logf("%v: %v", args, err)
	}
	refused(c.Nodes[0], "cluster", "leave")
	refused(c.Nodes[0], "cluster", "evict", c.Nodes[1].Name)
	refused(c.Nodes[0], "cluster", "evict", c.Nodes[0].Name)
	// The dead one may go: the other two go on.
	if _, _, err := c.CLI(ctx, c.Nodes[0], "cluster", "evict", c.Nodes[2].Name); err != nil {
		t.Error(err)
	}
	if err := c.Nodes[1].Kill(); err != nil {
		t.Fatal(err)
	}
	refused(c.Nodes[0], "cluster", "evict", c.Nodes[1].Name)
	refused(c.Nodes[0], "cluster", "leave")
	refused(c.Nodes[0], "cluster", "token")
	if s, err := c.Status(ctx, c.Nodes[0]); err != nil || s.Healthy {
		t.Errorf("status without a quorum: %+v, %v", s, err)
	}
}
