package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// lane takes this leader's proposals into the local raft, one round at a time:
// what comes while a round is under way goes together in the next, as one write
// of the log, one append to each follower and one batch of the machine.
//
// Raft's appends to a follower go one at a time too (guard G2), so a proposal
// that were let through at once would wait there; all it would have for itself
// is a synced write of its own.
type lane struct {
	propose func(batch []*offer) // ends each offer; may never return if raft ends
	life    <-chan struct{}

	mu    sync.Mutex
	queue []*offer
	round *round // under way, nil if none
	// crowd is how many proposals there were at the last round: those in it,
	// and those that waited when it ended.
	crowd int
	took  time.Duration // of late rounds, smoothed
	full  chan struct{} // takes one: as many wait as there were
}

// A round waits for those who may come back for at most half of what a round
// takes, and no longer than gatherMost.
const (
	gatherShare = 2
	gatherMost  = 5 * time.Millisecond
)

// round is a batch that raft has.
type round struct {
	batch []*offer
	over  bool // answered, or given up
}

// offer is one encoded entry.
type offer struct {
	buf   []byte
	ended atomic.Bool
	// done is called once, by whoever ends the offer; it must not block.
	done func(res cluster.Result, index, term uint64, err error)
}

func (o *offer) end(res cluster.Result, index, term uint64, err error) {
	if o.ended.CompareAndSwap(false, true) {
		o.done(res, index, term, err)
	}
}

// add hands an entry to raft as soon as there is room for a round.
func (l *lane) add(o *offer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, o)
	if l.round == nil {
		l.round = new(round)
		go l.run(l.round)
	} else if len(l.queue) == l.crowd {
		select {
		case l.full <- struct{}{}:
		default: // it knows
		}
	}
}

// run does rounds until nothing waits, or until they are given up.
func (l *lane) run(now *round) {
	for {
		l.gather(now)
		l.mu.Lock()
		if now.over {
			l.mu.Unlock()
			return
		}
		if len(l.queue) == 0 {
			l.round, l.crowd = nil, 0
			l.mu.Unlock()
			return
		}
		now.batch, l.queue = l.queue, nil
		l.mu.Unlock()

		start := time.Now()
		l.propose(now.batch)

		l.mu.Lock()
		if now.over {
			l.mu.Unlock()
			return
		}
		l.crowd = len(now.batch) + len(l.queue)
		l.took += (time.Since(start) - l.took) / 8
		now = new(round)
		l.round = now
		l.mu.Unlock()
	}
}

// gather waits a little for those who were answered with the last round: they
// often have something to propose again, and each round costs all nodes a
// synced write.
func (l *lane) gather(now *round) {
	l.mu.Lock()
	wait := min(l.took/gatherShare, gatherMost)
	enough := l.crowd < 2 || len(l.queue) >= l.crowd
	if !enough {
		select {
		case <-l.full: // of an earlier round
		default:
		}
	}
	l.mu.Unlock()
	if enough || wait <= 0 {
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-l.full:
	case <-t.C:
	case <-l.life:
	}
}

// giveUp ends all offers: the raft instance has ended, or is about to, and does
// not answer what is still in its queue.
func (l *lane) giveUp() {
	l.mu.Lock()
	waiting, now := l.queue, l.round
	l.queue, l.round, l.crowd = nil, nil, 0
	var batch []*offer
	if now != nil {
		now.over = true
		batch = now.batch
	}
	l.mu.Unlock()
	for _, o := range waiting {
		o.end(cluster.Result{}, 0, 0, fmt.Errorf("%w: raft has ended", errNotLeader))
	}
	for _, o := range batch {
		o.end(cluster.Result{}, 0, 0, fmt.Errorf("%w: raft has ended", errUnknown))
	}
}

// offer stamps entries, gives them to the local raft and ends each offer with
// what became of it. It may never return if raft ends meanwhile.
func (g *Group) offer(batch []*offer) {
	r := g.raft.Load()
	term := g.leading()
	if r == nil || term == 0 {
		for _, o := range batch {
			o.end(cluster.Result{}, 0, 0, errNotLeader)
		}
		return
	}
	before := g.appliedIndex()
	futs := make([]raft.ApplyFuture, len(batch))
	for i, o := range batch {
		binary.BigEndian.PutUint64(o.buf[2:], g.clock.stamp())
		futs[i] = r.ApplyLog(raft.Log{Data: o.buf}, 0)
	}
	for i, o := range batch {
		res, index, err := g.outcome(futs[i], futs[i].Error(), before)
		if err != nil {
			o.end(res, 0, 0, err)
			continue
		}
		o.end(res, index, term, nil)
	}
}

// outcome reads what raft answered to a proposal that was made when the state
// was at before.
func (g *Group) outcome(fut raft.ApplyFuture, err error, before uint64) (res cluster.Result, index uint64, _ error) {
	switch {
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return res, 0, fmt.Errorf("%w: %w", errNotLeader, err)
	case err != nil:
		return res, 0, fmt.Errorf("%w: %w", errUnknown, err)
	}
	a, ok := fut.Response().(*applied)
	if !ok {
		return res, 0, fmt.Errorf("%w: no result", errUnknown)
	}
	if a.err != nil {
		return res, 0, fmt.Errorf("%w: %w", errUnknown, a.err)
	}
	if index = fut.Index(); a.res.Skipped || index <= before {
		// The state is ahead of the log (rule R4): every answer from here on
		// would be a lie.
		err := fmt.Errorf("proposal at index %d, but the state was at %d", index, before)
		g.fatal(err)
		return res, 0, fmt.Errorf("%w: %w", errUnknown, err)
	}
	return a.res, index, nil
}
