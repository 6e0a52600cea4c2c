package message

import (
	"fmt"
	"strings"
	"testing"
)

func TestDecodeWords(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                "plain",
		"=?ISO-8859-1?Q?a?=":                   "a",
		"=?ISO-8859-1?Q?a?= b":                 "a b",
		"=?ISO-8859-1?Q?a?=  =?utf-8?b?Yg==?=": "ab",
		"=?ISO-8859-1?Q?a_b=F8?=":              "a bø",
		"=?utf-8*en?q?x?=":                     "x",
		"=?utf-8?b?w7g?=":                      "ø",
		"=?utf-8?x?a?=":                        "=?utf-8?x?a?=",
		"=?utf-8?q?a":                          "=?utf-8?q?a",
		"=?utf-8?b?!!?= x":                     "=?utf-8?b?!!?= x",
		"=?nonesuch?q?=ff?=":                   "\uFFFD",
		"=?utf-8?q?why??=":                     "why?",
		"=?utf-8?q?no end =?utf-8?b?w7g?=":     "=?utf-8?q?no end ø",
		"sm\xf8r":                              "smør",
		"a =?x":                                "a =?x",
		"=?":                                   "=?",
	} {
		if got := string(DecodeWords([]byte(in))); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestBaseSubject(t *testing.T) {
	for _, c := range []struct {
		in, want string
		reply    bool
	}{
		{"", "", false},
		{"Hello", "Hello", false},
		{"Re: Hello", "Hello", true},
		{"re:Hello", "Hello", true},
		{"RE : Hello", "Hello", true},
		{"Fwd: Re: FW: Hello", "Hello", true},
		{"Re[2]: Hello", "Hello", true},
		{"[list] Re: [list] Hello", "Hello", true},
		{"[list] Hello", "Hello", false},
		{"[list]", "[list]", false},
		{"Hello (fwd)", "Hello", true},
		{"Hello (fwd) (FWD)  ", "Hello", true},
		{"[Fwd: Hello]", "Hello", true},
		{"[fwd: Re: [x] Hello (fwd)]", "Hello", true},
		{"Re", "Re", false},
		{"Regarding: x", "Regarding: x", false},
		{"Re: ", "", true},
		{"a \t b", "a b", false},
		{"=?utf-8?q?Re=3A_Hello?=", "Hello", true},
		{"[a [b] c", "[a [b] c", false},
	} {
		got, reply := BaseSubject([]byte(c.in))
		if string(got) != c.want || reply != c.reply {
			t.Errorf("%q: %q %v, want %q %v", c.in, got, reply, c.want, c.reply)
		}
	}
	BaseSubject([]byte(strings.Repeat("[a]", 1<<20))) // ends soon
}

func TestMessageIDs(t *testing.T) {
	for in, want := range map[string]string{
		"":                      "[]",
		"<a@b>":                 "[a@b]",
		"<a@b><c@d> junk <e@f>": "[a@b c@d e@f]",
		"<\"a\"@b>":             "[a@b]",
		"<\"a>\\\"c\"@b>":       "[a>\"c@b]",
		"<a\r\n @b>":            "[a@b]",
		"<a <c@d>":              "[c@d]",
		"<>":                    "[]",
		"<a@b":                  "[]",
		"no id":                 "[]",
	} {
		if got := fmt.Sprintf("%s", MessageIDs([]byte(in))); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "<%d> ", i)
	}
	ids := MessageIDs([]byte(b.String()))
	if len(ids) != 40 || string(ids[0]) != "0" || string(ids[19]) != "19" || string(ids[20]) != "980" || string(ids[39]) != "999" {
		t.Errorf("of a thousand: %s", ids)
	}
}

func TestThread(t *testing.T) {
	for raw, want := range map[string]string{
		"A: b\n\n": "{ []}",
		"Message-ID: <m@x>\nReferences: <a@x> <b@x>\nIn-Reply-To: <c@x>\n\n": "{m@x [a@x b@x]}",
		"Message-ID: <m@x>\nReferences:\nIn-Reply-To: <c@x> <d@x>\n\n":       "{m@x [c@x]}",
	} {
		h := crlf(raw)
		if got := fmt.Sprintf("%s", HeaderThread(h)); got != want {
			t.Errorf("%q: %s", raw, got)
		}
		b, err := Parse(h).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := OpenSummary(b)
		if err != nil {
			t.Fatal(err)
		}
		th, ok := s.Thread()
		if got := fmt.Sprintf("%s", th); got != want || !ok {
			t.Errorf("%q from its summary: %s", raw, got)
		}
	}
}
