package member

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
)

// world is a cluster without Raft, disks or network: one roster, groups that
// are a list of servers, and nodes that call each other directly.
type world struct {
	t  *testing.T
	mu sync.Mutex

	nodes  []Node
	groups []cluster.GroupID
	ca     []byte
	tokens map[string]Token
	// fail is asked before each write to the roster.
	fail func(op string) error

	conf map[cluster.GroupID]*conf
	on   map[cluster.NodeID]*fakeNode
	log  []string // changes of configurations, in order
	now  time.Time
}

// conf is the configuration of one group.
type conf struct {
	servers []Server
	leader  cluster.NodeID
	term    uint64
	commit  uint64
	failing error // of every change
}

// fakeNode is one node: Peers, Host and what its replicas say.
type fakeNode struct {
	w       *world
	id      cluster.NodeID
	m       *Manager
	local   *Local
	handler cluster.Handler
	down    bool
	behind  []Node // what its roster says instead, when not nil
	adrift  bool   // its roster cannot Sync
	inc     map[cluster.GroupID]uint32
	say     map[cluster.GroupID]*GroupReport // whole, alarm, applied
	removed int
	drained int
	cut     []cluster.NodeID
}

type facts map[string][]byte

func (f facts) Put(name string, v []byte) error { f[name] = v; return nil }
func (f facts) Get(name string) ([]byte, bool)  { b, ok := f[name]; return b, ok }

// nid is a node id that sorts by its number.
func nid(n byte) cluster.NodeID { return cluster.NodeID{n, 0xaa, 0xbb, 0xcc} }

func newWorld(t *testing.T, groups ...cluster.GroupID) *world {
	w := &world{
		t: t, groups: groups, tokens: map[string]Token{}, conf: map[cluster.GroupID]*conf{},
		on: map[cluster.NodeID]*fakeNode{}, now: time.Unix(1_800_000_000, 0),
	}
	for _, g := range append([]cluster.GroupID{cluster.Directory}, groups...) {
		w.conf[g] = &conf{term: 1, commit: 5000}
	}
	return w
}

// node starts node n, listed on the roster if listed.
func (w *world) node(n byte, listed bool) *fakeNode {
	w.t.Helper()
	f := &fakeNode{w: w, id: nid(n), inc: map[cluster.GroupID]uint32{}, say: map[cluster.GroupID]*GroupReport{}}
	for g := range w.conf {
		f.inc[g] = 1
		f.say[g] = &GroupReport{Whole: true, Applied: 5000}
	}
	l, _, err := LoadLocal(facts{})
	if err != nil {
		w.t.Fatal(err)
	}
	f.local = l
	row := Node{ID: f.id, Name: fmt.Sprintf("node%d", n), Address: fmt.Sprintf("192.0.2.%d:7000", n), PublicKey: []byte{n}, Level: 1}
	if listed {
		w.nodes = append(w.nodes, row)
	}
	if err := l.Update(func(i *Identity) { i.Node, i.Name, i.Peers = f.id, row.Name, slices.Clone(w.nodes) }); err != nil {
		w.t.Fatal(err)
	}
	f.m = New(Config{
		Self: f.id, Version: "v", Level: 1, Local: l, Roster: fakeRoster{f}, Host: f, Peers: f,
		Log: slog.New(slog.DiscardHandler), Removed: func() { f.removed++ },
	})
	f.m.now = func() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.now }
	w.on[f.id] = f
	return f
}

// cluster starts n nodes that all vote in every group; the first one leads.
func (w *world) cluster(n int) []*fakeNode {
	var out []*fakeNode
	for i := range n {
		f := w.node(byte(i+1), true)
		out = append(out, f)
		for _, c := range w.conf {
			c.servers = append(c.servers, Server{ID: f.id.String() + ".1", Node: f.id, Voter: true})
			c.leader = out[0].id
		}
	}
	return out
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// took returns and forgets the changes made.
func (w *world) took() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.log
	w.log = nil
	return l
}

func (w *world) row(id cluster.NodeID, f func(*Node)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.nodes {
		if w.nodes[i].ID == id {
			f(&w.nodes[i])
		}
	}
}

func (w *world) drop(id cluster.NodeID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.nodes = slices.DeleteFunc(slices.Clone(w.nodes), func(n Node) bool { return n.ID == id })
}

func (f *fakeNode) step() error { return f.m.step(f.w.t.Context()) }

// Peers.

func (f *fakeNode) Self() cluster.NodeID                       { return f.id }
func (f *fakeNode) Handle(_ cluster.Method, h cluster.Handler) { f.handler = h }

