//go:build e2e

package clients

import (
	"context"
	"fmt"
	"sync"
	"time"

	"altmail.se/altmail/bench/faults"
)

// fallTime is how long clients wait for each other before a node is killed.
const fallTime = 3 * time.Minute

// fall kills nodes. It does so once every client that still plays has come to
// the middle of its work, so that one kill serves them all.
type fall struct {
	h *house

	mu      sync.Mutex
	playing int
	waiting int
	next    chan struct{} // closed when the node has been killed
	err     error         // of the kill before
	order   []*faults.Node
	down    *faults.Node
	relays  []*relay
	killed  []string
}

func newFall(h *house) *fall {
	return &fall{h: h, next: make(chan struct{}), order: append([]*faults.Node(nil), h.Nodes...)}
}

// join counts a client in.
func (f *fall) join(r *relay) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.playing++
	f.relays = append(f.relays, r)
}

// leave counts a client out: nobody has to wait for it any longer.
func (f *fall) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.playing--
	f.perhaps()
}

// await returns when the node that the clients talk to has been killed.
func (f *fall) await(ctx context.Context) error {
	f.mu.Lock()
	f.waiting++
	done := f.next
	f.perhaps()
	f.mu.Unlock()
	select {
	case <-done:
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("the other clients don't come to the middle of their work: %w", ctx.Err())
	}
}

// perhaps kills a node when nobody is missing; mu is held.
func (f *fall) perhaps() {
	if f.waiting == 0 || f.waiting < f.playing {
		return
	}
	f.waiting = 0
	done := f.next
	f.next = make(chan struct{})
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), fallTime)
		defer cancel()
		err := f.kill(ctx)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.err = err
		close(done)
	}()
}

// kill ends the node that the relays lead to, as a power cut ends its process,
// and turns them to the next one. The one killed before comes back first.
func (f *fall) kill(ctx context.Context) error {
	if err := f.restore(ctx); err != nil {
		return err
	}
	f.mu.Lock()
	victim := f.order[0]
	f.order = append(f.order[1:], victim)
	f.down = victim
	f.killed = append(f.killed, victim.Name)
	relays := append([]*relay(nil), f.relays...)
	f.mu.Unlock()
	err := victim.Kill()
	for _, r := range relays {
		r.cut()
	}
	return err
}

// restore starts the node that was killed and waits until all is well.
func (f *fall) restore(ctx context.Context) error {
	f.mu.Lock()
	n := f.down
	f.down = nil
	f.mu.Unlock()
	if n == nil {
		return nil
	}
	if err := f.h.Serve(ctx, n); err != nil {
		return fmt.Errorf("%s does not come back: %w", n.Name, err)
	}
	return f.h.WaitHealthy(ctx, n, len(f.h.Nodes))
}

// targets are the nodes to try, in order.
func (f *fall) targets() []*faults.Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*faults.Node(nil), f.order...)
}
