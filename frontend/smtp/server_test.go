package smtp

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestMX(t *testing.T) {
	w := &world{}
	_, addr := start(t, w, MX, nil)
	c := dial(t, addr)
	c.talk(`
S: 220 mx.here.example ESMTP
C: EHLO client.example
S: 250-Hello client.example
C: MAIL FROM:<x@far.example> SIZE=100 BODY=8BITMIME
S: 250 2.1.0
C: RCPT TO:<anna+tag@here.example>
S: 250 2.1.5
C: DATA
S: 354
C: Return-Path: <evil@x>\nSubject: hi\nReturn-Path: <evil2@x>\n\n..dot\n.x\n.
S: 250 2.0.0 queued as 
C: QUIT
S: 221
`)
	m := w.got()
	if len(m) != 1 {
		t.Fatalf("%d messages", len(m))
	}
	want := "Subject: hi\r\n\r\n.dot\r\nx\r\n"
	head, ok := strings.CutSuffix(m[0].raw, want)
	if !ok {
		t.Errorf("message %q", m[0].raw)
	}
	id := strings.Fields(head[strings.Index(head, " id ")+4:])[0]
	if want := "Received: from client.example ([127.0.0.1])\r\n\tby mx.here.example with ESMTP id " + id + "\r\n\tfor <anna+tag@here.example>;\r\n\tMon, 23 Nov 2026 21:20:00 +0100\r\n"; head != want {
		t.Errorf("trace %q, want %q", head, want)
	}
	if got := m[0].prefixes; len(got) != 1 || got[0] != "Return-Path: <x@far.example>\r\nDelivered-To: anna+tag@here.example\r\n" {
		t.Errorf("prefix %q", got)
	}
	if m[0].msg.Subject != "hi" || len(m[0].msg.Summary) == 0 || m[0].msg.HeaderLen != len(head)+len("Subject: hi\r\n\r\n") {
		t.Errorf("index %+v", m[0].msg)
	}
}