func (f *fakeNode) Call(ctx context.Context, to cluster.NodeID, _ cluster.Method, req ...[]byte) ([]byte, error) {
	f.w.mu.Lock()
	x, ok := f.w.on[to]
	dead := !ok || x.down
	f.w.mu.Unlock()
	if dead {
		return nil, cluster.ErrUnavailable
	}
	// The handshake: each asks its own roster whether the other may talk.
	if err := x.m.Admit(f.id, f.key()); err != nil {
		return nil, fmt.Errorf("remote: %w", err)
	}
	if err := f.m.Admit(to, x.key()); err != nil {
		return nil, err
	}
	return x.handler(ctx, f.id, slices.Concat(req...))
}

func (f *fakeNode) key() []byte { return f.id[:1] }

// Host.

func (f *fakeNode) Replica(g cluster.GroupID) (Replica, bool) {
	if _, ok := f.inc[g]; !ok {
		return nil, false
	}
	return fakeReplica{f: f, g: g}, true
}

func (f *fakeNode) Replicas() []Replica {
	var out []Replica
	for g := range f.inc {
		out = append(out, fakeReplica{f: f, g: g})
	}
	slices.SortFunc(out, func(a, b Replica) int { return int(a.ID()) - int(b.ID()) })
	return out
}

func (f *fakeNode) EnsureGroup(g cluster.GroupID) error {
	if _, ok := f.inc[g]; !ok {
		f.inc[g] = 1
		f.say[g] = &GroupReport{}
	}
	return nil
}

func (f *fakeNode) Drain(context.Context) error  { f.drained++; return nil }
func (f *fakeNode) Disconnect(id cluster.NodeID) { f.cut = append(f.cut, id) }

// fakeReplica is a node's view of a group.
type fakeReplica struct {
	cluster.Group
	f *fakeNode
	g cluster.GroupID
}

func (r fakeReplica) ID() cluster.GroupID { return r.g }
func (r fakeReplica) ServerID() string    { return fmt.Sprintf("%s.%d", r.f.id, r.f.inc[r.g]) }

func (r fakeReplica) Leader() (cluster.NodeID, bool) {
	r.f.w.mu.Lock()
	defer r.f.w.mu.Unlock()
	c := r.f.w.conf[r.g]
	l := r.f.w.on[c.leader]
	// One that is not in the configuration hears of no leader.
	in := slices.ContainsFunc(c.servers, func(s Server) bool { return s.Node == r.f.id })
	return c.leader, in && l != nil && !l.down
}

func (r fakeReplica) IsLeader() bool {
	r.f.w.mu.Lock()
	defer r.f.w.mu.Unlock()
	return r.f.w.conf[r.g].leader == r.f.id
}

func (r fakeReplica) Servers() ([]Server, error) {
	r.f.w.mu.Lock()
	defer r.f.w.mu.Unlock()
	return slices.Clone(r.f.w.conf[r.g].servers), nil
}

func (r fakeReplica) change(what string, f func(*conf) error) error {
	r.f.w.mu.Lock()
	defer r.f.w.mu.Unlock()
	c := r.f.w.conf[r.g]
	if c.leader != r.f.id {
		return cluster.ErrRefused
	}
	r.f.w.log = append(r.f.w.log, fmt.Sprintf("%s %s", r.g, what))
	if c.failing != nil {
		return c.failing
	}
	return f(c)
}

// short names a server as its number and incarnation.
func short(id string) string {
	n, err := cluster.ParseNodeID(id[:32])
	if err != nil {
		return id
	}
	return fmt.Sprintf("%d%s", n[0], id[32:])
}

func (r fakeReplica) AddNonvoter(_ context.Context, id string) error {
	return r.change("add "+short(id), func(c *conf) error {
		n, err := cluster.ParseNodeID(id[:32])
		c.servers = append(c.servers, Server{ID: id, Node: n})
		return err
	})
}

func (r fakeReplica) Promote(_ context.Context, id string) error {
	return r.change("promote "+short(id), func(c *conf) error {
		for i := range c.servers {
			if c.servers[i].ID == id {
				c.servers[i].Voter = true
			}
		}
		return nil
	})
}

func (r fakeReplica) Remove(_ context.Context, id string) error {
	return r.change("remove "+short(id), func(c *conf) error {
		c.servers = slices.DeleteFunc(c.servers, func(s Server) bool { return s.ID == id })
		return nil
	})
}

