package check

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Outcome is what a client was answered.
type Outcome string

// The outcomes. Refused: provably nothing happened. Unknown: the connection
// was lost, or the answer leaves it open.
const (
	Answered Outcome = "answered"
	Refused  Outcome = "refused"
	Unknown  Outcome = "unknown"
)

// Kind is what a client did.
type Kind string

// The kinds. Modified is a conditional STORE that was refused because of its
// condition (RFC 7162 section 3.1.3).
const (
	Deliver  Kind = "deliver"
	Append   Kind = "append"
	Copy     Kind = "copy"
	Move     Kind = "move"
	Store    Kind = "store"
	Modified Kind = "modified"
	Expunge  Kind = "expunge"
	Look     Kind = "look"
	Fetch    Kind = "fetch"
)

// Place is a mailbox of an account.
type Place struct {
	Account string `json:"account"`
	Mailbox string `json:"mailbox"`
}

func (p Place) String() string { return p.Account + "/" + p.Mailbox }

// Flags is a set of flags, one bit each.
type Flags uint16

// The flags that clients of a run use.
const (
	Seen Flags = 1 << iota
	Flagged
	AnsweredFlag
	Draft
	Deleted
	KeywordA
	KeywordB
	allFlags = 1<<iota - 1
)

var flagNames = [...]string{`\Seen`, `\Flagged`, `\Answered`, `\Draft`, `\Deleted`, "kwa", "kwb"}

func (f Flags) String() string {
	var names []string
	for i, n := range flagNames {
		if f&(1<<i) != 0 {
			names = append(names, n)
		}
	}
	return strings.Join(names, " ")
}

// ParseFlag returns the bit of a flag as it came over the wire, 0 for \Recent,
// and an error for one that nobody set.
func ParseFlag(s string) (Flags, error) {
	for i, n := range flagNames {
		if strings.EqualFold(s, n) {
			return 1 << i, nil
		}
	}
	if strings.EqualFold(s, `\Recent`) {
		return 0, nil
	}
	return 0, fmt.Errorf("a flag nobody set: %q", s)
}

// Mode is how a STORE changes flags.
type Mode string

// The modes of STORE.
const (
	Set    Mode = "set"
	Add    Mode = "add"
	Remove Mode = "remove"
)

func (m Mode) apply(have, operand Flags) Flags {
	switch m {
	case Add:
		return have | operand
	case Remove:
		return have &^ operand
	}
	return operand
}

// Op is one operation of a client. Which fields count depends on Kind.
type Op struct {
	ID      int           `json:"id"`
	Client  string        `json:"client"`
	Node    string        `json:"node"`
	Kind    Kind          `json:"kind"`
	Start   time.Duration `json:"start"`
	End     time.Duration `json:"end"`
	Outcome Outcome       `json:"outcome"`
	Note    string        `json:"note,omitempty"` // how a failure was told

	// Msg is the message's name, the same for each copy of it.
	Msg string `json:"msg,omitempty"`
	// From is where the message was: of Copy, Move, Store, Modified, Expunge;
	// and UID its UID there.
	From Place  `json:"from,omitzero"`
	UID  uint32 `json:"uid,omitempty"`
	// To is where it is stored: of Deliver, Append, Copy, Move. A message is
	// stored in one place by one Op at most.
	To []Place `json:"to,omitempty"`
	// Later is set where the mailboxes are of several groups: one that failed
	// may be handed over and follow after the answer (but before a Rest).
	Later bool `json:"later,omitempty"`
	// ToUID is the UID it got there as the server told, 0 where it didn't.
	ToUID    uint32 `json:"to_uid,omitempty"`
	Validity uint32 `json:"validity,omitempty"` // that came with ToUID
	// Flags are those it is stored with, or the operand of Store.
	Flags Flags `json:"flags,omitempty"`
	Mode  Mode  `json:"mode,omitempty"`
	// Since is the condition UNCHANGEDSINCE of Store and Modified, 0 is none.
	Since uint64 `json:"since,omitempty"`
	// Told is what the answer of a STORE showed of the message.
	Told *Row `json:"told,omitempty"`
	// View is what a Look saw. The SELECT it began with came after Start.
	View *View `json:"view,omitempty"`
}

// Row is a message as a client saw it.
type Row struct {
	UID    uint32 `json:"uid"`
	Msg    string `json:"msg,omitempty"`
	Flags  Flags  `json:"flags"`
	ModSeq uint64 `json:"modseq"`
	// Bad says how its octets differ from what was stored.
	Bad string `json:"bad,omitempty"`
}

// View is a mailbox as a client saw it: every message, in the order of the
// sequence numbers.
type View struct {
	Validity uint32 `json:"validity"`
	Next     uint32 `json:"next"`
	Highest  uint64 `json:"highest"`
	Rows     []Row  `json:"rows"`
	// Rest is set when no other client was at work and no fault was left.
	Rest bool `json:"rest,omitempty"`
	// Kept is what a client that was away knew after it had caught up by
	// CHANGEDSINCE or QRESYNC, before it listed Rows in the same session, as
	// of the mod-sequence KeptAt and with UIDs below KeptNext.
	Kept     []Row  `json:"kept,omitempty"`
	KeptAt   uint64 `json:"kept_at,omitempty"`
	KeptNext uint32 `json:"kept_next,omitempty"`
}

// Fault is something that was done to the cluster.
type Fault struct {
	From time.Duration `json:"from"`
	To   time.Duration `json:"to"`
	Text string        `json:"text"`
	// Silent are nodes that had no majority in that time: they must not answer
	// a change or a SELECT.
	Silent []string `json:"silent,omitempty"`
}