// TestReplies is what the roles answer to single commands.
func TestReplies(t *testing.T) {
	const mail = "C: MAIL FROM:<x@far.example>\nS: 250 2.1.0\n"
	for _, c := range []struct {
		name   string
		role   Role
		script string
	}{
		{"unknown recipient", MX, mail + "C: RCPT TO:<nobody@here.example>\nS: 550 5.1.1"},
		{"relaying", MX, mail + "C: RCPT TO:<x@far.example>\nS: 550 5.7.1 relaying denied"},
		{"no quorum", MX, mail + "C: RCPT TO:<q@x>\nS: 451 4.3.2"},
		{"over quota", MX, mail + "C: RCPT TO:<full@x>\nS: 452 4.2.2"},
		{"too big for recipient", MX, mail + "C: RCPT TO:<big@x>\nS: 552 5.2.3"},
		{"other failure", MX, mail + "C: RCPT TO:<odd@x>\nS: 451 4.3.0"},
		{"postmaster", MX, mail + "C: RCPT TO:<PostMaster>\nS: 250 2.1.5"},
		{"postmaster with a parameter", MX, mail + "C: RCPT TO:<postmaster> X=y\nS: 500 5.5.4"},
		{"quoted local part", MX, mail + "C: RCPT TO:<\"c d\"@here.example>\nS: 250"},
		{"control character", MX, mail + "C: RCPT TO:<a\x01b@here.example>\nS: 501 5.1.3"},
		{"UTF-8 without SMTPUTF8", MX, mail + "C: RCPT TO:<søren@here.example>\nS: 553 5.6.7"},
		{"UTF-8", MX, "C: MAIL FROM:<ø@far.example> SMTPUTF8\nS: 250\nC: RCPT TO:<søren@here.example>\nS: 250"},
		{"UTF-8 sender", MX, "C: MAIL FROM:<ø@far.example>\nS: 553 5.6.7"},
		{"null sender", MX, "C: MAIL FROM:<>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250"},
		{"sender with a control character", MX, "C: MAIL FROM:<a@b\x01>\nS: 501 5.1.7"},
		{"too big", MX, "C: MAIL FROM:<x@far.example> SIZE=1001\nS: 552 5.3.4"},
		{"as big as allowed", MX, "C: MAIL FROM:<x@far.example> SIZE=1000\nS: 250"},
		{"nested MAIL", MX, mail + "C: MAIL FROM:<y@far.example>\nS: 503 5.5.1\nC: RSET\nS: 250\nC: MAIL FROM:<y@far.example>\nS: 250"},
		{"RCPT first", MX, "C: RCPT TO:<anna@here.example>\nS: 502"},
		{"DATA first", MX, mail + "C: DATA\nS: 502\nC: NOOP\nS: 250"},
		{"DATA with an argument", MX, mail + "C: RCPT TO:<anna@here.example>\nS: 250\nC: DATA x\nS: 501\nC: NOOP\nS: 250"},
		{"AUTH on MX", MX, "C: AUTH PLAIN\nS: 502"},
		{"no STARTTLS", MX, "C: STARTTLS\nS: 502 5.5.1\nC: NOOP\nS: 250"},
		{"word beginning with STARTTLS", MX, "C: STARTTLSX\nS: 501 5.5.4"},
		{"unknown command", MX, "C: EVIL X\nS: 500"},
		{"NUL in a command", MX, "C: NOOP \x00\nS: 500 5.5.2\nC: NOOP\nS: 250"},
		{"bare CR in a command", MX, "C: NOOP \rQUIT\nS: 500 5.5.2\nC: NOOP\nS: 250"},
		{"line too long", MX, "C: NOOP " + strings.Repeat("x", 5000) + "\nS: 500 5.5.2\nC: NOOP\nS: 250"},
		{"line far too long", MX, "C: NOOP " + strings.Repeat("x", 200000) + "\nS: 500 5.5.2\nC: NOOP\nS: 250"},
		{"BDAT without a size", MX, "C: BDAT\nS: 501 5.5.4\nS: EOF"},
		{"BDAT with a bad size", MX, "C: BDAT -1 LAST\nS: 501 5.5.4\nS: EOF"},
		{"BDAT with a huge size", MX, "C: BDAT 5000000000 LAST\nS: 501 5.5.4\nS: EOF"},
		{"BDAT out of order", MX, "C: BDAT 12 LAST\\nQUIT\\nNOOP\nS: 502\nC: NOOP\nS: 250"},
		{"VRFY", MX, "C: VRFY anna\nS: 252"},
		{"LHLO", MX, "C: LHLO x\nS: 500"},
		{"EHLO in LMTP", LMTP, "C: EHLO x\nS: 500"},
		{"authentication required", Submission, "C: MAIL FROM:<anna@here.example>\nS: 530 5.7.0"},
		{"PLAIN", Submission, "C: AUTH PLAIN " + b64("\x00anna\x00secret") + "\nS: 235\nC: AUTH PLAIN\nS: 503"},
		{"PLAIN in two steps", Submission, "C: AUTH plain\nS: 334 \nC: " + b64("\x00anna\x00secret") + "\nS: 235"},
		{"LOGIN", Submission, "C: AUTH LOGIN\nS: 334 " + b64("Username:") + "\nC: " + b64("anna") + "\nS: 334 " + b64("Password:") + "\nC: " + b64("secret") + "\nS: 235"},
		{"LOGIN with the name at once", Submission, "C: AUTH LOGIN " + b64("anna") + "\nS: 334 " + b64("Password:") + "\nC: " + b64("wrong") + "\nS: 535 5.7.8"},
		{"cancelled", Submission, "C: AUTH LOGIN\nS: 334\nC: *\nS: 501\nC: NOOP\nS: 250"},
		{"not base64", Submission, "C: AUTH PLAIN !!\nS: 501 5.5.2\nC: AUTH PLAIN\nS: 334\nC: !!\nS: 501 5.5.2"},
		{"wrong password", Submission, "C: AUTH PLAIN " + b64("\x00anna\x00wrong") + "\nS: 535 5.7.8"},
		{"wrong password thrice", Submission, strings.Repeat("C: AUTH PLAIN "+b64("\x00anna\x00wrong")+"\nS: 535 5.7.8\n", 2) + "C: AUTH PLAIN " + b64("\x00anna\x00wrong") + "\nS: 421 4.7.0\nS: EOF"},
		{"malformed", Submission, "C: AUTH PLAIN " + b64("anna") + "\nS: 501 5.5.2"},
		{"for another", Submission, "C: AUTH PLAIN " + b64("bo\x00anna\x00secret") + "\nS: 535 5.7.8"},
		{"login unavailable", Submission, "C: AUTH PLAIN " + b64("\x00down\x00x") + "\nS: 454 4.7.0"},
		{"login suspended", Submission, "C: AUTH PLAIN " + b64("\x00suspended\x00x") + "\nS: 525 5.7.13"},
		{"unknown mechanism", Submission, "C: AUTH CRAM-MD5\nS: 504 5.5.4"},
		{"PLUS without TLS", Submission, "C: AUTH SCRAM-SHA-256-PLUS\nS: 504 5.5.4"},
		{"long response", Submission, "C: AUTH PLAIN\nS: 334\nC: " + b64(strings.Repeat("x", 40000)) + "\nS: 501 5.5.2\nC: NOOP\nS: 250"},
		{"far too long response", Submission, "C: AUTH PLAIN\nS: 334\nC: " + b64(strings.Repeat("x", 80000)) + "\nS: 500 5.5.6\nS: EOF"},
		{"not one's own", Submission, "C: AUTH PLAIN " + b64("\x00anna\x00secret") + "\nS: 235\nC: MAIL FROM:<bo@here.example>\nS: 550 5.7.1\nC: MAIL FROM:<down@here.example>\nS: 451 4.3.2\nC: MAIL FROM:<alias@here.example>\nS: 250\nC: RCPT TO:<x@far.example>\nS: 550 5.7.1 relaying is not available yet\nC: AUTH PLAIN\nS: 503"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{route: map[string]error{"q@x": cluster.ErrUnavailable, "full@x": mailstore.ErrOverQuota, "big@x": mailstore.ErrTooBig, "odd@x": errors.New("odd")}}
			_, addr := start(t, w, c.role, func(c *Config) { c.MaxMessage = 1000 })
			cl := dial(t, addr)
			cl.want("220")
			if c.role == LMTP {
				cl.talk("C: LHLO client.example\nS: 250")
			} else {
				cl.talk("C: EHLO client.example\nS: 250")
			}
			cl.talk(c.script)
			if len(w.got()) != 0 {
				t.Error("a message was stored")
			}
		})
	}
}

