package group

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

var errAway = errors.New("group: the member does not answer")

// awayAfter is how many heartbeats in a row go unanswered before a member
// counts as away: one may fail over a connection that was left from before.
const awayAfter = 2

// holdLook is how often a held append looks whether it is wanted still.
const holdLook = 50 * time.Millisecond

// reach is which members answer this leader's heartbeats.
type reach struct {
	mu   sync.Mutex
	miss map[raft.ServerID]*missed
}

type missed struct {
	n    int
	back chan struct{} // closed when it answers again
}

// told notes how a heartbeat ended.
func (r *reach) told(id raft.ServerID, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m := r.miss[id]
	switch {
	case err == nil && m != nil:
		close(m.back)
		delete(r.miss, id)
	case err != nil && m == nil:
		if r.miss == nil {
			r.miss = map[raft.ServerID]*missed{}
		}
		r.miss[id] = &missed{n: 1, back: make(chan struct{})}
	case err != nil:
		m.n++
	}
}

// away returns a channel that is closed when the member answers again, nil when
// it is not away.
func (r *reach) away(id raft.ServerID) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.miss[id]; m != nil && m.n >= awayAfter {
		return m.back
	}
	return nil
}

// forget drops what is known of a member that is none any more.
func (r *reach) forget(id raft.ServerID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.miss, id)
}

// hold keeps an append to a member that does not answer until it does. Raft
// would count each failure and after a few minutes sleep for ten seconds
// between attempts, and nothing wakes it: the member would be back, with
// heartbeats answered, and get no entry for so long.
func (t *transport) hold(id raft.ServerID, term uint64) error {
	back := t.reach.away(id)
	if back == nil {
		return nil
	}
	tick := time.NewTicker(holdLook)
	defer tick.Stop()
	for {
		select {
		case <-back:
			return nil
		case <-t.stop:
			return errAway
		case <-tick.C:
			r := t.g.raft.Load()
			if r == nil || r.State() != raft.Leader || r.CurrentTerm() != term {
				return errAway // a new leader's business, or nobody's
			}
			servers := r.GetConfiguration().Configuration().Servers
			if !slices.ContainsFunc(servers, func(s raft.Server) bool { return s.ID == id }) {
				t.reach.forget(id)
				return errAway
			}
		}
	}
}
