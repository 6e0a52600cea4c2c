package load

import (
	"context"
	"maps"
	"sync"
	"syscall"
	"time"
)

// IdleCrowd opens connections that idle, spread over all accounts and
// addresses, and measures their memory as IdleMemory does. Then, round after
// round, every account gets one message, at one address after another; the
// result's latency is the time from the answer to a message until each of the
// account's connections is told of it. One that is told before the answer
// counts as a microsecond.
func IdleCrowd(ctx context.Context, t *Target, o IdleCrowdOptions) (*Result, error) {
	if err := t.canDeliver(); err != nil {
		return nil, err
	}
	if o.Rounds == 0 {
		o.Rounds = 3
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Rounds < 0 || o.Timeout < 0 {
		return nil, badTarget("%d rounds of %s", o.Rounds, o.Timeout)
	}
	conns, r, err := o.open(ctx, t, "idle-crowd")
	if err != nil {
		return nil, err
	}
	defer endAll(conns)
	accounts := min(len(t.Accounts), len(conns))
	f, err := newFeed(o.Source, o.Rounds*accounts, 16<<20)
	if err != nil {
		return nil, err
	}
	crowd := &crowd{o: &o, feed: f, conns: conns, answered: make([]time.Time, accounts)}
	for _, addr := range t.Delivery.Addrs {
		c, err := t.openSMTP(ctx, addr)
		if err != nil {
			return nil, err
		}
		defer c.quit()
		crowd.smtp = append(crowd.smtp, c)
	}
	sums := newTally()
	cpu := markCPU(t)
	began := time.Now()
	for round := range o.Rounds {
		if err := crowd.round(ctx, t, round, sums); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(Progress{Work: r.Work, Done: sums.ops, Total: int64(o.Rounds * len(conns)), Errors: sums.allErrors, Seconds: time.Since(began).Seconds()})
		}
	}
	r.Seconds = time.Since(began).Seconds()
	r.Ops, r.Bytes, r.Latency = sums.ops, sums.bytes, latencyOf(sums.latency)
	r.Rate = float64(r.Ops) / r.Seconds
	if len(sums.errors) > 0 {
		r.Errors = maps.Clone(sums.errors)
	}
	r.CPU = cpu.since(t)
	r.CPU.per(r.Ops, r.Seconds)
	if r.Memory != nil {
		if _, r.Memory.RSSTold, err = memory(t.tree()); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// crowd is connections that wait for mail.
type crowd struct {
	o     *IdleCrowdOptions
	feed  *feed
	conns []*waitingOnly
	smtp  []*smtpClient

	answered []time.Time // by account: when its message of this round was
}

// round delivers a message to every account and waits until all connections
// have heard of theirs, or the time is over.
func (w *crowd) round(ctx context.Context, t *Target, round int, sums *tally) error {
	told := make([]time.Time, len(w.conns))
	errs := make([]error, len(w.conns))
	var ready, heard sync.WaitGroup
	ready.Add(len(w.conns))
	for i, c := range w.conns {
		heard.Go(func() {
			if errs[i] = c.c.SetReadDeadline(time.Time{}); errs[i] == nil {
				want := c.c.exists + 1
				ready.Done()
				errs[i] = c.c.hearExists(want)
				told[i] = time.Now()
			} else {
				ready.Done()
			}
		})
	}
	ready.Wait()
	err := w.deliver(t, round)
	deadline := time.Now().Add(w.o.Timeout)
	if err != nil {
		deadline = time.Now()
	}
	for _, c := range w.conns {
		// A connection that is broken tells its reader so itself.
		_ = c.c.SetReadDeadline(deadline)
	}
	heard.Wait()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return err
	}
	for i := range w.conns {
		answered := w.answered[i%len(w.answered)]
		if errs[i] != nil {
			sums.fail(kind(errs[i]))
			continue
		}
		took := max(told[i].Sub(answered), time.Microsecond)
		sums.ops++
		record(sums.latency, took)
	}
	return nil
}

// deliver hands in a message for every account, over one connection an
// address.
func (w *crowd) deliver(t *Target, round int) error {
	errs := make([]error, len(w.smtp))
	var wg sync.WaitGroup
	for k, c := range w.smtp {
		wg.Go(func() {
			for a := range w.answered {
				if (a+round)%len(w.smtp) != k {
					continue
				}
				s := w.feed.get(int64(round*len(w.answered) + a))
				if _, errs[k] = c.deliver(defaultFrom, t.Accounts[a].Address, s, false); errs[k] != nil {
					return
				}
				w.answered[a] = time.Now()
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// checkFiles refuses more connections than this process may have files.
func checkFiles(connections int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil // then it will be seen
	}
	const others = 64
	if uint64(connections)+others > uint64(limit.Cur) {
		return badTarget("%d connections need as many open files, and %d others; ulimit -n is %d", connections, others, limit.Cur)
	}
	return nil
}
