//go:build e2e

package faults

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-smtp"
)

// oddMail is mail that stores have choked on. by names the ways in that admit
// it: smtp, lmtp, append, literal8.
func oddMail() map[string]struct {
	raw []byte
	by  string
} {
	r := rand.New(rand.NewPCG(1, 2))
	big := bytes.NewBufferString("Subject: big\r\nMIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	noise := make([]byte, 57)
	for big.Len() < 25_000_000 {
		for i := range noise {
			noise[i] = byte(r.Uint32())
		}
		big.WriteString(base64.StdEncoding.EncodeToString(noise) + "\r\n")
	}
	parts := bytes.NewBufferString("Subject: parts\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n")
	for i := range 10_000 {
		fmt.Fprintf(parts, "--b\r\nContent-Type: text/plain\r\n\r\npart %d\r\n", i)
	}
	parts.WriteString("--b--\r\n")
	deep := bytes.NewBufferString("Subject: deep\r\n")
	for i := range 100 {
		fmt.Fprintf(deep, "Content-Type: multipart/mixed; boundary=\"level%dx\"\r\n\r\n--level%dx\r\n", i, i)
	}
	deep.WriteString("Content-Type: text/plain\r\n\r\nthe bottom\r\n")
	for i := 99; i >= 0; i-- {
		fmt.Fprintf(deep, "--level%dx--\r\n", i)
	}
	var mess bytes.Buffer
	for range 50 {
		b := make([]byte, 1+r.IntN(120))
		for i := range b {
			for b[i] == 0 || b[i] == '\r' || b[i] == '\n' {
				b[i] = byte(r.Uint32())
			}
		}
		mess.Write(b)
		mess.WriteString("\r\n")
	}
	type m = struct {
		raw []byte
		by  string
	}
	return map[string]m{
		"25 MB":                  {big.Bytes(), "smtp append"},
		"10,000 parts":           {parts.Bytes(), "smtp append"},
		"nested 100 deep":        {deep.Bytes(), "smtp append"},
		"no header":              {[]byte("\r\njust a body\r\n"), "smtp append"},
		"header only":            {[]byte("Subject: nothing else\r\n\r\n"), "smtp append"},
		"only NULs":              {make([]byte, 5000), "literal8"},
		"8-bit header mess":      {append(mess.Bytes(), "\r\nbody\r\n"...), "smtp append"},
		"bare LF":                {[]byte("Subject: unix\nFrom: a@example.org\n\nline one\nline two\n"), "append"},
		"bare LF with CRLF":      {[]byte("Subject: mixed\r\nFrom: a@example.org\r\n\r\nline one\nline two\r\n"), "lmtp append"},
		"dots":                   {[]byte("Subject: dots\r\n\r\n.\r\n..\r\n...x\r\n"), "smtp lmtp append"},
		"empty multipart":        {[]byte("Content-Type: multipart/mixed; boundary=x\r\n\r\nno parts\r\n"), "smtp append"},
		"malformed header lines": {[]byte(">From x\r\nno colon here\r\n: empty\r\nSubject: ok\r\n\r\nb\r\n"), "smtp append"},
	}
}

// TestOddMail stores mail that is big, deep or malformed, by each way in that
// admits it, and reads it back byte for byte at another node.
func TestOddMail(t *testing.T) {
	c := start(t, 3)
	cl, err := Dial(c.Nodes[1], c.Account)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for what, m := range oddMail() {
		for by := range strings.FieldsSeq(m.by) {
			name := what + " by " + by
			var o Outcome
			var err error
			switch by {
			case "smtp":
				o, err = Deliver(c.Nodes[0].SMTP, c.Account.Address, m.raw)
			case "lmtp":
				o, err = lmtp(c.Nodes[0].LMTP, c.Account.Address, m.raw)
			case "append":
				_, o, err = Append(cl, "INBOX", m.raw)
			case "literal8":
				o, err = literal8(c.Nodes[0], c.Account, m.raw)
			}
			if o != Answered {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if err := newest(c.Nodes[2], c.Account, m.raw); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}

	t.Run("over the limit", func(t *testing.T) {
		huge := append([]byte("Subject: huge\r\n\r\n"), bytes.Repeat([]byte(strings.Repeat("x", 70)+"\r\n"), 51<<20/72)...)
		_, err := Deliver(c.Nodes[0].SMTP, c.Account.Address, huge)
		var se *smtp.SMTPError
		if !errors.As(err, &se) || se.Code != 552 || se.EnhancedCode != (smtp.EnhancedCode{5, 3, 4}) {
			t.Errorf("SMTP answered %v, not 552 5.3.4", err)
		}
		_, _, err = Append(cl, "INBOX", huge)
		var ie *imap.Error
		if !errors.As(err, &ie) || ie.Code != imap.ResponseCodeTooBig {
			t.Errorf("IMAP answered %v, not NO [TOOBIG]", err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Check(ctx); err != nil {
		t.Error(err)
	}
}

// newest reads the last message of INBOX at a node and compares it.
func newest(n *Node, a Account, want []byte) error {
	cl, err := Dial(n, a)
	if err != nil {
		return err
	}
	defer cl.Close()
	sel, err := cl.Select("INBOX", nil).Wait()
	if err != nil {
		return err
	}
	last := imap.SeqSetNum(sel.NumMessages)
	ms, err := cl.Fetch(last, &imap.FetchOptions{RFC822Size: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
	if err != nil {
		return err
	}
	if len(ms) != 1 || len(ms[0].BodySection) != 1 {
		return fmt.Errorf("%d messages", len(ms))
	}
	got := ms[0].BodySection[0].Bytes
	if !bytes.HasSuffix(got, want) {
		return fmt.Errorf("%d bytes came back that do not end in the %d sent", len(got), len(want))
	}
	if ms[0].RFC822Size != int64(len(got)) {
		return fmt.Errorf("RFC822.SIZE %d, BODY[] has %d", ms[0].RFC822Size, len(got))
	}
	// The structure is asked for by hand: a client library need not survive
	// 10,000 parts.
	r, err := rawIMAP(n, a)
	if err != nil {
		return err
	}
	defer r.Close()
	for _, item := range []string{"ENVELOPE", "BODYSTRUCTURE"} {
		lines, err := r.command("FETCH * (" + item + ")")
		if err != nil {
			return fmt.Errorf("%s: %w", item, err)
		}
		if !strings.Contains(lines, item+" (") {
			return fmt.Errorf("%s: not answered: %.100q", item, lines)
		}
	}
	return nil
}

func lmtp(addr, to string, raw []byte) (Outcome, error) {
	conn, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return Refused, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(answerTime)); err != nil {
		return Refused, err
	}
	tp := textproto.NewConn(conn)
	say := func(code int, line string) error {
		if line != "" {
			if err := tp.PrintfLine("%s", line); err != nil {
				return err
			}
		}
		_, _, err := tp.ReadResponse(code)
		return err
	}
	for _, s := range []struct {
		code int
		line string
	}{{220, ""}, {250, "LHLO test"}, {250, "MAIL FROM:<writer@example.org>"}, {250, "RCPT TO:<" + to + ">"}, {354, "DATA"}} {
		if err := say(s.code, s.line); err != nil {
			return Refused, err
		}
	}
	// Dot-stuffed by hand: a line begins after CRLF only.
	stuffed := bytes.ReplaceAll(append([]byte("\r\n"), raw...), []byte("\r\n."), []byte("\r\n.."))[2:]
	if _, err := conn.Write(append(stuffed, ".\r\n"...)); err != nil {
		return Unknown, err
	}
	if err := say(250, ""); err != nil {
		return Unknown, err
	}
	return Answered, nil
}

// rawClient is IMAP without a library in between.
type rawClient struct {
	net.Conn
	tp *textproto.Conn
	n  int
}

func rawIMAP(n *Node, a Account) (*rawClient, error) {
	conn, err := tls.Dial("tcp", n.IMAPS, &tls.Config{InsecureSkipVerify: true}) // a self-signed test certificate on loopback
	if err != nil {
		return nil, err
	}
	r := &rawClient{Conn: &deadlineConn{conn}}
	r.tp = textproto.NewConn(r.Conn)
	if _, err := r.tp.ReadLine(); err != nil {
		return nil, err
	}
	if _, err := r.command(fmt.Sprintf("LOGIN %q %q", a.Address, a.Password)); err != nil {
		return nil, err
	}
	_, err = r.command("SELECT INBOX")
	return r, err
}

// command sends a command without literals and returns the untagged lines.
func (r *rawClient) command(s string) (string, error) {
	r.n++
	tag := fmt.Sprintf("t%d", r.n)
	if err := r.tp.PrintfLine("%s %s", tag, s); err != nil {
		return "", err
	}
	return r.until(tag)
}

func (r *rawClient) until(tag string) (string, error) {
	var b strings.Builder
	for {
		line, err := r.tp.ReadLine()
		if err != nil {
			return b.String(), err
		}
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			if !strings.HasPrefix(rest, "OK") {
				return b.String(), errors.New(rest)
			}
			return b.String(), nil
		}
		b.WriteString(line + "\n")
	}
}

// literal8 appends bytes that only a literal8 may hold (RFC 3516).
func literal8(n *Node, a Account, raw []byte) (Outcome, error) {
	r, err := rawIMAP(n, a)
	if err != nil {
		return Refused, err
	}
	defer r.Close()
	if err := r.tp.PrintfLine("x APPEND INBOX ~{%d}", len(raw)); err != nil {
		return Unknown, err
	}
	line, err := r.tp.ReadLine()
	if err != nil || !strings.HasPrefix(line, "+") {
		return Refused, fmt.Errorf("%q, %v", line, err)
	}
	if _, err := r.Write(append(bytes.Clone(raw), "\r\n"...)); err != nil {
		return Unknown, err
	}
	if _, err := r.until("x"); err != nil {
		return Unknown, err
	}
	return Answered, nil
}
