package imapwire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// Limits bound one command.
type Limits struct {
	// Command is how many octets the lines and literals of a command may have
	// together. Literals that the Gate placed elsewhere do not count.
	Command int
	// Literal is how many octets one literal may have.
	Literal int
	// Drain is how many octets of a refused command are read and thrown away.
	// A command that goes on longer ends the connection.
	Drain int64
}

// ErrTooMuch is returned when a refused command is longer than may be thrown
// away. The connection cannot be used any more.
var ErrTooMuch = errors.New("imapwire: refused command is too long to be skipped")

// Refused tells that a command was read to its end, or to where its client
// waits for a continuation, but is not to be executed.
type Refused struct{ Err error }

func (r *Refused) Error() string { return r.Err.Error() }
func (r *Refused) Unwrap() error { return r.Err }

// SyntaxError is what makes a command BAD. Its text is for the client and
// never holds anything the client sent.
type SyntaxError struct{ Text string }

func (e *SyntaxError) Error() string { return e.Text }

func syntax(format string, args ...any) error {
	return &SyntaxError{fmt.Sprintf(format, args...)}
}

// Literal is one literal of a command.
type Literal struct {
	// Pos is where its "{" or "~{" stands in Frame.Text, Next where the text
	// goes on behind it.
	Pos, Next int
	Size      int64
	Data      []byte
	Binary    bool // literal8 (RFC 3516 section 4.4)
	NonSync   bool // RFC 7888
}

// Frame is one command as it was received.
type Frame struct {
	// Tag is empty if the line does not begin with a tag.
	Tag string
	// Name is the command in capitals; for the UID commands both words.
	Name string
	// Text holds the lines of the command with their line ends, without the
	// octets of literals.
	Text     []byte
	Literals []Literal

	args int // where the arguments begin in Text
	used int
}

// Reset empties the frame. What was large is let go.
func (f *Frame) Reset() {
	text, lits := f.Text[:0], f.Literals
	clear(lits[:cap(lits)]) // the octets of messages must not stay
	lits = lits[:0]
	if cap(text) > 1<<10 {
		text = nil
	}
	if cap(lits) > 4 {
		lits = nil
	}
	*f = Frame{Text: text, Literals: lits}
}

// Gate decides about literals before they are read.
type Gate interface {
	// Limits are those of the next command.
	Limits() Limits
	// Literal is asked before l is read, and before its client is told to
	// send it. It may set l.Data to the octets the literal is to be read
	// into; they are not held against the limits then. An error refuses the
	// command.
	Literal(f *Frame, l *Literal) error
	// Continue tells the client to send.
	Continue() error
}

// buffers are taken while there is something to read and given back when the
// connection is idle.
var buffers = sync.Pool{New: func() any { return new([readBuffer]byte) }}

const (
	readBuffer = 8 << 10
	// idleBuffer is what a connection that waits for a command holds. A usual
	// command fits.
	idleBuffer = 128
)

// Reader cuts commands out of a connection.
type Reader struct {
	conn net.Conn
	// before is called before each read that may wait.
	before func() error

	small  [idleBuffer]byte
	pooled *[readBuffer]byte
	buf    []byte
	r, w   int
	err    error

	watch chan struct{}
	begun bool // something of the current command was received
}

// NewReader returns a reader of conn. before is called before every read that
// may have to wait: the place to flush and to set a deadline.
func NewReader(conn net.Conn, before func() error) *Reader {
	rd := &Reader{conn: conn, before: before}
	rd.buf = rd.small[:]
	return rd
}

// Buffered reports whether input is there that was not read yet.
func (rd *Reader) Buffered() bool { return rd.r < rd.w }

// Len is how much input is there that was not read yet.
func (rd *Reader) Len() int { return rd.w - rd.r }

// Begun reports whether ReadFrame is in the middle of a command.
func (rd *Reader) Begun() bool { return rd.begun }

// Discard throws away what was received but not read, as STARTTLS has to (RFC
// 9051 section 6.2.1), and goes on with another connection.
func (rd *Reader) Discard(conn net.Conn) {
	rd.r, rd.w = 0, 0
	rd.conn = conn
	rd.release()
}

func (rd *Reader) release() {
	if rd.r == rd.w && rd.pooled != nil {
		buffers.Put(rd.pooled)
		rd.pooled = nil
		rd.buf = rd.small[:]
		rd.r, rd.w = 0, 0
	}
}

// room makes space to read into.
func (rd *Reader) room() {
	if rd.r == rd.w {
		rd.r, rd.w = 0, 0
		return
	}
	if rd.w < len(rd.buf) {
		return
	}
	if rd.pooled == nil {
		rd.pooled = buffers.Get().(*[readBuffer]byte)
		rd.w = copy(rd.pooled[:], rd.buf[rd.r:rd.w])
		rd.r, rd.buf = 0, rd.pooled[:]
		return
	}
	rd.w = copy(rd.buf, rd.buf[rd.r:rd.w])
	rd.r = 0
}

