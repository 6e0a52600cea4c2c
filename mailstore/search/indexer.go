package search

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"altmail.se/altmail/mailstore"
)

// Mail is where the messages come from that are indexed: lookup.Door.
type Mail interface {
	// Accounts calls fn for the accounts on this node.
	Accounts(fn func(mailstore.AccountID) error) error
	// Account opens an account; mailstore.ErrNoAccount if it is no more.
	Account(ctx context.Context, id mailstore.AccountID) (MailAccount, error)
}

// MailAccount is an account whose messages are indexed.
type MailAccount interface {
	Keys() Keys
	// Contents calls fn for the contents of the messages that changed after
	// since, some more than once, and returns up to where. With since 0 these
	// are all there are.
	Contents(since mailstore.ModSeq, fn func(mailstore.ContentID) error) (mailstore.ModSeq, error)
	// Text appends the document of a message to dst, and returns where in it
	// the text of the body begins. Its errors are mailstore.ErrExpunged,
	// ErrTooLong, and whatever stands in the way for now.
	Text(ctx context.Context, id mailstore.ContentID, dst []byte, limit int) (text []byte, body int, err error)
}

// ErrTooLong is returned for a message with more text than the limit.
var ErrTooLong = errors.New("search: more text than the index takes")

// IndexerOptions are what an Indexer works with. Zero values are defaults.
type IndexerOptions struct {
	// Batch is how many messages of an account have to wait until they are
	// indexed; 64. Until then they are read, which is less work than a segment
	// for each.
	Batch int
	// Pause is how long changes are collected; 2 s.
	Pause time.Duration
	// Sweep is how often what was deleted is looked for. Required.
	Sweep time.Duration
	// Busy is the share of a core that is used while mail comes in, Idle that
	// while none does; 0.1 and 0.5.
	Busy, Idle float64
	// MinFree is how much of the disk is left free; 512 MiB.
	MinFree uint64
	// Retry is how long is waited after a failure; 1 minute.
	Retry time.Duration
}

// Indexer keeps an Index up to date. It is one goroutine: Run.
type Indexer struct {
	x    *Index
	mail Mail
	o    IndexerOptions

	mu    sync.Mutex
	dirty map[mailstore.AccountID]bool // true: all of it is compared
	every bool                         // all accounts are
	heard time.Time                    // when something changed
	wake  chan struct{}

	// Of Run's goroutine.
	known map[mailstore.AccountID]*progress
	build builder
	debt  time.Duration // of rest
	began time.Time
}

// progress is how far an account is.
type progress struct {
	through mailstore.ModSeq // up to here messages were looked at
	behind  int              // of those after it
	swept   time.Time        // when all was compared
	changed bool             // since then
	retry   time.Time        // when what could not be read is tried again; zero: all could
}

// NewIndexer returns an indexer, which begins by comparing all accounts.
func NewIndexer(x *Index, m Mail, o IndexerOptions) *Indexer {
	if o.Batch == 0 {
		o.Batch = 64
	}
	if o.Pause == 0 {
		o.Pause = 2 * time.Second
	}
	if o.Busy == 0 {
		o.Busy = 0.1
	}
	if o.Idle == 0 {
		o.Idle = 0.5
	}
	if o.MinFree == 0 {
		o.MinFree = 512 << 20
	}
	if o.Retry == 0 {
		o.Retry = time.Minute
	}
	in := &Indexer{
		x: x, mail: m, o: o, every: true, wake: make(chan struct{}, 1),
		dirty: map[mailstore.AccountID]bool{}, known: map[mailstore.AccountID]*progress{},
	}
	in.wake <- struct{}{}
	lost := func(id mailstore.AccountID) { in.mark(id, true) }
	x.lost.Store(&lost)
	return in
}

// Changed tells that something of an account changed; it never waits.
func (in *Indexer) Changed(id mailstore.AccountID) { in.mark(id, false) }

// ChangedAll tells that any account may have changed.
func (in *Indexer) ChangedAll() {
	in.mu.Lock()
	in.every = true
	in.mu.Unlock()
	in.kick()
}

func (in *Indexer) mark(id mailstore.AccountID, all bool) {
	in.mu.Lock()
	in.dirty[id] = in.dirty[id] || all
	if !all {
		in.heard = time.Now()
	}
	in.mu.Unlock()
	in.kick()
}

