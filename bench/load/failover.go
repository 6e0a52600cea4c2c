package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Failover kills the node that leads an account, again and again, and measures
// how long after each kill every surviving node answers a write to that account
// that began after the kill. The result's latency is the slowest survivor's.
func Failover(ctx context.Context, t *Target, o FailoverOptions) (*Result, error) {
	if err := t.canDeliver(); err != nil {
		return nil, err
	}
	if t.Nodes == nil {
		return nil, badTarget("its nodes can't be killed and started from here")
	}
	if len(t.Delivery.Addrs) < 3 {
		return nil, badTarget("%d delivery addresses: a failover needs at least three nodes, each with its own", len(t.Delivery.Addrs))
	}
	if o.Kills == 0 {
		o.Kills = 10
	}
	if o.Probes == 0 {
		o.Probes = 2
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	if o.Kills < 0 || o.Probes < 0 || o.Probes > 64 || o.Pause < 0 || o.Timeout < 0 {
		return nil, badTarget("%d kills, %d probes, pause %s, timeout %s", o.Kills, o.Probes, o.Pause, o.Timeout)
	}
	f, err := newFeed(o.Source, 0, 8<<20)
	if err != nil {
		return nil, err
	}
	k := &killer{t: t, o: &o, feed: f}
	r := &Result{Work: "failover", Target: t.Name, Start: time.Now(), Connections: o.Probes}
	sums := newTally()
	var broken error
	for n := range o.Kills {
		if o.Progress != nil {
			o.Progress(Progress{Work: "failover", Done: int64(n), Total: int64(o.Kills), Errors: sums.allErrors, Seconds: time.Since(r.Start).Seconds()})
		}
		kill, err := k.once(ctx, t.Accounts[n%len(t.Accounts)], sums)
		if err != nil {
			if len(r.Kills) == 0 || ctx.Err() != nil {
				return nil, err
			}
			// What was measured up to here counts; whether the nodes are as
			// they were is not known any more.
			broken = fmt.Errorf("load: kill %d of %d: %w", n+1, o.Kills, err)
			break
		}
		r.Kills = append(r.Kills, *kill)
		r.Ops++
		record(sums.latency, time.Duration(kill.Worst*float64(time.Millisecond)))
	}
	r.Seconds = time.Since(r.Start).Seconds()
	r.Latency = latencyOf(sums.latency)
	if len(sums.errors) > 0 {
		r.Errors = sums.errors
	}
	return r, broken
}

type killer struct {
	t    *Target
	o    *FailoverOptions
	feed *feed
	next atomic.Int64
}

func (k *killer) writer(addr string, a Account) *writer {
	return &writer{t: k.t, feed: k.feed, next: &k.next, addr: addr, to: a.Address}
}

// writer is a connection that delivers to one account, and connects again when
// it has to.
type writer struct {
	t    *Target
	feed *feed
	next *atomic.Int64 // message
	addr string
	to   string
	c    *smtpClient
}

func (w *writer) open(ctx context.Context) (err error) {
	if w.c == nil {
		w.c, err = w.t.openSMTP(ctx, w.addr)
	}
	return err
}

func (w *writer) close() {
	if w.c != nil {
		w.c.Close()
		w.c = nil
	}
}

func (w *writer) write(ctx context.Context) error { return w.send(ctx, w.next.Add(1)-1) }

// send delivers message i.
func (w *writer) send(ctx context.Context, i int64) error {
	if err := w.open(ctx); err != nil {
		return err
	}
	_, err := w.c.deliver(defaultFrom, w.to, w.feed.get(i), false)
	if err != nil && !isRefusal(err) {
		w.close()
	}
	return err
}

// first writes until it is answered once.
func (w *writer) first(ctx context.Context, within time.Duration) error {
	deadline := time.Now().Add(within)
	for {
		err := w.write(ctx)
		if err == nil || time.Now().After(deadline) || !sleep(ctx, 20*time.Millisecond) {
			return err
		}
	}
}

// once is one kill with what follows, up to the cluster being whole again.
func (k *killer) once(ctx context.Context, a Account, sums *tally) (*Kill, error) {
	victim, err := k.t.Nodes.Leader(ctx, a)
	if err != nil {
		return nil, err
	}
	if victim < 0 || victim >= len(k.t.Delivery.Addrs) {
		return nil, badTarget("node %d leads, of %d", victim, len(k.t.Delivery.Addrs))
	}
	// Writers keep every survivor busy up to the kill; fresh ones, connected
	// before it, write from then on, so that none is caught in a write that
	// the dead leader had half done.
	warmCtx, cool := context.WithCancel(ctx)
	defer cool()
	probeCtx, stop := context.WithTimeout(ctx, k.o.Pause+k.o.Timeout)
	defer stop()
	var warm sync.WaitGroup
	defer warm.Wait()
	defer cool()
	var survivors []survivor
	defer func() {
		for _, s := range survivors {
			s.stop()
			for _, w := range s.probes {
				w.close()
			}
		}
	}()
	for node, addr := range k.t.Delivery.Addrs {
		if node == victim {
			continue
		}
		w := k.writer(addr, a)
		if err := w.first(warmCtx, k.o.Timeout); err != nil {
			return nil, err // not whole before the kill: nothing can be measured
		}
		warm.Go(func() {
			defer w.close()
			for sleep(warmCtx, 10*time.Millisecond) {
				if err := w.write(warmCtx); err != nil {
					continue // the fresh ones tell
				}
			}
		})
		var s survivor
		s.ctx, s.stop = context.WithCancel(probeCtx)
		for range k.o.Probes {
			s.probes = append(s.probes, k.writer(addr, a))
		}
		survivors = append(survivors, s)
		for _, p := range s.probes {
			if err := p.open(s.ctx); err != nil {
				return nil, err
			}
		}
	}
	if !sleep(ctx, k.o.Pause) {
		return nil, ctx.Err()
	}
	killed := time.Now()
	if err := k.t.Nodes.Kill(victim); err != nil {
		return nil, err
	}
	kill := &Kill{Node: victim, Survivors: make([]float64, len(survivors))}
	var wg sync.WaitGroup
	for n, s := range survivors {
		wg.Go(func() { kill.Survivors[n] = ms(s.await(killed, sums)) })
	}
	wg.Wait()
	cool()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, s := range kill.Survivors {
		kill.Worst = max(kill.Worst, s)
	}
	began := time.Now()
	if err := k.t.Nodes.Restart(ctx, victim); err != nil {
		return nil, err
	}
	kill.Whole = ms(time.Since(began))
	return kill, nil
}

// survivor is a node that was not killed. Its probes' connections end with its
// context.
type survivor struct {
	ctx    context.Context
	stop   context.CancelFunc
	probes []*writer
}

// await has all probes of one survivor write until one is answered; the others
// are cut off then. Without an answer it is as if it had come at the end.
func (s *survivor) await(killed time.Time, sums *tally) time.Duration {
	answered := make(chan time.Time, len(s.probes))
	var wg sync.WaitGroup
	for _, w := range s.probes {
		wg.Go(func() {
			for {
				err := w.write(s.ctx)
				if err == nil {
					answered <- time.Now()
					s.stop()
					return
				}
				if !sleep(s.ctx, 5*time.Millisecond) {
					return
				}
			}
		})
	}
	wg.Wait()
	if len(answered) > 0 {
		return (<-answered).Sub(killed)
	}
	sums.mu.Lock()
	defer sums.mu.Unlock()
	sums.fail("no answer in time")
	return time.Since(killed)
}
