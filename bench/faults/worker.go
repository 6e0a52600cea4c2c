package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"altmail.se/altmail/bench/faults/check"
	"altmail.se/altmail/bench/faults/client"
)

// The mailboxes of each account. Deliveries come to INBOX; storers and
// watchers of changes live in Flags; what one client appends to Work it alone
// copies or moves to Done.
var mailboxes = []string{"INBOX", "Flags", "Work", "Done"}

// load is the set of clients that work on a cluster.
type load struct {
	c      *Cluster
	rec    *recorder
	seed   uint64
	think  time.Duration // mean pause of a client between operations
	groups map[string]uint32

	// gate is held by each client during an operation, and by who wants rest.
	gate sync.RWMutex
	stop context.CancelFunc
	bg   sync.WaitGroup

	mu       sync.Mutex
	nodes    []*Node // where clients connect
	watchers []*watcher
}

// serving sets the nodes that clients connect to.
func (l *load) serving(nodes []*Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes = slices.Clone(nodes)
}

func (l *load) pick(r *rand.Rand) *Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nodes[r.IntN(len(l.nodes))]
}

// start lets the clients work until pause or end.
func (l *load) start() {
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	id := uint64(0)
	run := func(name string, a Account, step func(*worker)) {
		id++
		w := &worker{load: l, name: name, account: a, rng: rand.New(rand.NewPCG(l.seed, id))}
		l.bg.Go(func() { w.run(ctx, step) })
	}
	for i, a := range l.c.Accounts {
		who := func(what string) string { return fmt.Sprintf("%s%d", what, i+1) }
		run(who("deliverer"), a, (*worker).deliver)
		run(who("appender"), a, (*worker).append)
		run(who("storer"), a, (*worker).store)
		run(who("storer'"), a, (*worker).store)
		run(who("mover"), a, (*worker).move)
		run(who("expunger"), a, (*worker).expunge)
		run(who("absent"), a, (*worker).comeBack)
		run(who("reader"), a, (*worker).read)
		run(who("twonodes"), a, (*worker).twoNodes)
		id++
		w := &watcher{load: l, account: a, rng: rand.New(rand.NewPCG(l.seed, id))}
		l.watchers = append(l.watchers, w)
		l.bg.Go(func() { w.run(ctx) })
	}
}

// rest keeps all clients from doing anything until the result is called.
func (l *load) rest() (resume func()) {
	l.gate.Lock()
	return l.gate.Unlock
}

// end stops the clients for good.
func (l *load) end() {
	l.stop()
	l.bg.Wait()
}

// worker is one client.
type worker struct {
	*load
	name    string
	account Account
	rng     *rand.Rand

	node *Node
	imap *client.IMAP
	uses int                    // of this session
	rows map[string][]check.Row // as last seen, by mailbox
	used map[string]bool        // of Work: copied, moved or expunged
	have map[string]check.Flags // of Work: flags it was appended with
	kept map[string]*replica    // of a client that comes and goes
}

func (w *worker) run(ctx context.Context, step func(*worker)) {
	defer w.drop()
	w.rows, w.used, w.have, w.kept = map[string][]check.Row{}, map[string]bool{}, map[string]check.Flags{}, map[string]*replica{}
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		w.gate.RLock()
		if ctx.Err() == nil {
			step(w)
		}
		w.gate.RUnlock()
		t.Reset(w.think/4 + time.Duration(w.rng.Int64N(int64(w.think)*3/2)))
	}
}

// drop ends the session.
func (w *worker) drop() {
	if w.imap != nil {
		// What ends is not asked how.
		_ = w.imap.Close()
	}
	w.imap, w.node, w.uses = nil, nil, 0
}

// session gives a session at some node, the one there is as often as not.
func (w *worker) session() bool {
	if w.uses++; w.imap != nil && w.uses > 10 && w.rng.IntN(20) == 0 {
		w.drop()
	}
	if w.imap != nil {
		return true
	}
	n := w.pick(w.rng)
	c, err := client.DialIMAP(n.IMAP, w.account.Address, w.account.Password, answerTime)
	if err != nil {
		return false
	}
	w.node, w.imap = n, c
	return true
}

