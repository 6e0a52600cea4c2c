package imapwire

import (
	"fmt"
	"testing"
)

func TestACLArgs(t *testing.T) {
	for in, want := range map[string]string{
		`a SETACL INBOX bob@example.org lrs`:                     "INBOX bob@example.org 0 lrs",
		`a setacl "Other Users/a@b/X y" "bob@example.org" "+lr"`: "Other Users/a@b/X y bob@example.org 1 lr",
		`a SETACL x bob -`:                                       "x bob 2 ",
		`a SETACL x bob ""`:                                      "x bob 0 ",
		`a SETACL x bob +-l`:                                     "x bob 1 -l",
		"a SETACL {3+}\r\nabc {1+}\r\nb {2+}\r\n-x":              "abc b 2 x",
		`a SETACL x "søren@example.org" l`:                       "x søren@example.org 0 l",
		`a SETACL x -bob l`:                                      "x -bob 0 l",
		`a SETACL x anyone lrQ`:                                  "x anyone 0 lrQ", // which there are is known elsewhere
	} {
		s := scan(t, in, true)
		a := s.SetACL()
		if got := fmt.Sprintf("%s %s %d %s", a.Mailbox, a.Identifier, a.Mode, a.Rights); got != want || s.End() != nil {
			t.Errorf("%q: %q, want %q; %v", in, got, want, s.End())
		}
	}
	for _, in := range []string{
		`a SETACL`, `a SETACL `, `a SETACL x`, `a SETACL x `, `a SETACL x y`, `a SETACL x y `, `a SETACL x y z w`,
		`a SETACL x "" l`, "a SETACL x \"\x01\" l", "a SETACL x {2+}\r\n\xff\xfe l", `a SETACL (x) y l`, `a SETACL x (y) l`, `a SETACL x y (l)`,
		`a SETACL x% y l`, `a SETACL x "y l`,
	} {
		if accepts(t, in, func(s *Scanner) { s.SetACL() }) {
			t.Errorf("%q is taken", in)
		}
	}
	for in, want := range map[string]string{
		`a DELETEACL INBOX bob`:      "INBOX|bob",
		`a LISTRIGHTS "a b" "c d"`:   "a b|c d",
		"a LISTRIGHTS x {3+}\r\n-me": "x|-me",
		`a DELETEACL inbox b@c`:      "INBOX|b@c",
	} {
		s := scan(t, in, false)
		box, id := s.ACLName()
		if got := box + "|" + id; got != want || s.End() != nil {
			t.Errorf("%q: %q, want %q; %v", in, got, want, s.End())
		}
	}
	for _, in := range []string{`a DELETEACL`, `a DELETEACL x`, `a DELETEACL x `, `a DELETEACL x y z`, `a DELETEACL x ""`} {
		if accepts(t, in, func(s *Scanner) { s.ACLName() }) {
			t.Errorf("%q is taken", in)
		}
	}
}

func TestListRights(t *testing.T) {
	for in, want := range map[string]bool{
		`a LIST "" *`:                                     false,
		`a LIST "" * RETURN (MYRIGHTS)`:                   true,
		`a LIST "" (a b) RETURN (children MyRights)`:      true,
		`a LIST "" * RETURN (MYRIGHTS MYRIGHTS)`:          true,
		`a LIST "" * RETURN (STATUS (MESSAGES) MYRIGHTS)`: true,
	} {
		s := scan(t, in, false)
		l := s.ListArgs()
		if l.Rights != want || s.End() != nil {
			t.Errorf("%q: %v, %v", in, l.Rights, s.End())
		}
	}
	for _, in := range []string{`a LIST (MYRIGHTS) "" *`, `a LIST "" * RETURN MYRIGHTS`, `a LIST "" * RETURN (MYRIGHTS ())`, `a LIST "" * RETURN (MYRIGHT)`} {
		if accepts(t, in, func(s *Scanner) { s.ListArgs() }) {
			t.Errorf("%q is taken", in)
		}
	}
}
