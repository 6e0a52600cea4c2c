//go:build linux

package faults

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

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
