package auth

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func addr(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }

// try makes one attempt and returns how long it waited.
func try(t *testing.T, th *Throttle, from net.Addr, how Outcome) time.Duration {
	t.Helper()
	begin := time.Now()
	end, err := th.Begin(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	d := time.Since(begin)
	end(how)
	return d
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle(nil)
		a, a2 := addr("192.0.2.1"), &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 99}
		b := addr("192.0.2.2")
		for range freeFailures + 1 {
			if d := try(t, th, a2, Wrong); d != 0 {
				t.Fatalf("waited %s after few failures", d)
			}
		}
		var last time.Duration
		for range 10 {
			d := try(t, th, a, Wrong)
			if d < last || d == 0 || d > maxPause {
				t.Fatalf("waited %s after %s", d, last)
			}
			last = d
		}
		if last != maxPause {
			t.Errorf("pause ends at %s, not %s", last, maxPause)
		}
		// What decides nothing changes nothing.
		if d := try(t, th, a, Undecided); d != maxPause {
			t.Errorf("waited %s", d)
		}
		if d := try(t, th, b, Undecided); d != 0 {
			t.Errorf("another address waits %s", d)
		}
		for range refuseAfter - freeFailures - 11 {
			try(t, th, a, Wrong)
		}
		if _, err := th.Begin(t.Context(), a); !errors.Is(err, ErrThrottled) {
			t.Errorf("after %d failures: %v", refuseAfter, err)
		}
		if st, want := th.Stats(), (ThrottleStats{Places: 1, Delayed: refuseAfter - freeFailures, Refused: 1}); st != want {
			t.Errorf("%+v, want %+v", st, want)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range freeFailures + 2 {
			try(t, th, b, Wrong)
		}
		if _, err := th.Begin(ctx, b); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		time.Sleep(forget + time.Second)
		if d := try(t, th, a, Wrong); d != 0 {
			t.Errorf("waits %s after %s", d, forget)
		}
		try(t, th, a, Right)
		if len(th.places) != 1 {
			t.Errorf("%d records left, want b's alone", len(th.places))
		}
		if end, err := th.Begin(t.Context(), &net.UnixAddr{Name: "x"}); err != nil {
			t.Error(err)
		} else {
			end(Wrong)
		}
	})
}

// Guesses made at the same time are not more than those made one by one.
func TestThrottleAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle(nil)
		made, refused := guess(t, 1000, func(int) *Throttle { return th }, addr("192.0.2.1"))
		if made > refuseAfter+maxAttempts || made < freeFailures || made+refused != 1000 {
			t.Errorf("%d guesses, %d refused", made, refused)
		}
		if n := th.places[netip.MustParseAddr("192.0.2.1")].users; n != 0 {
			t.Errorf("%d users of a record are left", n)
		}
		// Those that succeed wait for nothing but each other.
		begin := time.Now()
		for range 1000 {
			try(t, th, addr("192.0.2.2"), Right)
		}
		if d := time.Since(begin); d != 0 {
			t.Errorf("right ones took %s", d)
		}
	})
}

// guess makes n wrong attempts at the same time, each of which takes a tenth of
// a second, and counts those that were let in.
func guess(t *testing.T, n int, at func(int) *Throttle, from net.Addr) (made, refused int) {
	t.Helper()
	results := make(chan error, n)
	for i := range n {
		go func() {
			end, err := at(i).Begin(t.Context(), from)
			if err == nil {
				time.Sleep(100 * time.Millisecond)
				end(Wrong)
			}
			results <- err
		}()
	}
	for range n {
		switch err := <-results; {
		case err == nil:
			made++
		case errors.Is(err, ErrThrottled):
			refused++
		default:
			t.Fatal(err)
		}
	}
	return made, refused
}

// What is known of places is bounded, and who guesses on is remembered.
func TestThrottleMemory(t *testing.T) {
	th := NewThrottle(nil)
	place := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	bad := netip.MustParseAddr("192.0.2.1")
	for range refuseAfter {
		th.note(bad, Wrong)
	}
	for i := range maxRecords * 2 {
		th.note(place(i), Wrong)
	}
	if len(th.places) != maxRecords {
		t.Errorf("%d records", len(th.places))
	}
	if r := th.places[bad]; r == nil || r.failures != refuseAfter {
		t.Error("the one that guesses is forgotten")
	}
}

func TestOrigin(t *testing.T) {
	one, _ := Origin(&net.TCPAddr{IP: net.ParseIP("2001:db8::1")})
	two, _ := Origin(&net.TCPAddr{IP: net.ParseIP("2001:db8::ffff:1")})
	other, _ := Origin(&net.TCPAddr{IP: net.ParseIP("2001:db8:0:1::1")})
	if one != two || one == other {
		t.Errorf("%v %v %v: one /64 is one place", one, two, other)
	}
	if _, ok := Origin(&net.UnixAddr{Name: "x"}); ok {
		t.Error("a unix socket has no place")
	}
}
