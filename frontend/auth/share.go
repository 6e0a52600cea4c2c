package auth

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"altmail.se/altmail/cluster"
)

// event is an outcome that other nodes are told of. FORMAT.md draws it.
type event struct {
	place netip.Addr
	how   Outcome
}

const (
	// shareWait is how long a failed login waits for the other nodes to know.
	shareWait = 250 * time.Millisecond
	// maxEvents bounds the events of one message, maxPending those that wait
	// for the one before: beyond that, nodes count alone.
	maxEvents  = 1024
	maxPending = 16 << 10

	shareVersion = 1
	eventSize    = 1 + 16
)

// errEvents: another node sent what is no message.
var errEvents = errors.New("auth: malformed message of a throttle")

// sharing tells other nodes of outcomes. While one message is under way the
// next collects.
type sharing struct {
	peers  cluster.Peers
	others func() []cluster.NodeID

	mu      sync.Mutex
	pending []event
	told    chan struct{} // closed when pending was sent
	sending bool
}

// send tells the other nodes of an outcome. What it returns is closed when they
// know, or when they had the time to.
func (s *sharing) send(e event) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told == nil {
		s.told = make(chan struct{})
	}
	told := s.told
	if len(s.pending) >= maxPending {
		done := make(chan struct{})
		close(done)
		return done
	}
	s.pending = append(s.pending, e)
	if !s.sending {
		s.sending = true
		go s.run()
	}
	return told
}

// run sends until nothing is pending.
func (s *sharing) run() {
	for {
		s.mu.Lock()
		batch, told := s.pending, s.told
		s.pending, s.told = nil, nil
		if len(batch) == 0 {
			s.sending = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		for len(batch) > 0 {
			n := min(len(batch), maxEvents)
			s.broadcast(appendEvents(nil, batch[:n]))
			batch = batch[n:]
		}
		close(told)
	}
}

// broadcast sends a message to all others. One that cannot be reached does not
// learn of it; without the others it lets nobody in.
func (s *sharing) broadcast(msg []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), shareWait)
	defer cancel()
	var wg sync.WaitGroup
	for _, id := range s.others() {
		wg.Go(func() {
			_, _ = s.peers.Call(ctx, id, cluster.MethodThrottle, msg)
		})
	}
	wg.Wait()
}

// serve takes what another node tells.
func (t *Throttle) serve(_ context.Context, _ cluster.NodeID, req []byte) ([]byte, error) {
	events, err := parseEvents(req)
	if err != nil {
		return nil, err
	}
	for _, e := range events {
		t.note(e.place, e.how)
	}
	return nil, nil
}

func appendEvents(dst []byte, events []event) []byte {
	dst = append(dst, shareVersion)
	for _, e := range events {
		a := e.place.As16()
		dst = append(append(dst, byte(e.how)), a[:]...)
	}
	return dst
}

func parseEvents(b []byte) ([]event, error) {
	if len(b) == 0 || b[0] != shareVersion {
		return nil, fmt.Errorf("%w: version", errEvents)
	}
	b = b[1:]
	if len(b)%eventSize != 0 || len(b) > maxEvents*eventSize {
		return nil, fmt.Errorf("%w: %d octets", errEvents, len(b))
	}
	events := make([]event, 0, len(b)/eventSize)
	for ; len(b) > 0; b = b[eventSize:] {
		e := event{netip.AddrFrom16([16]byte(b[1:eventSize])).Unmap(), Outcome(b[0])}
		if e.how != Wrong && e.how != Right {
			return nil, fmt.Errorf("%w: outcome", errEvents)
		}
		// One place has one name, whoever tells.
		if p, err := e.place.Prefix(64); e.place.Is6() && (err != nil || p.Addr() != e.place) {
			return nil, fmt.Errorf("%w: place", errEvents)
		}
		events = append(events, e)
	}
	return events, nil
}
