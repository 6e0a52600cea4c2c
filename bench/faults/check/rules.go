package check

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// sightings of one message in one place, in the order of the looks.
type sighting struct {
	look *Op
	row  *Row // nil: it was not there
}

// eachCopy calls f for every message of every place with all looks at it.
func (x *index) eachCopy(f func(c copyOf, s []sighting)) {
	for place, looks := range x.looks {
		seen := map[string][]sighting{}
		for c, op := range x.create {
			if c.place == place && op != nil {
				seen[c.msg] = nil
			}
		}
		at := make([]map[string]*Row, len(looks))
		for i, l := range looks {
			at[i] = map[string]*Row{}
			for j := range l.View.Rows {
				r := &l.View.Rows[j]
				at[i][r.Msg] = r
				seen[r.Msg] = nil
			}
		}
		for msg := range seen {
			s := make([]sighting, len(looks))
			for i, l := range looks {
				s[i] = sighting{l, at[i][msg]}
			}
			f(copyOf{place, msg}, s)
		}
	}
}

// presence: what was answered is there until it is removed, and stays away
// after; what was refused never is; nothing is there that nobody stored. What
// one client saw, a later SELECT anywhere shows too.
func presence(x *index) (out []Violation) {
	x.eachCopy(func(c copyOf, seen []sighting) {
		bad := func(l *Op, uid uint32, format string, a ...any) {
			out = append(out, Violation{
				Rule: "presence", Place: c.place, Msg: c.msg, UID: uid, At: l.Start,
				Text: fmt.Sprintf("%s: ", c.msg) + fmt.Sprintf(format, a...) + fmt.Sprintf(" (look %d at %s)", l.ID, l.Node),
			})
		}
		op := x.create[c]
		removes := x.remove[c]
		// there is from when on it is known to have been there.
		there := time.Duration(math.MaxInt64)
		if op != nil && op.Outcome == Answered && !op.Later {
			there = op.End
		}
		for _, s := range seen {
			if s.row != nil {
				there = min(there, s.look.End)
			}
		}
		for i, s := range seen {
			l := s.look
			if s.row != nil {
				switch {
				case op == nil:
					bad(l, s.row.UID, "nobody stored it here")
				case op.Outcome == Refused:
					bad(l, s.row.UID, "storing it was refused (op %d) and it is there", op.ID)
				case op.Start > l.End:
					bad(l, s.row.UID, "it is there before it was stored (op %d)", op.ID)
				}
				for _, r := range removes {
					if r.Outcome == Answered && r.End < l.Start {
						bad(l, s.row.UID, "its removal was answered (op %d) and it is there", r.ID)
					}
				}
				// Once gone after it was there, it stays gone.
				for _, e := range seen[:i] {
					if e.row == nil && e.look.End < l.Start && there < e.look.Start {
						bad(l, s.row.UID, "it was gone in look %d and is back", e.look.ID)
						break
					}
				}
				continue
			}
			if slices.ContainsFunc(removes, func(r *Op) bool { return r.Outcome != Refused && r.Start < l.End }) {
				continue
			}
			if op != nil && op.Outcome == Answered && op.End < l.Start && (!op.Later || l.View.Rest) {
				bad(l, op.ToUID, "storing it was answered (op %d by %s at %s) and it is not there", op.ID, op.Client, op.Node)
				continue
			}
			for _, e := range seen[:i] {
				if e.row != nil && e.look.End < l.Start {
					bad(l, e.row.UID, "it was seen in look %d and is not there", e.look.ID)
					break
				}
			}
		}
	})
	return out
}

// once: no message is twice in a mailbox.
func once(x *index) (out []Violation) {
	for place, looks := range x.looks {
		for _, l := range looks {
			first := map[string]uint32{}
			for _, r := range l.View.Rows {
				if uid, twice := first[r.Msg]; twice {
					out = append(out, Violation{
						Rule: "once", Place: place, Msg: r.Msg, UID: r.UID, At: l.Start,
						Text: fmt.Sprintf("%s is there as UID %d and %d (look %d at %s)", r.Msg, uid, r.UID, l.ID, l.Node),
					})
				}
				first[r.Msg] = r.UID
			}
		}
	}
	return out
}

// octets: a message comes back as it was stored.
func octets(x *index) (out []Violation) {
	judge := func(op *Op, r *Row) {
		if r.Bad != "" {
			out = append(out, Violation{
				Rule: "octets", Place: op.From, Msg: r.Msg, UID: r.UID, At: op.Start,
				Text: fmt.Sprintf("UID %d (%s): %s (op %d at %s)", r.UID, r.Msg, r.Bad, op.ID, op.Node),
			})
		}
	}
	for i := range x.h.Ops {
		op := &x.h.Ops[i]
		if op.Kind == Fetch && op.Told != nil {
			judge(op, op.Told)
		}
		if op.View != nil {
			for j := range op.View.Rows {
				judge(op, &op.View.Rows[j])
			}
		}
	}
	return out
}

