package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
)

// opRec is what a client knows of a change it asked for. The numbers order what
// clients saw: one before another was seen earlier.
type opRec struct {
	op       cluster.OpID // zero for a message, which is known by its date
	date     int64
	invoked  uint64
	answered uint64 // 0: never
	index    uint64 // of the outcome; 0: not told
	value    []byte
	node     int
	refused  bool // by everybody who was asked: it did not happen
}

// readRec is what a client saw after a read index.
type readRec struct {
	begun   uint64
	index   uint64
	node    int
	box     uint32
	listing string
}

// client is one user with a memory of the mailboxes, as a mail program has it.
type client struct {
	w     *world
	i     int
	rng   *rand.Rand
	sent  int64
	cache map[mailstore.MailboxID]*cached
}

type cached struct {
	since mailstore.ModSeq
	rows  map[mailstore.UID]mailstore.Message
}

func (w *world) newClient(i int) *client {
	return &client{w: w, i: i, rng: rand.New(rand.NewPCG(w.plan.seed, uint64(1000+i))), cache: map[mailstore.MailboxID]*cached{}}
}

// enter takes a running process, which then does not end before leave.
func (p *proc) enter() bool {
	p.useMu.Lock()
	defer p.useMu.Unlock()
	if p.ending || p.dead.Load() {
		return false
	}
	p.users.Add(1)
	return true
}

func (p *proc) leave() { p.users.Done() }

// node picks a process; nil when none runs.
func (c *client) node() *proc {
	for range 6 {
		if p := c.w.proc(c.rng.IntN(c.w.size())); p != nil && !p.fresh.Load() && p.enter() {
			return p
		}
	}
	return nil
}

func (c *client) run() {
	for range c.w.plan.steps {
		if pause(c.w.ctx, time.Duration(c.rng.IntN(120))*time.Millisecond) != nil {
			return
		}
		switch k := c.rng.IntN(100); {
		case k < 36:
			c.message()
		case k < 60:
			c.change(&pb.Command{Op: &pb.Command_StoreFlags{StoreFlags: &pb.StoreFlags{
				Account: c.account(), Mailbox: c.box(), Uids: c.uids(), Mode: pb.StoreFlags_Mode(c.rng.IntN(3)), Flags: uint32(c.rng.IntN(32)),
			}}})
		case k < 68:
			c.change(&pb.Command{Op: &pb.Command_Expunge{Expunge: &pb.Expunge{
				Account: c.account(), Mailbox: c.box(), Uids: c.uids(), Any: c.rng.IntN(2) == 0,
			}}})
		case k < 82:
			from := c.box()
			to := c.box()
			if to == from {
				continue
			}
			c.change(&pb.Command{Op: &pb.Command_Copy{Copy: &pb.Copy{
				Account: c.account(), Mailbox: from, Uids: c.uids(), Target: to, Move: c.rng.IntN(2) == 0,
			}}})
		default:
			c.read()
		}
	}
}

func (c *client) account() uint64 { return uint64(c.w.img.account) }

func (c *client) box() uint32 { return uint32(c.w.img.boxes[c.rng.IntN(len(c.w.img.boxes))]) }

func (c *client) uids() []*pb.UIDRange {
	first := uint32(1 + c.rng.IntN(20))
	return []*pb.UIDRange{{First: first, Last: first + uint32(c.rng.IntN(6))}}
}

func (c *client) newOp() (op cluster.OpID) {
	binary.BigEndian.PutUint64(op[:], c.rng.Uint64())
	op[8], op[15] = byte(c.i), 1
	return op
}

