package check

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// register is a message's flags and mod-sequence as a linearizable register.
type register struct {
	flags Flags
	// modseq is its mod-sequence if exact, else a lower bound.
	modseq uint64
	exact  bool
}

// access is one operation on a register.
type access struct {
	op   *Op
	read *Row // what it saw; nil for a write
	// void: the message may have been gone, so that OK tells nothing.
	void bool
}

func (a access) String() string {
	if a.read != nil {
		return fmt.Sprintf("op %d saw (%s) at %d", a.op.ID, a.read.Flags, a.read.ModSeq)
	}
	return fmt.Sprintf("op %d %s %s (%s) since %d", a.op.ID, a.op.Kind, a.op.Mode, a.op.Flags, a.op.Since)
}

var model = porcupine.Model{
	Step: func(state, input, _ any) (bool, any) {
		s, a := state.(register), input.(access)
		if a.read != nil {
			r := a.read
			if r.Flags != s.flags || r.ModSeq != 0 && (r.ModSeq < s.modseq || s.exact && r.ModSeq != s.modseq) {
				return false, s
			}
			if r.ModSeq != 0 {
				s.modseq, s.exact = r.ModSeq, true
			}
			return true, s
		}
		op := a.op
		if op.Since != 0 {
			newer := s.modseq > op.Since
			switch {
			case op.Kind == Modified:
				return newer || !s.exact || a.void, s
			case newer && op.Outcome == Answered && !a.void:
				return false, s
			case newer:
				return true, s // its condition failed and nobody was told
			}
		}
		after := op.Mode.apply(s.flags, op.Flags)
		if after != s.flags {
			s.modseq++
		}
		s.flags, s.exact = after, false
		return true, s
	},
	DescribeOperation: func(input, _ any) string { return input.(access).String() },
}

// registerTime bounds the search for an order of one message's STOREs; one
// that takes longer proves nothing and is let be.
const registerTime = 3 * time.Second

// flags: what was seen of a message's flags and mod-sequence is explained by
// some order of the STOREs, each between its start and its answer.
func flags(x *index) (out []Violation) {
	x.eachCopy(func(c copyOf, seen []sighting) {
		op := x.create[c]
		if op == nil {
			return // presence tells
		}
		m := model
		m.Init = func() any { return register{flags: op.Flags} }
		var ops []porcupine.Operation
		add := func(a access, from, to time.Duration) {
			ops = append(ops, porcupine.Operation{ClientId: len(ops), Input: a, Call: int64(from), Return: int64(to)})
		}
		for _, s := range x.stores[c] {
			end := s.End
			void := slices.ContainsFunc(x.remove[c], func(r *Op) bool { return r.Outcome != Refused && r.Start < s.End })
			switch {
			case s.Kind == Store && s.Outcome == Refused:
				continue
			case s.Outcome == Unknown || void:
				end = math.MaxInt64
			}
			add(access{op: s, void: void}, s.Start, end)
			if s.Told != nil {
				// The answer shows the message at some moment from the
				// change to the answer.
				add(access{op: s, read: s.Told}, s.Start, s.End)
			}
		}
		for _, s := range seen {
			if s.row != nil {
				add(access{op: s.look, read: s.row}, s.look.Start, s.look.End)
			}
		}
		if porcupine.CheckOperationsTimeout(m, ops, registerTime) != porcupine.Illegal {
			return
		}
		// The shortest beginning that cannot be explained ends with what is
		// to be looked at.
		slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Return/2 - b.Return/2) })
		n := len(ops)
		for n > 1 && porcupine.CheckOperationsTimeout(m, begun(ops, n-1), registerTime) == porcupine.Illegal {
			n--
		}
		last := ops[n-1].Input.(access)
		out = append(out, Violation{
			Rule: "flags", Place: c.place, Msg: c.msg, UID: op.ToUID, At: last.op.Start,
			Text: fmt.Sprintf("%s: no order of the STOREs explains that %s", c.msg, last),
		})
	})
	return out
}

// begun are the first n operations by their return and the later writes, which
// may have taken effect before it.
func begun(ops []porcupine.Operation, n int) []porcupine.Operation {
	out := slices.Clone(ops[:n])
	for _, o := range ops[n:] {
		if o.Input.(access).read == nil {
			o.Return = math.MaxInt64
			out = append(out, o)
		}
	}
	return out
}

// modseqs: a message's mod-sequence never goes down, nor is it above the
// HIGHESTMODSEQ that a later look tells.
func modseqs(x *index) (out []Violation) {
	x.eachCopy(func(c copyOf, seen []sighting) {
		for i, s := range seen {
			if s.row == nil || s.row.ModSeq == 0 {
				continue
			}
			for _, e := range slices.Backward(seen[:i]) {
				if e.row == nil || e.row.ModSeq == 0 || e.look.End >= s.look.Start {
					continue
				}
				if s.row.ModSeq < e.row.ModSeq || s.row.Flags != e.row.Flags && s.row.ModSeq == e.row.ModSeq || s.look.View.Highest < e.row.ModSeq {
					out = append(out, Violation{
						Rule: "modseqs", Place: c.place, Msg: c.msg, UID: s.row.UID, At: s.look.Start,
						Text: fmt.Sprintf("%s: (%s) at %d of %d in look %d after (%s) at %d in look %d", c.msg, s.row.Flags, s.row.ModSeq, s.look.View.Highest, s.look.ID, e.row.Flags, e.row.ModSeq, e.look.ID),
					})
				}
				break
			}
		}
	})
	return out
}
