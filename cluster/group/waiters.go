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
		close(heap.Pop(&c.waiting).(*waiter).done)
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
		close(heap.Pop(&c.waiting).(*waiter).done)
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