// tries offers an operation to one node after another until one answers.
// Sometimes the answer is lost and the operation offered once more.
func (c *client) tries(offer func(ctx context.Context, p *proc) (out cluster.Outcome, err error)) (rec opRec) {
	rec.invoked = c.w.seq.Add(1)
	asked, refused := 0, 0
	for range 1 + c.rng.IntN(4) {
		p := c.node()
		if p == nil {
			if pause(c.w.ctx, 50*time.Millisecond) != nil {
				return rec
			}
			continue
		}
		ctx, cancel := context.WithTimeout(p.ctx, time.Duration(200+c.rng.IntN(1500))*time.Millisecond)
		out, err := offer(ctx, p)
		cancel()
		answered := err == nil && !p.dead.Load()
		asked++
		if !errors.Is(err, cluster.ErrUnavailable) && !errors.Is(err, cluster.ErrStopped) && (errors.Is(err, cluster.ErrNoRoom) || errors.Is(err, cluster.ErrClock) || errors.Is(err, cluster.ErrRefused)) {
			refused++
		}
		p.leave()
		if answered {
			if rec.value != nil && !bytes.Equal(rec.value, out.Value) {
				c.w.violation("operation %x: first answer %x, then %x", rec.op, rec.value, out.Value)
			}
			if rec.answered == 0 {
				rec.index, rec.value, rec.node = out.Index, out.Value, p.n.i
				rec.answered = c.w.seq.Add(1)
			}
			if c.rng.IntN(8) > 0 {
				break
			}
		}
	}
	rec.refused = asked > 0 && asked == refused
	return rec
}

// change proposes a command under an operation id of the client's own.
func (c *client) change(cmd *pb.Command) {
	b, err := command.Encode(cmd)
	if err != nil {
		c.w.violation("%v", err)
		return
	}
	op := c.newOp()
	var first uint64
	rec := c.tries(func(ctx context.Context, p *proc) (cluster.Outcome, error) {
		if first == 0 {
			first = p.mail.Time()
		}
		return p.group.Propose(ctx, cluster.Proposal{Op: op, First: first, Command: b})
	})
	rec.op = op
	c.w.record(rec)
}

const dateBase = 1_000_000

// text is the message of a date.
func text(date int64) []byte {
	rng := rand.New(rand.NewPCG(uint64(date), 3))
	b := fmt.Appendf(nil, "Subject: %d\r\n\r\n", date)
	for range 40 + rng.IntN(400) {
		b = append(b, byte('a'+rng.IntN(26)))
	}
	if date%40 == 7 { // one that waits for a majority before it is proposed
		big := make([]byte, 300<<10)
		for i := 0; i < len(big); i += 8 {
			binary.LittleEndian.PutUint64(big[i:], rng.Uint64())
		}
		b = append(b, big...)
	}
	return b
}

// message has a message delivered or appended.
func (c *client) message() {
	c.sent++
	date := dateBase + int64(c.i)*100_000 + c.sent
	raw := text(date)
	m := commit.Message{Raw: raw, HeaderLen: bytes.Index(raw, []byte("\r\n\r\n")) + 4, Summary: []byte("summary")}
	place := commit.Placement{Flags: mailstore.Flags(c.rng.IntN(32)), InternalDate: time.Unix(date, 0).UTC()}
	to := commit.Recipient{Account: c.w.img.account, Placement: place}
	if c.rng.IntN(3) == 0 {
		to.Mailbox = boxName
	}
	op := c.newOp()
	var rec opRec
	if c.rng.IntN(5) == 0 { // an APPEND has no operation id that outlives the call
		rec.invoked = c.w.seq.Add(1)
		p := c.node()
		if p == nil {
			return
		}
		ctx, cancel := context.WithTimeout(p.ctx, 2*time.Second)
		a, err := p.look.Open(ctx, c.w.img.account)
		if err == nil {
			_, err = p.door.Append(ctx, a, mailstore.MailboxID(c.box()), []commit.AppendMessage{{Message: m, Placement: place}}, 0)
		}
		cancel()
		if err == nil && !p.dead.Load() {
			rec.answered, rec.node = c.w.seq.Add(1), p.n.i
		}
		p.leave()
	} else {
		rec = c.tries(func(ctx context.Context, p *proc) (out cluster.Outcome, err error) {
			return out, p.door.Deliver(ctx, op, &m, []commit.Recipient{to})[0]
		})
	}
	rec.date = date
	c.w.record(rec)
}

