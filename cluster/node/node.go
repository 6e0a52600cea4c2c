package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/group"
	"altmail.se/altmail/cluster/journal"
	"altmail.se/altmail/cluster/logstore"
	"altmail.se/altmail/cluster/member"
)

// Config is what a Node works with; all fields but Journal and Wall are needed.
type Config struct {
	Dir    string // of the groups' logs; the node's data directory
	Local  *member.Local
	Peers  cluster.Peers
	Layer  func(cluster.GroupID) raft.StreamLayer
	Gate   cluster.Gate
	Keys   logstore.Keys
	Tuning group.Tuning
	// Journal, from OpenJournal, takes the entries of all groups; nil means
	// that each syncs its own file. It is closed after the Node.
	Journal *journal.Journal
	// Machine opens the replicated state of a group; with reset, whatever is
	// there is discarded first, because the group begins anew on this node.
	Machine func(g cluster.GroupID, reset bool) (cluster.Machine, error)
	// Started is told of every group that runs, before it serves.
	Started func(g cluster.Group)
	Fatal   func(error)
	Drain   func(ctx context.Context) error
	Cut     func(id cluster.NodeID)
	Log     *slog.Logger
	// Wall is the clock that entries are stamped by; nil for time.Now.
	Wall func() time.Time
}

// Node is the set of groups on this node. Its methods may be called at any
// time. It implements member.Host and is the doors' view of the groups.
type Node struct {
	c      Config
	router *group.Router

	mu     sync.RWMutex
	groups map[cluster.GroupID]*replica
	closed bool
	// opening serializes EnsureGroup, which is slow.
	opening sync.Mutex
}

var _ member.Host = (*Node)(nil)

// New returns a Node that hosts nothing yet. Call it before the peers serve.
func New(c Config) *Node {
	return &Node{c: c, router: group.NewRouter(c.Peers), groups: map[cluster.GroupID]*replica{}}
}

// Start opens the groups that the identity names.
func (n *Node) Start() error {
	for _, g := range n.c.Local.Identity().Groups {
		if err := n.EnsureGroup(g); err != nil {
			return err
		}
	}
	return nil
}

// EnsureGroup opens a group unless it runs already.
func (n *Node) EnsureGroup(g cluster.GroupID) error {
	n.opening.Lock()
	defer n.opening.Unlock()
	n.mu.RLock()
	_, have := n.groups[g]
	closed := n.closed
	n.mu.RUnlock()
	if have {
		return nil
	}
	if closed {
		return cluster.ErrStopped
	}
	r, err := n.open(g)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	n.mu.Lock()
	n.groups[g] = r
	n.mu.Unlock()
	n.c.Started(r)
	return nil
}

// open opens a group's replica. One whose log is missing or damaged never
// starts again as the member it was: it may have voted (replication-hazards
// 25). It begins anew under the next incarnation, with an empty state, and
// waits to be taken in.
func (n *Node) open(g cluster.GroupID) (*replica, error) {
	id := n.c.Local.Identity()
	inc := id.Incarnations[g]
	if inc > 0 {
		r, err := n.try(g, inc, false, false)
		if err == nil {
			return r, nil
		}
		lost := errors.Is(err, logstore.ErrMissing) || errors.Is(err, group.ErrDamaged)
		if !lost {
			return nil, err
		}
		if id.Seed == nil {
			n.c.Log.Error("the log of a group is lost or damaged; this node enters it anew", "group", g, "err", err)
		}
		if err := os.RemoveAll(n.dir(g)); err != nil {
			return nil, err
		}
	}
	inc++
	err := n.c.Local.Update(func(i *member.Identity) {
		next := map[cluster.GroupID]uint32{}
		for k, v := range i.Incarnations {
			next[k] = v
		}
		next[g] = inc
		i.Incarnations = next
		if !slices.Contains(i.Groups, g) {
			i.Groups = append(i.Groups, g)
		}
	})
	if err != nil {
		return nil, err
	}
	return n.try(g, inc, true, id.Seed != nil)
}

