package auth

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := NewThrottle(nil)
		a := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1}
		a2 := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 99}
		b := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 1}
		wait := func(x net.Addr) time.Duration {
			begin := time.Now()
			if err := th.Wait(t.Context(), x); err != nil {
				t.Fatal(err)
			}
			return time.Since(begin)
		}
		for range freeFailures {
			th.Result(a, false)
			if d := wait(a2); d != 0 {
				t.Fatalf("waited %s after few failures", d)
			}
		}
		var last time.Duration
		for range 10 {
			th.Result(a2, false)
			d := wait(a)
			if d < last || d > maxPause {
				t.Fatalf("waited %s after %s", d, last)
			}
			last = d
		}
		if last != maxPause {
			t.Errorf("pause ends at %s, not %s", last, maxPause)
		}
		if d := wait(b); d != 0 {
			t.Errorf("another address waits %s", d)
		}
		for range refuseAfter {
			th.Result(a, false)
		}
		if err := th.Wait(t.Context(), a); !errors.Is(err, ErrThrottled) {
			t.Errorf("after %d failures: %v", refuseAfter, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range freeFailures + 2 {
			th.Result(b, false)
		}
		if err := th.Wait(ctx, b); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		time.Sleep(forget + time.Second)
		if d := wait(a); d != 0 {
			t.Errorf("waits %s after %s", d, forget)
		}
		th.Result(a, false)
		th.Result(a, true)
		if len(th.bad) != 1 {
			t.Errorf("%d records left, want b's alone", len(th.bad))
		}
	})
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
