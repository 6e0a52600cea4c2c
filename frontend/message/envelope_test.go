package message

import (
	"testing"
	"time"
)

func TestEnvelope(t *testing.T) {
	for _, c := range []struct{ name, raw, want string }{
		{"nothing", "\n", `(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)`},
		{"present but empty", "Date:\nSubject: \nFrom:\nIn-Reply-To:\nMessage-ID:\n\n", `("" "" NIL NIL NIL NIL NIL NIL "" "")`},
		{"usual", "Date: Mon, 7 Feb 1994 21:52:25 -0800 (PST)\nFrom: Fred Foobar <foobar@Blurdybloop.example>\nSubject: afternoon meeting\nTo: mooch@owatagu.siam.edu.example\nMessage-Id: <B27397-0100000@Blurdybloop.example>\n\n",
			`("Mon, 7 Feb 1994 21:52:25 -0800 (PST)" "afternoon meeting" (("Fred Foobar" NIL "foobar" "Blurdybloop.example")) (("Fred Foobar" NIL "foobar" "Blurdybloop.example")) (("Fred Foobar" NIL "foobar" "Blurdybloop.example")) ((NIL NIL "mooch" "owatagu.siam.edu.example")) NIL NIL NIL "<B27397-0100000@Blurdybloop.example>")`},
		{"sender and reply-to", "From: a@b\nSender: c@d\nReply-To: e@f\n\n", `(NIL NIL ((NIL NIL "a" "b")) ((NIL NIL "c" "d")) ((NIL NIL "e" "f")) NIL NIL NIL NIL NIL)`},
		{"empty sender and reply-to", "From: a@b\nSender:\nReply-To: \n\n", `(NIL NIL ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)`},
		{"folded", "Subject: a\n b\n\tc\nTo: x@y,\n z@w\n\n", "(NIL \"a b\tc\" NIL NIL NIL ((NIL NIL \"x\" \"y\")(NIL NIL \"z\" \"w\")) NIL NIL NIL NIL)"},
		{"first counts", "Subject: a\nSubject: b\nFrom: a@b\nFrom: c@d\nTo: e@f\nTo: g@h\n\n", `(NIL "a" ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "e" "f")(NIL NIL "g" "h")) NIL NIL NIL NIL)`},
		{"8-bit", "Subject: sm\xf8rbr\xf8d\n\n", "(NIL {8}\r\nsm\xf8rbr\xf8d NIL NIL NIL NIL NIL NIL NIL NIL)"},
		{"NUL", "Subject: a\x00b\n\n", `(NIL "ab" NIL NIL NIL NIL NIL NIL NIL NIL)`},
		{"quote and backslash", "Subject: \"a\\b\"\n\n", `(NIL "\"a\\b\"" NIL NIL NIL NIL NIL NIL NIL NIL)`},
		{"white space before the colon", "Subject : a\n\n", `(NIL "a" NIL NIL NIL NIL NIL NIL NIL NIL)`},
		{"lone CR", "Subject: a\rb\n\n", "(NIL {3}\r\na\rb NIL NIL NIL NIL NIL NIL NIL NIL)"},
	} {
		x := Parse(crlf(c.raw))
		check(t, x)
		var e Envelope
		x.Envelope(&e)
		if got := string(AppendEnvelope(nil, &e, false)); got != c.want {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
	}
	var e Envelope
	e.FromHeader([]byte("Subject: sm\xc3\xb8r \xf8\r\nTo: \xc3\xb8 <a@b>\r\n"))
	if got, want := string(AppendEnvelope(nil, &e, true)), "(NIL {7}\r\nsm\xc3\xb8r \xf8 NIL NIL NIL ((\"\xc3\xb8\" NIL \"a\" \"b\")) NIL NIL NIL NIL)"; got != want {
		t.Errorf("UTF-8:\n got %q\nwant %q", got, want)
	}
}

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		``:                            `NIL`,
		` , ,, `:                      `NIL`,
		`()`:                          `NIL`,
		`a@b`:                         `((NIL NIL "a" "b"))`,
		`<a@b>`:                       `((NIL NIL "a" "b"))`,
		`A B <a@b>`:                   `(("A B" NIL "a" "b"))`,
		`A  B<a@b>`:                   `(("A B" NIL "a" "b"))`,
		`"A, B" <a@b>`:                `(("A, B" NIL "a" "b"))`,
		`"A \"x\" B" C. D <a@b>`:      `(("A \"x\" B C. D" NIL "a" "b"))`,
		`a@b (A B)`:                   `(("A B" NIL "a" "b"))`,
		`a@b (A \(x\) (nested)), c@d`: `(("A (x) (nested)" NIL "a" "b")(NIL NIL "c" "d"))`,
		`<a@b> (A)`:                   `(("A" NIL "a" "b"))`,
		`"x y"@b`:                     `((NIL NIL "x y" "b"))`,
		`<"x\"y"@b>`:                  `((NIL NIL "x\"y" "b"))`,
		`a@[10.0.0.1]`:                `((NIL NIL "a" "[10.0.0.1]"))`,
		`<@x,@y:a@b>`:                 `((NIL "@x,@y" "a" "b"))`,
		`a . b @ c . d`:               `((NIL NIL "a.b" "c.d"))`,
		`A B a@b`:                     `(("A B" NIL "a" "b"))`,
		`a@b <a@b>`:                   `(("a@b" NIL "a" "b"))`,
		`undisclosed-recipients:;`:    `((NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL))`,
		`G: a@b, C <c@d>;, e@f`:       `((NIL NIL "G" NIL)(NIL NIL "a" "b")("C" NIL "c" "d")(NIL NIL NIL NIL)(NIL NIL "e" "f"))`,
		`G: a@b`:                      `((NIL NIL "G" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL))`,
		`a`:                           `((NIL NIL "a" ""))`,
		`A <a>`:                       `(("A" NIL "a" ""))`,
		`<>`:                          `((NIL NIL "" ""))`,
		`@b`:                          `((NIL NIL "" "b"))`,
		`a@`:                          `((NIL NIL "a" ""))`,
		`A <a@b`:                      `(("A" NIL "a" "b"))`,
		`A <a@b, c@d`:                 `(("A" NIL "a" "b")(NIL NIL "c" "d"))`,
		`a@b; c@d`:                    `((NIL NIL "a" "b")(NIL NIL "c" "d"))`,
		`a@b c@d`:                     `((NIL NIL "a" "b"))`,
		`"unclosed <a@b>`:             `((NIL NIL "unclosed <a@b>" ""))`,
		`(unclosed a@b`:               `NIL`,
		`=?utf-8?q?=C3=B8?= <a@b>`:    `(("=?utf-8?q?=C3=B8?=" NIL "a" "b"))`,
		"A\r\n B <a@\r\n b>":          `(("A B" NIL "a" "b"))`,
		`O'Neil, J. <j@x>`:            `((NIL NIL "O'Neil" "")("J." NIL "j" "x"))`,
		`a@b>, c@d`:                   `((NIL NIL "a" "b")(NIL NIL "c" "d"))`,
		`<a:b@c>`:                     `((NIL NIL "a:b" "c"))`,
	} {
		list := ParseAddresses([]byte(in))
		e := Envelope{To: list}
		got := string(AppendEnvelope(nil, &e, false))
		got = got[len("(NIL NIL NIL NIL NIL ") : len(got)-len(" NIL NIL NIL NIL)")]
		if got != want {
			t.Errorf("%q\n got %s\nwant %s", in, got, want)
		}
	}
}

