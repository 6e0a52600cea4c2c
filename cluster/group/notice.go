package group

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// A follower that nobody writes on would learn of a commit with the next
// append, or after up to two commit timeouts. The leader therefore pushes the
// notice that answers to forwards and read indexes carry anyway.
const (
	// noticeLinger is how long a commit waits before it is pushed: whoever
	// writes one change after the other has sent the next append by then, and
	// that tells it for nothing.
	noticeLinger = time.Millisecond
	// noticePatience is how long it waits instead while an append is under way
	// or about to be. Before that one is stored the notice is of no use, or the
	// next one carries it; but a gate or a slow disk may hold it up for long.
	noticePatience = 5 * time.Millisecond
)

// notices is what this leader has told each member of its commit index.
type notices struct {
	wake chan struct{} // takes one

	mu    sync.Mutex
	peers map[cluster.NodeID]*told
}

// told is about one member.
type told struct {
	index     uint64 // it was told that up to here is committed
	up        bool   // the newest append to it, or notice, was answered
	appending bool   // an append is under way
	calling   bool   // a notice is under way
}

// committed makes the pusher look at the applied index again.
func (n *notices) committed() {
	select {
	case n.wake <- struct{}{}:
	default: // it will look
	}
}

// peer returns what is known of a member. mu is held.
func (n *notices) peer(id cluster.NodeID) *told {
	p := n.peers[id]
	if p == nil {
		p = new(told)
		n.peers[id] = p
	}
	return p
}

// carried notes that a member was told beside the pusher. A member that no
// append went to yet is not kept.
func (n *notices) carried(id cluster.NodeID, index uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if p := n.peers[id]; p != nil {
		p.index = max(p.index, index)
	}
}

// appending notes that an append is about to be sent.
func (n *notices) appending(id cluster.NodeID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.peer(id).appending = true
}

// appended notes that an append has ended: whether it was taken, and then up to
// where it told what is committed, with the index that is by now.
func (n *notices) appended(id cluster.NodeID, taken bool, index, now uint64) {
	n.mu.Lock()
	p := n.peer(id)
	p.appending, p.up = false, taken
	if taken {
		p.index = max(p.index, index)
	}
	behind := taken && p.index < now
	n.mu.Unlock()
	if behind {
		n.committed()
	}
}

// tells returns up to where an append tells what is committed: no further than
// what it proves (guard G9).
func tells(req *raft.AppendEntriesRequest) uint64 {
	if k := len(req.Entries); k > 0 {
		return min(req.LeaderCommitIndex, req.Entries[k-1].Index)
	}
	return min(req.LeaderCommitIndex, req.PrevLogEntry)
}

// heartbeat reports whether raft sent req to keep its leadership: it goes
// beside the appends and proves and tells nothing.
func heartbeat(req *raft.AppendEntriesRequest) bool {
	return len(req.Entries) == 0 && req.PrevLogEntry == 0 && req.LeaderCommitIndex == 0
}

// pushCommits tells the members of commits as long as the group is open.
func (g *Group) pushCommits() {
	t := time.NewTimer(time.Hour)
	defer t.Stop()
	pause := func(d time.Duration) bool {
		t.Reset(d)
		select {
		case <-t.C:
			return true
		case <-g.ctx.Done():
			return false
		}
	}
	for {
		select {
		case <-g.notices.wake:
		case <-g.ctx.Done():
			return
		}
		// What is committed while it waits is told too, but nobody is waited
		// for who has been told this much.
		target := g.appliedIndex()
		if g.o.test.quiet || g.leading() == 0 || !pause(noticeLinger) {
			continue
		}
		if g.push(target, false) && pause(noticePatience-noticeLinger) {
			g.push(target, true)
		}
	}
}

// push sends a notice to each member that was not told of target. Unless now is
// set it leaves out those to whom an append is on its way or about to be, and
// reports whether there are any.
func (g *Group) push(target uint64, now bool) (soon bool) {
	r := g.raft.Load()
	term := g.leading()
	index, at := g.applied.get()
	if r == nil || term == 0 || at != term {
		return false // an older term's entry proves nothing: the epoch will
	}
	n := &g.notices
	servers := r.GetConfiguration().Configuration().Servers
	busy := g.store.Busy() > 0 || g.inflight.any()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range servers {
		node := nodeOf(s.ID)
		if s.ID == g.self || node.IsZero() {
			continue
		}
		p := n.peer(node)
		switch {
		case !p.up || p.calling || p.index >= target:
			// It can't be reached, or is looked at when its call ends, or knows.
		case !now && (busy || p.appending):
			soon = true
		default:
			p.calling = true
			g.spawn(func() { g.notify(node, p, term, index) })
		}
	}
	if len(n.peers) >= len(servers) {
		n.prune(servers)
	}
	return soon
}

// prune forgets who is not a member any more. mu is held.
func (n *notices) prune(servers []raft.Server) {
	for id := range n.peers {
		if _, ok := findNode(raft.Configuration{Servers: servers}, id); !ok {
			delete(n.peers, id)
		}
	}
}

// notify sends one notice. It is answered when the member's raft has taken it,
// so a member that is slow is sent fewer.
func (g *Group) notify(to cluster.NodeID, p *told, term, index uint64) {
	g.stats.notices.Add(1)
	ctx, cancel := context.WithTimeout(g.ctx, g.o.Tuning.CallWait)
	defer cancel()
	req := appendNotice(nil, commitNotice{leader: g.self, term: term, index: index})
	_, err := g.o.Router.call(ctx, g.o.Group, to, cluster.MethodNotice, req)
	n := &g.notices
	n.mu.Lock()
	defer n.mu.Unlock()
	p.calling = false
	if err != nil {
		// Raft's own appends find out when it is back, and tell it.
		p.up = false
		g.stats.noticesLost.Add(1)
		g.o.Log.Debug("commit notice not taken", "node", to, "err", err)
		return
	}
	p.index = max(p.index, index)
	if g.appliedIndex() > index {
		n.committed()
	}
}

// handleNotice takes a leader's word that its log is committed up to an index.
func (g *Group) handleNotice(_ context.Context, from cluster.NodeID, req []byte) ([]byte, error) {
	n, err := decodeNotice(req)
	if err != nil {
		return nil, err
	}
	if nodeOf(n.leader) != from {
		return nil, fmt.Errorf("%w: a notice in another node's name", errWire)
	}
	if err := g.down(); err != nil {
		return nil, err
	}
	g.trans.learn(n)
	return []byte{wireVersion}, nil
}

const noticeSize = 1 + 8 + 8

func appendNotice(b []byte, n commitNotice) []byte {
	b = append(b, wireVersion)
	b = binary.BigEndian.AppendUint64(b, n.term)
	b = binary.BigEndian.AppendUint64(b, n.index)
	return append(b, n.leader...)
}

func decodeNotice(b []byte) (commitNotice, error) {
	if len(b) < noticeSize || b[0] != wireVersion {
		return commitNotice{}, fmt.Errorf("%w: notice", errWire)
	}
	n := commitNotice{term: binary.BigEndian.Uint64(b[1:]), index: binary.BigEndian.Uint64(b[9:])}
	node, inc, err := ParseServer(string(b[noticeSize:]))
	n.leader = raft.ServerID(ServerName(node, inc))
	if err != nil || string(n.leader) != string(b[noticeSize:]) {
		return commitNotice{}, fmt.Errorf("%w: notice", errWire)
	}
	return n, nil
}
