package imapwire

import (
	"io"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// writeBuffer is how much is collected before it is sent.
const writeBuffer = 32 << 10

var outBuffers = sync.Pool{New: func() any { b := make([]byte, 0, writeBuffer+4<<10); return &b }}

// Writer puts responses together and sends them in large pieces. What is
// written stays in memory until Flush, or until there is much of it. After an
// error nothing more is sent; Err tells. A writer without unsent output holds
// no buffer.
type Writer struct {
	w     io.Writer
	held  *[]byte
	buf   []byte
	err   error
	first bool // nothing was written inside the innermost parenthesis yet

	// UTF8 is set once the client enabled IMAP4rev2 or UTF8=ACCEPT: quoted
	// strings may hold UTF-8 then, and mailbox names do.
	UTF8 bool
	// Sent counts octets.
	Sent int64
}

// NewWriter returns a writer that sends to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// SetOutput goes on with another connection. Unsent output goes there.
func (w *Writer) SetOutput(to io.Writer) { w.w = to }

// Err returns the first error of sending.
func (w *Writer) Err() error { return w.err }

// Buf returns the unsent output for appending to it; SetBuf takes it back.
// Between the two nothing else of the writer may be called.
func (w *Writer) Buf() []byte {
	if w.held == nil {
		w.held = outBuffers.Get().(*[]byte)
		w.buf = (*w.held)[:0]
	}
	return w.buf
}

// SetBuf sets what Buf returned, appended to.
func (w *Writer) SetBuf(b []byte) {
	w.buf = b
	w.first = false
	if len(b) >= writeBuffer {
		w.send()
	}
}

func (w *Writer) send() {
	if len(w.buf) > 0 && w.err == nil {
		var n int
		n, w.err = w.w.Write(w.buf)
		w.Sent += int64(n)
	}
	w.buf = w.buf[:0]
}

// Flush sends everything and gives up the buffer.
func (w *Writer) Flush() error {
	if w.held == nil {
		return w.err
	}
	w.send()
	if cap(w.buf) <= 4*writeBuffer { // one that grew far is not kept
		*w.held = w.buf[:0]
		outBuffers.Put(w.held)
	}
	w.held, w.buf = nil, nil
	return w.err
}

// Write sends octets of a literal. Large pieces are not copied.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.first = false
	if len(w.buf)+len(p) <= writeBuffer {
		w.SetBuf(append(w.Buf(), p...))
		return len(p), w.err
	}
	w.send()
	if len(p) < writeBuffer/2 {
		w.SetBuf(append(w.Buf(), p...))
		return len(p), w.err
	}
	if w.err != nil {
		return 0, w.err
	}
	var n int
	n, w.err = w.w.Write(p)
	w.Sent += int64(n)
	return n, w.err
}

func (w *Writer) str(s string) *Writer {
	w.SetBuf(append(w.Buf(), s...))
	return w
}

// Raw writes text that the caller knows to be legal: words of the protocol.
func (w *Writer) Raw(s string) *Writer { return w.str(s) }

// Untagged begins an untagged response: "* NAME".
func (w *Writer) Untagged(name string) *Writer { return w.str("* ").str(name) }

// UntaggedNum begins an untagged response with a number: "* 3 NAME".
func (w *Writer) UntaggedNum(n uint32, name string) *Writer {
	b := append(w.Buf(), '*', ' ')
	b = strconv.AppendUint(b, uint64(n), 10)
	b = append(b, ' ')
	w.SetBuf(append(b, name...))
	return w
}

// CRLF ends a response.
func (w *Writer) CRLF() { w.str("\r\n") }

// SP writes a space.
func (w *Writer) SP() *Writer { return w.str(" ") }

// Open begins a parenthesized list.
func (w *Writer) Open() *Writer { w.str("("); w.first = true; return w }

// Close ends a parenthesized list.
func (w *Writer) Close() *Writer { return w.str(")") }

// Item separates the elements of a list: a space but before the first.
func (w *Writer) Item() *Writer {
	if w.first {
		w.first = false
		return w
	}
	return w.SP()
}

// Num writes a number.
func (w *Writer) Num(n uint64) *Writer {
	w.SetBuf(strconv.AppendUint(w.Buf(), n, 10))
	return w
}

// NIL writes NIL.
func (w *Writer) NIL() *Writer { return w.str("NIL") }

// Set writes ranges of numbers.
func (w *Writer) Set(rs []NumRange) *Writer {
	w.SetBuf(AppendSet(w.Buf(), rs))
	return w
}

