package group

import (
	"container/heap"
	"context"
	"fmt"
	"sync"

	"altmail.se/altmail/cluster"
)

// counter is the index this node has applied, and who waits for it. It is
// driven by the state machine alone: raft's own applied index runs ahead.
type counter struct {
	mu      sync.Mutex
	applied uint64
	term    uint64
	waiting waitHeap
	stopped bool
}

type waiter struct {
	index uint64
	at    int // position in the heap, -1 when out of it
	done  chan struct{}
	then  func(error) // in place of done
	gone  bool        // nobody waits any more
}

// wake ends the waiting. c.mu is held.
func (w *waiter) wake(err error) {
	if w.then != nil {
		w.then(err)
		return
	}
	close(w.done)
}

type waitHeap []*waiter

func (h waitHeap) Len() int           { return len(h) }
func (h waitHeap) Less(i, j int) bool { return h[i].index < h[j].index }
func (h waitHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].at, h[j].at = i, j }
func (h *waitHeap) Push(x any)        { w := x.(*waiter); w.at = len(*h); *h = append(*h, w) }
func (h *waitHeap) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h, w.at = old[:len(old)-1], -1
	return w
}

func (c *counter) advance(index, term uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if index <= c.applied {
		return
	}
	c.applied, c.term = index, term
	for len(c.waiting) > 0 && c.waiting[0].index <= index {
		heap.Pop(&c.waiting).(*waiter).wake(nil)
	}
}

func (c *counter) get() (index, term uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.applied, c.term
}

// stop wakes everybody: what they wait for will not come.
func (c *counter) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	for len(c.waiting) > 0 {
		heap.Pop(&c.waiting).(*waiter).wake(cluster.ErrStopped)
	}
}

// then calls fn once index is applied, or with an error when it will not be
// here, unless w was forgotten. fn must neither block nor use the counter.
func (c *counter) then(w *waiter, index uint64, fn func(error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case w.gone:
	case index <= c.applied:
		fn(nil)
	case c.stopped:
		fn(cluster.ErrStopped)
	default:
		w.index, w.then = index, fn
		heap.Push(&c.waiting, w)
	}
}

// forget takes back what then was told, or will be.
func (c *counter) forget(w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.gone = true
	if w.then != nil && w.at >= 0 {
		heap.Remove(&c.waiting, w.at)
	}
}

func (c *counter) wait(ctx context.Context, index uint64) error {
	c.mu.Lock()
	if index <= c.applied {
		c.mu.Unlock()
		return nil
	}
	if c.stopped {
		c.mu.Unlock()
		return cluster.ErrStopped
	}
	w := &waiter{index: index, done: make(chan struct{})}
	heap.Push(&c.waiting, w)
	c.mu.Unlock()
	select {
	case <-w.done:
		if got, _ := c.get(); got < index {
			return cluster.ErrStopped
		}
		return nil
	case <-ctx.Done():
		c.mu.Lock()
		if w.at >= 0 {
			heap.Remove(&c.waiting, w.at)
		}
		c.mu.Unlock()
		return fmt.Errorf("%w: index %d not applied here: %w", cluster.ErrUnavailable, index, context.Cause(ctx))
	}
}