// uids: UIDVALIDITY is constant, sequence numbers follow UIDs, and a UID is of
// one message for ever, a message in a mailbox of one UID.
func uids(x *index) (out []Violation) {
	places := maps.Clone(x.h.Validity)
	if places == nil {
		places = map[Place]uint32{}
	}
	owner := map[Place]map[uint32]string{}
	number := map[copyOf]uint32{}
	for p, m := range x.h.Known {
		owner[p] = maps.Clone(m)
		for uid, msg := range m {
			number[copyOf{p, msg}] = uid
		}
	}
	claim := func(p Place, validity, uid uint32, msg string, op *Op) {
		bad := func(format string, a ...any) {
			out = append(out, Violation{
				Rule: "uids", Place: p, Msg: msg, UID: uid, At: op.Start,
				Text: fmt.Sprintf(format, a...) + fmt.Sprintf(" (op %d at %s)", op.ID, op.Node),
			})
		}
		if was, ok := places[p]; ok && was != validity {
			bad("UIDVALIDITY was %d and is %d", was, validity)
		} else {
			places[p] = validity
		}
		if uid == 0 {
			return
		}
		if owner[p] == nil {
			owner[p] = map[uint32]string{}
		}
		if was, ok := owner[p][uid]; ok && was != msg {
			bad("UID %d was %s and is %s", uid, was, msg)
		}
		owner[p][uid] = msg
		c := copyOf{p, msg}
		if was, ok := number[c]; ok && was != uid {
			bad("%s was UID %d and is UID %d", msg, was, uid)
		}
		number[c] = uid
	}
	for i := range x.h.Ops {
		op := &x.h.Ops[i]
		if op.ToUID != 0 && len(op.To) == 1 {
			claim(op.To[0], op.Validity, op.ToUID, op.Msg, op)
		}
		if op.View == nil {
			continue
		}
		claim(op.From, op.View.Validity, 0, "", op)
		var last uint32
		for _, r := range op.View.Rows {
			claim(op.From, op.View.Validity, r.UID, r.Msg, op)
			if r.UID <= last {
				out = append(out, Violation{
					Rule: "uids", Place: op.From, Msg: r.Msg, UID: r.UID, At: op.Start,
					Text: fmt.Sprintf("UID %d comes after UID %d in the order of sequence numbers (op %d at %s)", r.UID, last, op.ID, op.Node),
				})
			}
			last = r.UID
		}
	}
	return out
}

// order: of two messages, the one whose storing began after the other's was
// answered has the higher UID; and it has at least any UIDNEXT told before.
func order(x *index) (out []Violation) {
	type born struct {
		op  *Op
		uid uint32
	}
	all := map[Place][]born{}
	number := map[copyOf]uint32{}
	for place, looks := range x.looks {
		for _, l := range looks {
			for _, r := range l.View.Rows {
				number[copyOf{place, r.Msg}] = r.UID
			}
		}
	}
	for place, ops := range x.told {
		for _, op := range ops {
			number[copyOf{place, op.Msg}] = op.ToUID
		}
	}
	for c, uid := range number {
		if op := x.create[c]; op != nil {
			all[c.place] = append(all[c.place], born{op, uid})
		}
	}
	type floor struct {
		at  time.Duration // from when on it holds
		min uint32        // every later UID is higher than this
		why string
	}
	for place, list := range all {
		var floors []floor
		for _, b := range list {
			if b.op.Outcome == Answered && !b.op.Later {
				floors = append(floors, floor{b.op.End, b.uid, fmt.Sprintf("%s was answered (op %d) as UID %d", b.op.Msg, b.op.ID, b.uid)})
			}
		}
		for _, l := range x.looks[place] {
			floors = append(floors, floor{l.End, max(l.View.Next, 1) - 1, fmt.Sprintf("look %d told UIDNEXT %d", l.ID, l.View.Next)})
		}
		slices.SortFunc(floors, func(a, b floor) int { return int(a.at - b.at) })
		slices.SortFunc(list, func(a, b born) int { return int(a.op.Start - b.op.Start) })
		var highest floor
		for _, b := range list {
			for len(floors) > 0 && floors[0].at < b.op.Start {
				if floors[0].min >= highest.min {
					highest = floors[0]
				}
				floors = floors[1:]
			}
			if b.uid <= highest.min {
				out = append(out, Violation{
					Rule: "order", Place: place, Msg: b.op.Msg, UID: b.uid, At: b.op.Start,
					Text: fmt.Sprintf("%s (op %d) got UID %d after %s", b.op.Msg, b.op.ID, b.uid, highest.why),
				})
			}
		}
	}
	return out
}

