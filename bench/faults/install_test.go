//go:build e2e

package faults

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestInstall lets a node join a cluster whose log does not reach back to its
// beginning: it gets a whole state and every body, while mail flows.
func TestInstall(t *testing.T) {
	c := start(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for _, n := range c.Nodes {
		b, err := os.ReadFile(n.Config)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(b), "log_entries = 200000", "log_entries = 64", 1)
		if text == string(b) {
			t.Fatal("no log_entries in the configuration")
		}
		if err := os.WriteFile(n.Config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.Serve(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	h := NewHistory()
	for range 400 {
		id, raw := h.New("INBOX", 5000)
		if err := c.Wait(ctx, func() (bool, error) {
			o, err := Deliver(c.Nodes[0].SMTP, c.Account.Address, raw)
			if o == Unknown {
				return false, err
			}
			h.Done(id, o)
			return o == Answered, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	group, err := c.AccountGroup(ctx, c.Nodes[0], c.Account.Address)
	if err != nil {
		t.Fatal(err)
	}
	// Until the log has let go of the first of them.
	if err := c.Wait(ctx, func() (bool, error) {
		for _, n := range c.Nodes {
			out, _, err := c.CLI(ctx, n, "stats")
			if err != nil {
				return false, err
			}
			_, rest, ok := strings.Cut(out, fmt.Sprintf("altmail_raft_log_entries.%d=", group))
			if !ok {
				return false, fmt.Errorf("no altmail_raft_log_entries in stats")
			}
			var entries float64
			if _, err := fmt.Sscan(rest, &entries); err != nil {
				return false, err
			}
			if entries > 200 {
				return false, nil
			}
		}
		return true, nil
	}); err != nil {
		t.Fatalf("the log is not cut: %v", err)
	}
	stop := traffic(c, h)
	n := addNode(t, c, "node4")
	if err := c.WaitHealthy(ctx, c.Nodes[0], 4); err != nil {
		t.Fatal(err)
	}
	stop()
	if !strings.Contains(n.Log(2000), "state-installed") {
		t.Errorf("the new node did not get its state as a whole")
	}
	if err := c.VerifyAt(ctx, n, h, []string{"INBOX"}); err != nil {
		t.Error(err)
	}
	if err := c.Compare(ctx, c.Nodes[0]); err != nil {
		t.Error(err)
	}
	if out, _, err := c.CLI(ctx, n, "check", "--bodies"); err != nil {
		t.Errorf("%s: %v\n%s", n.Name, err, out)
	}
	if err := n.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	n.reap(t)
}