func TestErrorsAreCounted(t *testing.T) {
	_, addr := start(t, &world{}, MX, nil)
	c := dial(t, addr)
	c.want("220")
	for range maxBad {
		c.talk("C: NOOP \x00\nS: 500")
	}
	c.talk("C: NOOP \x00\nS: 421 4.7.0\nS: EOF")
}

func TestHELO(t *testing.T) {
	w := &world{}
	_, addr := start(t, w, MX, nil)
	c := dial(t, addr)
	c.talk("S: 220\nC: HELO (old);\"\nS: 250 \nC: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\nC: DATA\nS: 354\nC: A: b\\n\\n.\nS: 250")
	if raw := w.got()[0].raw; !strings.HasPrefix(raw, "Received: from old ([127.0.0.1])\r\n\tby mx.here.example with SMTP id ") {
		t.Errorf("trace %q", raw)
	}
	for in, want := range map[string]string{"10.1.2.3": "10.1.2.3", "2001:db8::1:2:3:4": "2001:db8::", "::ffff:10.1.2.3": "10.1.2.3"} {
		if got := network(net.ParseIP(in)); got != want {
			t.Errorf("%s: %s", in, got)
		}
	}
}

func TestTooManyRecipients(t *testing.T) {
	_, addr := start(t, &world{}, MX, func(c *Config) { c.MaxRecipients = 2 })
	c := dial(t, addr)
	c.talk("S: 220\nC: EHLO x\nS: 250\nC: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\nC: RCPT TO:<bo@here.example>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 452 4.5.3")
}

func TestEHLO(t *testing.T) {
	_, addr := start(t, &world{}, Submission, func(c *Config) { c.InsecureAuth = false; c.MaxMessage = 12345 })
	c := dial(t, addr)
	c.want("220")
	c.send("EHLO x\r\n")
	clear := c.reply()
	for _, k := range []string{"250-STARTTLS\r\n", "250-SIZE 12345\r\n", "250-PIPELINING\r\n", "250-CHUNKING\r\n", "250-BINARYMIME\r\n", "250-SMTPUTF8\r\n", "LIMITS RCPTMAX=500\r\n"} {
		if !strings.Contains(clear, k) {
			t.Errorf("%q is missing in %q", k, clear)
		}
	}
	for _, k := range []string{"AUTH", "DELIVERBY", "MT-PRIORITY", "REQUIRETLS"} {
		if strings.Contains(clear, k) {
			t.Errorf("%q in %q", k, clear)
		}
	}
	c.talk("C: AUTH PLAIN " + b64("\x00anna\x00secret") + "\nS: 538 5.7.11")
	c.startTLS()
	c.talk("C: MAIL FROM:<anna@here.example>\nS: 502") // everything is forgotten
	c.send("EHLO x\r\n")
	if secure := c.reply(); strings.Contains(secure, "STARTTLS") || !strings.Contains(secure, "250-AUTH SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN\r\n") {
		t.Errorf("under TLS: %q", secure)
	}
	c.talk("C: STARTTLS\nS: 502 5.5.1\nC: AUTH PLAIN " + b64("\x00anna\x00secret") + "\nS: 235")
}