func (rd *Reader) fill() error {
	if rd.err != nil {
		return rd.err
	}
	if err := rd.before(); err != nil {
		return err
	}
	rd.room()
	n, err := rd.conn.Read(rd.buf[rd.w:])
	rd.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// Watch reads ahead in the background, so that a connection that is closed, or
// a line that arrives, is noticed while something else goes on. The channel is
// closed when there is news: data, or with many an error or a full buffer. Call
// Unwatch before anything else of the reader.
func (rd *Reader) Watch(many bool) <-chan struct{} {
	done := make(chan struct{})
	rd.watch = done
	if rd.err != nil {
		close(done)
		return done
	}
	rd.room()
	go func() {
		defer close(done)
		for rd.w < len(rd.buf) {
			n, err := rd.conn.Read(rd.buf[rd.w:])
			rd.w += n
			if err != nil {
				rd.err = err
				return
			}
			if n > 0 && !many {
				return
			}
		}
	}()
	return done
}

// Unwatch ends what Watch began and returns the error of the connection, if it
// met one.
func (rd *Reader) Unwatch() error {
	if rd.watch == nil {
		return rd.err
	}
	select {
	case <-rd.watch:
	default:
		// A read is interrupted by a deadline that has passed; the connection
		// stays usable, also under TLS.
		if err := rd.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
			rd.err = err
		}
		<-rd.watch
	}
	rd.watch = nil
	if errors.Is(rd.err, os.ErrDeadlineExceeded) {
		rd.err = nil
	}
	return rd.err
}

// Broken reports whether the background read ended with an error. It may be
// called once the channel of Watch is closed.
func (rd *Reader) Broken() bool { return rd.err != nil }

// line appends one line with its end to dst. It returns dst unchanged but for
// the last octets, and more, when the line is longer than limit: the caller
// then skips the rest with skipLine.
func (rd *Reader) line(dst []byte, limit int) (_ []byte, whole bool, err error) {
	for {
		if rd.r == rd.w {
			if err := rd.fill(); err != nil {
				return dst, false, err
			}
		}
		b := rd.buf[rd.r:rd.w]
		i := bytes.IndexByte(b, '\n')
		n := i + 1
		if i < 0 {
			n = len(b)
		}
		if len(dst)+n > limit {
			return dst, false, nil
		}
		dst = append(dst, b[:n]...)
		rd.r += n
		rd.begun = true
		if i >= 0 {
			return dst, true, nil
		}
	}
}

// ReadLine reads a line that is no command: DONE, or a SASL response. The line
// is without its end. A longer line than limit is refused.
func (rd *Reader) ReadLine(dst []byte, limit int) ([]byte, error) {
	start := len(dst)
	dst, whole, err := rd.line(dst, start+limit)
	if err != nil {
		return dst, err
	}
	if !whole {
		return dst, ErrTooMuch
	}
	return trimEOL(dst), nil
}

// HasLine reports whether a whole line is there already.
func (rd *Reader) HasLine() bool {
	return bytes.IndexByte(rd.buf[rd.r:rd.w], '\n') >= 0
}

// skipLine throws away the rest of a line and returns its last octets, in which
// a literal would be announced.
func (rd *Reader) skipLine(tail []byte, drain *int64) ([]byte, error) {
	const keep = 32
	for {
		if rd.r == rd.w {
			if err := rd.fill(); err != nil {
				return nil, err
			}
		}
		b := rd.buf[rd.r:rd.w]
		i := bytes.IndexByte(b, '\n')
		if i >= 0 {
			b = b[:i+1]
		}
		rd.r += len(b)
		if *drain -= int64(len(b)); *drain < 0 {
			return nil, ErrTooMuch
		}
		tail = append(tail, b...)
		if n := len(tail) - keep; n > 0 {
			tail = append(tail[:0], tail[n:]...)
		}
		if i >= 0 {
			return tail, nil
		}
	}
}

func (rd *Reader) skip(n int64, drain *int64) error {
	if *drain -= n; *drain < 0 {
		return ErrTooMuch
	}
	for n > 0 {
		if rd.r == rd.w {
			if err := rd.fill(); err != nil {
				return err
			}
		}
		m := min(n, int64(rd.w-rd.r))
		rd.r += int(m)
		n -= m
	}
	return nil
}

