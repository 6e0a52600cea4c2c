package check

import (
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	box   = Place{"a@x", "INBOX"}
	other = Place{"a@x", "Other"}
)

// story builds a history: each operation begins at its second and takes half
// a second.
type story struct{ h History }

func (s *story) op(at int, o Op) *story {
	o.ID = len(s.h.Ops) + 1
	if o.Outcome == "" {
		o.Outcome = Answered
	}
	o.Node, o.Client = "n1", "c"
	o.Start = time.Duration(at) * time.Second
	if o.End == 0 {
		o.End = o.Start + time.Second/2
	}
	s.h.Ops = append(s.h.Ops, o)
	return s
}

func (s *story) put(at int, msg string, uid uint32, o Outcome) *story {
	return s.op(at, Op{Kind: Append, Msg: msg, To: []Place{box}, ToUID: uid, Validity: 9, Outcome: o})
}

func (s *story) drop(at int, msg string, uid uint32, o Outcome) *story {
	return s.op(at, Op{Kind: Expunge, Msg: msg, From: box, UID: uid, Outcome: o})
}

func (s *story) store(at int, msg string, m Mode, f Flags, o Outcome) *story {
	return s.op(at, Op{Kind: Store, Msg: msg, From: box, Mode: m, Flags: f, Outcome: o})
}

func (s *story) look(at int, rows ...Row) *story { return s.lookIn(at, box, View{Rows: rows}) }

func (s *story) lookIn(at int, p Place, v View) *story {
	v.Validity = 9
	if v.Next == 0 {
		v.Next = 1000
	}
	if v.Highest == 0 {
		v.Highest = 1000
	}
	return s.op(at, Op{Kind: Look, From: p, View: &v})
}

func row(uid uint32, msg string) Row { return Row{UID: uid, Msg: msg} }

func flagged(uid uint32, msg string, f Flags, modseq uint64) Row {
	return Row{UID: uid, Msg: msg, Flags: f, ModSeq: modseq}
}

