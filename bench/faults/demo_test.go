//go:build e2e

package faults

import (
	"context"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDemoCheck plays the demo's own story, and shows that the demo takes its
// nodes with it, also one that was killed and started again by hand.
func TestDemoCheck(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, binary(t), "demo", "--check").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "all held") {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("\n%s", out)

	c, err := Start(ctx, binary(t), t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Nodes[1].Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Serve(ctx, c.Nodes[1]); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	c.Nodes[1].reap(t)
	for _, n := range c.Nodes {
		if err := syscall.Kill(n.PID, 0); err == nil {
			t.Errorf("%s still runs after the demo has ended", n.Name)
		}
	}
}

// TestDemoAgain: a demo that was stopped goes on in its directory.
func TestDemoAgain(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	for range 2 {
		c, err := Start(ctx, binary(t), dir, 3)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
	}
}
