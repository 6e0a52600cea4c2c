package load

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// absent is a cluster of fakes whose last node comes back a piece at every
// look.
type absent struct {
	fakes   []*fakes
	silent  int    // looks that are not answered after a start
	pieces  int64  // looks until everything is there; negative: never
	problem error  // what Verify finds
	delay   func() // done by the others' answers while the node fills
	mu      sync.Mutex
	away    bool
	filling bool
	looks   int64
	had     int64
	story   []string
}

func (a *absent) bodies() int64 {
	var n int64
	for _, f := range a.fakes {
		n += int64(f.count())
	}
	return n
}

func (a *absent) say(s string) { a.story = append(a.story, s) }

func (a *absent) Stop(_ context.Context, node int) error {
	n := a.bodies()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.say("stop")
	a.away, a.had = true, n
	return nil
}

func (a *absent) Start(context.Context, int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.say("start")
	a.away, a.filling, a.looks = false, true, 0
	return nil
}

func (a *absent) Holding(_ context.Context, node int) (Holding, error) {
	all := a.bodies()
	a.mu.Lock()
	defer a.mu.Unlock()
	h := Holding{Bodies: all, Bytes: 1000 * all, Whole: true, Commit: map[uint32]uint64{0: 5, 1: uint64(all)}}
	h.Applied = h.Commit
	if node != 2 || !a.filling {
		return h, nil
	}
	if a.looks++; a.looks <= int64(a.silent) {
		return Holding{}, errors.New("connection refused")
	}
	done := a.looks - int64(a.silent) - 1
	if a.pieces < 0 || done < a.pieces {
		h.Bodies = a.had
		if a.pieces > 0 {
			h.Bodies += (all - a.had) * done / a.pieces
		}
		// It says that it lacks nothing although it has not heard of all:
		// that alone is not enough.
		h.Bytes, h.Applied = 1000*h.Bodies, map[uint32]uint64{0: 5, 1: uint64(h.Bodies)}
		return h, nil
	}
	a.filling = false
	return h, nil
}

func (a *absent) Verify(context.Context, int) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.say("verify")
	return a.problem
}

func (a *absent) answer() error {
	a.mu.Lock()
	slow := a.filling && a.delay != nil
	a.mu.Unlock()
	if slow {
		a.delay()
	}
	return nil
}

func absentTarget(t *testing.T, a *absent) *Target {
	target := &Target{Name: "three", Accounts: accounts(2), Delivery: Delivery{Proto: LMTP}}
	for range 3 {
		f, _ := newFakes()
		f.answer = a.answer
		a.fakes = append(a.fakes, f)
		target.Delivery.Addrs = append(target.Delivery.Addrs, f.listen(t, true, nil, false))
	}
	return target
}