// TestRules gives each rule histories that break it and histories that look
// alike and don't.
func TestRules(t *testing.T) {
	told := func(f Flags, modseq uint64) Op {
		return Op{Kind: Store, Msg: "m", From: box, Mode: Add, Flags: f, Told: &Row{UID: 1, Flags: f, ModSeq: modseq}}
	}
	for _, c := range []struct {
		name, rule string // no rule: nothing is broken
		s          *story
	}{
		{"there", "", new(story).put(1, "m", 1, Answered).look(2, row(1, "m"))},
		{"lost", "presence", new(story).put(1, "m", 1, Answered).look(2)},
		{"lost later", "presence", new(story).put(1, "m", 1, Unknown).look(2, row(1, "m")).look(3)},
		{"asked for at the same time", "", new(story).put(1, "m", 1, Answered).op(1, Op{Kind: Look, From: box, View: &View{Validity: 9}})},
		{"never answered", "", new(story).put(1, "m", 0, Unknown).look(2).look(3, row(1, "m")).look(4, row(1, "m"))},
		{"refused and there", "presence", new(story).put(1, "m", 0, Refused).look(2, row(1, "m"))},
		{"refused", "", new(story).put(1, "m", 0, Refused).look(2)},
		{"from nowhere", "presence", new(story).look(2, row(1, "m"))},
		{"of another mailbox", "presence", new(story).put(1, "m", 1, Answered).look(2, row(1, "m")).lookIn(3, other, View{Rows: []Row{row(1, "m")}})},
		{"there too early", "presence", new(story).look(2, row(1, "m")).put(3, "m", 1, Answered)},
		{"expunged and there", "presence", new(story).put(1, "m", 1, Answered).drop(2, "m", 1, Answered).look(3, row(1, "m"))},
		{"expunged", "", new(story).put(1, "m", 1, Answered).drop(2, "m", 1, Answered).look(3)},
		{"expunge in doubt", "", new(story).put(1, "m", 1, Answered).drop(2, "m", 1, Unknown).look(3, row(1, "m")).look(4)},
		{"back from the dead", "presence", new(story).put(1, "m", 1, Answered).drop(2, "m", 1, Unknown).look(3).look(4, row(1, "m"))},
		{"seen while another did not yet", "", new(story).put(1, "m", 1, Unknown).op(2, Op{Kind: Look, From: box, End: 9 * time.Second, View: &View{Validity: 9, Rows: []Row{row(1, "m")}}}).
			lookIn(3, box, View{Next: 1, Highest: 1}).lookIn(10, box, View{Rows: []Row{row(1, "m")}})},
		{"expunge refused, gone", "presence", new(story).put(1, "m", 1, Answered).drop(2, "m", 1, Refused).look(3)},
		{"handed over", "", new(story).op(1, Op{Kind: Deliver, Msg: "m", To: []Place{box, other}, Later: true}).look(2).look(3, row(1, "m"))},
		{"handed over and lost", "presence", new(story).op(1, Op{Kind: Deliver, Msg: "m", To: []Place{box, other}, Later: true}).lookIn(2, box, View{Rest: true})},
		{"twice", "once", new(story).put(1, "m", 1, Answered).look(2, row(1, "m"), row(2, "m"))},
		{"other bytes", "octets", new(story).put(1, "m", 1, Answered).look(2, Row{UID: 1, Msg: "m", Bad: "x"})},
		{"other bytes read alone", "octets", new(story).put(1, "m", 1, Answered).op(2, Op{Kind: Fetch, From: box, Told: &Row{UID: 1, Msg: "m", Bad: "x"}})},
		{"reused", "uids", new(story).put(1, "m", 1, Answered).drop(2, "m", 1, Answered).put(3, "l", 1, Answered)},
		{"moved UID", "uids", new(story).put(1, "m", 1, Answered).look(2, row(2, "m"))},
		{"sequence against UIDs", "uids", new(story).put(1, "m", 1, Unknown).put(1, "l", 2, Unknown).look(2, row(2, "l"), row(1, "m"))},
		{"UIDVALIDITY", "uids", new(story).put(1, "m", 1, Answered).op(2, Op{Kind: Look, From: box, View: &View{Validity: 8, Rows: []Row{row(1, "m")}}})},
		{"lower UID after an answer", "order", new(story).put(1, "m", 2, Answered).put(2, "l", 1, Answered)},
		{"at once", "", new(story).put(1, "m", 2, Answered).put(1, "l", 1, Answered)},
		{"below UIDNEXT", "order", new(story).lookIn(1, box, View{Next: 7}).put(2, "l", 6, Answered)},
		{"UIDNEXT down", "counters", new(story).lookIn(1, box, View{Next: 7}).lookIn(2, box, View{Next: 6})},
		{"HIGHESTMODSEQ down", "counters", new(story).lookIn(1, box, View{Highest: 7}).lookIn(2, box, View{Highest: 6})},
		{"caught up", "", new(story).put(1, "m", 1, Answered).lookIn(2, box, View{KeptAt: 5, KeptNext: 2, Kept: []Row{flagged(1, "", 0, 4)}, Rows: []Row{flagged(1, "m", 0, 4)}})},
		{"missed a flag", "caught up", new(story).put(1, "m", 1, Answered).store(2, "m", Add, Seen, Answered).lookIn(3, box, View{KeptAt: 5, KeptNext: 2, Kept: []Row{flagged(1, "", 0, 4)}, Rows: []Row{flagged(1, "m", Seen, 5)}})},
		{"changed after", "", new(story).put(1, "m", 1, Answered).store(2, "m", Add, Seen, Answered).lookIn(3, box, View{KeptAt: 5, KeptNext: 2, Kept: []Row{flagged(1, "", 0, 4)}, Rows: []Row{flagged(1, "m", Seen, 6)}})},
		{"missed one that vanished", "caught up", new(story).put(1, "m", 1, Answered).drop(2, "m", 1, Answered).lookIn(3, box, View{KeptAt: 5, KeptNext: 2, Kept: []Row{flagged(1, "", 0, 4)}})},
		{"missed one that came", "caught up", new(story).put(1, "m", 1, Answered).lookIn(3, box, View{KeptAt: 5, KeptNext: 2, Rows: []Row{flagged(1, "m", 0, 4)}})},
		{"lost flag", "flags", new(story).put(1, "m", 1, Answered).store(2, "m", Add, Seen, Answered).look(3, row(1, "m"))},
		{"flag nobody answered", "", new(story).put(1, "m", 1, Answered).store(2, "m", Add, Seen, Unknown).look(3, row(1, "m")).look(4, flagged(1, "m", Seen, 0))},
		{"flag flickers", "flags", new(story).put(1, "m", 1, Answered).store(2, "m", Add, Seen, Unknown).look(4, flagged(1, "m", Seen, 0)).look(5, row(1, "m"))},
		{"refused flag", "flags", new(story).put(1, "m", 1, Answered).store(2, "m", Add, Seen, Refused).look(4, flagged(1, "m", Seen, 0))},
		{"two orders", "", new(story).put(1, "m", 1, Answered).store(2, "m", Set, Seen, Answered).store(2, "m", Set, Draft, Answered).look(4, flagged(1, "m", Seen, 0))},
		{"no order", "flags", new(story).put(1, "m", 1, Answered).store(2, "m", Set, Seen, Answered).store(3, "m", Set, Draft, Answered).look(4, flagged(1, "m", Seen, 0))},
		{"condition held", "", new(story).put(1, "m", 1, Answered).look(2, flagged(1, "m", 0, 5)).op(3, Op{Kind: Store, Msg: "m", From: box, Mode: Add, Flags: Seen, Since: 5}).look(4, flagged(1, "m", Seen, 6))},
		{"condition ignored", "flags", new(story).put(1, "m", 1, Answered).op(2, told(Seen, 7)).look(3, flagged(1, "m", Seen, 7)).op(4, Op{Kind: Store, Msg: "m", From: box, Mode: Add, Flags: Draft, Since: 6})},
		{"condition on one that is gone", "", new(story).put(1, "m", 1, Answered).op(2, told(Seen, 7)).look(3, flagged(1, "m", Seen, 7)).drop(4, "m", 1, Answered).
			op(5, Op{Kind: Store, Msg: "m", From: box, Mode: Add, Flags: Draft, Since: 6})},
		{"refused for nothing", "flags", new(story).put(1, "m", 1, Answered).look(2, flagged(1, "m", 0, 5)).op(3, Op{Kind: Modified, Msg: "m", From: box, Mode: Add, Flags: Seen, Since: 5}).look(4, flagged(1, "m", 0, 5))},
		{"stored with flags", "flags", new(story).op(1, Op{Kind: Append, Msg: "m", To: []Place{box}, Flags: Seen}).look(2, row(1, "m"))},
		{"modseq down", "modseqs", new(story).put(1, "m", 1, Answered).look(2, flagged(1, "m", 0, 5)).look(3, flagged(1, "m", 0, 4))},
		{"change without modseq", "modseqs", new(story).put(1, "m", 1, Answered).look(2, flagged(1, "m", 0, 5)).store(3, "m", Add, Seen, Answered).look(4, flagged(1, "m", Seen, 5))},
		{"above the highest", "modseqs", new(story).put(1, "m", 1, Answered).lookIn(2, box, View{Highest: 5, Rows: []Row{flagged(1, "m", 0, 9)}}).lookIn(3, box, View{Highest: 8, Rows: []Row{flagged(1, "m", 0, 9)}})},
		{"moved", "", new(story).put(1, "m", 1, Answered).op(2, Op{Kind: Move, Msg: "m", From: box, To: []Place{other}}).look(3).lookIn(3, other, View{Rows: []Row{row(1, "m")}})},
		{"half moved", "halves", new(story).put(1, "m", 1, Answered).op(2, Op{Kind: Move, Msg: "m", From: box, To: []Place{other}, Outcome: Unknown}).
			lookIn(3, box, View{Rest: true}).lookIn(4, other, View{Rest: true})},
		{"moved and there", "halves", new(story).put(1, "m", 1, Answered).op(2, Op{Kind: Move, Msg: "m", From: box, To: []Place{other}, Outcome: Unknown}).
			lookIn(3, box, View{Rest: true, Rows: []Row{row(1, "m")}}).lookIn(4, other, View{Rest: true, Rows: []Row{row(1, "m")}})},
	} {
		got := All(&c.s.h)
		if c.rule == "" {
			if len(got) > 0 {
				t.Errorf("%s: %v", c.name, got)
			}
			continue
		}
		if !slices.ContainsFunc(got, func(v Violation) bool { return v.Rule == c.rule }) {
			t.Errorf("%s: rule %q does not see it: %v", c.name, c.rule, got)
		}
	}
}

