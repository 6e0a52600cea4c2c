package body

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"altmail.se/altmail/cluster"
)

const (
	callTimeout = 15 * time.Second // for one RPC without progress
	laneCalls   = 4                // RPCs on their way to one peer
	laneRest    = time.Second      // pushes to a peer that failed are left out that long
)

// network is the store's side of the talk with other nodes.
type network struct {
	s                               *Store
	gatePulls, readPulls, backPulls *semaphore.Weighted // bytes in memory

	mu    sync.Mutex
	lanes map[cluster.NodeID]*lane
	unref map[unrefKey]uint64 // see Store.absent
}

type unrefKey struct {
	group cluster.GroupID
	id    cluster.BodyID
}

func (n *network) init(s *Store) {
	n.s = s
	n.gatePulls = semaphore.NewWeighted(s.opts.MaxPullBytes)
	n.readPulls = semaphore.NewWeighted(s.opts.MaxPullBytes)
	n.backPulls = semaphore.NewWeighted(s.opts.MaxPullBytes)
	n.lanes = make(map[cluster.NodeID]*lane)
	n.unref = make(map[unrefKey]uint64)
}

// unreferenced remembers that nothing was seen to refer to the body at index
// now and returns the index at which that was first seen.
func (n *network) unreferenced(g cluster.GroupID, id cluster.BodyID, now uint64) uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := unrefKey{g, id}
	if since, ok := n.unref[k]; ok {
		return since
	}
	if len(n.unref) >= maxGone {
		clear(n.unref)
	}
	n.unref[k] = now
	return now
}

func (n *network) lane(peer cluster.NodeID) *lane {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.lanes[peer]
	if l == nil {
		l = &lane{s: n.s, peer: peer}
		n.lanes[peer] = l
	}
	return l
}

// close ends pushes that are queued; those on their way end with the store's
// context.
func (n *network) close() {
	n.mu.Lock()
	lanes := n.lanes
	n.lanes = make(map[cluster.NodeID]*lane)
	n.mu.Unlock()
	for _, l := range lanes {
		l.drop()
	}
}

// lane carries pushes to one peer: bounded bytes, a few RPCs at once, and
// small bodies that wait together go together.
type lane struct {
	s    *Store
	peer cluster.NodeID

	mu      sync.Mutex
	queue   []*pushJob
	bytes   int64 // queued and on their way
	running int
	rest    time.Time // until then nothing is pushed
}

type pushJob struct {
	group  cluster.GroupID
	id     cluster.BodyID
	data   []byte
	spread *Spread
}

// Spread tells how a distributed body fares.
type Spread struct {
	mu      sync.Mutex
	pending int
	durable int
	changed chan struct{}
}

// Distribute pushes a body to other members, in the background, concurrently
// with the caller's own Put. Nobody waits for a slow or dead peer: when too
// much is on its way to one, the push is left out and its gate pulls. data
// must not change any more. ctx matters only before the pushes are queued.
func (s *Store) Distribute(ctx context.Context, group cluster.GroupID, id cluster.BodyID, data []byte, peers []cluster.NodeID) *Spread {
	sp := &Spread{pending: len(peers), changed: make(chan struct{})}
	for _, p := range peers {
		if ctx.Err() != nil || s.opts.Peers == nil || p == s.opts.Peers.Self() ||
			!s.net.lane(p).push(&pushJob{group, id, data, sp}) {
			s.stats.pushDropped.Add(1)
			sp.note(false)
		}
	}
	return sp
}

func (sp *Spread) note(durable bool) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.pending--
	if durable {
		sp.durable++
	}
	close(sp.changed)
	sp.changed = make(chan struct{})
}

// Durable returns how many of the peers have answered that the body is
// durable there, and how many have not answered yet.
func (sp *Spread) Durable() (durable, pending int) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	return sp.durable, sp.pending
}