// TestBackfill: a node is whole when it has what was there when it was started,
// not when it says so, and what writes meet meanwhile is kept apart.
func TestBackfill(t *testing.T) {
	a := &absent{silent: 2, pieces: 5, delay: func() { time.Sleep(15 * time.Millisecond) }}
	target := absentTarget(t, a)
	r, err := Backfill(t.Context(), target, BackfillOptions{
		Nodes: a, Node: 2, Messages: 60, Source: text, SteadySource: text, Connections: 4, Rate: 200, Quiet: 200 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(a.story, " "); got != "stop start verify" {
		t.Errorf("%s", got)
	}
	b := r.Backfill
	if b.Messages != 60 || b.Bodies < 60 || b.Stored != 1000*b.Bodies || b.Raw < 60*2000 || r.Failed() != 0 {
		t.Errorf("%+v, failed %v", b, r.Errors)
	}
	// Two looks unanswered and five pieces, 20 ms apart.
	if b.Answers < 0.04 || b.Whole < 0.1 || b.Moving >= b.Whole || b.Moving <= 0 || b.StoredMBps <= 0 || b.MovingMBps <= b.StoredMBps {
		t.Errorf("answers %g, whole %g, moving %g, %g and %g MB/s", b.Answers, b.Whole, b.Moving, b.StoredMBps, b.MovingMBps)
	}
	if n := len(b.Course); n < 4 || n > 6 || b.Course[0].Behind == 0 || !b.Course[0].Whole || b.Course[n-1].Behind != 0 {
		t.Errorf("%+v", b.Course)
	}
	var names []string
	for _, p := range b.Steady {
		names = append(names, p.Name)
		if p.Latency.Count == 0 || p.Seconds <= 0 {
			t.Errorf("%+v", p)
		}
	}
	if got := strings.Join(names, " "); got != "before fill away backfill after" {
		t.Error(got)
	}
	before, during := phaseNamed(b.Steady, "before").Latency, phaseNamed(b.Steady, "backfill").Latency
	if during.Max < 15 || b.Max != during.Max/before.Max || b.P99 != during.P99/before.P99 {
		t.Errorf("before %+v, during %+v, factors %g %g %g", before, during, b.P50, b.P99, b.Max)
	}
	if n := a.fakes[2].count(); n != 0 {
		t.Errorf("%d messages went to the node that was away", n)
	}
	var out strings.Builder
	if err := WriteTable(&out, r); err != nil || !strings.Contains(out.String(), "away for 60 messages") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestBackfillFails(t *testing.T) {
	o := BackfillOptions{Node: 2, Messages: 5, Source: text, SteadySource: text, Rate: 100, Quiet: 10 * time.Millisecond, Timeout: 100 * time.Millisecond}
	a := &absent{pieces: -1}
	target := absentTarget(t, a)
	o.Nodes = a
	if _, err := Backfill(t.Context(), target, o); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "not whole") {
		t.Errorf("never whole: %v", err)
	}
	a.pieces, a.filling, a.problem = 1, false, errors.New("a body is missing")
	if r, err := Backfill(t.Context(), target, o); !errors.Is(err, a.problem) || r == nil {
		t.Errorf("not whole in truth: %v, %v", r, err)
	}
	for name, bad := range map[string]func(*BackfillOptions, *Target){
		"no nodes":   func(o *BackfillOptions, _ *Target) { o.Nodes = nil },
		"which node": func(o *BackfillOptions, _ *Target) { o.Node = 3 },
		"two nodes":  func(_ *BackfillOptions, t *Target) { t.Delivery.Addrs = t.Delivery.Addrs[:2] },
		"rate":       func(o *BackfillOptions, _ *Target) { o.Rate = -1 },
	} {
		o, two := o, *target
		bad(&o, &two)
		if _, err := Backfill(t.Context(), &two, o); !errors.Is(err, ErrTarget) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSteadyOmission: what became due while the server stood still counts with
// the time it had waited, in the phase it was due in.
func TestSteadyOmission(t *testing.T) {
	const stall = 100 * time.Millisecond
	f, _ := newFakes()
	stop := make(chan struct{})
	f.answer = func() error {
		select {
		case <-stop:
			time.Sleep(stall)
		default:
		}
		return nil
	}
	target := &Target{Accounts: accounts(1)}
	target.Delivery.Addrs = []string{f.listen(t, false, nil, false)}
	fd, err := newFeed(text, 4, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := startSteady(t.Context(), target, fd, target.Delivery.Addrs, 1, 100, "quick")
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	s.phase("slow")
	close(stop)
	time.Sleep(100 * time.Millisecond)
	ps := s.stop()
	if len(ps) != 2 {
		t.Fatalf("%+v", ps)
	}
	// What was due is in its phase, however long the phases were.
	for _, p := range ps {
		if want := 100 * p.Seconds; float64(p.Latency.Count) < want-2 || float64(p.Latency.Count) > want+2 {
			t.Errorf("%s: %d in %g s", p.Name, p.Latency.Count, p.Seconds)
		}
	}
	// One after the other: the last one due waited for all of them.
	slow := ps[1]
	if all := float64(slow.Latency.Count-1)*ms(stall) - 1000*slow.Seconds; slow.Latency.Max < all {
		t.Errorf("%g ms at most, want %g: %+v", slow.Latency.Max, all, slow.Latency)
	}
}
