//go:build linux

package faults

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/bench/faults/check"
	"altmail.se/altmail/bench/faults/lan"
)

// TestCutOffFromGuests: a node that is cut off is cut off from a guest too,
// even from one that comes later. A guest that is a voter may lead, and the
// node would be served by it.
func TestCutOffFromGuests(t *testing.T) {
	n, err := lan.Open(3, slog.New(slog.DiscardHandler))
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		t.Skipf("no root or no TUN: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	c := &Cluster{net: n, launch: &Launch{Wires: lan.Nordic}}
	for _, name := range []string{"a", "b", "c"} {
		h, err := n.AddHost(name)
		if err != nil {
			t.Fatal(err)
		}
		c.Nodes = append(c.Nodes, &Node{Name: name, host: h})
	}
	f, err := newField(c, newRecorder(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	f.calm()
	a, b, guest := c.Nodes[0].host, c.Nodes[1].host, f.guestHost
	mend := f.sever(f.wiresOf(c.Nodes[0], false, true))
	for _, from := range []*lan.Host{b, c.Nodes[2].host, guest} {
		if !n.Rule(from, a).Cut {
			t.Errorf("%s to a is not cut", from.Name)
		}
		if n.Rule(a, from).Cut {
			t.Errorf("a to %s is cut", from.Name)
		}
	}
	// Other faults change the wires meanwhile.
	f.lay(func(int, int) lan.Rule { return lan.Rule{Delay: time.Millisecond} })
	if r := n.Rule(guest, a); !r.Cut || r.Delay != time.Millisecond {
		t.Errorf("guest to a: %v", r)
	}
	mend()
	if r := n.Rule(guest, a); r.Cut {
		t.Errorf("mended, guest to a: %v", r)
	}
	f.calm()
	if r, want := n.Rule(b, a), lan.Nordic(1, 0); r != want {
		t.Errorf("calm, b to a: %v, not %v", r, want)
	}
}

// TestMend: a node that ends by itself is a finding, unless its disk was hurt
// a moment ago; then it is started again.
func TestMend(t *testing.T) {
	dir := t.TempDir()
	n := &Node{Name: "a", Config: filepath.Join(dir, "altmail.toml")}
	f, err := newField(&Cluster{Bin: "false", Nodes: []*Node{n}}, newRecorder(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.mend(n); err != nil {
		t.Errorf("never started: %v", err)
	}
	cmd := exec.Command("false")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n.proc, n.up = watch(cmd), true
	<-n.proc.done
	if err := f.mend(n); !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "by itself") {
		t.Errorf("ended for no reason: %v", err)
	}
	f.frail[n] = time.Now()
	// The program does not serve; that it was started is what counts.
	if err := f.mend(n); err == nil || !strings.Contains(err.Error(), "does not start again") {
		t.Errorf("ended after its disk was hurt: %v", err)
	}
	f.frail[n] = time.Now().Add(-2 * excuse)
	if err := f.mend(n); !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "by itself") {
		t.Errorf("ended long after: %v", err)
	}
}

// TestJudged: a run that is told to end while it asks the nodes has found
// nothing; one whose time to heal is over has.
func TestJudged(t *testing.T) {
	seen, asked := []check.Violation{{Rule: "presence"}}, []check.Violation{{Rule: "compare"}}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for _, c := range []struct {
		ctx  context.Context
		want int
	}{{t.Context(), 2}, {late, 2}, {stopped, 1}} {
		if got := judged(c.ctx, slices.Clone(seen), asked); len(got) != c.want || got[0].Rule != "presence" {
			t.Errorf("%v: %v", c.ctx.Err(), got)
		}
	}
}
