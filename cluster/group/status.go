package group

import (
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/logstore"
)

// Status is what this node knows of the group now.
type Status struct {
	Group   cluster.GroupID
	Role    string // leader, follower, candidate, stopped
	Serving bool   // leads and has applied its epoch
	Leader  cluster.NodeID
	Term    uint64
	Last    uint64 // last index in the log
	Commit  uint64
	Applied uint64
	Durable uint64 // applied and durable
	Marker  uint64
	First   uint64 // first index in the log
	// LastContact is how long ago the leader was heard; 0 on the leader, -1 if
	// never.
	LastContact time.Duration
	Removed     bool // this node is not in the newest configuration
	Whole       bool
	Fetching    uint64 // bytes of a state being copied, 0 when none is
	Repairing   bool
	ReadOnly    bool // no state has a majority
	Check       CheckResult
	Members     []MemberStatus
	Failed      error
}

// MemberStatus is one member as the leader last saw it. On other nodes only
// Member is set.
type MemberStatus struct {
	Member
	Seen             time.Time // zero: never
	Last             uint64
	Applied, Durable uint64
	Whole, Room      bool
	ClockOffset      time.Duration
}

// Status returns the present state of the group on this node.
func (g *Group) Status() Status {
	s := Status{
		Group: g.o.Group, Role: "stopped", Serving: g.IsLeader(), Term: g.term(),
		Applied: g.appliedIndex(), Durable: g.o.Machine.Durable(), LastContact: -1,
		Whole: g.whole(), Repairing: g.fetch.repairing.Load(), ReadOnly: g.checks.readOnly.Load(),
	}
	if g.fetch.active() {
		s.Fetching = g.fetch.bytes.Load()
	}
	_, s.Leader = g.leader()
	s.First, _ = g.store.FirstIndex()
	s.Last, _ = g.store.LastIndex()
	if m, ok := g.snaps.Newest(); ok {
		s.Marker = m.Index
	}
	g.checks.mu.Lock()
	s.Check = g.checks.last
	g.checks.mu.Unlock()
	g.mu.Lock()
	s.Failed = g.failed
	g.mu.Unlock()
	r := g.raft.Load()
	if r == nil {
		return s
	}
	switch r.State() {
	case raft.Leader:
		s.Role, s.LastContact = "leader", 0
	case raft.Candidate:
		s.Role = "candidate"
	case raft.Follower:
		s.Role = "follower"
	}
	if at := r.LastContact(); s.Role != "leader" && !at.IsZero() {
		s.LastContact = time.Since(at)
	}
	s.Last, s.Commit = r.LastIndex(), r.CommitIndex()
	s.Removed = true
	for _, m := range g.Configuration() {
		if m.Node == g.o.Node && m.Incarnation == g.o.Incarnation {
			s.Removed = false
		}
		ms := MemberStatus{Member: m}
		if p, ok := g.health.get(m.Node); ok && s.Role == "leader" {
			ms.Seen, ms.Last, ms.Applied, ms.Durable = p.at, p.last, p.applied, p.durable
			ms.Whole, ms.Room, ms.ClockOffset = p.whole, p.room, p.offset
		}
		s.Members = append(s.Members, ms)
	}
	if len(s.Members) == 0 {
		s.Removed = false // nobody has taken it in yet
	}
	return s
}

// OldestLogKey returns the lowest epoch of the log key that log, vote or markers
// of this group on this node are still sealed under. Keys below it can go.
func (g *Group) OldestLogKey() (uint32, error) {
	oldest, err := g.store.OldestEpoch()
	if err != nil {
		return 0, err
	}
	e, ok, err := g.snaps.OldestEpoch()
	if err != nil {
		return 0, err
	}
	if ok {
		oldest = min(oldest, e)
	}
	return oldest, nil
}

// Stats counts since Open.
type Stats struct {
	Proposed, Forwarded, Retried, Applied uint64
	GateRefused, ReadRounds, Installs     uint64
	Elections                             uint64 // won by this node
	Notices, NoticesLost                  uint64 // commit notices pushed, and those of them not taken
	Pins                                  int
	Log                                   logstore.Stats
}

// Stats returns the counters.
func (g *Group) Stats() Stats {
	return Stats{
		Proposed: g.stats.proposed.Load(), Forwarded: g.stats.forwarded.Load(), Retried: g.stats.retried.Load(),
		Applied: g.stats.applied.Load(), GateRefused: g.stats.gateRefused.Load(),
		ReadRounds: g.stats.readRounds.Load(), Installs: g.stats.installs.Load(),
		Elections: g.stats.elections.Load(),
		Notices:   g.stats.notices.Load(), NoticesLost: g.stats.noticesLost.Load(),
		Pins: g.pins.len(), Log: g.store.Stats(),
	}
}
