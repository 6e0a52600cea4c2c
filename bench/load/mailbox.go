package load

import (
	"context"
)

// Append adds messages by IMAP, each connection to the account of its number.
func Append(ctx context.Context, t *Target, o AppendOptions) (*Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := t.canRead(); err != nil {
		return nil, err
	}
	f, err := newFeed(o.Source, poolCount(o.Options), o.PoolBytes)
	if err != nil {
		return nil, err
	}
	workers := make([]worker, o.Connections)
	for c := range workers {
		workers[c] = &appender{session{t: t, addr: turn(t.IMAP.Addrs, c), a: t.Accounts[c%len(t.Accounts)]}, &o, f}
	}
	return measure(ctx, "append", t, o.Options, workers)
}

// session is a worker's login.
type session struct {
	t    *Target
	addr string
	a    Account
	c    *imapClient
}

func (s *session) open(ctx context.Context) (err error) {
	s.c, err = s.t.openIMAP(ctx, s.addr, &s.a, smallReads)
	return err
}

func (s *session) close() {
	if s.c == nil {
		return
	}
	// A goodbye that goes unanswered changes no figure.
	if err := s.c.within(opTimeout / 60); err == nil {
		if err := s.c.logout(); err != nil {
			s.c.Close()
		}
	}
	s.c = nil
}

type appender struct {
	session
	o    *AppendOptions
	feed *feed
}

func (a *appender) open(ctx context.Context) error {
	if err := a.session.open(ctx); err != nil {
		return err
	}
	return a.c.capabilities()
}

func (a *appender) do(_ context.Context, i int64) (done, error) {
	s := a.feed.get(i)
	if err := a.c.append(a.o.Mailbox, a.o.Flags, s); err != nil {
		return done{}, err
	}
	return done{bytes: int64(s.size())}, nil
}

// Store sets and clears \Flagged on one message after the other.
func Store(ctx context.Context, t *Target, o StoreOptions) (*Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := t.canRead(); err != nil {
		return nil, err
	}
	workers := make([]worker, o.Connections)
	for c := range workers {
		a := c % len(t.Accounts)
		if o.SameAccount {
			a = 0
		}
		workers[c] = &storer{session: session{t: t, addr: turn(t.IMAP.Addrs, c), a: t.Accounts[a]}, o: &o, msg: c, step: o.Connections}
	}
	return measure(ctx, "store", t, o.Options, workers)
}

type storer struct {
	session
	o         *StoreOptions
	msg, step int
	set       bool // the message's flag is set now
}

func (s *storer) open(ctx context.Context) error {
	if err := s.session.open(ctx); err != nil {
		return err
	}
	if _, err := s.c.selectBox(s.o.Mailbox); err != nil {
		return err
	}
	if s.c.exists == 0 {
		return badTarget("the mailbox to change flags in holds no message")
	}
	return nil
}

// do sets a flag, and the next time clears it, so that every operation is a
// change and a run leaves the mailbox as it was.
func (s *storer) do(context.Context, int64) (done, error) {
	if err := s.c.within(opTimeout); err != nil {
		return done{}, &failure{"STORE", err}
	}
	tag := s.c.begun()
	b := append(s.c.out, "STORE "...)
	b = appendInt(b, 1+s.msg%s.c.exists)
	if s.set {
		b = append(b, " -FLAGS"...)
	} else {
		b = append(b, " +FLAGS"...)
	}
	if s.o.Silent {
		b = append(b, ".SILENT"...)
	}
	b = append(b, " (\\Flagged)\r\n"...)
	s.c.out = b
	if err := s.c.writeAll("STORE", b); err != nil {
		return done{}, err
	}
	if _, err := s.c.finish("STORE", tag, nil); err != nil {
		return done{}, err
	}
	if s.set {
		s.msg += s.step
	}
	s.set = !s.set
	return done{}, nil
}

// Login logs in and out again, each time over a new connection, with the same
// accounts again and again.
func Login(ctx context.Context, t *Target, o LoginOptions) (*Result, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := t.canRead(); err != nil {
		return nil, err
	}
	workers := make([]worker, o.Connections)
	for c := range workers {
		workers[c] = &visitor{t: t, o: &o, addr: turn(t.IMAP.Addrs, c)}
	}
	return measure(ctx, "login", t, o.Options, workers)
}

type visitor struct {
	t    *Target
	o    *LoginOptions
	addr string
}

func (v *visitor) open(context.Context) error { return nil }
func (v *visitor) close()                     {}

func (v *visitor) do(ctx context.Context, i int64) (done, error) {
	c, err := v.t.openIMAP(ctx, v.addr, nil, smallReads)
	if err != nil {
		return done{}, err
	}
	if err := c.login(v.t.Accounts[i%int64(len(v.t.Accounts))], v.o.Plain); err != nil {
		c.Close()
		return done{}, err
	}
	return done{}, c.logout()
}
