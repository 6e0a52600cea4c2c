package node

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/group"
	"altmail.se/altmail/cluster/group/grouptest"
	"altmail.se/altmail/cluster/journal"
	"altmail.se/altmail/cluster/member"
)

type facts map[string][]byte

func (f facts) Put(name string, v []byte) error { f[name] = v; return nil }
func (f facts) Get(name string) ([]byte, bool)  { b, ok := f[name]; return b, ok }

// lasting is a machine that can be opened again: it keeps what was synced.
type lasting struct{ *grouptest.Machine }

func (m lasting) Close() error { m.Crash(); return nil }

// host is one node whose process can be begun again.
type host struct {
	t        *testing.T
	dir      string
	facts    facts
	net      *grouptest.Net
	id       cluster.NodeID
	machines map[cluster.GroupID]*grouptest.Machine
	resets   []cluster.GroupID
	started  []cluster.GroupID
	journal  *journal.Journal
	plain    bool // without a journal
	n        *Node
}

func newHost(t *testing.T, seed *member.Seed, groups ...cluster.GroupID) *host {
	h := &host{
		t: t, dir: t.TempDir(), facts: facts{}, net: grouptest.NewNet(), id: cluster.NodeID{1},
		machines: map[cluster.GroupID]*grouptest.Machine{},
	}
	h.update(func(i *member.Identity) { i.Node, i.Seed, i.Groups = h.id, seed, groups })
	return h
}

func (h *host) local() *member.Local {
	h.t.Helper()
	l, _, err := member.LoadLocal(h.facts)
	if err != nil {
		h.t.Fatal(err)
	}
	return l
}

func (h *host) update(f func(*member.Identity)) {
	h.t.Helper()
	if err := h.local().Update(f); err != nil {
		h.t.Fatal(err)
	}
}