// read selects a mailbox on some node and looks at it: all of it, what changed
// since the last time, and one body.
func (c *client) read() {
	p := c.node()
	if p == nil {
		return
	}
	defer p.leave()
	ctx, cancel := context.WithTimeout(p.ctx, time.Second)
	defer cancel()
	begun := c.w.seq.Add(1)
	a, err := p.look.Open(ctx, c.w.img.account)
	if err == nil {
		err = a.Sync(ctx)
	}
	if err != nil {
		if !p.dead.Load() && !errors.Is(err, cluster.ErrUnavailable) && !errors.Is(err, cluster.ErrStopped) && !errors.Is(err, context.Canceled) {
			c.w.violation("node %d: a read index failed with %v", p.n.i, err)
		}
		return
	}
	v := a.Read()
	defer v.Close()
	index := v.Index()
	box := mailstore.MailboxID(c.box())
	mb, err := v.Mailbox(box)
	var ms []mailstore.Message
	if err == nil {
		err = v.Messages(box, []mailstore.Range{{First: 1, Last: 1<<32 - 1}}, func(m *mailstore.Message) error {
			ms = append(ms, *m)
			return nil
		})
	}
	var ch lookup.Changes
	old := c.cache[box]
	if old == nil {
		old = &cached{since: 1, rows: map[mailstore.UID]mailstore.Message{}}
		c.cache[box] = old
	}
	if err == nil {
		ch, err = v.Changes(box, old.since)
	}
	if p.dead.Load() {
		return // nobody was told
	}
	if err != nil {
		c.w.violation("node %d: reading mailbox %d: %v", p.n.i, box, err)
		return
	}
	c.w.saw(readRec{begun: begun, index: index, node: p.n.i, box: uint32(box), listing: listingOf(mb.UIDNext, ms)})
	c.resync(p, old, &ch, ms)
	if len(ms) > 0 {
		c.body(ctx, p, v, &ms[c.rng.IntN(len(ms))])
	}
}

// resync brings the cache up to date by what changed and compares it with the
// whole (RFC 7162 section 3.2: nothing may be missed).
func (c *client) resync(p *proc, old *cached, ch *lookup.Changes, ms []mailstore.Message) {
	if ch.Reset {
		c.w.violation("node %d: HIGHESTMODSEQ went back from %d to %d", p.n.i, old.since, ch.HighestModSeq)
		return
	}
	for _, r := range ch.Vanished {
		for u := r.First; u <= r.Last; u++ {
			delete(old.rows, u)
		}
	}
	for _, m := range ch.Messages {
		old.rows[m.UID] = m
	}
	old.since = ch.HighestModSeq
	same := len(old.rows) == len(ms)
	for i := range ms {
		o, ok := old.rows[ms[i].UID]
		same = same && ok && o.Flags == ms[i].Flags && o.ModSeq == ms[i].ModSeq && o.Content == ms[i].Content
	}
	if !same {
		c.w.violation("node %d: a client that was away has %d messages after its resync, the mailbox %d, or with other flags", p.n.i, len(old.rows), len(ms))
	}
}

func (c *client) body(ctx context.Context, p *proc, v *lookup.View, m *mailstore.Message) {
	content, err := v.Content(m.Content)
	if err == nil {
		var b *lookup.Body
		if b, err = v.OpenBody(ctx, content); err == nil {
			var got []byte
			got, err = io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
			err = errors.Join(err, b.Close())
			if err == nil && !bytes.Equal(got, text(m.InternalDate.Unix())) {
				err = errors.New("other bytes than were delivered")
			}
		}
	}
	switch {
	case err == nil || p.dead.Load() || ctx.Err() != nil:
	case errors.Is(err, mailstore.ErrExpunged), errors.Is(err, cluster.ErrUnavailable), errors.Is(err, cluster.ErrNotHere):
		// Expunged meanwhile, or on its way to this node; the end of the
		// schedule asks again.
	default:
		c.w.violation("node %d: body of message %d: %v", p.n.i, m.InternalDate.Unix(), err)
	}
}
