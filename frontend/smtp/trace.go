package smtp

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"strings"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore/commit"
)

// maxHops is where a mail loop is cut (RFC 5321 section 6.3).
const maxHops = 100

// queueID is the name of a delivery in replies, Received and logs.
func queueID(op cluster.OpID) string { return hex.EncodeToString(op[:6]) }

// prefix is the part of the header that only one recipient gets (H13).
func prefix(from, to string) []byte {
	return []byte("Return-Path: <" + from + ">\r\nDelivered-To: " + to + "\r\n")
}

// envelop checks the message, edits its header and indexes it.
func (s *session) envelop(tx *transaction, t *intake, id string) (*commit.Message, *gosmtp.SMTPError) {
	raw := t.message()
	if !tx.binary {
		// RFC 3030 section 3: only BINARYMIME is without lines, and may hold
		// NULs (H22).
		if bytes.IndexByte(raw, 0) >= 0 {
			return nil, errNUL
		}
		// A line end that one server sees and the next does not is how mail is
		// smuggled past checks. LMTP's clients are our own.
		if s.srv.cfg.Role != LMTP && !onlyCRLF(raw) {
			return nil, errNewline
		}
	}
	var head bytes.Buffer
	s.received(&head, tx, id)
	start, answer := s.editHeader(t, &head)
	if answer != nil {
		return nil, answer
	}
	raw = t.prepend(start, head.Bytes())

	x := message.Parse(raw)
	summary, err := x.AppendBinary(nil)
	if err != nil {
		s.srv.cfg.Log.Error("smtp: index", "id", id, "error", err)
		return nil, errLocal
	}
	m := &commit.Message{Raw: raw, HeaderLen: x.HeaderLen, Summary: summary}
	header := raw[:x.HeaderLen]
	thread := message.HeaderThread(header)
	m.MessageID = string(thread.ID)
	for _, r := range thread.References {
		m.References = append(m.References, string(r))
	}
	base, _ := message.BaseSubject(message.Lookup(header, "Subject"))
	m.Subject = string(base)
	return m, nil
}

// onlyCRLF reports whether every CR and every LF is part of a CRLF.
func onlyCRLF(b []byte) bool {
	n := bytes.Count(b, []byte("\r\n"))
	return n == bytes.Count(b, []byte{'\n'}) && n == bytes.Count(b, []byte{'\r'})
}

// editHeader takes out the fields that may not stay, adds to head those a
// submission lacks, and returns where the message now begins.
func (s *session) editHeader(t *intake, head *bytes.Buffer) (int, *gosmtp.SMTPError) {
	raw := t.message()
	hops := 0
	var cut []message.Range
	var date, msgID bool
	at := 0
	for f := range message.Fields(raw) {
		n := len(f.Raw)
		switch name := strings.ToLower(string(f.Name[:min(len(f.Name), 16)])); name {
		case "received":
			if hops++; hops > maxHops {
				return 0, errLoop
			}
		case "return-path":
			// RFC 5321 section 4.4: only the last hop writes one.
			cut = append(cut, message.Range{Off: at, Len: n})
		case "bcc", "resent-bcc":
			// RFC 5322 section 3.6.3.
			if s.srv.cfg.Role == Submission {
				cut = append(cut, message.Range{Off: at, Len: n})
			}
		case "date":
			date = true
		case "message-id":
			msgID = true
		}
		at += n
	}
	// What stands before the cuts moves up over them, so that the body stays
	// where it is.
	start := 0
	for i := len(cut) - 1; i >= 0; i-- {
		if i == len(cut)-1 {
			start = cut[i].End()
		}
		from := 0
		if i > 0 {
			from = cut[i-1].End()
		}
		start -= cut[i].Off - from
		copy(raw[start:], raw[from:cut[i].Off])
	}
	if s.srv.cfg.Role == Submission {
		// RFC 6409 section 8.
		if !date {
			fmt.Fprintf(head, "Date: %s\r\n", s.srv.cfg.now().Format(time.RFC1123Z))
		}
		if !msgID {
			fmt.Fprintf(head, "Message-ID: <%s@%s>\r\n", strings.ToLower(rand.Text()), s.srv.cfg.Hostname)
		}
	}
	return start, nil
}

// received writes the trace field of RFC 5321 section 4.4. The recipient is in
// it only if it is the only one: the others are none of their business.
func (s *session) received(b *bytes.Buffer, tx *transaction, id string) {
	// The words of RFC 3848 and RFC 6531 section 4.3.
	with := "ESMTP"
	if s.srv.cfg.Role == LMTP {
		with = "LMTP"
	}
	if tx.utf8 {
		with = "UTF8" + strings.TrimPrefix(with, "E")
	}
	if s.link.secure() {
		with += "S"
	}
	if s.user != nil {
		with += "A"
	}
	if s.link.plain {
		with = "SMTP"
	}
	fmt.Fprintf(b, "Received: from %s (%s)\r\n\tby %s with %s id %s", traceName(s.conn.Hostname()), traceAddr(s.link.remote), s.srv.cfg.Hostname, with, id)
	if len(tx.to) == 1 && len(tx.to[0].address) < 300 {
		fmt.Fprintf(b, "\r\n\tfor <%s>", tx.to[0].address)
	}
	if s.link.secure() {
		fmt.Fprintf(b, "\r\n\t(%s %s)", tls.VersionName(s.link.tls.Version), tls.CipherSuiteName(s.link.tls.CipherSuite))
	}
	fmt.Fprintf(b, ";\r\n\t%s\r\n", s.srv.cfg.now().Format(time.RFC1123Z))
}

// traceName is what a client called itself, as far as it may stand in a
// header.
func traceName(s string) string {
	ok := func(r rune) rune {
		if r > ' ' && r < 0x7f && !strings.ContainsRune("()<>;,\"\\", r) {
			return r
		}
		return -1
	}
	if s = strings.Map(ok, s[:min(len(s), 255)]); s == "" {
		return "unknown"
	}
	return s
}

// traceAddr is an address literal (RFC 5321 section 4.1.3).
func traceAddr(a net.Addr) string {
	t, ok := a.(*net.TCPAddr)
	if !ok {
		return "local"
	}
	if ip4 := t.IP.To4(); ip4 != nil {
		return "[" + ip4.String() + "]"
	}
	return "[IPv6:" + t.IP.String() + "]"
}
