package migrate

import (
	"context"
	"fmt"
	"time"

	"altmail.se/altmail/mailstore"
)

// MaxMessage is the longest message that is taken, in bytes; what is longer is
// left out and reported.
const MaxMessage = 128 << 20

// Mailbox is a mailbox of a Source.
type Mailbox struct {
	Name string // UTF-8, with "/" between levels
	// UIDValidity is 0 where messages have no UIDs that clients know.
	UIDValidity uint32
	// UIDNext is above every UID that was ever given, as far as is known.
	UIDNext uint32
	// HighestModSeq is 0 where it is not known.
	HighestModSeq uint64
	SpecialUse    mailstore.SpecialUse
	Messages      int // to show progress by
}

// Message is a message of a Source.
type Message struct {
	// UID orders the messages of a mailbox; it is the same each time.
	UID      uint32
	Flags    mailstore.Flags
	Keywords []string
	Date     time.Time // INTERNALDATE; zero: not known
	Raw      []byte    // lines end in CRLF
}

// Source is where mail comes from. It serves one goroutine.
type Source interface {
	// ID names the source, the same each time it is opened.
	ID() string
	Mailboxes(ctx context.Context) ([]Mailbox, error)
	// Messages calls fn for each message of a mailbox with a UID above after,
	// in the order of the UIDs. fn may keep the message. What cannot be taken
	// is told to skip, with the reason.
	Messages(ctx context.Context, m Mailbox, after uint32, fn func(*Message) error, skip func(uid uint32, why string)) error
	// Subscriptions are the names of subscribed mailboxes.
	Subscriptions(ctx context.Context) ([]string, error)
	Close() error
}

// Place is how far a mailbox has come in a Sink.
type Place struct {
	UIDValidity uint32
	Last        uint32 // UID of the source's last message that is stored
	Kept        bool   // UIDs and UIDVALIDITY are those of the source
}

// Sink is the account that mail goes to.
type Sink interface {
	// Begin makes the account ready for a source.
	Begin(ctx context.Context, source string) error
	// Open makes the mailbox if need be, and has it adopt the source's
	// UIDVALIDITY if it can. MODSEQ will be above modSeq.
	Open(ctx context.Context, m Mailbox, modSeq uint64) (Place, error)
	// Append stores messages, all or only the first ones.
	Append(ctx context.Context, m Mailbox, kept bool, msgs []*Message) error
	// Finish raises UIDNEXT to the source's.
	Finish(ctx context.Context, m Mailbox) error
	Subscribe(ctx context.Context, names []string) error
	// Transient tells whether an error may be over soon; then the mailbox is
	// opened again and work goes on where it is.
	Transient(err error) bool
}

// Progress is how far a run has come.
type Progress struct {
	Mailbox         string
	Done, Total     int // messages, those of earlier runs included
	Stored, Skipped int // in this run
	Bytes           int64
}

// Options are how a run is made.
type Options struct {
	// Progress is called now and then, never by two goroutines at once.
	Progress func(Progress)
	// Patience is how long transient errors of the sink may last.
	Patience time.Duration
	// Warn is told of what cannot be taken as it is.
	Warn func(mailbox, what string)
}

// Report is what a run did.
type Report struct {
	Mailboxes  int
	Stored     int // messages, in this run
	Bytes      int64
	Skipped    int // messages that could not be taken
	Renumbered []string
}

// What goes to the sink at a time.
const (
	batchMessages = 200
	batchBytes    = 4 << 20
)

// unknownModSeq is what the account's MODSEQ is raised to when UIDs are kept
// and the source does not tell its own: above what any server has counted to, so
// that a client which asks what changed since then is told everything.
const unknownModSeq = 1 << 40

// Run imports everything that is not there yet.
func Run(ctx context.Context, src Source, dst Sink, o Options) (*Report, error) {
	r := &run{src: src, dst: dst, o: o, report: &Report{}}
	return r.report, r.all(ctx)
}

type run struct {
	src    Source
	dst    Sink
	o      Options
	report *Report
	p      Progress
}

func (r *run) warn(mailbox, format string, args ...any) {
	if r.o.Warn != nil {
		r.o.Warn(mailbox, fmt.Sprintf(format, args...))
	}
}

func (r *run) progress() {
	if r.o.Progress != nil {
		r.o.Progress(r.p)
	}
}