func TestStartTLSInjection(t *testing.T) {
	_, addr := start(t, &world{}, MX, func(c *Config) { c.TLS = serverTLS() })
	c := dial(t, addr)
	c.want("220")
	c.send("STARTTLS\r\nNOOP\r\n")
	c.want("501 5.5.1", "EOF")
}

func TestHandshakeDeadline(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		s, addr := start(t, &world{}, MX, func(c *Config) {
			c.TLS, c.Implicit, c.HandshakeTimeout = serverTLS(), implicit, 50*time.Millisecond
		})
		c := dial(t, addr)
		if !implicit {
			c.talk("S: 220\nC: STARTTLS\nS: 220")
		}
		c.want("EOF")
		eventually(t, "link is forgotten", func() bool { st := s.Stats(); return st.Connections == 0 && st.FailedHandshakes == 1 })
	}
}

func TestSubmission(t *testing.T) {
	w := &world{}
	_, addr := start(t, w, Submission, nil)
	c := dial(t, addr)
	c.talk("S: 220\nC: EHLO laptop\nS: 250")
	c.startTLS()
	c.talk(`
C: EHLO laptop
S: 250
C: AUTH PLAIN ` + b64("\x00anna\x00secret") + `
S: 235
C: MAIL FROM:<anna@here.example>
S: 250
C: RCPT TO:<anna@here.example>
S: 250
C: RCPT TO:<bo@here.example>
S: 250
C: RCPT TO:<anna+x@here.example>
S: 250
C: DATA
S: 354
C: From: anna@here.example\nBcc: secret@x,\n more@x\nSubject: hi\nResent-Bcc: y\n\nbody\n.
S: 250 2.0.0
`)
	m := w.got()
	if len(m) != 1 || len(m[0].prefixes) != 2 {
		t.Fatalf("%d messages, prefixes %q", len(m), m[0].prefixes)
	}
	raw := m[0].raw
	if !strings.HasSuffix(raw, "\r\nFrom: anna@here.example\r\nSubject: hi\r\n\r\nbody\r\n") || strings.Contains(raw, "cc:") {
		t.Errorf("message %q", raw)
	}
	for _, want := range []string{"\r\nDate: Mon, 23 Nov 2026 21:20:00 +0100\r\n", "\r\nMessage-ID: <", "with ESMTPSA id", "(TLS 1.3 TLS_"} {
		if !strings.Contains(raw, want) {
			t.Errorf("%q is missing in %q", want, raw)
		}
	}
	if strings.Contains(raw, "for <") {
		t.Error("one recipient is shown to the others")
	}
	c.talk(`
C: MAIL FROM:<anna@here.example>
S: 250
C: RCPT TO:<bo@here.example>
S: 250
C: DATA
S: 354
C: Date: x\nMessage-ID: <1@y>\n\n.
S: 250 2.0.0
`)
	if raw := w.got()[1].raw; !strings.HasSuffix(raw, "+0100\r\nDate: x\r\nMessage-ID: <1@y>\r\n\r\n") || strings.Count(raw, "Message-ID") != 1 {
		t.Errorf("message %q", raw)
	}
}