// failed tells the outcome of a command of the session that ended with an
// error, and drops sessions that are of no use any more.
func (w *worker) failed(err error) check.Outcome {
	if err == nil {
		return check.Answered
	}
	var se *client.StatusError
	if !errors.As(err, &se) || se.Kind == "BYE" {
		w.drop()
		return check.Unknown
	}
	if client.Refused(err) {
		return check.Refused
	}
	// A node that says UNAVAILABLE may be cut off: others may not.
	w.drop()
	return check.Unknown
}

func (w *worker) place(box string) check.Place {
	return check.Place{Account: w.account.Address, Mailbox: box}
}

// op begins an operation; done records it.
func (w *worker) op(k check.Kind) (op check.Op, done func(check.Op, error, check.Outcome) *check.Op) {
	node := ""
	if w.node != nil {
		node = w.node.Name
	}
	op = check.Op{Client: w.name, Node: node, Kind: k, Start: w.rec.now()}
	return op, func(op check.Op, err error, o check.Outcome) *check.Op {
		op.End, op.Outcome = w.rec.now(), o
		if err != nil {
			op.Note = err.Error()
		}
		op.ID = w.rec.add(op)
		return &op
	}
}

func (w *worker) size() int {
	if w.rng.IntN(60) == 0 {
		return 300_000
	}
	return 300 + w.rng.IntN(5000)
}

// deliver sends a message to its account, now and then to others as well.
func (w *worker) deliver() {
	to := []string{w.account.Address}
	if w.rng.IntN(5) == 0 {
		for _, a := range w.c.Accounts {
			if a != w.account && w.rng.IntN(2) == 0 {
				to = append(to, a.Address)
			}
		}
	}
	w.deliverTo(w.pick(w.rng), to)
}

func (w *worker) deliverTo(n *Node, to []string) bool {
	name := w.rec.name()
	groups := map[uint32]bool{}
	for _, a := range to {
		groups[w.groups[a]] = true
	}
	op, done := w.op(check.Deliver)
	op.Node, op.Msg, op.Later = n.Name, name, len(groups) > 1
	lmtp := w.rng.IntN(3) == 0
	addr := n.SMTP
	if lmtp {
		addr = n.LMTP
	}
	answers := client.Deliver(addr, lmtp, to, client.Octets(name, w.size()), answerTime)
	verdict := func(a client.Answer) check.Outcome {
		switch {
		case a.Done:
			return check.Answered
		case a.Refused:
			return check.Refused
		}
		return check.Unknown
	}
	inbox := func(a string) check.Place { return check.Place{Account: a, Mailbox: "INBOX"} }
	if lmtp {
		for i, a := range answers {
			op.To = []check.Place{inbox(to[i])}
			done(op, a.Err, verdict(a))
		}
	} else {
		for _, a := range to {
			op.To = append(op.To, inbox(a))
		}
		done(op, answers[0].Err, verdict(answers[0]))
	}
	return answers[0].Done
}

var usualFlags = []check.Flags{check.Seen, check.Flagged, check.AnsweredFlag, check.Draft, check.KeywordA, check.KeywordB}

func (w *worker) flags() check.Flags {
	var f check.Flags
	for _, x := range usualFlags {
		if w.rng.IntN(3) == 0 {
			f |= x
		}
	}
	return f
}

func (w *worker) append() {
	if w.session() {
		w.appendTo("Flags")
	}
}

func (w *worker) appendTo(box string) (uint32, check.Flags, string, bool) {
	op, done := w.op(check.Append)
	op.Msg, op.To, op.Flags = w.rec.name(), []check.Place{w.place(box)}, w.flags()
	var err error
	op.Validity, op.ToUID, err = w.imap.Append(box, flagNames(op.Flags), client.Octets(op.Msg, w.size()))
	o := w.failed(err)
	done(op, err, o)
	return op.ToUID, op.Flags, op.Msg, o == check.Answered
}