func TestParseDate(t *testing.T) {
	for in, want := range map[string]string{
		"Mon, 7 Feb 1994 21:52:25 -0800 (PST)":            "1994-02-07T21:52:25-08:00",
		"7 Feb 94 21:52 EST":                              "1994-02-07T21:52:00-05:00",
		"7 Feb 04 21:52:25 +0530":                         "2004-02-07T21:52:25+05:30",
		"Fri, 21 Nov 1997 09(comment):   55  :  06 -0600": "1997-11-21T09:55:06-06:00",
		"Thu,\r\n 13 (a (b)) Feb 1969\r\n 23:32 -0330":    "1969-02-13T23:32:00-03:30",
		"Mon Nov 23 21:20:00 2026":                        "2026-11-23T21:20:00Z",
		"Mon Nov 23 21:20:00 CET 2026":                    "2026-11-23T21:20:00+01:00",
		"2026-11-23T21:20:00.123+01:00":                   "2026-11-23T21:20:00+01:00",
		"2026-11-23 21:20:00Z":                            "2026-11-23T21:20:00Z",
		"23-Nov-2026 21:20:00 +0000":                      "2026-11-23T21:20:00Z",
		"23 November 2026":                                "2026-11-23T00:00:00Z",
		"23 Nov 2026 9:20:00 PM GMT":                      "2026-11-23T21:20:00Z",
		"Tue, 1 Jan 102 00:00:00 GMT":                     "2002-01-01T00:00:00Z",
		"1 Jan 2026 00:00:00 GMT+0200":                    "2026-01-01T00:00:00+02:00",
		"1 Jan 2026 00:00:00 +9999":                       "2026-01-01T00:00:00Z",
		"1 Jan 2026 00:00:00 XYZ":                         "2026-01-01T00:00:00Z",
		"1 Jan 2026 99:99:99 +0000":                       "2026-01-01T00:00:00Z",
		"31 Feb 2026 00:00:00 +0000":                      "",
		"":                                                "",
		"yesterday":                                       "",
		"99999999999999999999 Jan 1":                      "",
		"0 Jan 2026":                                      "",
	} {
		got, ok := ParseDate([]byte(in))
		if s := got.Format(time.RFC3339); ok != (want != "") || ok && s != want {
			t.Errorf("%q: %s %v, want %s", in, s, ok, want)
		}
	}
}