// Wait returns once the body is durable on n of the peers. The error is
// cluster.ErrUnavailable as soon as the pushes cannot reach n any more; the
// peers may still pull.
func (sp *Spread) Wait(ctx context.Context, n int) error {
	for {
		sp.mu.Lock()
		durable, pending, changed := sp.durable, sp.pending, sp.changed
		sp.mu.Unlock()
		if durable >= n {
			return nil
		}
		if durable+pending < n {
			return fmt.Errorf("body: pushed to %d of %d members: %w", durable, n, cluster.ErrUnavailable)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("body: waiting for members: %w", ctx.Err())
		}
	}
}

// push queues a job; false if the lane is full, resting or closed.
func (l *lane) push(j *pushJob) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bytes > 0 && l.bytes+int64(len(j.data)) > l.s.opts.MaxPushBytes || time.Now().Before(l.rest) {
		return false
	}
	l.queue = append(l.queue, j)
	l.bytes += int64(len(j.data))
	if l.running < laneCalls {
		if l.s.spawn(l.run) {
			l.running++
		} else if l.running == 0 {
			l.queue = nil
			l.bytes -= int64(len(j.data))
			return false
		}
	}
	return true
}

// run pushes until the queue is empty.
func (l *lane) run() {
	for {
		jobs := l.take()
		if len(jobs) == 0 {
			return
		}
		states, err := l.send(jobs)
		total := 0
		for i, j := range jobs {
			total += len(j.data)
			ok := err == nil && states[i] == stDurable
			if ok {
				l.s.stats.pushed.Add(1)
				l.s.stats.pushedBytes.Add(uint64(len(j.data)))
			} else {
				l.s.stats.pushFailed.Add(1)
			}
			j.spread.note(ok)
		}
		l.mu.Lock()
		l.bytes -= int64(total)
		if err != nil {
			l.rest = time.Now().Add(laneRest)
		}
		l.mu.Unlock()
		if err != nil {
			l.s.log.Debug("push failed", "peer", l.peer, "bodies", len(jobs), "err", err)
			l.drop()
		}
	}
}

// take removes the next bundle from the queue: bodies of one group. With none
// left it signs the runner off.
func (l *lane) take() []*pushJob {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.running--
		return nil
	}
	n, total := 0, 0
	for n < len(l.queue) && n < maxItems {
		j := l.queue[n]
		if n > 0 && (j.group != l.queue[0].group || total+len(j.data) > pushBundle) {
			break
		}
		total += len(j.data)
		n++
	}
	jobs := append([]*pushJob(nil), l.queue[:n]...)
	clear(l.queue[:n])
	l.queue = l.queue[n:]
	if len(l.queue) == 0 {
		l.queue = nil
	}
	return jobs
}

// drop gives up everything queued.
func (l *lane) drop() {
	l.mu.Lock()
	jobs := l.queue
	l.queue = nil
	for _, j := range jobs {
		l.bytes -= int64(len(j.data))
	}
	l.mu.Unlock()
	for _, j := range jobs {
		l.s.stats.pushDropped.Add(1)
		j.spread.note(false)
	}
}

func (l *lane) send(jobs []*pushJob) ([]byte, error) {
	items := make([]pushItem, len(jobs))
	parts := make([][]byte, 1, len(jobs)+1)
	total := 0
	for i, j := range jobs {
		items[i] = pushItem{j.id, j.data}
		parts = append(parts, j.data)
		total += len(j.data)
	}
	parts[0] = appendPushHead(make([]byte, 0, 7+36*len(items)), jobs[0].group, items)
	ctx, cancel := context.WithTimeout(l.s.ctx, callTimeout+time.Duration(total>>20)*time.Second)
	defer cancel()
	resp, err := l.s.opts.Peers.Call(ctx, l.peer, cluster.MethodBodyPush, parts...)
	if err != nil {
		return nil, fmt.Errorf("body: pushing: %w", err)
	}
	r, states, err := parseStates(resp, len(jobs))
	if err != nil {
		return nil, err
	}
	l.s.space.heard(l.peer, r)
	return states, nil
}