// look opens a mailbox and lists it, all octets included if they are asked
// for, and records what it saw.
func (w *worker) look(box string, bodies, rest bool) (*check.Op, error) {
	op, done := w.op(check.Look)
	op.From = w.place(box)
	sel, err := w.imap.Select(box, "CONDSTORE")
	if err != nil {
		w.failed(err)
		return nil, err
	}
	v := &check.View{Validity: sel.Validity, Next: sel.Next, Highest: sel.Highest, Rest: rest}
	if sel.Exists > 0 {
		if v.Rows, err = w.list(box, bodies); err != nil {
			w.failed(err)
			return nil, err
		}
	}
	op.View = v
	w.rows[box] = v.Rows
	return done(op, nil, check.Answered), nil
}

// list lists the open mailbox.
func (w *worker) list(box string, bodies bool) ([]check.Row, error) {
	item := "BODY.PEEK[HEADER.FIELDS (SUBJECT)]"
	if bodies {
		item = "BODY.PEEK[]"
	}
	got, err := w.imap.Fetch("1:*", "UID FLAGS MODSEQ "+item, "")
	if err != nil {
		return nil, err
	}
	var rows []check.Row
	for _, f := range got {
		if f.Data == nil {
			continue // it tells of a change made elsewhere
		}
		rows = append(rows, row(&f, box, bodies))
	}
	return rows, nil
}

// row is what a FETCH response says.
func row(f *client.Fetched, box string, bodies bool) check.Row {
	r := check.Row{UID: f.UID, ModSeq: f.ModSeq}
	for _, s := range f.Flags {
		x, err := check.ParseFlag(s)
		if err != nil {
			r.Bad = err.Error()
		}
		r.Flags |= x
	}
	switch {
	case f.Data == nil:
	case bodies:
		var bad string
		if r.Msg, bad = client.Judge(f.Data, box == "INBOX"); bad != "" {
			r.Bad = bad
		}
	default:
		r.Msg = client.Header(f.Data, "Subject")
	}
	return r
}

// flagNames are flags as they go over the wire.
func flagNames(f check.Flags) []string {
	if f == 0 {
		return nil
	}
	return []string{f.String()}
}

// read looks into a mailbox and reads one message in full.
func (w *worker) read() {
	if !w.session() {
		return
	}
	box := mailboxes[w.rng.IntN(len(mailboxes))]
	l, err := w.look(box, false, false)
	if err != nil || len(l.View.Rows) == 0 {
		return
	}
	uid := l.View.Rows[w.rng.IntN(len(l.View.Rows))].UID
	op, done := w.op(check.Fetch)
	op.From, op.UID = w.place(box), uid
	got, err := w.imap.Fetch(fmt.Sprint(uid), "UID BODY.PEEK[]", "")
	if err != nil {
		w.failed(err)
		return
	}
	for _, f := range got {
		if f.UID == uid && f.Data != nil {
			r := row(&f, box, true)
			op.Told, op.Msg = &r, r.Msg
			done(op, nil, check.Answered)
		}
	}
}

// twoNodes changes something at one node and looks for it at another.
func (w *worker) twoNodes() {
	if w.rng.IntN(2) == 0 {
		if w.deliverTo(w.pick(w.rng), []string{w.account.Address}) && w.session() {
			_, _ = w.look("INBOX", false, false) // what it saw is recorded
		}
		return
	}
	if !w.session() {
		return
	}
	if _, _, _, ok := w.appendTo("Flags"); ok {
		w.drop()
		if w.session() {
			_, _ = w.look("Flags", false, false)
		}
	}
}

// store changes flags of messages it saw before, at times under a condition.
func (w *worker) store() {
	box := "Flags"
	if w.rng.IntN(4) == 0 {
		box = "INBOX"
	}
	if !w.session() {
		return
	}
	l, err := w.look(box, false, false)
	if err != nil || len(l.View.Rows) == 0 {
		return
	}
	for range 1 + w.rng.IntN(8) {
		i := w.rng.IntN(len(l.View.Rows))
		r := &l.View.Rows[i]
		op, done := w.op(check.Store)
		op.Msg, op.From, op.UID, op.Flags = r.Msg, w.place(box), r.UID, w.flags()
		op.Mode = []check.Mode{check.Set, check.Add, check.Remove}[w.rng.IntN(3)]
		verb := map[check.Mode]string{check.Set: "FLAGS", check.Add: "+FLAGS", check.Remove: "-FLAGS"}[op.Mode]
		if w.rng.IntN(4) == 0 && r.ModSeq > 1 {
			op.Since = r.ModSeq - uint64(w.rng.IntN(2))
		}
		shown, modified, err := w.imap.Store(r.UID, verb, flagNames(op.Flags), op.Since)
		o := w.failed(err)
		if modified {
			op.Kind = check.Modified
		}
		if shown != nil && !modified {
			x := row(shown, box, false)
			x.Msg = r.Msg
			op.Told = &x
		}
		done(op, err, o)
		if err != nil {
			return
		}
	}
}