func TestLMTP(t *testing.T) {
	w := &world{store: func(to []commit.Recipient) []error {
		errs := make([]error, len(to))
		for i, r := range to {
			errs[i] = map[mailstore.AccountID]error{2: mailstore.ErrNoAccount, 4: cluster.ErrUnavailable}[r.Account]
		}
		return errs
	}}
	_, addr := start(t, w, LMTP, nil)
	c := dial(t, addr)
	c.talk(`
S: 220 mx.here.example LMTP
C: LHLO client
S: 250
C: MAIL FROM:<>
S: 250
C: RCPT TO:<anna@here.example>
S: 250
C: RCPT TO:<bo@here.example>
S: 250
C: RCPT TO:<nobody@here.example>
S: 550 5.1.1
C: RCPT TO:<postmaster>
S: 250
C: RCPT TO:<anna@here.example>
S: 250
C: DATA
S: 354
C: A: b\n\nbody\n.
S: 250 2.0.0 <anna@here.example> queued as
S: 550 5.1.1 <bo@here.example>
S: 451 4.3.2 <postmaster@here.example>
S: 250 2.0.0 <anna@here.example> queued as
`)
	if m := w.got(); len(m) != 1 || len(m[0].prefixes) != 3 || m[0].prefixes[0] != "Return-Path: <>\r\nDelivered-To: anna@here.example\r\n" {
		t.Errorf("stored %+v", m)
	}
	// RFC 2033 section 4.2: BDAT too.
	c.talk(`
C: MAIL FROM:<>
S: 250
C: RCPT TO:<bo@here.example>
S: 250
C: RCPT TO:<anna@here.example>
S: 250
C: BDAT 4
C: A:
S: 250
`)
	c.send("BDAT 5 LAST\r\n\nb\rc\n")
	c.want("550 5.1.1 <bo", "250 2.0.0 <anna")
	if m := w.got(); !strings.HasSuffix(m[1].raw, "\r\nA:\r\n\nb\rc\n") {
		t.Errorf("stored %q", m[1].raw)
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		errs []error
		want string
	}{
		{[]error{nil, nil}, "250 2.0.0"},
		{[]error{mailstore.ErrNoAccount, mailstore.ErrNoAccount}, "550 5.1.1"},
		{[]error{mailstore.ErrNoAccount, nil}, "250 2.0.0"}, // H14
		{[]error{cluster.ErrUnavailable, cluster.ErrUnavailable}, "451 4.3.2"},
		{[]error{mailstore.ErrNoAccount, cluster.ErrUnavailable}, "451 4.3.2"},
		{[]error{nil, cluster.ErrUnavailable}, "451 4.3.2"},
		{[]error{cluster.ErrNoRoom, cluster.ErrNoRoom}, "452 4.3.1"},
		{[]error{cluster.ErrTooLarge, cluster.ErrTooLarge}, "552 5.3.4"},
		{[]error{errors.New("odd"), errors.New("odd")}, "451 4.3.0"},
		{nil, "451 4.3.0"},
	} {
		w := &world{store: func([]commit.Recipient) []error { return c.errs }}
		_, addr := start(t, w, MX, nil)
		cl := dial(t, addr)
		cl.talk("S: 220\nC: EHLO x\nS: 250\nC: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\nC: RCPT TO:<bo@here.example>\nS: 250\nC: DATA\nS: 354\nC: A: b\\n\\n.\nS: " + c.want)
	}
}

