package load

import (
	"context"
	"sync"
	"time"
)

// Idle delivers messages at one node and measures how long after the answer to
// each an IDLE at another is told of it. The result's latency is that time; a
// message that is announced before it is answered counts as a microsecond.
func Idle(ctx context.Context, t *Target, o IdleOptions) (*Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := t.canDeliver(); err != nil {
		return nil, err
	}
	if err := t.canRead(); err != nil {
		return nil, err
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	if o.DeliverNode < 0 || o.DeliverNode >= len(t.Delivery.Addrs) || o.IMAPNode < 0 || o.IMAPNode >= len(t.IMAP.Addrs) {
		return nil, badTarget("delivery at %d of %d, IMAP at %d of %d", o.DeliverNode, len(t.Delivery.Addrs), o.IMAPNode, len(t.IMAP.Addrs))
	}
	if o.Connections > len(t.Accounts) {
		return nil, badTarget("%d connections need as many accounts: each waits for its own mail", o.Connections)
	}
	f, err := newFeed(o.Source, poolCount(o.Options), 16<<20)
	if err != nil {
		return nil, err
	}
	workers := make([]worker, o.Connections)
	for c := range workers {
		workers[c] = &waiter{
			session: session{t: t, addr: t.IMAP.Addrs[o.IMAPNode], a: t.Accounts[c]},
			o:       &o, feed: f,
		}
	}
	return measure(ctx, "idle", t, o.Options, workers)
}

// renew is when an IDLE is begun anew, RFC 2177: before 29 minutes.
const renew = 20 * time.Minute

type waiter struct {
	session
	o     *IdleOptions
	feed  *feed
	smtp  *smtpClient
	tag   string
	since time.Time
}

func (w *waiter) open(ctx context.Context) (err error) {
	if w.smtp, err = w.t.openSMTP(ctx, w.t.Delivery.Addrs[w.o.DeliverNode]); err != nil {
		return err
	}
	if err := w.session.open(ctx); err != nil {
		return err
	}
	if _, err := w.c.selectBox(w.o.Mailbox); err != nil {
		return err
	}
	w.tag, err = w.c.idle()
	w.since = time.Now()
	return err
}

func (w *waiter) close() {
	if w.smtp != nil {
		w.smtp.quit()
		w.smtp = nil
	}
	if w.c != nil {
		// Out of IDLE the goodbye would be heard as its end: just hang up.
		w.c.Close()
		w.c = nil
	}
}

func (w *waiter) do(_ context.Context, i int64) (done, error) {
	if time.Since(w.since) > renew {
		if err := w.c.done(w.tag); err != nil {
			return done{}, err
		}
		var err error
		if w.tag, err = w.c.idle(); err != nil {
			return done{}, err
		}
		w.since = time.Now()
	}
	want := w.c.exists + 1
	s := w.feed.get(i)
	if _, err := w.smtp.deliver(defaultFrom, w.a.Address, s, false); err != nil {
		return done{}, err
	}
	answered := time.Now()
	if err := w.c.awaitExists(want, answered.Add(w.o.Timeout)); err != nil {
		return done{}, err
	}
	return done{bytes: int64(s.size()), took: max(time.Since(answered), time.Microsecond)}, nil
}

// IdleMemory opens connections that log in, select a mailbox and idle, and says
// how much the server's memory grew by each. Target.PIDs must be known.
func IdleMemory(ctx context.Context, t *Target, o IdleMemoryOptions) (*Result, error) {
	if t.PIDs == nil {
		return nil, badTarget("the server's processes are not known")
	}
	conns, r, err := o.open(ctx, t, "idle-memory")
	if err != nil {
		return nil, err
	}
	endAll(conns)
	return r, nil
}

// open opens the connections. The result tells how long that took and, where
// the server's processes are known, what memory.
func (o *IdleMemoryOptions) open(ctx context.Context, t *Target, work string) ([]*waitingOnly, *Result, error) {
	if err := t.canRead(); err != nil {
		return nil, nil, err
	}
	if o.Connections == 0 {
		o.Connections = 1000
	}
	if o.Connections < 0 || o.Connections > 20_000 {
		return nil, nil, badTarget("%d connections", o.Connections)
	}
	if err := checkFiles(o.Connections); err != nil {
		return nil, nil, err
	}
	if o.Settle == 0 {
		o.Settle = 2 * time.Second
	}
	conns := make([]*waitingOnly, o.Connections)
	for i := range conns {
		// Each account is at every address, also where their numbers divide
		// each other.
		addr := turn(t.IMAP.Addrs, i%len(t.Accounts)+i/len(t.Accounts))
		conns[i] = &waitingOnly{session: session{t: t, addr: addr, a: t.Accounts[i%len(t.Accounts)]}, mailbox: o.Mailbox}
	}
	// Once for every account and node, so that what a server keeps of an
	// account is not counted as the connection's.
	first := conns[:min(len(conns), max(len(t.Accounts), len(t.IMAP.Addrs)))]
	err := openIdle(ctx, work, first, nil)
	endAll(first)
	if err != nil {
		return nil, nil, err
	}
	m := &Memory{Connections: o.Connections}
	if t.PIDs != nil {
		if !sleep(ctx, o.Settle) {
			return nil, nil, ctx.Err()
		}
		if m.PSSBefore, m.RSSBefore, err = memory(t.tree()); err != nil {
			return nil, nil, err
		}
	}
	r := &Result{Work: work, Target: t.Name, Start: time.Now(), Connections: o.Connections, Ops: int64(o.Connections)}
	if err := openIdle(ctx, work, conns, o.Progress); err != nil {
		endAll(conns)
		return nil, nil, err
	}
	r.Seconds = time.Since(r.Start).Seconds()
	r.Rate = float64(r.Ops) / r.Seconds
	if t.PIDs == nil {
		return conns, r, nil
	}
	if err := m.after(ctx, t, o.Settle); err != nil {
		endAll(conns)
		return nil, nil, err
	}
	r.Memory = m
	return conns, r, nil
}

// after measures once all connections are there.
func (m *Memory) after(ctx context.Context, t *Target, settle time.Duration) (err error) {
	if !sleep(ctx, settle) {
		return ctx.Err()
	}
	pids := t.tree()
	if m.PSSAfter, m.RSSAfter, err = memory(pids); err != nil {
		return err
	}
	m.Processes = len(pids)
	m.PSS = float64(m.PSSAfter-m.PSSBefore) / float64(m.Connections)
	m.RSS = float64(m.RSSAfter-m.RSSBefore) / float64(m.Connections)
	for _, pid := range pids {
		_, rss, err := memory([]int{pid})
		if err != nil {
			return err
		}
		m.Each = append(m.Each, rss)
	}
	return nil
}

func endAll(conns []*waitingOnly) {
	for _, c := range conns {
		c.close()
	}
}

type waitingOnly struct {
	session
	mailbox string
}

func (w *waitingOnly) open(ctx context.Context) error {
	var err error
	if w.c, err = w.t.openIMAP(ctx, w.addr, &w.a, smallReads); err != nil {
		return err
	}
	if _, err := w.c.selectBox(w.mailbox); err != nil {
		return err
	}
	if _, err := w.c.idle(); err != nil {
		return err
	}
	return w.c.SetDeadline(time.Time{})
}

func (w *waitingOnly) close() {
	if w.c != nil {
		w.c.Close()
		w.c = nil
	}
}

// openIdle opens a few at a time: handshakes are dear.
func openIdle(ctx context.Context, work string, conns []*waitingOnly, progress func(Progress)) error {
	var mu sync.Mutex
	opened := 0
	var failed error
	next := make(chan *waitingOnly)
	var wg sync.WaitGroup
	for range min(8, len(conns)) {
		wg.Go(func() {
			for c := range next {
				err := c.open(ctx)
				mu.Lock()
				if err != nil && failed == nil {
					failed = err
				}
				opened++
				if progress != nil && opened%50 == 0 {
					progress(Progress{Work: work, Done: int64(opened), Total: int64(len(conns))})
				}
				mu.Unlock()
			}
		})
	}
	for _, c := range conns {
		mu.Lock()
		stop := failed != nil
		mu.Unlock()
		if stop || ctx.Err() != nil {
			break
		}
		next <- c
	}
	close(next)
	wg.Wait()
	if failed == nil {
		failed = ctx.Err()
	}
	return failed
}
