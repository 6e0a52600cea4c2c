package load

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// Phase is what a steady delivery met in one part of a longer story. Latency
// counts from when a delivery was due; it belongs to the phase it was due in.
type Phase struct {
	Name    string           `json:"name"`
	Seconds float64          `json:"seconds"`
	Latency Latency          `json:"latency"`
	Errors  map[string]int64 `json:"errors,omitempty"`
}

// steady delivers at a fixed rate until it is stopped and keeps each phase's
// latencies apart. Phases follow each other without a gap.
type steady struct {
	t     *Target
	feed  *feed
	rate  float64
	start time.Time
	next  atomic.Int64

	mu     sync.Mutex
	phases []*steadyPhase

	halt   chan struct{} // closed when nothing more becomes due
	ended  time.Time     // when that was; read after halt
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

type steadyPhase struct {
	name string
	from time.Time
	sums *tally
}

// startSteady begins with a first phase. Each of connections delivers to an
// account of its own at one of the addresses; all are open when it returns.
func startSteady(ctx context.Context, t *Target, f *feed, addrs []string, connections int, rate float64, phase string) (*steady, error) {
	ctx, cancel := context.WithCancel(ctx)
	s := &steady{t: t, feed: f, rate: rate, halt: make(chan struct{}), cancel: cancel}
	workers := make([]*writer, connections)
	for i := range workers {
		workers[i] = &writer{t: t, feed: f, next: &s.next, addr: turn(addrs, i), to: t.Accounts[i%len(t.Accounts)].Address}
		if err := workers[i].open(ctx); err != nil {
			cancel()
			for _, w := range workers[:i] {
				w.close()
			}
			return nil, err
		}
	}
	s.start = time.Now()
	s.phases = []*steadyPhase{{phase, s.start, newTally()}}
	for _, w := range workers {
		s.wg.Go(func() { s.serve(ctx, w) })
	}
	return s, nil
}

func (s *steady) serve(ctx context.Context, w *writer) {
	defer w.close()
	for {
		i := s.next.Add(1) - 1
		due := s.start.Add(time.Duration(float64(i) / s.rate * float64(time.Second)))
		if !s.wait(ctx, due) {
			return
		}
		err := w.send(ctx, i)
		s.count(due, time.Since(due), err)
		if ctx.Err() != nil || err != nil && !sleep(ctx, 5*time.Millisecond) {
			return
		}
	}
}

// wait waits until an operation is due and tells whether it is to be done:
// also one that became due before the end and was late, for leaving it out
// would flatter a server that stood still.
func (s *steady) wait(ctx context.Context, due time.Time) bool {
	t := time.NewTimer(time.Until(due))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
	case <-s.halt:
		return !due.After(s.ended)
	}
	// Late, both are ready and either is taken.
	select {
	case <-s.halt:
		return !due.After(s.ended)
	default:
		return true
	}
}

func (s *steady) count(due time.Time, took time.Duration, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.phases[0]
	for _, q := range s.phases[1:] {
		if !due.Before(q.from) {
			p = q
		}
	}
	if err != nil {
		p.sums.fail(kind(err))
		return
	}
	record(p.sums.latency, took)
}

// phase begins the next one.
func (s *steady) phase(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.phases = append(s.phases, &steadyPhase{name, time.Now(), newTally()})
}

// stop ends the deliveries, waits for those that are due, and tells what each
// phase met.
func (s *steady) stop() []Phase {
	s.ended = time.Now()
	ended := s.ended
	close(s.halt)
	late := time.AfterFunc(drain, s.cancel)
	s.wg.Wait()
	late.Stop()
	s.cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Phase
	for i, p := range s.phases {
		end := ended
		if i+1 < len(s.phases) {
			end = s.phases[i+1].from
		}
		q := Phase{Name: p.name, Seconds: end.Sub(p.from).Seconds(), Latency: latencyOf(p.sums.latency)}
		if len(p.sums.errors) > 0 {
			q.Errors = maps.Clone(p.sums.errors)
		}
		out = append(out, q)
	}
	return out
}

// phaseNamed returns the phase of a name, the zero one when there is none.
func phaseNamed(ps []Phase, name string) Phase {
	for _, p := range ps {
		if p.Name == name {
			return p
		}
	}
	return Phase{}
}

func (p Phase) String() string {
	return fmt.Sprintf("%s: p50 %.2f p99 %.2f max %.2f ms", p.Name, p.Latency.P50, p.Latency.P99, p.Latency.Max)
}