// TestBodies is which octets are let in by which way.
func TestBodies(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for _, c := range []struct {
		name     string
		role     Role
		body     string
		mx, lmtp string // answers to DATA
		bdat     string // to BDAT at the MX
		binary   string // to BODY=BINARYMIME at the MX
		lbdat    string // to BDAT at LMTP
	}{
		{"plain", MX, "A: b\r\n\r\nx\r\n", "250", "250", "250", "250", "250"},
		{"empty", MX, "", "250", "250", "250", "250", "250"},
		{"bare LF", MX, "A: b\n\nx\r\n", "550 5.6.0", "250", "550 5.6.0", "250", "250"},
		{"bare CR", MX, "A: b\r\n\r\nx\ry\r\n", "550 5.6.0", "250", "550 5.6.0", "250", "250"},
		{"CR CRLF", MX, "A: b\r\n\r\nx\r\r\n", "550 5.6.0", "250", "550 5.6.0", "250", "250"},
		{"NUL", MX, "A: b\r\n\r\nx\x00\r\n", "550 5.6.0", "550 5.6.0", "550 5.6.0", "250", "550 5.6.0"},
		{"8-bit", MX, "A: \xe5\r\n\r\n\xff\r\n", "250", "250", "250", "250", "250"},
		{"long line", MX, "A: b\r\n\r\n" + long + "\r\n", "250", "250", "250", "250", "250"},
		{"no empty line", MX, "A: b\r\n", "250", "250", "250", "250", "250"},
		{"101 hops", MX, strings.Repeat("Received: x\r\n", 101) + "\r\n", "554 5.4.6", "554 5.4.6", "554 5.4.6", "554 5.4.6", "554 5.4.6"},
		{"100 hops", MX, strings.Repeat("Received: x\r\n", 100) + "\r\n", "250", "250", "250", "250", "250"},
		{"dots", MX, ".\r\n..\r\n.x\r\n\r\n.", "", "", "250", "250", "250"},
		{"no line end", MX, "A: b\r\n\r\nx", "", "", "250", "250", "250"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{}
			_, mx := start(t, w, MX, nil)
			_, lmtp := start(t, w, LMTP, nil)
			for _, way := range []struct {
				addr, hello, param, want string
				bdat                     bool
			}{
				{mx, "EHLO", "", c.mx, false}, {lmtp, "LHLO", "", c.lmtp, false}, {mx, "EHLO", "", c.bdat, true},
				{mx, "EHLO", " BODY=BINARYMIME", c.binary, true}, {lmtp, "LHLO", "", c.lbdat, true},
			} {
				if way.want == "" {
					continue
				}
				before := len(w.got())
				cl := dial(t, way.addr)
				cl.talk("S: 220\nC: " + way.hello + " x\nS: 250\nC: MAIL FROM:<a@b>" + way.param + "\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250")
				if way.bdat {
					cl.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(c.body), c.body))
				} else {
					cl.talk("C: DATA\nS: 354")
					cl.send(c.body + ".\r\n")
				}
				cl.want(way.want)
				cl.talk("C: NOOP\nS: 250 2.0.0 I have") // still in step
				m := w.got()
				if stored := len(m) > before; stored != (way.want == "250") {
					t.Fatalf("%+v: stored %v", way, stored)
				} else if stored && !strings.HasSuffix(m[before].raw, "+0100\r\n"+c.body) {
					t.Errorf("%+v: stored %q", way, m[before].raw)
				}
			}
		})
	}
}

// TestSmuggling sends what some servers take for the end of the data. Nothing
// behind it may run as a command.
func TestSmuggling(t *testing.T) {
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r", "\r\n\x00.\r\n", "\r\r\n.\n", "\r\n.\r\r\n", "\r\n .\r\n", "\r\n..\r\n"} {
		w := &world{}
		_, addr := start(t, w, MX, nil)
		c := dial(t, addr)
		c.talk("S: 220\nC: EHLO x\nS: 250\nC: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\nC: DATA\nS: 354")
		c.send("A: b\r\n\r\nx" + end + "MAIL FROM:<evil@x>\r\nRCPT TO:<bo@here.example>\r\nDATA\r\nevil\r\n.\r\n")
		c.send("NOOP\r\n")
		first := c.reply()
		c.want("250 2.0.0 I have")
		for _, m := range w.got() {
			if !strings.Contains(m.prefixes[0], "a@b") || len(m.prefixes) != 1 {
				t.Errorf("%q: smuggled", end)
			}
		}
		if ok := onlyCRLF([]byte(end)) && !strings.Contains(end, "\x00"); (first[:3] == "250") != ok {
			t.Errorf("%q: %s", end, first)
		}
	}
	// The one true end after an odd line: seen at once.
	_, addr := start(t, &world{}, LMTP, nil)
	c := dial(t, addr)
	c.talk("S: 220\nC: LHLO x\nS: 250\nC: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\nC: DATA\nS: 354")
	c.send("x\r\r\n.\r\n")
	c.want("250")
}

func TestDataInPieces(t *testing.T) {
	w := &world{}
	_, addr := start(t, w, LMTP, nil)
	for _, step := range []int{1, 2, 3, 5} {
		c := dial(t, addr)
		c.talk("S: 220\nC: LHLO x\nS: 250\nC: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\nC: DATA\nS: 354")
		text := "..\r\n.a\r\r\n\r\n..\r\n.\r\r\n..x\r\n.\r\n"
		for i := 0; i < len(text); i += step {
			c.send(text[i:min(i+step, len(text))])
			time.Sleep(200 * time.Microsecond) // so that pieces arrive as pieces, most times
		}
		c.want("250")
		m := w.got()
		if got := m[len(m)-1].raw; !strings.HasSuffix(got, "+0100\r\n.\r\na\r\r\n\r\n.\r\n\r\r\n.x\r\n") {
			t.Errorf("step %d: %q", step, got)
		}
	}
}