func (r *run) all(ctx context.Context) error {
	boxes, err := r.src.Mailboxes(ctx)
	if err != nil {
		return err
	}
	modSeq := uint64(0)
	for i := range boxes {
		r.p.Total += boxes[i].Messages
		if m := &boxes[i]; m.UIDValidity != 0 && m.HighestModSeq == 0 {
			modSeq = max(modSeq, unknownModSeq)
		} else {
			modSeq = max(modSeq, m.HighestModSeq)
		}
	}
	if err := r.retry(ctx, func() error { return r.dst.Begin(ctx, r.src.ID()) }); err != nil {
		return err
	}
	before := 0
	for _, m := range boxes {
		if err := r.mailbox(ctx, m, modSeq); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
		r.report.Mailboxes++
		before += m.Messages
		r.p.Done = before
		r.progress()
	}
	names, err := r.src.Subscriptions(ctx)
	if err != nil {
		return err
	}
	return r.retry(ctx, func() error { return r.dst.Subscribe(ctx, names) })
}

// retry repeats a step of the sink while its errors are transient.
func (r *run) retry(ctx context.Context, step func() error) error {
	end := time.Now().Add(r.o.Patience)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := step()
		if err == nil || !r.dst.Transient(err) || time.Now().After(end) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// mailbox imports one mailbox; after an error that is over soon it goes on
// where the sink is.
func (r *run) mailbox(ctx context.Context, m Mailbox, modSeq uint64) error {
	warned, last, end := false, uint32(0), time.Now().Add(r.o.Patience)
	for {
		var place Place
		if err := r.retry(ctx, func() (err error) { place, err = r.dst.Open(ctx, m, modSeq); return err }); err != nil {
			return err
		}
		if !place.Kept && m.UIDValidity != 0 && !warned {
			warned = true
			r.report.Renumbered = append(r.report.Renumbered, m.Name)
			r.warn(m.Name, "messages get new UIDs: the mailbox is not new here, or its UIDVALIDITY %d is another's", m.UIDValidity)
		}
		if place.Last > last {
			last, end = place.Last, time.Now().Add(r.o.Patience)
		}
		err := r.fill(ctx, m, place)
		if err == nil {
			break
		}
		if !r.dst.Transient(err) || ctx.Err() != nil || time.Now().After(end) {
			return err
		}
	}
	if m.UIDValidity == 0 {
		return nil
	}
	return r.retry(ctx, func() error { return r.dst.Finish(ctx, m) })
}

// fill reads the source and writes the sink at the same time, a batch apart.
func (r *run) fill(ctx context.Context, m Mailbox, place Place) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	skipped := map[uint32]bool{}
	type batch struct {
		msgs    []*Message
		bytes   int
		skipped int
	}
	batches := make(chan batch)
	read := make(chan error, 1)
	go func() {
		defer close(batches)
		var b batch
		send := func() error {
			select {
			case batches <- b:
				b = batch{}
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		skip := func(uid uint32, why string) {
			if !skipped[uid] {
				skipped[uid] = true
				b.skipped++
				r.warn(m.Name, "message %d left out: %s", uid, why)
			}
		}
		err := r.src.Messages(ctx, m, place.Last, func(msg *Message) error {
			if len(msg.Raw) > MaxMessage || len(msg.Raw) == 0 {
				skip(msg.UID, fmt.Sprintf("it has %d bytes", len(msg.Raw)))
				return nil
			}
			b.msgs, b.bytes = append(b.msgs, msg), b.bytes+len(msg.Raw)
			if len(b.msgs) >= batchMessages || b.bytes >= batchBytes {
				return send()
			}
			return nil
		}, skip)
		if err == nil && (len(b.msgs) > 0 || b.skipped > 0) {
			err = send()
		}
		read <- err
	}()
	r.p.Mailbox = m.Name
	var failed error
	for b := range batches {
		if failed != nil {
			continue
		}
		if len(b.msgs) > 0 {
			if failed = r.dst.Append(ctx, m, place.Kept, b.msgs); failed != nil {
				cancel(failed)
				continue
			}
		}
		r.p.Done += len(b.msgs) + b.skipped
		r.p.Stored += len(b.msgs)
		r.p.Bytes += int64(b.bytes)
		r.p.Skipped += b.skipped
		r.report.Stored, r.report.Bytes, r.report.Skipped = r.p.Stored, r.p.Bytes, r.p.Skipped
		r.progress()
	}
	if err := <-read; failed == nil {
		return err
	}
	return failed
}

// Wire returns a message with CRLF at the end of each line. One whose first
// line ends so is taken as it is: it was stored as it came.
func Wire(b []byte) []byte {
	first, lines := -1, 0
	for i, c := range b {
		if c == '\n' {
			if first < 0 {
				first = i
			}
			lines++
		}
	}
	if first > 0 && b[first-1] == '\r' {
		return b
	}
	out := make([]byte, 0, len(b)+lines)
	for i, c := range b {
		if c == '\n' && (i == 0 || b[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}
