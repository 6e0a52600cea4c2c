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

// peerReport is the newest a member said of itself, in the answer to a confirm.
type peerReport struct {
	at      time.Time     // when it was asked
	offset  time.Duration // its clock minus ours, about
	server  raft.ServerID
	voter   bool // by its own latest configuration
	whole   bool
	room    bool
	held    bool // its state is being repaired
	term    uint64
	last    uint64
	applied uint64
	durable uint64
}

// health is what this node knows of the other members: the leader asks them
// all the time, others when they look at their own logs.
type health struct {
	mu    sync.Mutex
	peers map[cluster.NodeID]*peerReport
	// kept is how large the log is that may be kept for them.
	kept logSizes
}

func (h *health) get(n cluster.NodeID) (peerReport, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.peers[n]
	if p == nil {
		return peerReport{}, false
	}
	return *p, true
}

// reportAge is how long a report counts.
const reportAge = 30 * time.Second

// roomy reports whether new bodies may be accepted: no more than a minority of
// the voters is without room (rule R10). Silence is not a full disk.
func (h *health) roomy(g *Group) bool {
	r := g.raft.Load()
	if r == nil {
		return false
	}
	voters, full := 0, 0
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if s.ID == g.self {
			if !g.o.Gate.Room(g.o.Group) {
				full++
			}
		} else if p, ok := h.get(nodeOf(s.ID)); ok && time.Since(p.at) < reportAge && !p.room {
			full++
		}
	}
	return full <= (voters-1)/2
}

// clockAgreed returns nil if a majority of the voters, this one included, have
// reported since then a clock near this node's. It is asked before an epoch,
// whose stamp starts from this node's clock: silence is not agreement.
func (h *health) clockAgreed(g *Group, since time.Time) error {
	r := g.raft.Load()
	if r == nil {
		return errNotLeader
	}
	voters, near := 0, 0
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if s.ID == g.self {
			near++
		} else if p, ok := h.get(nodeOf(s.ID)); ok && !p.at.Before(since) && p.offset.Abs() <= g.o.Tuning.ClockSlack {
			near++
		}
	}
	if near < voters/2+1 {
		return cluster.ErrClock
	}
	return nil
}

// clockOK returns ErrClock if a majority of the voters has clocks too far from
// this node's (rule R13).
func (h *health) clockOK(g *Group) error {
	r := g.raft.Load()
	if r == nil {
		return errNotLeader
	}
	voters, far := 0, 0
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		voters++
		if s.ID == g.self {
			continue
		}
		if p, ok := h.get(nodeOf(s.ID)); ok && time.Since(p.at) < reportAge && p.offset.Abs() > g.o.Tuning.ClockSlack {
			far++
		}
	}
	if far >= voters/2+1 {
		return cluster.ErrClock
	}
	return nil
}

const (
	flagVoter = 1 << iota
	flagWhole
	flagRoom
	flagInTerm
	flagHeld
)

const reportSize = 1 + 1 + 8*5

// ask asks one member whether it is a voter in term, and keeps what it reports.
func (g *Group) ask(ctx context.Context, s raft.Server, term uint64) bool {
	node := nodeOf(s.ID)
	sent := time.Now()
	wall := g.o.Wall()
	req := binary.BigEndian.AppendUint64([]byte{wireVersion}, term)
	resp, err := g.o.Router.call(ctx, g.o.Group, node, cluster.MethodConfirm, req)
	if err != nil || len(resp) < reportSize || resp[0] != wireVersion {
		return false
	}
	took := time.Since(sent)
	flags := resp[1]
	u := func(i int) uint64 { return binary.BigEndian.Uint64(resp[2+8*i:]) }
	theirs := time.UnixMilli(int64(u(4)))
	p := &peerReport{
		at: sent, offset: theirs.Sub(wall.Add(took / 2)), server: raft.ServerID(resp[reportSize:]),
		voter: flags&flagVoter != 0, whole: flags&flagWhole != 0, room: flags&flagRoom != 0, held: flags&flagHeld != 0,
		term: u(0), last: u(1), applied: u(2), durable: u(3),
	}
	g.health.mu.Lock()
	if old := g.health.peers[node]; old == nil || old.at.Before(sent) {
		g.health.peers[node] = p
	}
	g.health.mu.Unlock()
	return p.voter && flags&flagInTerm != 0 && p.term == term && p.server == s.ID
}

// handleConfirm answers whether this node is in a term, and how it is.
func (g *Group) handleConfirm(_ context.Context, _ cluster.NodeID, req []byte) ([]byte, error) {
	if len(req) != 9 || req[0] != wireVersion {
		return nil, fmt.Errorf("%w: confirm", errWire)
	}
	if err := g.down(); err != nil {
		return nil, err
	}
	r := g.raft.Load()
	if r == nil {
		return nil, fmt.Errorf("group %s: restarting: %w", g.o.Group, cluster.ErrUnavailable)
	}
	var flags byte
	if hasVote(r.GetConfiguration().Configuration(), g.self) {
		flags |= flagVoter
	}
	if g.whole() {
		flags |= flagWhole
	}
	if g.o.Gate.Room(g.o.Group) {
		flags |= flagRoom
	}
	if g.fetch.repairing.Load() {
		flags |= flagHeld
	}
	last := r.LastIndex()
	applied := g.appliedIndex()
	durable := g.o.Machine.Durable()
	// The term comes last: what it proves must hold when it is read. In memory
	// it is never below the durable one.
	term := r.CurrentTerm()
	if term == binary.BigEndian.Uint64(req[1:]) {
		flags |= flagInTerm
	}
	b := make([]byte, 0, reportSize+len(g.self))
	b = append(b, wireVersion, flags)
	for _, v := range [...]uint64{term, last, applied, durable, uint64(max(0, g.o.Wall().UnixMilli()))} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return append(b, g.self...), nil
}

// whole reports whether this node has its state and every live body.
func (g *Group) whole() bool {
	return !g.fetch.active() && !g.fetch.repairing.Load() && g.o.Gate.Whole(g.o.Group)
}

// look asks every other member how it is, and returns when all have answered
// or ctx ends.
func (g *Group) look(ctx context.Context) {
	r := g.raft.Load()
	if r == nil {
		return
	}
	term := r.CurrentTerm()
	var wg sync.WaitGroup
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.ID == g.self {
			continue
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			g.ask(ctx, s, term)
		}()
	}
	wg.Wait()
}