func TestTooBig(t *testing.T) {
	w := &world{}
	s, addr := start(t, w, MX, func(c *Config) { c.MaxMessage = 100000 })
	for _, bdat := range []bool{false, true} {
		c := dial(t, addr)
		c.talk("S: 220\nC: EHLO x\nS: 250")
		for _, size := range []int{100000, 100001, 300000} {
			c.talk("C: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250")
			body := "A: b\r\n\r\n" + strings.Repeat("0123456789\r\n", size/12+1)
			body = body[:size-2] + "\r\n"
			if bdat {
				c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), body))
			} else {
				c.talk("C: DATA\nS: 354")
				c.send(body + ".\r\n")
			}
			if size > 100000 {
				c.want("552 5.3.4")
			} else {
				c.want("250 2.0.0")
			}
			c.talk("C: NOOP\nS: 250")
		}
	}
	if n := len(w.got()); n != 2 {
		t.Errorf("%d messages stored", n)
	}
	if n := s.Stats().MessageMemoryInUse; n != 0 {
		t.Errorf("%d octets in use", n)
	}
}

func TestMemory(t *testing.T) {
	w := &world{}
	b := NewBudget(200 << 10)
	_, addr := start(t, w, MX, func(c *Config) { c.Memory = b })
	body := "A: b\r\n\r\n" + strings.Repeat("0123456789\r\n", 10000)
	for _, bdat := range []bool{false, true} {
		if !b.take(150 << 10) { // others
			t.Fatal("budget is not free")
		}
		c := dial(t, addr)
		c.talk("S: 220\nC: EHLO x\nS: 250\nC: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250")
		if bdat {
			c.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), body))
		} else {
			c.talk("C: DATA\nS: 354")
			c.send(body + ".\r\n")
		}
		c.want("452 4.3.1")
		c.talk("C: MAIL FROM:<a@b> SIZE=1000000\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\nC: DATA\nS: 354\nC: x\\n.\nS: 452 4.3.1")
		b.give(150 << 10)
		c.talk("C: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\nC: DATA\nS: 354\nC: x\\n.\nS: 250")
	}
}

func TestTimeouts(t *testing.T) {
	quick := func(c *Config) { c.CommandTimeout, c.DataTimeout = 50*time.Millisecond, 50*time.Millisecond }
	w := &world{}
	_, addr := start(t, w, MX, quick)
	c := dial(t, addr)
	c.want("220", "421 4.4.2", "EOF")
	const rcpt = "S: 220\nC: EHLO x\nS: 250\nC: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\n"

	// go-smtp #196: after a timeout in the data, the rest of it was executed.
	c = dial(t, addr)
	c.talk(rcpt + "C: DATA\nS: 354")
	c.send("A: b\r\n\r\nx\r\n")
	c.want("421 4.4.2", "EOF")
	c = dial(t, addr)
	c.talk(rcpt)
	c.send("BDAT 100 LAST\r\nNOOP\r\n")
	c.want("421 4.4.2", "EOF")

	// A connection that ends within the message stores nothing.
	for _, data := range []string{"DATA\r\nA: b\r\n\r\nx\r\n.", "BDAT 100 LAST\r\nA: b\r\n\r\nx\r\n", "BDAT 3\r\nA: b"} {
		c = dial(t, addr)
		c.talk(rcpt)
		c.send(data)
		if err := c.nc.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		for c.reply() != "EOF" {
		}
	}
	if n := len(w.got()); n != 0 {
		t.Errorf("%d messages stored", n)
	}
}

