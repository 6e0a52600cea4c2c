package imapwire

import (
	"errors"
	"fmt"
	"testing"
)

// Each branch of select-param in RFC 7162 section 7.
func TestSelectArgs(t *testing.T) {
	show := func(sel Select) string {
		out := fmt.Sprintf("%s %v", sel.Mailbox, sel.CondStore)
		if q := sel.QResync; q != nil {
			out += fmt.Sprintf(" %d %d %v %v %v", q.UIDValidity, q.ModSeq, q.Known, q.MatchSeqs, q.MatchUIDs)
		}
		return out
	}
	for in, want := range map[string]string{
		"x":                     "x false",
		"x ":                    "x false",
		"x ()":                  "x false",
		"x (CONDSTORE)":         "x true",
		"x (QRESYNC (1 2))":     "x false 1 2 [] [] []",
		"x (qresync (1 2))":     "x false 1 2 [] [] []",
		"x (QRESYNC (1 2 3))":   "x false 1 2 [{3 3}] [] []",
		"x (QRESYNC (1 2 7:3))": "x false 1 2 [{3 7}] [] []",
		"x (CONDSTORE QRESYNC (4294967295 9223372036854775807 9,1:2,3))": "x true 4294967295 9223372036854775807 [{1 3} {9 9}] [] []",
		"x (QRESYNC (1 2 5:6 (1 5)) CONDSTORE)":                          "x true 1 2 [{5 6}] [{1 1}] [{5 5}]",
		"x (QRESYNC (1 2 (1:3 5,7:8)))":                                  "x false 1 2 [] [{1 3}] [{5 5} {7 8}]",
		"x (QRESYNC (1 2 (1,2,4 4:5,9)))":                                "x false 1 2 [] [{1 2} {4 4}] [{4 5} {9 9}]",
		"x (QRESYNC (1 2 (1:4294967295 1:4294967295)))":                  "x false 1 2 [] [{1 4294967295}] [{1 4294967295}]",
	} {
		s := scan(t, "a SELECT "+in, false)
		got := show(s.Select())
		if err := s.End(); err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{
		"x (QRESYNC)", "x (QRESYNC )", "x (QRESYNC 1 2)", "x (QRESYNC ())", "x (QRESYNC (1))", "x (QRESYNC (1 ))", "x (QRESYNC (1 2)", "x (QRESYNC (1 2",
		"x (QRESYNC (0 2))", "x (QRESYNC (1 0))", "x (QRESYNC (a 2))", "x (QRESYNC (1 a))", "x (QRESYNC (4294967296 2))", "x (QRESYNC (1 9223372036854775808))",
		"x (QRESYNC (-1 2))", "x (QRESYNC (1 2 ))", "x (QRESYNC (1 2 *))", "x (QRESYNC (1 2 1:*))", "x (QRESYNC (1 2 $))", "x (QRESYNC (1 2 0))", "x (QRESYNC (1 2 1:2:3))",
		"x (QRESYNC (1 2 1,))", "x (QRESYNC (1 2 1 ))", "x (QRESYNC (1 2 1 2))", "x (QRESYNC (1 2 1 ()))", "x (QRESYNC (1 2 (1)))", "x (QRESYNC (1 2 (1 )))", "x (QRESYNC (1 2 (* 1)))",
		"x (QRESYNC (1 2 (1 *)))", "x (QRESYNC (1 2 (1:2 1)))", "x (QRESYNC (1 2 (2,1 3,4)))", "x (QRESYNC (1 2 (1,2 4,3)))", "x (QRESYNC (1 2 (2:1 3:4)))", "x (QRESYNC (1 2 (1,1 3,4)))",
		"x (QRESYNC (1 2 (1 2) 3))", "x (QRESYNC (1 2 3 (1 2) 4))", "x (QRESYNC (1 2 (1 2)(3 4)))", "x (QRESYNC (1 2) QRESYNC (1 2))", "x (QRESYNC(1 2))", "x QRESYNC (1 2)", "x (CONDSTORE", "x (QRESYNC (1 2))x",
	} {
		s := scan(t, "a SELECT "+in, false)
		s.Select()
		var syn *SyntaxError
		if err := s.End(); !errors.As(err, &syn) || syn.Text == "" || len(syn.Text) > 80 {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestModifiersTwice(t *testing.T) {
	for _, in := range []string{
		"a FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 2)", "a STORE 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 2) FLAGS ()",
		"a UID FETCH 1 FLAGS (VANISHED 1)", "a UID FETCH 1 FLAGS VANISHED", "a UID FETCH 1 FLAGS (CHANGEDSINCE VANISHED)",
	} {
		s := scan(t, in, false)
		parseAny(s.f.Name, s)
		if s.End() == nil {
			t.Errorf("%s is taken", in)
		}
	}
	for in, want := range map[string]bool{
		"ALL": false, "UID 1": false, "$": false, "1": true, "*": true, "NOT (OR SEEN 1:2)": true, "MODSEQ 1": false,
	} {
		s := scan(t, "a UID SEARCH "+in, false)
		if q := s.Search(); s.End() != nil || q.Numbered != want {
			t.Errorf("%s: numbered %v", in, q.Numbered)
		}
	}
}
