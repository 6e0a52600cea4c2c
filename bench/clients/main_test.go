//go:build e2e

package clients

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/bench/faults"
)

var thunderbirdMessages = flag.Int("thunderbird", 600, "messages that Thunderbird syncs")

// TestMain lets all clients work beside each other: they spend their time
// waiting for one another, see fall.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "32"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}

// client is a story that a client plays.
type client struct {
	name     string
	needs    []string // programs
	messages int
	play     func(*seat)
}

// clients are all stories.
func clients() []client {
	return []client{
		{"imaplib", []string{"python3"}, 40, imaplib},
		{"curl", []string{"curl"}, 40, curl},
		{"mbsync", []string{"mbsync"}, 120, mbsync},
		{"offlineimap", []string{"offlineimap"}, 40, offlineimap},
		{"fetchmail", []string{"fetchmail"}, 40, fetchmail},
		{"getmail", []string{"getmail"}, 40, getmail},
		{"imapfilter", []string{"imapfilter"}, 40, imapfilter},
		{"imapflow", []string{"node", "npm"}, 40, imapflow},
		{"mutt", []string{"mutt", "tmux"}, 60, muttLike("mutt")},
		{"neomutt", []string{"neomutt", "tmux"}, 60, muttLike("neomutt")},
		{"aerc", []string{"aerc", "tmux"}, 40, aerc},
		{"alpine", []string{"alpine", "tmux"}, 40, alpine},
		{"thunderbird", []string{"thunderbird"}, *thunderbirdMessages, thunderbird},
	}
}

// TestClients: every client is in the middle of its work with a node when that
// node is killed, goes on at another one, and has to end up with what was
// delivered.
func TestClients(t *testing.T) {
	all := clients()
	names := make([]string, len(all))
	for i, cl := range all {
		names[i] = cl.name
	}
	h := open(t, names)
	// The subtests are all counted before the first of them goes on.
	t.Run("with a node killed", func(t *testing.T) {
		for _, cl := range all {
			t.Run(cl.name, func(t *testing.T) {
				s := h.seat(t, cl)
				t.Parallel()
				s.begin()
				cl.play(s)
			})
		}
	})
	h.settle(t)
}

// house is a cluster with what its clients need to trust it.
type house struct {
	*faults.Cluster
	ca       string // PEM of the authority the nodes' certificate is from
	accounts map[string]faults.Account
	fall     *fall
}

// open starts three nodes with an account for every name.
func open(t *testing.T, names []string) *house {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	dir := t.TempDir()
	bin, err := faults.Build(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	ca, cert, key := authority(t, dir)
	c, err := faults.Launch{Bin: bin, Dir: dir, Nodes: 3, Plain: true, CertFile: cert, KeyFile: key}.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range c.Nodes {
				t.Logf("--- %s\n%s", n.Name, n.Log(40))
			}
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	h := &house{Cluster: c, ca: ca, accounts: map[string]faults.Account{}}
	var raw [8]byte
	if _, err := rand.Read(raw[:]); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		a := faults.Account{Address: strings.ToLower(name) + "@altmail.example", Password: hex.EncodeToString(raw[:])}
		if err := c.AddAccount(ctx, c.Nodes[0], a); err != nil {
			t.Fatal(err)
		}
		h.accounts[name] = a
	}
	h.fall = newFall(h)
	return h
}

// settle brings the last killed node back and demands that all replicas and
// all nodes agree on everything the clients did.
func (h *house) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := h.fall.restore(ctx); err != nil {
		t.Fatal(err)
	}
	if err := h.Compare(ctx, h.Nodes[0]); err != nil {
		t.Error(err)
	}
	if err := h.Check(ctx); err != nil {
		t.Error(err)
	}
	t.Logf("killed: %s", strings.Join(h.fall.killed, ", "))
}

// need fails the test when a program is not installed: a missing client is no
// reason to skip.
func need(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			t.Fatalf("%s is not installed: %v", name, err)
		}
	}
}
