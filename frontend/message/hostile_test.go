package message

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestHostile holds that time grows with the size only: each of these would
// take minutes if anything in it were quadratic.
func TestHostile(t *testing.T) {
	const size = 256 << 10
	for _, unit := range []string{"(", ")", "\\", "\"", "<", ">", "@", ",", ":", ";", "<@", "\"<", "(\\", "a@b,", "g:;", "=?", "=?a?q?", "=?a?q?x=", "[a]", "[fwd:", "Re:",
		"<a@b> ", "<\"", "1", "1(", "1:", "Jan ", "; a=", "; a=\"", "a/b;", "\n ", "\r\n", "\n--", "--x\n", "x\n", ". ", " a"} {
		text := strings.Repeat(unit, size/len(unit))
		began := time.Now()
		for _, raw := range []string{
			text, "Subject: " + text, "To: " + text, "Content-Type: " + text, "Content-Type: multipart/mixed; boundary=x\n\n" + text,
			"Content-Disposition: " + text, "Content-Language: " + text, "References: " + text, "Date: " + text,
		} {
			x := Parse([]byte(raw))
			var e Envelope
			x.Envelope(&e)
			AppendEnvelope(nil, &e, true)
			structure(x, true)
			b, err := x.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Decode(b); err != nil {
				t.Fatal(err)
			}
			h := []byte(raw)[:x.HeaderLen]
			ParseDate(Lookup(h, "Date"))
			BaseSubject(Lookup(h, "Subject"))
			DecodeWords(Lookup(h, "Subject"))
			HeaderThread(h)
		}
		// Far above what a loaded machine makes of linear work (0.1 s on a
		// quiet one), far below what quadratic work takes.
		if d := time.Since(began); d > time.Minute {
			t.Errorf("%q takes %v", unit, d)
		}
	}
	// Fields too large to keep are dropped name by name, each in one more pass.
	var h bytes.Buffer
	for _, n := range fieldNames[1:] {
		h.WriteString(n + ": " + strings.Repeat("x", MaxFields+1) + "\r\n")
	}
	check(t, Parse(h.Bytes()))
}