func TestSilence(t *testing.T) {
	s := new(story).put(3, "m", 1, Answered).look(5, row(1, "m"))
	s.h.Faults = []Fault{{From: 2 * time.Second, To: 4 * time.Second, Text: "cut", Silent: []string{"n1"}}}
	if v := All(&s.h); len(v) != 1 || v[0].Rule != "silence" {
		t.Errorf("%v", v)
	}
	s.h.Faults[0].Silent = []string{"n2"}
	if v := All(&s.h); len(v) != 0 {
		t.Errorf("%v", v)
	}
}

// TestKnown: what an earlier part of a run knew binds the later.
func TestKnown(t *testing.T) {
	s := new(story).put(3, "m", 4, Answered)
	s.h.Known = map[Place]map[uint32]string{box: {4: "old"}}
	s.h.Validity = map[Place]uint32{box: 9}
	if v := All(&s.h); len(v) != 1 || v[0].Rule != "uids" {
		t.Errorf("%v", v)
	}
}

// TestAround: what is printed of a violation is what it needs and little else.
func TestAround(t *testing.T) {
	s := new(story).put(1, "m", 1, Answered)
	for i := range 20 {
		s.put(10+i, "x"+string(rune('a'+i)), uint32(10+i), Answered)
	}
	s.look(40, row(10, "xa"))
	s.h.Faults = []Fault{{From: 0, To: time.Second, Text: "kill n2"}, {From: 20 * time.Second, To: 21 * time.Second, Text: "kill n3"}}
	v := Violation{Place: box, Msg: "m", At: 40 * time.Second}
	ops, fs := Around(&s.h, v)
	if len(ops) != 2 || ops[0].Msg != "m" || ops[1].View == nil || len(ops[1].View.Rows) != 0 {
		t.Errorf("%+v", ops)
	}
	if len(fs) != 1 || !strings.Contains(fs[0].Text, "n2") {
		t.Errorf("%v", fs)
	}
}