func (r fakeReplica) Transfer(_ context.Context, to cluster.NodeID) error {
	name := "any"
	if !to.IsZero() {
		name = fmt.Sprint(to[0])
	}
	return r.change("transfer "+name, func(c *conf) error {
		if to.IsZero() {
			for _, s := range c.servers {
				if x := r.f.w.on[s.Node]; s.Voter && s.Node != c.leader && x != nil && !x.down {
					to = s.Node
				}
			}
		}
		if to.IsZero() {
			return cluster.ErrRefused
		}
		c.leader = to
		c.term++
		return nil
	})
}

func (r fakeReplica) Report() GroupReport {
	r.f.w.mu.Lock()
	defer r.f.w.mu.Unlock()
	c := r.f.w.conf[r.g]
	out := *r.f.say[r.g]
	out.Group, out.ServerID, out.Term, out.Commit = r.g, fmt.Sprintf("%s.%d", r.f.id, r.f.inc[r.g]), c.term, c.commit
	out.Leads = c.leader == r.f.id
	return out
}

func (r fakeReplica) CheckDigests(context.Context) (DigestReport, error) {
	return DigestReport{Group: r.g, Index: 9, Agree: 3}, nil
}

// fakeRoster is the roster as one node sees it.
type fakeRoster struct{ f *fakeNode }

var _ Roster = fakeRoster{}

func (r fakeRoster) Sync(context.Context) error {
	r.f.w.mu.Lock()
	defer r.f.w.mu.Unlock()
	if r.f.adrift {
		return cluster.ErrUnavailable
	}
	r.f.behind = nil
	return nil
}

func (r fakeRoster) Nodes() ([]Node, error) {
	r.f.w.mu.Lock()
	defer r.f.w.mu.Unlock()
	if r.f.behind != nil {
		return slices.Clone(r.f.behind), nil
	}
	return slices.Clone(r.f.w.nodes), nil
}

func (r fakeRoster) write(op string, f func() error) error {
	r.f.w.mu.Lock()
	defer r.f.w.mu.Unlock()
	if r.f.w.fail != nil {
		if err := r.f.w.fail(op); err != nil {
			return err
		}
	}
	if r.f.adrift {
		return cluster.ErrUnavailable
	}
	return f()
}

func (r fakeRoster) PutNode(_ context.Context, n Node, expectNew bool) error {
	return r.write("PutNode", func() error {
		for i, x := range r.f.w.nodes {
			switch {
			case expectNew && (x.ID == n.ID || x.Name == n.Name):
				return ErrNameTaken
			case x.ID == n.ID:
				r.f.w.nodes[i] = n
				return nil
			}
		}
		r.f.w.nodes = append(r.f.w.nodes, n)
		return nil
	})
}

func (r fakeRoster) RemoveNode(_ context.Context, id cluster.NodeID, _ bool) error {
	return r.write("RemoveNode", func() error {
		r.f.w.nodes = slices.DeleteFunc(slices.Clone(r.f.w.nodes), func(n Node) bool { return n.ID == id })
		return nil
	})
}

func (r fakeRoster) Groups() ([]cluster.GroupID, error) {
	r.f.w.mu.Lock()
	defer r.f.w.mu.Unlock()
	return slices.Clone(r.f.w.groups), nil
}

func (r fakeRoster) PutGroup(_ context.Context, g cluster.GroupID) error {
	return r.write("PutGroup", func() error {
		if !slices.Contains(r.f.w.groups, g) {
			r.f.w.groups = append(r.f.w.groups, g)
			r.f.w.conf[g] = &conf{leader: r.f.id, term: 1, commit: 5000}
		}
		return nil
	})
}

func (r fakeRoster) PutToken(_ context.Context, id []byte, t Token) error {
	return r.write("PutToken", func() error {
		r.f.w.tokens[string(id)] = t
		return nil
	})
}

func (r fakeRoster) Token(id []byte) (Token, bool, error) {
	r.f.w.mu.Lock()
	defer r.f.w.mu.Unlock()
	t, ok := r.f.w.tokens[string(id)]
	return t, ok, nil
}

func (r fakeRoster) UseToken(_ context.Context, id, key []byte) error {
	return r.write("UseToken", func() error {
		t, ok := r.f.w.tokens[string(id)]
		if !ok || t.UsedBy != nil && string(t.UsedBy) != string(key) {
			return ErrNoToken
		}
		t.UsedBy = key
		r.f.w.tokens[string(id)] = t
		return nil
	})
}

func (r fakeRoster) CA() ([]byte, error) {
	r.f.w.mu.Lock()
	defer r.f.w.mu.Unlock()
	return r.f.w.ca, nil
}

func (r fakeRoster) PutCA(_ context.Context, sealed []byte) error {
	return r.write("PutCA", func() error { r.f.w.ca = sealed; return nil })
}

var errInjected = errors.New("injected")