func (n *Node) dir(g cluster.GroupID) string { return GroupDir(n.c.Dir, g) }

// GroupDir is where a node keeps the log of a group.
func GroupDir(dataDir string, g cluster.GroupID) string {
	return filepath.Join(dataDir, "groups", g.String())
}

func (n *Node) try(g cluster.GroupID, inc uint32, create, bootstrap bool) (*replica, error) {
	m, err := n.c.Machine(g, create)
	if err != nil {
		return nil, err
	}
	gr, err := group.Open(group.Options{
		Group: g, Node: n.c.Peers.Self(), Incarnation: inc, Dir: n.dir(g),
		Create: create, Bootstrap: bootstrap,
		Machine: m, Gate: n.c.Gate, Stream: n.c.Layer(g), Router: n.router, Keys: n.c.Keys, Journal: n.c.Journal,
		Log: n.c.Log, Fatal: n.c.Fatal, Tuning: n.c.Tuning, Wall: n.c.Wall,
		Alarm: func(a group.Alarm) {
			n.c.Log.Warn("alarm", "kind", string(a.Kind), "group", a.Group, "index", a.Index)
		},
	})
	if err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return &replica{Group: gr, inc: inc, self: n.c.Peers.Self(), machine: m}, nil
}

// Group returns a group that runs here.
func (n *Node) Group(g cluster.GroupID) (cluster.Group, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	r, ok := n.groups[g]
	return r, ok
}

// Mail lists the mail groups that run here, ascending.
func (n *Node) Mail() []cluster.GroupID {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var out []cluster.GroupID
	for g := range n.groups {
		if g != cluster.Directory {
			out = append(out, g)
		}
	}
	slices.Sort(out)
	return out
}

// Members lists the nodes in a group's configuration.
func (n *Node) Members(g cluster.GroupID) []cluster.NodeID {
	n.mu.RLock()
	r, ok := n.groups[g]
	n.mu.RUnlock()
	if !ok {
		return nil
	}
	var out []cluster.NodeID
	for _, m := range r.Configuration() {
		out = append(out, m.Node)
	}
	return out
}

// Replica returns a group as membership sees it.
func (n *Node) Replica(g cluster.GroupID) (member.Replica, bool) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	r, ok := n.groups[g]
	if !ok {
		return nil, false
	}
	return r, true
}

// Replicas returns every group that runs here, ascending.
func (n *Node) Replicas() []member.Replica {
	n.mu.RLock()
	defer n.mu.RUnlock()
	var out []member.Replica
	for _, r := range n.groups {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b member.Replica) int { return int(a.ID()) - int(b.ID()) })
	return out
}

// Drain refuses new clients and says goodbye to those connected.
func (n *Node) Drain(ctx context.Context) error { return n.c.Drain(ctx) }

// Disconnect cuts the connections with a node that is no member any more.
func (n *Node) Disconnect(id cluster.NodeID) { n.c.Cut(id) }

// HandOver gives away the leadership of every group led here, so that the
// others need not notice this node's end first. It tries each once, together.
func (n *Node) HandOver(ctx context.Context) {
	var wg sync.WaitGroup
	for _, r := range n.Replicas() {
		if !r.IsLeader() {
			continue
		}
		if s, err := r.Servers(); err != nil || len(s) < 2 {
			continue
		}
		wg.Go(func() {
			if err := r.Transfer(ctx, cluster.NodeID{}); err != nil {
				n.c.Log.Info("leadership not handed over", "group", r.ID(), "err", err)
			}
		})
	}
	wg.Wait()
}

// Close stops all groups and closes their states.
func (n *Node) Close() error {
	n.opening.Lock()
	defer n.opening.Unlock()
	n.mu.Lock()
	n.closed = true
	groups := n.groups
	n.groups = map[cluster.GroupID]*replica{}
	n.mu.Unlock()
	errs := make([]error, 0, len(groups))
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, r := range groups {
		wg.Go(func() {
			err := errors.Join(r.Close(), r.machine.Close())
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