// counters: UIDNEXT and HIGHESTMODSEQ never go down from one look to a later.
func counters(x *index) (out []Violation) {
	for place, looks := range x.looks {
		byEnd := slices.SortedFunc(slices.Values(looks), func(a, b *Op) int { return int(a.End - b.End) })
		var next uint32
		var highest uint64
		for _, l := range looks {
			for len(byEnd) > 0 && byEnd[0].End < l.Start {
				next, highest = max(next, byEnd[0].View.Next), max(highest, byEnd[0].View.Highest)
				byEnd = byEnd[1:]
			}
			if l.View.Next < next || l.View.Highest < highest {
				out = append(out, Violation{
					Rule: "counters", Place: place, At: l.Start,
					Text: fmt.Sprintf("UIDNEXT %d and HIGHESTMODSEQ %d after %d and %d were told (look %d at %s)", l.View.Next, l.View.Highest, next, highest, l.ID, l.Node),
				})
			}
		}
	}
	return out
}

// caughtUp: a client that caught up by what changed knows what a full listing
// shows.
func caughtUp(x *index) (out []Violation) {
	for place, looks := range x.looks {
		for _, l := range looks {
			v := l.View
			if v.KeptAt == 0 {
				continue
			}
			bad := func(uid uint32, format string, a ...any) {
				out = append(out, Violation{
					Rule: "caught up", Place: place, UID: uid, At: l.Start,
					Text: fmt.Sprintf("UID %d: ", uid) + fmt.Sprintf(format, a...) + fmt.Sprintf(" (look %d of %s at %s)", l.ID, l.Client, l.Node),
				})
			}
			kept := map[uint32]Row{}
			for _, r := range v.Kept {
				kept[r.UID] = r
			}
			for _, r := range v.Rows {
				k, ok := kept[r.UID]
				delete(kept, r.UID)
				switch {
				case r.ModSeq > v.KeptAt || r.UID >= v.KeptNext:
					// It changed or came after.
				case !ok:
					bad(r.UID, "the listing shows it, the client that caught up to %d does not know it", v.KeptAt)
				case k.Flags != r.Flags:
					bad(r.UID, "the listing shows (%s) at %d, the client that caught up to %d knows (%s) at %d", r.Flags, r.ModSeq, v.KeptAt, k.Flags, k.ModSeq)
				}
			}
			for uid := range kept {
				bad(uid, "the client that caught up to %d knows it, the listing does not show it", v.KeptAt)
			}
		}
	}
	return out
}

// silence: without a majority nothing is answered.
func silence(x *index) (out []Violation) {
	for _, f := range x.h.Faults {
		if len(f.Silent) == 0 {
			continue
		}
		for i := range x.h.Ops {
			op := &x.h.Ops[i]
			if op.Outcome == Answered && op.Kind != Fetch && op.Start > f.From && op.End < f.To && slices.Contains(f.Silent, op.Node) {
				place := op.From
				if len(op.To) > 0 {
					place = op.To[0]
				}
				out = append(out, Violation{
					Rule: "silence", Place: place, Msg: op.Msg, At: op.Start,
					Text: fmt.Sprintf("%s (op %d) was answered at %s, which had no majority: %s", op.Kind, op.ID, op.Node, f.Text),
				})
			}
		}
	}
	return out
}

// halves: at rest, a message that a MOVE without an answer was about is in one
// of the two mailboxes.
func halves(x *index) (out []Violation) {
	rest := func(p Place) *Op {
		for _, l := range slices.Backward(x.looks[p]) {
			if l.View.Rest {
				return l
			}
		}
		return nil
	}
	has := func(l *Op, msg string) bool {
		return slices.ContainsFunc(l.View.Rows, func(r Row) bool { return r.Msg == msg })
	}
	for i := range x.h.Ops {
		op := &x.h.Ops[i]
		if op.Kind != Move || op.Outcome != Unknown {
			continue
		}
		src, dst := copyOf{op.From, op.Msg}, copyOf{op.To[0], op.Msg}
		if len(x.remove[src]) > 1 || len(x.remove[dst]) > 0 || x.create[src] == nil || x.create[src].Outcome != Answered {
			continue
		}
		a, b := rest(op.From), rest(op.To[0])
		if a == nil || b == nil || a.Start < op.Start || b.Start < op.Start {
			continue
		}
		if x, y := has(a, op.Msg), has(b, op.Msg); x == y {
			out = append(out, Violation{
				Rule: "halves", Place: op.From, Msg: op.Msg, UID: op.UID, At: op.Start,
				Text: fmt.Sprintf("%s: a MOVE without an answer (op %d) left it in the source: %v, in the target: %v", op.Msg, op.ID, x, y),
			})
		}
	}
	return out
}
