package load

import (
	"context"
	"errors"
	"maps"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	maxErrorKinds = 32
	unlimited     = 1 << 62
)

// worker does the operations of one connection, one after the other.
type worker interface {
	// open connects; it is called again after an error that is no refusal.
	open(ctx context.Context) error
	// do does operation i of the work.
	do(ctx context.Context, i int64) (done, error)
	// close ends the connection, if there is one.
	close()
}

// done is what an operation achieved.
type done struct {
	bytes  int64
	answer time.Duration // since the message's last octet; 0: none
	took   time.Duration // when the worker knows better than the clock; 0: it does not
}

// tally gathers what workers did. It is safe for concurrent use.
type tally struct {
	mu        sync.Mutex
	begin     time.Time // operations that began before it do not count
	end       time.Time // nor those that were answered after it, as done; zero: none
	counted   bool      // only a certain number of operations counts
	latency   *hdrhistogram.Histogram
	answer    *hdrhistogram.Histogram
	ops       int64
	bytes     int64
	allBytes  int64 // warm-up included
	last      time.Time
	errors    map[string]int64
	allErrors int64
}

func newTally() *tally {
	return &tally{latency: newHistogram(), answer: newHistogram(), errors: map[string]int64{}}
}

// add counts an operation due at one time and answered at another. One that was
// begun without a limit belongs to no count.
func (t *tally) add(due, at time.Time, warming bool, d done, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.allBytes += d.bytes
	}
	if t.begin.IsZero() || t.counted && warming {
		return
	}
	if err != nil {
		if !due.Before(t.begin) {
			t.fail(kind(err))
		}
		return
	}
	// The rate is of answers within the window, the latency of everything that
	// began in it: neither a slow end nor a slow beginning is lost.
	if !at.Before(t.begin) && (t.end.IsZero() || !at.After(t.end)) {
		t.ops++
		t.bytes += d.bytes
		t.last = at
	}
	if due.Before(t.begin) {
		return
	}
	took := at.Sub(due)
	if d.took > 0 {
		took = d.took
	}
	record(t.latency, took)
	if d.answer > 0 {
		record(t.answer, d.answer)
	}
}

func (t *tally) fail(k string) {
	if _, ok := t.errors[k]; !ok && len(t.errors) >= maxErrorKinds {
		k = "other kinds"
	}
	t.errors[k]++
	t.allErrors++
}

func (t *tally) progress() (ops, failed int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ops, t.allErrors
}

// schedule says when operations begin and which.
type schedule struct {
	next  atomic.Int64 // operation
	start time.Time    // of the first
	rate  float64      // 0: whenever a worker is free
	count atomic.Int64 // operations that may still be begun; unlimited during warm-up
}

// due is when operation i is to begin.
func (s *schedule) due(i int64) time.Time {
	return s.start.Add(time.Duration(float64(i) / s.rate * float64(time.Second)))
}

// check refuses options that mean nothing.
func (o *Options) check() error {
	if o.Connections == 0 {
		o.Connections = 1
	}
	switch {
	case o.Connections < 0 || o.Connections > 20_000:
		return badTarget("%d connections", o.Connections)
	case o.Count < 0 || o.Duration < 0 || o.Warmup < 0 || o.Rate < 0:
		return badTarget("a negative count, duration or rate")
	case o.Count == 0 && o.Duration == 0:
		return badTarget("neither a count nor a duration")
	}
	return nil
}

// drain is how long after its end a run still waits for what was due in it.
const drain = 15 * time.Second