// readFull fills p, past the buffer where it can.
func (rd *Reader) readFull(p []byte) error {
	n := copy(p, rd.buf[rd.r:rd.w])
	rd.r += n
	for n < len(p) {
		if len(p)-n < len(rd.buf) {
			if err := rd.fill(); err != nil {
				return err
			}
			m := copy(p[n:], rd.buf[rd.r:rd.w])
			rd.r += m
			n += m
			continue
		}
		if rd.err != nil {
			return rd.err
		}
		if err := rd.before(); err != nil {
			return err
		}
		// Bounded, so that the deadline measures progress.
		m, err := rd.conn.Read(p[n:min(len(p), n+64<<10)])
		n += m
		if m == 0 {
			if err == nil {
				err = io.ErrNoProgress
			}
			return err
		}
	}
	return nil
}

// ReadFrame reads the next command into f. An error of type *Refused leaves the
// connection at the next command.
func (rd *Reader) ReadFrame(f *Frame, gate Gate) error {
	rd.release()
	rd.begun = false
	f.Reset()
	lim := gate.Limits()
	drain := lim.Drain
	var refused error
	var tail []byte // of the last line, once the command is refused
	for first := true; ; first = false {
		start := len(f.Text)
		if refused == nil {
			var whole bool
			var err error
			f.Text, whole, err = rd.line(f.Text, lim.Command-f.used)
			if err != nil {
				return err
			}
			if !whole {
				refused = syntax("command line too long")
				tail = append(tail[:0], f.Text[max(start, len(f.Text)-32):]...)
			}
			if first {
				f.head()
			}
		} else {
			tail = tail[:0]
		}
		line := f.Text[start:]
		if refused != nil {
			var err error
			if tail, err = rd.skipLine(tail, &drain); err != nil {
				return err
			}
			line = tail
		}
		l, ok := announced(line)
		if !ok {
			if refused != nil {
				return &Refused{refused}
			}
			return nil
		}
		l.Pos += start
		l.Next = len(f.Text)
		if refused == nil {
			refused = f.admit(&l, &lim, gate)
		}
		if refused != nil {
			if !l.NonSync {
				// The client waits, and takes the reply for the end of the
				// command (RFC 9051 section 4.3).
				return &Refused{refused}
			}
			if err := rd.skip(l.Size, &drain); err != nil {
				return err
			}
			continue
		}
		if !l.NonSync {
			if err := gate.Continue(); err != nil {
				return err
			}
		}
		if err := rd.readFull(l.Data); err != nil {
			return err
		}
		f.Literals = append(f.Literals, l)
	}
}

// maxLiterals bounds how many literals a command has.
const maxLiterals = 1000

func (f *Frame) admit(l *Literal, lim *Limits, gate Gate) error {
	if f.Tag == "" || f.Name == "" {
		return syntax("expected a tag and a command")
	}
	if len(f.Literals) >= maxLiterals {
		return syntax("too many literals")
	}
	if err := gate.Literal(f, l); err != nil {
		return err
	}
	if l.Data != nil {
		return nil
	}
	if l.Size > int64(lim.Literal) {
		return syntax("literal too long")
	}
	if int64(len(f.Text)+f.used)+l.Size > int64(lim.Command) {
		return syntax("command too long")
	}
	f.used += int(l.Size)
	l.Data = make([]byte, l.Size)
	return nil
}

// announced finds the literal a line ends with.
func announced(line []byte) (Literal, bool) {
	b := trimEOL(line)
	if len(b) < 3 || b[len(b)-1] != '}' {
		return Literal{}, false
	}
	var l Literal
	i := len(b) - 2
	// RFC 7888 section 8; "-" is not in any RFC that is in use.
	if b[i] == '+' {
		l.NonSync = true
		i--
	}
	var scale, digits int64 = 1, 0
	for ; i >= 0 && b[i] >= '0' && b[i] <= '9'; i-- {
		if digits++; digits > 18 {
			// No literal of that size is ever taken; it is still one.
			l.Size = 1 << 62
			continue
		}
		l.Size += int64(b[i]-'0') * scale
		scale *= 10
	}
	if digits == 0 || i < 0 || b[i] != '{' {
		return Literal{}, false
	}
	l.Pos = i
	if i > 0 && b[i-1] == '~' {
		l.Binary = true
		l.Pos--
	}
	return l, true
}

func trimEOL(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
		if n > 1 && b[n-2] == '\r' {
			b = b[:n-2]
		}
	}
	return b
}

// head finds tag and name on the first line.
func (f *Frame) head() {
	b := trimEOL(f.Text)
	i := 0
	for i < len(b) && isTagChar(b[i]) {
		i++
	}
	if i == 0 || i > 256 || i == len(b) || b[i] != ' ' {
		f.args = min(i, len(b))
		return
	}
	f.Tag = string(b[:i])
	i++
	start := i
	word := func() {
		for i < len(b) && i-start < 32 && isAtomChar(b[i]) {
			i++
		}
	}
	word()
	if i-start == 3 && strings.EqualFold(string(b[start:i]), "UID") && i < len(b) && b[i] == ' ' {
		i++
		word()
	}
	f.Name = strings.ToUpper(string(b[start:i]))
	f.args = i
}