// move appends to Work and copies or moves from there to Done, or expunges.
func (w *worker) move() {
	if !w.session() {
		return
	}
	if w.rng.IntN(3) == 0 || len(w.rows["Work"]) == 0 {
		_, f, msg, ok := w.appendTo("Work")
		w.have[msg] = f
		if !ok || w.imap == nil {
			return
		}
	}
	l, err := w.look("Work", false, false)
	if err != nil {
		return
	}
	rows := slices.DeleteFunc(slices.Clone(l.View.Rows), func(r check.Row) bool {
		_, mine := w.have[r.Msg]
		return !mine || w.used[r.Msg]
	})
	if len(rows) == 0 {
		return
	}
	w.rng.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	rows = rows[:1+w.rng.IntN(min(4, len(rows)))]
	if w.rng.IntN(4) == 0 {
		w.expungeRow("Work", rows[0])
		return
	}
	kind := check.Copy
	if w.rng.IntN(2) == 0 {
		kind = check.Move
	}
	op, done := w.op(kind)
	var set []uint32
	for _, r := range rows {
		set = append(set, r.UID)
		w.used[r.Msg] = true
	}
	got, err := w.imap.Copy(kind == check.Move, client.FormatSet(set), "Done")
	o := w.failed(err)
	told := map[uint32]uint32{}
	if got != nil {
		for i, u := range got.From {
			told[u] = got.To[i]
		}
	}
	for _, r := range rows {
		op.Msg, op.From, op.UID, op.To, op.Flags = r.Msg, w.place("Work"), r.UID, []check.Place{w.place("Done")}, w.have[r.Msg]
		op.ToUID = told[r.UID]
		if got != nil {
			op.Validity = got.Validity
		}
		oo := o
		if o == check.Answered && op.ToUID == 0 {
			oo = check.Unknown // it was gone already, as far as the answer tells
		}
		done(op, err, oo)
	}
}

// expunge removes one message of some mailbox.
func (w *worker) expunge() {
	if !w.session() || w.rng.IntN(2) == 0 {
		return
	}
	box := []string{"INBOX", "Flags", "Done"}[w.rng.IntN(3)]
	l, err := w.look(box, false, false)
	if err != nil || len(l.View.Rows) == 0 {
		return
	}
	w.expungeRow(box, l.View.Rows[w.rng.IntN(len(l.View.Rows))])
}

// expungeRow marks a message of the open mailbox and expunges it. It counts as
// removed only if it is gone for the session after: somebody else may have
// taken the mark off.
func (w *worker) expungeRow(box string, r check.Row) {
	w.used[r.Msg] = true
	op, done := w.op(check.Store)
	op.Msg, op.From, op.UID, op.Mode, op.Flags = r.Msg, w.place(box), r.UID, check.Add, check.Deleted
	_, _, err := w.imap.Store(r.UID, "+FLAGS", flagNames(op.Flags), 0)
	o := w.failed(err)
	done(op, err, o)
	if o != check.Answered {
		return
	}
	op, done = w.op(check.Expunge)
	op.Msg, op.From, op.UID = r.Msg, w.place(box), r.UID
	err = w.imap.Expunge(fmt.Sprint(r.UID))
	o = w.failed(err)
	if o == check.Answered {
		left, serr := w.imap.Search(fmt.Sprintf("UID %d", r.UID))
		if err = serr; err != nil || len(left) > 0 {
			o = check.Unknown
			w.failed(err)
		}
	}
	done(op, err, o)
}