func (in *Indexer) kick() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// Run indexes until the context ends.
func (in *Indexer) Run(ctx context.Context) {
	sweep := time.NewTicker(min(max(in.o.Sweep/16, time.Second), in.o.Retry))
	defer sweep.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-in.wake:
		case <-sweep.C:
		}
		wait := in.o.Pause
		if err := in.Round(ctx); err != nil && ctx.Err() == nil {
			in.x.log.Warn("mail is not indexed for now", "err", err)
			wait = in.o.Retry
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// Round brings the accounts up to date that changed, and sweeps those whose
// time has come. It is for tests, and for Run.
func (in *Indexer) Round(ctx context.Context) error {
	in.mu.Lock()
	dirty, every := in.dirty, in.every
	in.dirty, in.every = map[mailstore.AccountID]bool{}, false
	in.mu.Unlock()
	now := time.Now()
	in.began = now
	if every {
		there := map[mailstore.AccountID]bool{}
		err := in.mail.Accounts(func(id mailstore.AccountID) error {
			there[id] = true
			if _, ok := dirty[id]; !ok {
				dirty[id] = false
			}
			return ctx.Err()
		})
		if err != nil {
			in.again(dirty, true)
			return err
		}
		// Accounts that were closed while nobody looked.
		for _, id := range in.x.Accounts() {
			if !there[id] {
				dirty[id] = true
			}
		}
	}
	for id, p := range in.known {
		if p.changed && now.Sub(p.swept) >= in.o.Sweep {
			dirty[id] = true
		} else if !p.retry.IsZero() && !now.Before(p.retry) {
			if _, ok := dirty[id]; !ok {
				dirty[id] = false
			}
		}
	}
	var errs []error
	for id, all := range dirty {
		if err := in.account(ctx, id, all); err != nil {
			errs = append(errs, err)
			in.again(map[mailstore.AccountID]bool{id: all}, false)
			if ctx.Err() != nil || errors.Is(err, errFull) {
				in.again(dirty, false)
				break
			}
		}
	}
	behind := 0
	for _, p := range in.known {
		behind += p.behind
	}
	in.x.stats.behind.Store(int64(behind))
	in.build = builder{} // nothing of it is kept
	return errors.Join(errs...)
}

// again has accounts tried again.
func (in *Indexer) again(ids map[mailstore.AccountID]bool, every bool) {
	in.mu.Lock()
	for id, all := range ids {
		in.dirty[id] = in.dirty[id] || all
	}
	in.every = in.every || every
	in.mu.Unlock()
	in.kick()
}

// errFull is returned when the index would take the last of the disk.
var errFull = errors.New("search: the disk is nearly full")

// room fails when the disk is nearly full.
func (in *Indexer) room() error {
	u, err := in.x.fs.GetDiskUsage(in.x.dir)
	if err == nil && u.AvailBytes < in.o.MinFree {
		return fmt.Errorf("%w: %d bytes are free", errFull, u.AvailBytes)
	}
	return nil // what cannot be told is seen when it is full
}

// account brings one account up to date; with all, everything is compared.
func (in *Indexer) account(ctx context.Context, id mailstore.AccountID, all bool) error {
	m, err := in.mail.Account(ctx, id)
	if errors.Is(err, mailstore.ErrNoAccount) {
		delete(in.known, id)
		return in.x.Remove(id)
	}
	if err != nil {
		return err
	}
	p := in.known[id]
	if p == nil {
		p = &progress{}
		in.known[id], all = p, true
	}
	p.changed = true
	a, err := in.x.acquire(id, m.Keys(), true)
	if err != nil {
		return err
	}
	defer in.x.release(a)
	a.change.Lock()
	defer a.change.Unlock()
	since := p.through
	if all {
		since = 0
	}
	begun := time.Now()
	todo, dead, through, err := a.compare(m, since)
	if err != nil {
		return err
	}
	if all && dead.any() {
		if err := in.erase(ctx, a, m.Keys(), dead); err != nil {
			return err
		}
	}
	if all {
		p.swept, p.changed = begun, false
	}
	p.behind = len(todo)
	if len(todo) < in.o.Batch {
		// They wait; only what is before them is done with.
		if len(todo) == 0 {
			p.through = through
		}
		return nil
	}
	late, err := in.index(ctx, a, m, p, todo)
	if err != nil {
		return err
	}
	if p.retry = (time.Time{}); late == nil {
		p.through = through
	} else {
		in.x.log.Info("some mail is indexed later", "err", late)
		p.retry = time.Now().Add(in.o.Retry)
	}
	for list := a.due(); list != nil; list = a.due() {
		if err := in.room(); err != nil {
			return err
		}
		if err := a.merge(ctx, list, m.Keys(), &in.build, func(*segment, int) bool { return false }, in.pace); err != nil {
			return err
		}
		in.x.stats.merged.Add(1)
	}
	return nil
}

// dead are the documents of segments that no message has any more.
type dead map[*segment]bitset

func (d dead) any() bool { return len(d) > 0 }

// compare finds the contents that are not indexed, of the messages that
// changed after since, and, when these are all, the documents without a
// message.
func (a *account) compare(m MailAccount, since mailstore.ModSeq) (todo []mailstore.ContentID, gone dead, through mailstore.ModSeq, err error) {
	a.mu.Lock()
	segs := a.segs // nobody else changes it but to drop a segment
	a.mu.Unlock()
	live := make([]bitset, len(segs))
	for i, s := range segs {
		live[i] = newBits(len(s.foot.docs))
	}
	seen := map[mailstore.ContentID]struct{}{}
	guess := 0
	through, err = m.Contents(since, func(id mailstore.ContentID) error {
		for k := range segs {
			i := (guess + k) % len(segs)
			if n, ok := segs[i].find(id); ok {
				live[i].set(uint64(n))
				guess = i
				return nil
			}
		}
		if _, ok := seen[id]; !ok {
			seen[id] = struct{}{}
			todo = append(todo, id)
		}
		return nil
	})
	if err != nil || since > 0 {
		return todo, nil, through, err
	}
	gone = dead{}
	for i, s := range segs {
		for n := range s.foot.docs {
			if !live[i].has(n) {
				gone[s] = live[i]
				break
			}
		}
	}
	return todo, gone, through, nil
}

// erase makes the segments anew that hold documents of deleted messages.
func (in *Indexer) erase(ctx context.Context, a *account, keys Keys, gone dead) error {
	for s, live := range gone {
		if err := in.room(); err != nil {
			return err
		}
		drop := func(_ *segment, doc int) bool { return !live.has(doc) }
		if err := a.merge(ctx, []*segment{s}, keys, &in.build, drop, in.pace); err != nil {
			return err
		}
		in.x.stats.rewritten.Add(1)
	}
	return nil
}

// index writes segments of messages. late is why some could not be read; they
// are tried again.
func (in *Indexer) index(ctx context.Context, a *account, m MailAccount, p *progress, todo []mailstore.ContentID) (late, err error) {
	b := &in.build
	b.reset()
	flush := func() error {
		if len(b.docs) == 0 {
			return nil
		}
		if err := in.room(); err != nil {
			return err
		}
		n := len(b.docs)
		if err := a.write(b, m.Keys(), nil); err != nil {
			return err
		}
		in.x.stats.indexed.Add(uint64(n))
		p.behind -= n
		b.reset()
		return nil
	}
	for _, id := range todo {
		if err := in.pace(ctx); err != nil {
			return nil, err
		}
		off := len(b.text)
		text, body, err := m.Text(ctx, id, b.text, MaxText)
		switch {
		case err == nil:
			b.text = text
			b.add(id, off, body)
		case errors.Is(err, ErrTooLong):
			b.addUnknown(id)
		case errors.Is(err, mailstore.ErrExpunged):
			p.behind--
		case ctx.Err() != nil:
			return nil, err
		default:
			late = err
		}
		if b.full() {
			if err := flush(); err != nil {
				return late, err
			}
		}
	}
	return late, flush()
}

// pace rests so that no more than its share of a core is used.
func (in *Indexer) pace(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	in.mu.Lock()
	busy := time.Since(in.heard) < time.Second
	in.mu.Unlock()
	share := in.o.Idle
	if busy {
		share = in.o.Busy
	}
	worked := time.Since(in.began)
	in.began = time.Now()
	if share >= 1 {
		return nil
	}
	// The rest is taken in pieces long enough to be one.
	in.debt += time.Duration(float64(worked) * (1/share - 1))
	if in.debt < 10*time.Millisecond {
		return nil
	}
	t := time.NewTimer(min(in.debt, time.Second))
	defer t.Stop()
	in.debt = 0
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
	}
	in.began = time.Now()
	return nil
}
