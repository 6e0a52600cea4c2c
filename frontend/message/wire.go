package message

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// AppendNString appends a text as an nstring of RFC 9051 section 4.3: NIL for
// nil, quoted where that is allowed, else a literal. With utf8ok, which is for
// sessions that enabled IMAP4rev2 or UTF8=ACCEPT, valid UTF-8 is quoted too.
// NULs, which no string may hold, are left out.
func AppendNString(dst, s []byte, utf8ok bool) []byte {
	if s == nil {
		return append(dst, "NIL"...)
	}
	return AppendString(dst, s, utf8ok)
}

// AppendString is AppendNString for a text that is never NIL.
func AppendString(dst, s []byte, utf8ok bool) []byte {
	n := 0
	for n < len(s) && quotable[s[n]] {
		n++
	}
	if n == len(s) && n <= 4096 {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	start := len(dst)
	dst = append(dst, '"')
	high := false
	for i, c := range s {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\')
		case c == 0 || c == '\r' || c == '\n' || c >= 0x80 && !utf8ok || i > 4096:
			return appendLiteral(dst[:start], s)
		case c >= 0x80:
			high = true
		}
		dst = append(dst, c)
	}
	if high && !utf8.Valid(s) {
		return appendLiteral(dst[:start], s)
	}
	return append(dst, '"')
}

// quotable are the bytes that stand for themselves in any quoted string.
var quotable = func() (t [256]bool) {
	for c := 1; c < 0x80; c++ {
		t[c] = c != '"' && c != '\\' && c != '\r' && c != '\n'
	}
	return t
}()

func appendLiteral(dst, s []byte) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, int64(len(s)-bytes.Count(s, []byte{0})), 10)
	dst = append(dst, '}', '\r', '\n')
	for len(s) > 0 {
		i := bytes.IndexByte(s, 0)
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(dst, s[:i]...)
		s = s[i+1:]
	}
	return dst
}

// AppendEnvelope appends the envelope of RFC 9051 section 7.5.2 in wire form,
// with its parentheses.
func AppendEnvelope(dst []byte, e *Envelope, utf8ok bool) []byte {
	dst = append(dst, '(')
	dst = AppendNString(dst, e.Date, utf8ok)
	dst = append(dst, ' ')
	dst = AppendNString(dst, e.Subject, utf8ok)
	from, sender, reply := e.From, e.Sender, e.ReplyTo
	// "If the Sender or Reply-To header lines are absent or present but empty,
	// the server sets them to From", section 7.5.2.
	if len(sender) == 0 {
		sender = from
	}
	if len(reply) == 0 {
		reply = from
	}
	for _, l := range [...][]Address{from, sender, reply, e.To, e.Cc, e.Bcc} {
		dst = append(dst, ' ')
		if len(l) == 0 {
			dst = append(dst, "NIL"...)
			continue
		}
		dst = append(dst, '(')
		for i := range l {
			a := &l[i]
			dst = append(dst, '(')
			dst = AppendNString(dst, a.Name, utf8ok)
			dst = append(dst, ' ')
			dst = AppendNString(dst, a.Route, utf8ok)
			dst = append(dst, ' ')
			dst = AppendNString(dst, a.Mailbox, utf8ok)
			dst = append(dst, ' ')
			dst = AppendNString(dst, a.Host, utf8ok)
			dst = append(dst, ')')
		}
		dst = append(dst, ')')
	}
	dst = append(dst, ' ')
	dst = AppendNString(dst, e.InReplyTo, utf8ok)
	dst = append(dst, ' ')
	dst = AppendNString(dst, e.MessageID, utf8ok)
	return append(dst, ')')
}

// AppendBodyStructure appends BODYSTRUCTURE (extended) or BODY of the whole
// message in wire form. It reports false, and appends nothing, when the index
// has no part tree.
func (x *Index) AppendBodyStructure(dst []byte, extended, utf8ok bool) ([]byte, bool) {
	if len(x.Parts) == 0 {
		return dst, false
	}
	w := structureWriter{x: x, extended: extended, utf8ok: utf8ok}
	return w.part(dst, 0), true
}

