package auth

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"altmail.se/altmail/cluster"
)

// ErrThrottled: too many failed logins from there; try again later.
var ErrThrottled = errors.New("auth: too many failed logins")

// Outcome is how an attempt to log in went.
type Outcome uint8

// The outcomes. An attempt is undecided where the exchange goes on, and where
// nothing could be decided: neither counts.
const (
	Undecided Outcome = iota
	Wrong
	Right
)

// Throttle slows down guessing from one place (an address, or a /64 of IPv6):
// the first few failures cost nothing, each further one doubles a pause, and
// long series are refused for a while. It knows no accounts, so that nobody can
// lock out another's. All nodes of a cluster count together (share.go). It is
// safe for concurrent use.
type Throttle struct {
	now   func() time.Time
	share *sharing // nil for none

	delayed, refused atomic.Uint64

	mu     sync.Mutex
	places map[netip.Addr]*record
}

// ThrottleStats are counts since the start, but for Places.
type ThrottleStats struct {
	Places           int    // that are remembered now
	Delayed, Refused uint64 // attempts that had to pause, that were not let in
}

// Stats returns the counters.
func (t *Throttle) Stats() ThrottleStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return ThrottleStats{Places: len(t.places), Delayed: t.delayed.Load(), Refused: t.refused.Load()}
}

// record is what is known of a place. Throttle.mu guards it, but for attempts.
type record struct {
	failures int
	last     time.Time
	// attempts are those under way: guesses made at the same time are not to
	// pass before the first of them has failed.
	attempts *semaphore.Weighted
	users    int // of this record; one that has some stays
}

const (
	freeFailures = 5
	maxPause     = 8 * time.Second
	refuseAfter  = 30
	forget       = 15 * time.Minute
	maxRecords   = 50000
	// maxAttempts is how many attempts from one place are under way at a
	// time, over all nodes: each node takes its part of them.
	maxAttempts = 9
	// maxWait bounds the time in the queue for that and the pause.
	maxWait = 15 * time.Second
)

// NewThrottle returns an empty Throttle that counts alone. now is the clock;
// nil for time.Now.
func NewThrottle(now func() time.Time) *Throttle {
	if now == nil {
		now = time.Now
	}
	return &Throttle{now: now, places: map[netip.Addr]*record{}}
}

// NewSharedThrottle returns an empty Throttle that counts together with those
// of other nodes, which others returns.
func NewSharedThrottle(peers cluster.Peers, others func() []cluster.NodeID) *Throttle {
	t := NewThrottle(nil)
	t.share = &sharing{peers: peers, others: others}
	peers.Handle(cluster.MethodThrottle, t.serve)
	return t
}

// Begin returns when an attempt from remote may be made, ErrThrottled, or the
// error of ctx. end has to be called once, with how the attempt went; it
// returns when the other nodes know.
func (t *Throttle) Begin(ctx context.Context, remote net.Addr) (end func(Outcome), err error) {
	place, ok := Origin(remote)
	if !ok {
		return func(Outcome) {}, nil
	}
	t.mu.Lock()
	r := t.record(place)
	r.users++
	t.mu.Unlock()
	part := t.part()
	if err := t.admit(ctx, r, part); err != nil {
		if errors.Is(err, ErrThrottled) {
			t.refused.Add(1)
		}
		t.leave(place, r)
		return nil, err
	}
	return func(how Outcome) {
		t.tell(place, how)
		r.attempts.Release(part)
		t.leave(place, r)
	}, nil
}

// part is what one attempt on this node takes of maxAttempts: more where more
// nodes do the same.
func (t *Throttle) part() int64 {
	if t.share == nil {
		return 1
	}
	return min(int64(len(t.share.others()))+1, maxAttempts)
}

// admit waits for room among the attempts, and for the pause.
func (t *Throttle) admit(ctx context.Context, r *record, part int64) error {
	if t.refuses(r) {
		return ErrThrottled
	}
	wctx, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	err := r.attempts.Acquire(wctx, part)
	if err == nil {
		d := t.pause(r)
		if d > 0 {
			t.delayed.Add(1)
		}
		err = sleep(wctx, d)
		if err == nil && t.refuses(r) {
			err = ErrThrottled // others failed meanwhile
		}
		if err != nil {
			r.attempts.Release(part)
		}
	}
	if err != nil && ctx.Err() == nil {
		err = ErrThrottled
	}
	return err
}

// failed returns the failures that count.
func (t *Throttle) failed(r *record) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now().Sub(r.last) > forget {
		r.failures = 0
	}
	return r.failures
}

func (t *Throttle) refuses(r *record) bool { return t.failed(r) >= refuseAfter }

func (t *Throttle) pause(r *record) time.Duration {
	if n := t.failed(r); n > freeFailures {
		return min(100*time.Millisecond<<(n-freeFailures), maxPause)
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tell notes an outcome, here and on the other nodes.
func (t *Throttle) tell(place netip.Addr, how Outcome) {
	if how == Undecided || !t.note(place, how) || t.share == nil {
		return
	}
	told := t.share.send(event{place, how})
	if how == Wrong {
		// The next guess may go to any node.
		<-told
	}
}

// note counts a failure, or forgets all after a success; it reports whether
// that changed anything.
func (t *Throttle) note(place netip.Addr, how Outcome) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if how == Right {
		r := t.places[place]
		if r == nil || r.failures == 0 {
			return false
		}
		if r.failures = 0; r.users == 0 {
			delete(t.places, place)
		}
		return true
	}
	now := t.now()
	r := t.record(place)
	if now.Sub(r.last) > forget {
		r.failures = 0
	}
	// More than what is refused would mean nothing.
	r.failures = min(r.failures+1, refuseAfter)
	r.last = now
	return true
}

// leave ends what Begin began with a record.
func (t *Throttle) leave(place netip.Addr, r *record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.users--; r.users == 0 && r.failures == 0 && t.places[place] == r {
		delete(t.places, place)
	}
}

// record returns the record of a place, and makes it if there is none.
// Throttle.mu is held.
func (t *Throttle) record(place netip.Addr) *record {
	r := t.places[place]
	if r == nil {
		if len(t.places) >= maxRecords {
			t.evict()
		}
		r = &record{attempts: semaphore.NewWeighted(maxAttempts)}
		t.places[place] = r
	}
	return r
}

// evict makes room for a record: of a few, the one with the fewest failures
// goes, so that one that guesses on is remembered.
func (t *Throttle) evict() {
	const few = 16
	var least netip.Addr
	seen, found := 0, false
	for place, r := range t.places { // in no order
		if r.users == 0 && (!found || r.failures < t.places[least].failures || r.failures == t.places[least].failures && r.last.Before(t.places[least].last)) {
			least, found = place, true
		}
		if seen++; seen >= few && found {
			break
		}
	}
	// Where all are in use there is a connection for each, and those are
	// limited.
	if found {
		delete(t.places, least)
	}
}

// Origin returns what counts as one place: an address of IPv4, a /64 of IPv6.
// It reports false for what has no address.
func Origin(a net.Addr) (netip.Addr, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Addr{}, false
	}
	ip := tcp.AddrPort().Addr().Unmap()
	if ip.Is6() {
		p, err := ip.Prefix(64)
		if err != nil {
			return netip.Addr{}, false
		}
		return p.Addr(), true
	}
	return ip, ip.IsValid()
}