// History is what happened in a run.
type History struct {
	Ops    []Op    `json:"ops"`
	Faults []Fault `json:"faults"`
	// Known maps UIDs of earlier parts of the run to messages, and the
	// UIDVALIDITY of mailboxes.
	Known    map[Place]map[uint32]string `json:"-"`
	Validity map[Place]uint32            `json:"-"`
}

// Violation is a broken promise.
type Violation struct {
	Rule  string        `json:"rule"`
	Place Place         `json:"place,omitzero"`
	Msg   string        `json:"msg,omitempty"`
	UID   uint32        `json:"uid,omitempty"`
	At    time.Duration `json:"at"`
	Text  string        `json:"text"`
}

func (v Violation) String() string {
	s := v.Rule + ": "
	if v.Place != (Place{}) {
		s += v.Place.String() + ": "
	}
	return fmt.Sprintf("%s%s (at %.3fs)", s, v.Text, v.At.Seconds())
}

// copyOf is one message in one place.
type copyOf struct {
	place Place
	msg   string
}

// index is a History sorted out.
type index struct {
	h      *History
	create map[copyOf]*Op
	remove map[copyOf][]*Op
	stores map[copyOf][]*Op
	looks  map[Place][]*Op // by Start
	told   map[Place][]*Op // creates whose UID was told
}

func newIndex(h *History) *index {
	x := &index{
		h: h, create: map[copyOf]*Op{}, remove: map[copyOf][]*Op{}, stores: map[copyOf][]*Op{},
		looks: map[Place][]*Op{}, told: map[Place][]*Op{},
	}
	for i := range h.Ops {
		op := &h.Ops[i]
		for _, to := range op.To {
			x.create[copyOf{to, op.Msg}] = op
			if op.ToUID != 0 {
				x.told[to] = append(x.told[to], op)
			}
		}
		from := copyOf{op.From, op.Msg}
		switch op.Kind {
		case Move, Expunge:
			x.remove[from] = append(x.remove[from], op)
		case Store, Modified:
			x.stores[from] = append(x.stores[from], op)
		case Look:
			if op.View != nil {
				x.looks[op.From] = append(x.looks[op.From], op)
			}
		}
	}
	for _, l := range x.looks {
		slices.SortFunc(l, func(a, b *Op) int { return int(a.Start - b.Start) })
	}
	return x
}

// All applies every rule and returns what is broken, at most 200 violations,
// the earliest first.
func All(h *History) []Violation {
	x := newIndex(h)
	var out []Violation
	for _, rule := range []func(*index) []Violation{
		presence, once, octets, uids, order, counters, flags, modseqs, caughtUp, silence, halves,
	} {
		out = append(out, rule(x)...)
	}
	slices.SortStableFunc(out, func(a, b Violation) int { return int(a.At - b.At) })
	return out[:min(len(out), 200)]
}

// aroundOthers is how many operations on other messages of the mailbox Around
// returns at most.
const aroundOthers = 40

// Around returns what belongs to a violation: operations on its message, the
// nearest ones on its mailbox within 2 s of the moments the message was touched
// or missed, and the faults of that time.
func Around(h *History, v Violation) (ops []Op, faults []Fault) {
	const near = 2 * time.Second
	from, to := v.At-near, v.At+near
	touches := func(op *Op) bool {
		if v.Msg != "" && op.Msg == v.Msg {
			return true
		}
		if op.View == nil || op.From != v.Place {
			return false
		}
		return slices.ContainsFunc(op.View.Rows, func(r Row) bool {
			return v.Msg != "" && r.Msg == v.Msg || v.UID != 0 && r.UID == v.UID
		})
	}
	slim := func(op Op) Op {
		if op.View == nil {
			return op
		}
		w := *op.View
		mine := func(rows []Row) (out []Row) {
			for _, r := range rows {
				if v.Msg != "" && r.Msg == v.Msg || v.UID != 0 && r.UID == v.UID {
					out = append(out, r)
				}
			}
			return out
		}
		w.Rows, w.Kept = mine(w.Rows), mine(w.Kept)
		op.View = &w
		return op
	}
	var spans [][2]time.Duration
	spans = append(spans, [2]time.Duration{from, to})
	for i := range h.Ops {
		op := &h.Ops[i]
		if v.Msg != "" && op.Msg == v.Msg {
			spans = append(spans, [2]time.Duration{op.Start - near, op.End + near})
		}
	}
	in := func(a, b time.Duration) bool {
		return slices.ContainsFunc(spans, func(s [2]time.Duration) bool { return a <= s[1] && b >= s[0] })
	}
	var others []Op
	for i := range h.Ops {
		op := &h.Ops[i]
		here := op.From == v.Place || slices.Contains(op.To, v.Place)
		switch {
		case touches(op):
			ops = append(ops, slim(*op))
		case here && in(op.Start, op.End):
			others = append(others, slim(*op))
		}
	}
	away := func(op Op) time.Duration { return (op.Start - v.At).Abs() }
	slices.SortStableFunc(others, func(a, b Op) int { return int(away(a) - away(b)) })
	ops = append(ops, others[:min(len(others), aroundOthers)]...)
	slices.SortFunc(ops, func(a, b Op) int { return int(a.Start - b.Start) })
	for _, f := range h.Faults {
		if in(f.From, f.To) {
			faults = append(faults, f)
		}
	}
	return ops, faults
}