type structureWriter struct {
	x                *Index
	extended, utf8ok bool
	envelope         Envelope
}

// part writes one part; the tree is at most MaxDepth deep.
func (w *structureWriter) part(dst []byte, i int) []byte {
	p := &w.x.Parts[i]
	dst = append(dst, '(')
	if p.Kind == Multipart {
		for c := p.Child; c >= 0; c = w.x.Parts[c].Next {
			dst = w.part(dst, c)
		}
		dst = append(dst, ' ')
		dst = AppendString(dst, p.Subtype, w.utf8ok)
		if w.extended {
			dst = append(dst, ' ')
			dst = w.params(dst, p.Params, false)
		}
	} else {
		dst = AppendString(dst, p.Type, w.utf8ok)
		dst = append(dst, ' ')
		dst = AppendString(dst, p.Subtype, w.utf8ok)
		dst = append(dst, ' ')
		// RFC 2046 section 4.1.2: text without a charset is us-ascii.
		text := equalFold(p.Type, "text")
		_, charset := p.Param("charset")
		dst = w.params(dst, p.Params, text && !charset)
		dst = append(dst, ' ')
		dst = AppendNString(dst, p.ID, w.utf8ok)
		dst = append(dst, ' ')
		dst = AppendNString(dst, p.Description, w.utf8ok)
		dst = append(dst, ' ')
		if p.Encoding == nil {
			dst = append(dst, `"7bit"`...)
		} else {
			dst = AppendString(dst, p.Encoding, w.utf8ok)
		}
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(p.Body.Len), 10)
		if p.Kind == Message {
			dst = append(dst, ' ')
			w.x.PartEnvelope(i, &w.envelope)
			dst = AppendEnvelope(dst, &w.envelope, w.utf8ok)
			dst = append(dst, ' ')
			dst = w.part(dst, p.Child)
		}
		if text || p.Kind == Message {
			dst = append(dst, ' ')
			dst = strconv.AppendInt(dst, int64(p.Lines), 10)
		}
		if w.extended {
			dst = append(dst, ' ')
			dst = AppendNString(dst, p.MD5, w.utf8ok)
		}
	}
	if w.extended {
		dst = append(dst, ' ')
		if p.Disposition == nil {
			dst = append(dst, "NIL"...)
		} else {
			dst = append(dst, '(')
			dst = AppendString(dst, p.Disposition, w.utf8ok)
			dst = append(dst, ' ')
			dst = w.params(dst, p.DispositionParams, false)
			dst = append(dst, ')')
		}
		dst = append(dst, ' ')
		dst = w.language(dst, p.Language)
		dst = append(dst, ' ')
		dst = AppendNString(dst, p.Location, w.utf8ok)
	}
	return append(dst, ')')
}

func (w *structureWriter) params(dst []byte, params []Param, ascii bool) []byte {
	params = joinParams(params)
	if len(params) == 0 && !ascii {
		return append(dst, "NIL"...)
	}
	sep := byte('(')
	for _, p := range params {
		dst = append(dst, sep)
		dst = AppendString(dst, p.Name, w.utf8ok)
		dst = append(dst, ' ')
		dst = AppendString(dst, p.Value, w.utf8ok)
		sep = ' '
	}
	if ascii {
		dst = append(dst, sep)
		dst = append(dst, `"charset" "us-ascii"`...)
	}
	return append(dst, ')')
}

func (w *structureWriter) language(dst []byte, tags [][]byte) []byte {
	if len(tags) == 0 {
		return append(dst, "NIL"...)
	}
	sep := byte('(')
	for _, t := range tags {
		dst = append(dst, sep)
		dst = AppendString(dst, t, w.utf8ok)
		sep = ' '
	}
	return append(dst, ')')
}
