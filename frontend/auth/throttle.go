package auth

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ErrThrottled: too many failed logins from there; try again later.
var ErrThrottled = errors.New("auth: too many failed logins")

// Throttle slows down guessing from one address (one /64 of IPv6): the first
// few failures cost nothing, each further one doubles a pause, and long series
// are refused for a while. It knows no accounts, so that nobody can lock out
// another's. It is safe for concurrent use.
type Throttle struct {
	now func() time.Time

	mu  sync.Mutex
	bad map[netip.Addr]*record
}

type record struct {
	failures int
	last     time.Time
}

const (
	freeFailures = 5
	maxPause     = 8 * time.Second
	refuseAfter  = 30
	forget       = 15 * time.Minute
	maxRecords   = 50000
)

// NewThrottle returns an empty Throttle. now is the clock; nil for time.Now.
func NewThrottle(now func() time.Time) *Throttle {
	if now == nil {
		now = time.Now
	}
	return &Throttle{now: now, bad: map[netip.Addr]*record{}}
}

// Wait returns when an attempt from remote may be made, or ErrThrottled.
func (t *Throttle) Wait(ctx context.Context, remote net.Addr) error {
	key, ok := Origin(remote)
	if !ok {
		return nil
	}
	t.mu.Lock()
	r := t.bad[key]
	var pause time.Duration
	if r != nil {
		switch {
		case t.now().Sub(r.last) > forget:
			delete(t.bad, key)
		case r.failures >= refuseAfter:
			t.mu.Unlock()
			return ErrThrottled
		case r.failures > freeFailures:
			pause = min(100*time.Millisecond<<(r.failures-freeFailures), maxPause)
		}
	}
	t.mu.Unlock()
	if pause == 0 {
		return nil
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Result records how an attempt ended.
func (t *Throttle) Result(remote net.Addr, ok bool) {
	key, known := Origin(remote)
	if !known {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if ok {
		delete(t.bad, key)
		return
	}
	now := t.now()
	r := t.bad[key]
	if r == nil {
		if len(t.bad) >= maxRecords {
			t.sweep(now)
		}
		if len(t.bad) >= maxRecords {
			return // under such an attack the pauses of those known must do
		}
		r = &record{}
		t.bad[key] = r
	}
	if now.Sub(r.last) > forget {
		r.failures = 0
	}
	r.failures++
	r.last = now
}

func (t *Throttle) sweep(now time.Time) {
	for k, r := range t.bad {
		if now.Sub(r.last) > forget {
			delete(t.bad, k)
		}
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
