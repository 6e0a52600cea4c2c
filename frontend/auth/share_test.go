package auth

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"altmail.se/altmail/cluster"
)

// fabric joins throttles as nodes of one cluster.
type fabric struct {
	mu       sync.Mutex
	handlers map[cluster.NodeID]cluster.Handler
	down     map[cluster.NodeID]bool // nothing comes through, and nothing comes back
	calls    int
}

func node(i int) (id cluster.NodeID) { id[0] = byte(i + 1); return id }

// port is one node's end of a fabric.
type port struct {
	f    *fabric
	self cluster.NodeID
}

func (p *port) Self() cluster.NodeID { return p.self }

func (p *port) Handle(m cluster.Method, h cluster.Handler) {
	if m == cluster.MethodThrottle {
		p.f.handlers[p.self] = h
	}
}

func (p *port) Call(ctx context.Context, to cluster.NodeID, _ cluster.Method, req ...[]byte) ([]byte, error) {
	p.f.mu.Lock()
	h, off := p.f.handlers[to], p.f.down[to] || p.f.down[p.self]
	p.f.calls++
	p.f.mu.Unlock()
	if off {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	time.Sleep(2 * time.Millisecond) // there and back
	return h(ctx, p.self, bytes.Join(req, nil))
}

func newFabric(n int) (*fabric, []*Throttle) {
	f := &fabric{handlers: map[cluster.NodeID]cluster.Handler{}, down: map[cluster.NodeID]bool{}}
	ths := make([]*Throttle, n)
	for i := range ths {
		var others []cluster.NodeID
		for j := range n {
			if j != i {
				others = append(others, node(j))
			}
		}
		ths[i] = NewSharedThrottle(&port{f, node(i)}, func() []cluster.NodeID { return others })
	}
	return f, ths
}

// An attacker who spreads guesses over three nodes gets no more of them than at
// one, whether one by one or all at once.
func TestThreeNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from := addr("192.0.2.1")
		_, ths := newFabric(3)
		made := 0
		begin := time.Now()
		for ; ; made++ {
			end, err := ths[made%3].Begin(t.Context(), from)
			if errors.Is(err, ErrThrottled) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			end(Wrong)
		}
		if made != refuseAfter {
			t.Errorf("%d guesses one by one, want %d", made, refuseAfter)
		}
		if d := time.Since(begin); d < 2*time.Minute {
			t.Errorf("they took %s: no pauses", d)
		}
		for i, th := range ths {
			if _, err := th.Begin(t.Context(), from); !errors.Is(err, ErrThrottled) {
				t.Errorf("node %d lets it in: %v", i, err)
			}
			if d := try(t, th, addr("192.0.2.2"), Undecided); d != 0 {
				t.Errorf("another place waits %s", d)
			}
		}

		_, ths = newFabric(3)
		made, _ = guess(t, 3000, func(i int) *Throttle { return ths[i%3] }, from)
		if made > refuseAfter+maxAttempts {
			t.Errorf("%d guesses at once", made)
		}

		// A success forgets on all nodes.
		_, ths = newFabric(3)
		for range 10 {
			try(t, ths[0], from, Wrong)
		}
		try(t, ths[1], from, Right)
		synctest.Wait()
		time.Sleep(10 * time.Millisecond)
		for _, th := range ths {
			if d := try(t, th, from, Undecided); d != 0 || len(th.places) != 0 {
				t.Errorf("waits %s, %d records", d, len(th.places))
			}
		}
	})
}

// A success from a place without failures is told to nobody, and a node that
// does not answer holds up a failed login for a moment and no more.
func TestShareCosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, ths := newFabric(3)
		for range 100 {
			try(t, ths[0], addr("192.0.2.1"), Right)
		}
		if f.calls != 0 {
			t.Errorf("%d calls", f.calls)
		}
		f.down[node(2)] = true
		begin := time.Now()
		try(t, ths[0], addr("192.0.2.1"), Wrong)
		if d := time.Since(begin); d != shareWait {
			t.Errorf("a failure took %s", d)
		}
		if ths[1].failed(ths[1].places[netip.MustParseAddr("192.0.2.1")]) != 1 {
			t.Error("the other node was not told")
		}
		// Many at once share messages.
		f.calls = 0
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() { try(t, ths[0], addr(netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}).String()), Wrong) })
		}
		begin = time.Now()
		wg.Wait()
		if d := time.Since(begin); d > 2*shareWait || f.calls > 6 {
			t.Errorf("%d calls, %s", f.calls, d)
		}
		// What waits is bounded; beyond it nodes count alone.
		s := ths[0].share
		s.mu.Lock()
		s.sending = true
		s.mu.Unlock()
		for range maxPending {
			s.send(event{netip.MustParseAddr("192.0.2.1"), Wrong})
		}
		select {
		case <-s.send(event{netip.MustParseAddr("192.0.2.1"), Wrong}):
		default:
			t.Error("waits without a bound")
		}
		if len(s.pending) != maxPending {
			t.Errorf("%d events wait", len(s.pending))
		}
	})
}

func TestEvents(t *testing.T) {
	events := []event{{netip.MustParseAddr("192.0.2.1"), Wrong}, {netip.MustParseAddr("2001:db8:1:2::"), Right}}
	b := appendEvents(nil, events)
	golden, err := os.ReadFile("testdata/events-v1.hex")
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(strings.Fields(string(golden)), ""); hex.EncodeToString(b) != want {
		t.Errorf("%x, want %s", b, want)
	}
	got, err := parseEvents(b)
	if err != nil || len(got) != 2 || got[0] != events[0] || got[1] != events[1] {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := parseEvents([]byte{shareVersion}); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	one := func(how byte, place string) []byte {
		a := netip.MustParseAddr(place).As16()
		return append([]byte{shareVersion, how}, a[:]...)
	}
	for _, bad := range [][]byte{
		nil, {}, {2}, b[1:], b[:len(b)-1], append(b[:len(b):len(b)], 1), one(0, "2001:db8::"), one(3, "2001:db8::"), one(1, "2001:db8::1"),
		append([]byte{shareVersion}, make([]byte, (maxEvents+1)*eventSize)...),
	} {
		if got, err := parseEvents(bad); !errors.Is(err, errEvents) {
			t.Errorf("%.40x: %v, %v", bad, got, err)
		}
	}
}

func FuzzEvents(f *testing.F) {
	f.Add(appendEvents(nil, []event{{netip.MustParseAddr("192.0.2.1"), Wrong}, {netip.MustParseAddr("2001:db8:1:2::"), Right}}))
	f.Add([]byte{shareVersion})
	f.Add([]byte{shareVersion, 1, 2})
	f.Fuzz(func(t *testing.T, in []byte) {
		events, err := parseEvents(in)
		if err != nil {
			return
		}
		if again := appendEvents(nil, events); !bytes.Equal(again, in) {
			t.Fatalf("%x is %x", in, again)
		}
	})
}