func TestMinRate(t *testing.T) {
	s, addr := start(t, &world{}, MX, func(c *Config) { c.DataTimeout, c.MinRate = 100*time.Millisecond, 1000 })
	c := dial(t, addr)
	c.talk("S: 220\nC: EHLO x\nS: 250\nC: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\nC: DATA\nS: 354")
	began := time.Now()
	for i := 0; ; i++ {
		if _, err := c.nc.Write([]byte("x")); err != nil || s.Stats().Connections == 0 {
			break
		}
		if time.Since(began) > 5*time.Second {
			t.Fatal("a trickle keeps the connection")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestLimits(t *testing.T) {
	s, addr := start(t, &world{}, MX, func(c *Config) { c.MaxConns, c.MaxConnsPerIP = 3, 2 })
	a, b := dial(t, addr), dial(t, addr)
	a.want("220")
	b.want("220")
	dial(t, addr).want("421 4.7.0", "EOF")
	a.talk("C: QUIT\nS: 221\nS: EOF")
	eventually(t, "link is forgotten", func() bool { return s.Stats().Connections == 1 })
	dial(t, addr).want("220")
	_, addr = start(t, &world{}, MX, func(c *Config) { c.MaxConns = 1 })
	dial(t, addr).want("220")
	dial(t, addr).want("421 4.3.2", "EOF")
}

func TestShutdown(t *testing.T) {
	hold, held := make(chan struct{}), make(chan struct{})
	w := &world{store: func(to []commit.Recipient) []error {
		close(held)
		<-hold
		return make([]error, len(to))
	}}
	cfg := Config{Role: MX, Hostname: "mx", Directory: w, Deliverer: w}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	idle, busy := dial(t, ln.Addr().String()), dial(t, ln.Addr().String())
	idle.talk("S: 220\nC: EHLO x\nS: 250")
	busy.talk("S: 220\nC: EHLO x\nS: 250\nC: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\nC: DATA\nS: 354\nC: A: b\\n\\n.")
	select {
	case <-held:
	case <-time.After(5 * time.Second):
		t.Fatal("the message was not handed over")
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	idle.want("421 4.3.2", "EOF")
	select {
	case err := <-done:
		t.Fatalf("Shutdown did not wait: %v", err)
	default:
	}
	close(hold)
	busy.want("250 2.0.0", "421 4.3.2", "EOF")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := s.Serve(ln); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
}

func TestPipelining(t *testing.T) {
	w := &world{}
	_, addr := start(t, w, MX, nil)
	c := dial(t, addr)
	c.want("220")
	one := "MAIL FROM:<a@b>\r\nRCPT TO:<anna@here.example>\r\nDATA\r\n"
	c.send("EHLO x\r\n" + one)
	c.want("250", "250", "250", "354")
	c.send("A: b\r\n\r\n.\r\n" + one)
	c.want("250 2.0.0", "250", "250", "354")
	body := "A: b\r\n\r\n"
	c.send("A: b\r\n\r\n.\r\nMAIL FROM:<a@b>\r\nRCPT TO:<anna@here.example>\r\n" + fmt.Sprintf("BDAT %d\r\n%sBDAT 0 LAST\r\nQUIT\r\n", len(body), body))
	c.want("250 2.0.0", "250", "250", "250", "250 2.0.0", "221", "EOF")
	if n := len(w.got()); n != 3 {
		t.Errorf("%d messages", n)
	}
}

func TestConfig(t *testing.T) {
	w := &world{}
	for _, c := range []Config{
		{}, {Hostname: "x", Directory: w}, {Hostname: "x", Directory: w, Deliverer: w, Role: 9},
		{Hostname: "x", Directory: w, Deliverer: w, Role: Submission}, {Hostname: "x", Directory: w, Deliverer: w, Implicit: true},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%+v was accepted", c)
		}
	}
}

func TestLMTPSocket(t *testing.T) {
	w := &world{}
	s, _ := start(t, w, LMTP, func(c *Config) { c.MaxConnsPerIP = 1 })
	path := filepath.Join(t.TempDir(), "lmtp")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	for range 2 { // local programs are not limited by address
		nc, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c := &client{t: t}
		c.use(nc)
		defer nc.Close()
		c.talk("S: 220\nC: LHLO x\nS: 250\nC: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\nC: DATA\nS: 354\nC: A: b\\n\\n.\nS: 250")
	}
	if raw := w.got()[0].raw; !strings.HasPrefix(raw, "Received: from x (local)\r\n\tby mx.here.example with LMTP id ") {
		t.Errorf("trace %q", raw)
	}
}

// TestPanic: a failure inside costs one connection, and runs nothing of the
// message as commands.
func TestPanic(t *testing.T) {
	w := &world{store: func([]commit.Recipient) []error { panic("odd") }}
	_, addr := start(t, w, MX, nil)
	c := dial(t, addr)
	c.talk("S: 220\nC: EHLO x\nS: 250\nC: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<anna@here.example>\nS: 250\nC: DATA\nS: 354\nC: A: b\\n\\n.\nS: 421")
	c.want("EOF")
	c = dial(t, addr)
	c.talk("S: 220\nC: QUIT\nS: 221")
}