// String writes a string: quoted where that is allowed, else a literal.
func (w *Writer) String(s string) *Writer {
	w.SetBuf(AppendString(w.Buf(), s, w.UTF8))
	return w
}

// Astring writes an atom where that is allowed, else a string.
func (w *Writer) Astring(s string) *Writer {
	if IsAtom(s) && s != "NIL" {
		return w.str(s)
	}
	return w.String(s)
}

// Mailbox writes the name of a mailbox, given in UTF-8.
func (w *Writer) Mailbox(name string) *Writer {
	w.SetBuf(AppendMailbox(w.Buf(), name, w.UTF8))
	return w
}

// AppendMailbox appends the name of a mailbox, given in UTF-8, as an astring:
// in UTF-8 or in modified UTF-7.
func AppendMailbox(dst []byte, name string, utf8ok bool) []byte {
	if !utf8ok {
		name = string(AppendUTF7(nil, name))
	}
	if IsAtom(name) && name != "NIL" {
		return append(dst, name...)
	}
	return AppendString(dst, name, utf8ok)
}

// Literal announces a literal of n octets; they are to follow by Write.
func (w *Writer) Literal(n int64) *Writer {
	b := append(w.Buf(), '{')
	b = strconv.AppendInt(b, n, 10)
	w.SetBuf(append(b, '}', '\r', '\n'))
	return w
}

// Literal8 announces a literal that may hold NUL.
func (w *Writer) Literal8(n int64) *Writer { return w.str("~").Literal(n) }

// DateTime writes a date-time.
func (w *Writer) DateTime(t time.Time) *Writer {
	w.SetBuf(AppendDateTime(w.Buf(), t))
	return w
}

// Text writes the human part of a response and ends it.
func (w *Writer) Text(s string) {
	b := w.Buf()
	for i := range len(s) {
		// RFC 9051 section 9: TEXT-CHAR has no line ends. An empty text is
		// not allowed.
		if c := s[i]; c != '\r' && c != '\n' && c != 0 {
			b = append(b, c)
		}
	}
	if s == "" {
		b = append(b, '-')
	}
	w.SetBuf(append(b, '\r', '\n'))
}

// Status writes a status response: tag is "*" for an untagged one, code is
// without brackets and may be empty.
func (w *Writer) Status(tag, status, code, text string) {
	w.str(tag).SP().str(status).SP()
	if code != "" {
		w.str("[").str(code).str("] ")
	}
	w.Text(text)
}

// AppendString appends a string, quoted or as a literal. A NUL, which no
// string may hold, is left out.
func AppendString(dst []byte, s string, utf8ok bool) []byte {
	quotable, ascii, nul := len(s) <= 1000, true, false
	for i := range len(s) {
		switch c := s[i]; {
		case c == 0:
			nul = true
		case c == '\r' || c == '\n':
			quotable = false
		case c >= 0x80:
			ascii = false
		}
	}
	if nul {
		clean := make([]byte, 0, len(s))
		for i := range len(s) {
			if s[i] != 0 {
				clean = append(clean, s[i])
			}
		}
		return AppendString(dst, string(clean), utf8ok)
	}
	if quotable && (ascii || utf8ok && utf8.ValidString(s)) {
		dst = append(dst, '"')
		for i := range len(s) {
			if c := s[i]; c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, s[i])
		}
		return append(dst, '"')
	}
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, int64(len(s)), 10)
	dst = append(dst, '}', '\r', '\n')
	return append(dst, s...)
}

var months = "JanFebMarAprMayJunJulAugSepOctNovDec"

// AppendDateTime appends a date-time of RFC 9051 section 9 with its quotes.
func AppendDateTime(dst []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	_, zone := t.Zone()
	sign := byte('+')
	if zone < 0 {
		sign, zone = '-', -zone
	}
	zone /= 60
	year = min(max(year, 0), 9999)
	two := func(n int) { dst = append(dst, byte('0'+n/10), byte('0'+n%10)) }
	dst = append(dst, '"')
	if day < 10 {
		dst = append(dst, ' ', byte('0'+day))
	} else {
		two(day)
	}
	dst = append(dst, '-')
	dst = append(dst, months[3*(month-1):3*month]...)
	dst = append(dst, '-')
	two(year / 100)
	two(year % 100)
	dst = append(dst, ' ')
	two(hour)
	dst = append(dst, ':')
	two(minute)
	dst = append(dst, ':')
	two(second)
	dst = append(dst, ' ', sign)
	two(zone / 60)
	two(zone % 60)
	return append(dst, '"')
}
