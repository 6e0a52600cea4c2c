package load

import (
	"context"
	"time"
)

// Deliver hands in messages over Connections that stay open.
func Deliver(ctx context.Context, t *Target, o DeliverOptions) (*Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := t.canDeliver(); err != nil {
		return nil, err
	}
	if o.Accounts == 0 {
		o.Accounts = len(t.Accounts) - o.FirstAccount
	}
	if o.FirstAccount < 0 || o.Accounts <= 0 || o.FirstAccount+o.Accounts > len(t.Accounts) {
		return nil, badTarget("%d accounts from %d of %d", o.Accounts, o.FirstAccount, len(t.Accounts))
	}
	f, err := newFeed(o.Source, poolCount(o.Options), o.PoolBytes)
	if err != nil {
		return nil, err
	}
	workers := make([]worker, o.Connections)
	for c := range workers {
		workers[c] = &deliverer{t: t, o: &o, feed: f, addr: turn(t.Delivery.Addrs, c), account: c}
	}
	return measure(ctx, "deliver", t, o.Options, workers)
}

// poolCount is how many messages a run can use, 0 when that is not known.
func poolCount(o Options) int {
	if o.Warmup == 0 && o.Duration == 0 {
		return o.Count
	}
	return 0
}

func turn(addrs []string, i int) string { return addrs[i%len(addrs)] }

func (t *Target) canDeliver() error {
	switch {
	case len(t.Delivery.Addrs) == 0:
		return badTarget("no address to deliver to")
	case len(t.Accounts) == 0:
		return badTarget("no account")
	}
	return t.Delivery.check()
}

func (d Delivery) check() error {
	switch d.Proto {
	case "", SMTP, LMTP:
	default:
		return badTarget("protocol %q", d.Proto)
	}
	return d.TLS.check()
}

func (m TLSMode) check() error {
	switch m {
	case "", TLSNone, TLSStartTLS, TLSImplicit:
		return nil
	}
	return badTarget("TLS %q", m)
}

func (t *Target) canRead() error {
	switch {
	case len(t.IMAP.Addrs) == 0:
		return badTarget("no IMAP address")
	case len(t.Accounts) == 0:
		return badTarget("no account")
	}
	return t.IMAP.TLS.check()
}

const defaultFrom = "bench@example.org"

type deliverer struct {
	t       *Target
	o       *DeliverOptions
	feed    *feed
	addr    string
	account int // offset from FirstAccount of the next recipient
	c       *smtpClient
}

func (d *deliverer) open(ctx context.Context) (err error) {
	if d.c, err = d.t.openSMTP(ctx, d.addr); err == nil && d.o.BDAT && !d.c.chunking {
		return badTarget("the server does not offer CHUNKING")
	}
	return err
}

func (d *deliverer) do(_ context.Context, i int64) (done, error) {
	to := d.t.Accounts[d.o.FirstAccount+d.account%d.o.Accounts].Address
	d.account += d.o.Connections
	from := d.o.From
	if from == "" {
		from = defaultFrom
	}
	s := d.feed.get(i)
	sent, err := d.c.deliver(from, to, s, d.o.BDAT)
	if err != nil {
		return done{}, err
	}
	return done{bytes: int64(s.size()), answer: time.Since(sent)}, nil
}

func (d *deliverer) close() {
	if d.c != nil {
		d.c.quit()
		d.c = nil
	}
}

// Fill puts messages into one mailbox, the corpus in about its order.
func Fill(ctx context.Context, t *Target, o FillOptions) (*Result, error) {
	if o.Account < 0 || o.Account >= len(t.Accounts) {
		return nil, badTarget("account %d of %d", o.Account, len(t.Accounts))
	}
	if o.Connections == 0 {
		o.Connections = 4
	}
	run := Options{Connections: o.Connections, Count: o.Count, Progress: o.Progress}
	var r *Result
	var err error
	if o.Append {
		one := *t
		one.Accounts = t.Accounts[o.Account : o.Account+1]
		r, err = Append(ctx, &one, AppendOptions{Options: run, Source: o.Source, Mailbox: o.Mailbox})
	} else {
		r, err = Deliver(ctx, t, DeliverOptions{Options: run, Source: o.Source, FirstAccount: o.Account, Accounts: 1})
	}
	if r != nil {
		r.Work = "fill"
	}
	return r, err
}