func (h *host) start() error {
	h.t.Helper()
	peers := h.net.Node(h.id)
	h.resets, h.started = nil, nil
	h.journal = nil
	if !h.plain {
		var err error
		fatal := func(err error) { h.t.Errorf("journal: %v", err) }
		if h.journal, err = OpenJournal(h.dir, fatal, slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
	}
	h.n = New(Config{
		Dir: h.dir, Local: h.local(), Peers: peers, Gate: grouptest.NewGate(), Keys: grouptest.Keys(1),
		Layer: func(g cluster.GroupID) raft.StreamLayer {
			s, err := peers.Stream(g)
			if err != nil {
				h.t.Fatal(err)
			}
			return s
		},
		Tuning: group.Tuning{Heartbeat: 50 * time.Millisecond, Commit: 5 * time.Millisecond, CheckEvery: -1, CallWait: time.Second},
		Machine: func(g cluster.GroupID, reset bool) (cluster.Machine, error) {
			if reset {
				h.resets = append(h.resets, g)
			}
			if reset || h.machines[g] == nil {
				h.machines[g] = grouptest.NewMachine()
			}
			return lasting{h.machines[g]}, nil
		},
		Started: func(g cluster.Group) { h.started = append(h.started, g.ID()) },
		Fatal:   func(err error) { h.t.Errorf("fatal: %v", err) },
		Drain:   func(context.Context) error { return nil },
		Cut:     func(cluster.NodeID) {},
		Log:     slog.New(slog.DiscardHandler),
		Journal: h.journal,
	})
	if err := h.n.Start(); err != nil || h.plain {
		return err
	}
	return h.journal.Settle()
}

func (h *host) stop() {
	h.t.Helper()
	if err := h.n.Close(); err != nil {
		h.t.Fatal(err)
	}
	if !h.plain {
		if err := h.journal.Close(); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *host) leads(g cluster.GroupID) {
	h.t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	r, ok := h.n.Replica(g)
	for ; !ok || !r.IsLeader(); r, ok = h.n.Replica(g) {
		if time.Now().After(deadline) {
			h.t.Fatalf("group %s does not lead", g)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestIncarnations: a node keeps its place in a group while its log is there,
// and never takes it again when the log is lost.
func TestIncarnations(t *testing.T) {
	h := newHost(t, &member.Seed{}, 0, 1)
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	h.leads(0)
	h.leads(1)
	if !slices.Equal(h.started, []cluster.GroupID{0, 1}) || !slices.Equal(h.n.Mail(), []cluster.GroupID{1}) ||
		!slices.Equal(h.n.Members(1), []cluster.NodeID{h.id}) || h.n.Members(7) != nil {
		t.Errorf("started %v, mail %v, members %v", h.started, h.n.Mail(), h.n.Members(1))
	}
	h.stop()
	if err := h.n.EnsureGroup(2); !errors.Is(err, cluster.ErrStopped) {
		t.Errorf("a group opens on a closed node: %v", err)
	}
	h.update(func(i *member.Identity) { i.Seed = nil })

	// As it was.
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	h.leads(1)
	if len(h.resets) != 0 || h.local().Identity().Incarnations[1] != 1 {
		t.Errorf("begun anew: %v", h.resets)
	}
	dir := h.n.dir(1)
	h.stop()

	// One group's log is lost: that group begins anew, without a vote.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	h.leads(0)
	if !slices.Equal(h.resets, []cluster.GroupID{1}) {
		t.Errorf("reset %v", h.resets)
	}
	if inc := h.local().Identity().Incarnations; inc[0] != 1 || inc[1] != 2 {
		t.Errorf("incarnations %v", inc)
	}
	r, _ := h.n.Replica(1)
	servers, err := r.Servers()
	if err != nil || len(servers) != 0 || r.IsLeader() {
		t.Errorf("the new one takes part already: %v, %v", servers, err)
	}
	if rep := r.Report(); rep.ServerID != group.ServerName(h.id, 2) || rep.Leads || rep.Applied != 0 {
		t.Errorf("report %+v", rep)
	}
	h.stop()

	// And that is remembered.
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	if inc := h.local().Identity().Incarnations[1]; inc != 2 || len(h.resets) != 0 {
		t.Errorf("incarnation %d, reset %v", inc, h.resets)
	}
	h.stop()
}

// TestJournal: a node from before there were journals gets one; one whose
// journal is damaged or gone enters every group anew.
func TestJournal(t *testing.T) {
	h := newHost(t, &member.Seed{}, 0, 1)
	h.plain = true
	begin := func(what string, inc uint32, resets ...cluster.GroupID) {
		t.Helper()
		if err := h.start(); err != nil {
			t.Fatal(err)
		}
		if got := h.local().Identity().Incarnations; got[0] != inc || got[1] != inc || !slices.Equal(h.resets, resets) {
			t.Fatalf("%s: incarnations %v, reset %v", what, got, h.resets)
		}
	}
	begin("new", 1, 0, 1)
	h.leads(0)
	h.leads(1)
	h.stop()
	h.update(func(i *member.Identity) { i.Seed = nil })
	h.plain = false
	begin("with a journal", 1)
	h.leads(0)
	h.leads(1)
	if n := h.journal.Stats().Records; n < 4 {
		t.Errorf("%d records in the journal", n)
	}
	h.stop()
	begin("again", 1)
	h.leads(0)
	h.leads(1)
	h.stop()

	files, err := filepath.Glob(filepath.Join(JournalDir(h.dir), "*.journal"))
	if err != nil || len(files) == 0 {
		t.Fatalf("files %v, %v", files, err)
	}
	f, err := os.OpenFile(files[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte("XXXXXXXX"), 80) // within the first record
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	begin("damaged", 2, 0, 1)
	h.stop()
	if _, err := os.Stat(damagedJournal(h.dir)); err != nil {
		t.Error(err)
	}
	if err := ForgetDamaged(h.dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(damagedJournal(h.dir)); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	begin("after that", 2)
	h.stop()
	if err := os.RemoveAll(JournalDir(h.dir)); err != nil {
		t.Fatal(err)
	}
	begin("gone", 3, 0, 1)
	h.stop()
}

// TestCrashBeforeCreate: the number is taken before anything is on the disk, so
// a node that dies between the two begins under the next one.
func TestCrashBeforeCreate(t *testing.T) {
	h := newHost(t, &member.Seed{}, 0)
	h.update(func(i *member.Identity) { i.Incarnations = map[cluster.GroupID]uint32{0: 1} })
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	h.leads(0)
	if inc := h.local().Identity().Incarnations[0]; inc != 2 {
		t.Errorf("incarnation %d", inc)
	}
	h.stop()
}

// TestEnsureGroup: a group the directory names is opened once and remembered.
func TestEnsureGroup(t *testing.T) {
	h := newHost(t, nil)
	if err := h.start(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := h.n.EnsureGroup(5); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(h.started, []cluster.GroupID{5}) || !slices.Equal(h.local().Identity().Groups, []cluster.GroupID{5}) {
		t.Errorf("started %v, remembered %v", h.started, h.local().Identity().Groups)
	}
	if r, ok := h.n.Replica(5); !ok || r.IsLeader() {
		t.Error("a group that others began is led by one that is in none")
	}
	h.stop()
}