// measure runs workers, one a connection.
func measure(ctx context.Context, work string, t *Target, o Options, workers []worker) (*Result, error) {
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	if err := openAll(runCtx, workers); err != nil {
		return nil, err
	}
	sums := newTally()
	disk, err := diskBefore(t)
	if err != nil {
		return nil, err // the context's end closes the connections
	}
	s := &schedule{start: time.Now(), rate: o.Rate}
	s.count.Store(unlimited)
	began := s.start.Add(o.Warmup)
	var cpu *cpuMark
	begin := func() {
		cpu = markCPU(t)
		now := time.Now()
		if o.Rate > 0 || o.Warmup == 0 {
			now = began // operations are due by the clock, not by us
		}
		sums.mu.Lock()
		sums.begin = now
		if o.Duration > 0 {
			sums.end = now.Add(o.Duration)
		}
		sums.counted = o.Count > 0
		sums.mu.Unlock()
		if o.Count > 0 {
			s.count.Store(int64(o.Count))
		}
	}
	if o.Warmup == 0 {
		begin()
	}
	var end time.Time // of beginning operations; only read after warm-up
	if o.Duration > 0 {
		end = began.Add(o.Duration)
	}

	var wg sync.WaitGroup
	for _, w := range workers {
		wg.Go(func() { s.serve(runCtx, w, sums, end) })
	}
	stopped := make(chan struct{})
	go func() { wg.Wait(); close(stopped) }()
	var aux sync.WaitGroup
	defer aux.Wait()
	defer stop()
	if o.Progress != nil {
		aux.Go(func() { report(runCtx, work, o, sums, began) })
	}
	if o.Warmup > 0 {
		select {
		case <-time.After(time.Until(began)):
			begin()
		case <-ctx.Done():
		}
	}
	var cpuEnd *CPU
	if o.Duration > 0 && ctx.Err() == nil {
		select {
		case <-time.After(time.Until(end)):
		case <-stopped:
		case <-ctx.Done():
		}
		cpuEnd = cpu.since(t)
		select {
		case <-stopped:
		case <-time.After(drain):
			stop()
		case <-ctx.Done():
		}
	}
	<-stopped
	if cpuEnd == nil && cpu != nil {
		cpuEnd = cpu.since(t)
	}
	for _, w := range workers {
		w.close()
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r := sums.result(work, t, o)
	r.Start = sums.begin
	cpuEnd.per(r.Ops, r.Seconds)
	r.CPU = cpuEnd
	if r.Disk, err = disk.growth(t, sums.allBytes); err != nil {
		return nil, err
	}
	if r.Ops == 0 && len(r.Errors) == 0 {
		return nil, errors.New("load: nothing was done in the time")
	}
	return r, nil
}

// result closes the books.
func (t *tally) result(work string, target *Target, o Options) *Result {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := &Result{
		Work: work, Target: target.Name, Connections: o.Connections, OfferedRate: o.Rate,
		Ops: t.ops, Bytes: t.bytes, Latency: latencyOf(t.latency), Errors: maps.Clone(t.errors),
	}
	if len(r.Errors) == 0 {
		r.Errors = nil
	}
	if t.answer.TotalCount() > 0 {
		a := latencyOf(t.answer)
		r.Answer = &a
	}
	r.Seconds = o.Duration.Seconds()
	if o.Count > 0 && t.last.After(t.begin) {
		if s := t.last.Sub(t.begin).Seconds(); r.Seconds == 0 || s < r.Seconds {
			r.Seconds = s
		}
	}
	if r.Seconds > 0 {
		r.Rate = float64(r.Ops) / r.Seconds
		r.MBps = float64(r.Bytes) / r.Seconds / 1e6
	}
	return r
}

// openAll connects all workers, some at a time. If some can't, the work can't.
func openAll(ctx context.Context, workers []worker) error {
	slots := make(chan struct{}, 4*runtime.GOMAXPROCS(0))
	errs := make([]error, len(workers))
	var wg sync.WaitGroup
	for i, w := range workers {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = w.open(ctx)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			for _, w := range workers {
				w.close()
			}
			return err
		}
	}
	return nil
}

// serve does operations until they end.
func (s *schedule) serve(ctx context.Context, w worker, sums *tally, end time.Time) {
	open := true
	pause := time.Duration(0)
	for ctx.Err() == nil {
		// What a count leaves is taken before the operation's number, so that
		// numbers have no gaps.
		left := s.count.Add(-1)
		if left < 0 {
			return
		}
		warming := left >= unlimited/2
		i := s.next.Add(1) - 1
		due := time.Now()
		if s.rate > 0 {
			due = s.due(i)
		}
		if !end.IsZero() && !due.Before(end) {
			return
		}
		if wait := time.Until(due); wait > 0 {
			if !sleep(ctx, wait) {
				return
			}
		}
		if !open {
			if pause > 0 && !sleep(ctx, pause) {
				return
			}
			if err := w.open(ctx); err != nil {
				// The operation was not done, and a server that is down is not
				// asked a thousand times a second.
				pause = min(max(2*pause, 5*time.Millisecond), 250*time.Millisecond)
				sums.add(due, time.Now(), warming, done{}, err)
				continue
			}
			open, pause = true, 0
		}
		d, err := w.do(ctx, i)
		if ctx.Err() != nil && err != nil {
			err = context.DeadlineExceeded // the run's end, not the server's fault alone
		}
		sums.add(due, time.Now(), warming, d, err)
		if err != nil && !isRefusal(err) {
			w.close()
			open = false
		}
	}
	if s.rate > 0 && !end.IsZero() {
		s.abandon(sums, end)
	}
}

// abandon counts what was due and was never begun: leaving it out would flatter
// a server that stood still.
func (s *schedule) abandon(sums *tally, end time.Time) {
	for {
		i := s.next.Add(1) - 1
		due := s.due(i)
		if !due.Before(end) {
			return
		}
		sums.mu.Lock()
		if !sums.begin.IsZero() && !due.Before(sums.begin) {
			sums.fail("not begun in time")
			record(sums.latency, time.Since(due))
		}
		sums.mu.Unlock()
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// report calls o.Progress until the run ends.
func report(ctx context.Context, work string, o Options, sums *tally, began time.Time) {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			ops, failed := sums.progress()
			o.Progress(Progress{
				Work: work, Warming: now.Before(began), Done: ops, Total: int64(o.Count),
				Errors: failed, Seconds: now.Sub(began).Seconds(),
			})
		}
	}
}

// selfCPU is the processor time this process has used.
func selfCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
