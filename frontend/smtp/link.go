package smtp

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	maxLine     = 4 << 10  // of a command
	maxAuthLine = 64 << 10 // of AUTH and its responses (RFC 4954 section 4.5: 12288 at least)
	maxSkip     = 1 << 20  // of a line that is too long, before the link is cut
	maxBad      = 20       // commands answered here with an error, before the link is cut
	maxOut      = 64 << 10 // of replies kept back
	maxDrain    = 64 << 20 // of a message that is too big, read and dropped

	commandBuffer = 4 << 10
	dataBuffer    = 64 << 10
)

// errCut is what the engine's reads give after the link is done with.
var errCut = errors.New("smtp: link is closed")

// mode is what the client's next bytes are.
type mode uint8

const (
	modeCommand mode = iota
	modeData         // message data up to CRLF . CRLF: only readData takes it
	modeChunk        // the octets of a BDAT
)

// link is one TCP connection. The engine reads and writes it through a view,
// one before STARTTLS and one after.
//
// Reads come from one goroutine at a time. Replies may be written by another
// while message data is read, so they are under mu.
type link struct {
	srv    *Server
	raw    net.Conn
	remote net.Addr
	ip     string // counted under, "" for none
	began  time.Time

	nc       net.Conn // raw, or TLS over it
	tls      *tls.ConnectionState
	in       []byte // in[a:b] is read and not yet used
	a, b     int
	pending  []byte // what the engine reads next
	mode     mode
	chunk    int64     // octets left in modeChunk
	started  time.Time // of the message or chunk being read
	took     int64     // octets of it
	bad      int
	authFail int
	plain    bool // the client said HELO

	mu       sync.Mutex
	view     *view
	out      []byte
	reply    []byte // a reply line not yet complete
	verb     string // of the command being answered
	code     int    // of the last complete reply
	first    bool   // the next line is the first of a reply
	muted    bool   // the engine's replies are dropped
	closed   bool
	draining bool
	idle     bool // waiting for a command
}

// view is the engine's net.Conn.
type view struct {
	l *link
	// quiet drops the greeting after STARTTLS (RFC 3207 section 4.2: the
	// protocol begins anew, but without one).
	quiet bool
}

func newLink(s *Server, nc net.Conn, ip string) *link {
	l := &link{srv: s, raw: nc, nc: nc, remote: nc.RemoteAddr(), ip: ip, began: time.Now(), first: true}
	l.view = &view{l: l}
	return l
}

// Read gives the engine its next command line, or bytes of a chunk.
func (v *view) Read(p []byte) (int, error) { return v.l.read(v, p) }

// Write takes in replies of the engine.
func (v *view) Write(p []byte) (int, error) { return v.l.write(v, p) }

// Close ends the connection, unless another view has taken it over.
func (v *view) Close() error {
	v.l.mu.Lock()
	mine := v.l.view == v
	v.l.mu.Unlock()
	if mine {
		v.l.close()
	}
	return nil
}

func (v *view) LocalAddr() net.Addr              { return v.l.raw.LocalAddr() }
func (v *view) RemoteAddr() net.Addr             { return v.l.remote }
func (v *view) SetDeadline(time.Time) error      { return nil } // deadlines are the link's own
func (v *view) SetReadDeadline(time.Time) error  { return nil }
func (v *view) SetWriteDeadline(time.Time) error { return nil }

// secure reports whether the client's bytes are protected.
func (l *link) secure() bool { return l.tls != nil }

// close flushes what is left and closes, once.
func (l *link) close() {
	l.flush()
	l.mu.Lock()
	done, nc := l.closed, l.nc
	l.closed, l.muted = true, true
	l.mu.Unlock()
	if !done {
		if err := nc.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			l.srv.cfg.Log.Debug("smtp: close", "error", err)
		}
		l.srv.forget(l)
	}
}

// say queues a reply of the link's own.
func (l *link) say(code int, text string) {
	l.mu.Lock()
	if !l.muted {
		l.out = strconv.AppendInt(l.out, int64(code), 10)
		l.out = append(append(append(l.out, ' '), text...), '\r', '\n')
	}
	l.mu.Unlock()
}

// bye sends a last reply; whatever the engine says after it is dropped.
func (l *link) bye(code int, text string) {
	l.say(code, text)
	l.mute()
}

func (l *link) mute() {
	l.mu.Lock()
	l.muted = true
	l.mu.Unlock()
}

// write takes in bytes of replies and queues them line by line. They are sent
// when the link next waits for the client: one packet for a pipelined batch or
// a long reply to EHLO (RFC 2920 section 3.2).
func (l *link) write(v *view, p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return 0, net.ErrClosed
	}
	if l.view != v || l.muted {
		return len(p), nil
	}
	l.reply = append(l.reply, p...)
	for {
		i := bytes.IndexByte(l.reply, '\n')
		if i < 0 {
			break
		}
		l.line(v, l.reply[:i+1])
		l.reply = append(l.reply[:0], l.reply[i+1:]...)
	}
	if len(l.out) > maxOut {
		l.muted, l.out = true, nil // a client that does not read
		return 0, errCut
	}
	return len(p), nil
}

// line queues one reply line, in our words where the engine's are fixed.
func (l *link) line(v *view, line []byte) {
	first, last := l.first, len(line) < 4 || line[3] != '-'
	l.first = last
	if last {
		l.code, _ = strconv.Atoi(string(line[:min(3, len(line))]))
	}
	if v.quiet {
		v.quiet = !last
		return
	}
	switch {
	case l.verb == "MAIL" && l.code == 250 && last:
		line = []byte("250 2.1.0 sender ok\r\n")
	case l.verb == "RCPT" && l.code == 250 && last:
		line = []byte("250 2.1.5 recipient ok\r\n")
	case l.verb == "AUTH" && bytes.HasPrefix(line, []byte("454 4.7.0 Invalid base64")):
		// RFC 4954 section 4.
		line = []byte("501 5.5.2 not base64\r\n")
	case l.verb == "EHLO" || l.verb == "LHLO":
		if keyword := bytes.TrimRight(line[min(4, len(line)):], "\r\n"); string(keyword) == "SIZE" {
			line = append(append(append([]byte{}, line[:4]...), "SIZE "...), strconv.FormatInt(l.srv.cfg.MaxMessage, 10)...)
			line = append(line, '\r', '\n')
		}
	}
	l.out = append(l.out, line...)
	if first && !last && l.verb == "EHLO" && l.srv.cfg.TLS != nil && l.tls == nil {
		l.out = append(l.out, "250-STARTTLS\r\n"...)
	}
}

// flush sends the queued replies.
func (l *link) flush() {
	l.mu.Lock()
	out := l.out
	l.out = nil
	closed, nc := l.closed, l.nc
	l.mu.Unlock()
	if len(out) == 0 || closed {
		return
	}
	err := nc.SetWriteDeadline(time.Now().Add(l.srv.cfg.WriteTimeout))
	if err == nil {
		_, err = nc.Write(out)
	}
	if err != nil {
		l.mute() // the client is gone: its next read says so too
	}
}

// fill reads more of the client's bytes into the buffer, until deadline.
// The replies are sent first: the client may wait for them.
func (l *link) fill(deadline time.Time) error {
	l.flush()
	if l.a == l.b {
		l.a, l.b = 0, 0
	} else if l.b == len(l.in) && l.a > 0 {
		l.b = copy(l.in, l.in[l.a:l.b])
		l.a = 0
	}
	if l.in == nil {
		l.in = make([]byte, commandBuffer)
	}
	if l.b == len(l.in) {
		l.swap(make([]byte, 2*len(l.in)))
	}
	if err := l.nc.SetReadDeadline(deadline); err != nil {
		return err
	}
	l.mu.Lock()
	if l.draining && l.idle {
		// Told to stop before the deadline above was set.
		l.mu.Unlock()
		return os.ErrDeadlineExceeded
	}
	l.mu.Unlock()
	n, err := l.nc.Read(l.in[l.b:])
	l.b += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// read serves the engine.
func (l *link) read(v *view, p []byte) (int, error) {
	l.mu.Lock()
	mine, dead := l.view == v, l.closed || l.muted
	l.mu.Unlock()
	if !mine || dead {
		return 0, io.EOF
	}
	if len(l.pending) > 0 {
		n := copy(p, l.pending)
		l.pending = l.pending[n:]
		return n, nil
	}
	switch l.mode {
	case modeChunk:
		return l.readChunk(p)
	case modeData:
		l.mu.Lock()
		agreed := l.code == 354
		l.mu.Unlock()
		if agreed {
			// The client was told to send a message and nobody has read it:
			// what comes next is no command.
			l.bye(421, "4.3.0 closing connection")
			return 0, errCut
		}
		l.mode = modeCommand
	}
	if err := l.command(v); err != nil {
		return 0, err
	}
	n := copy(p, l.pending)
	l.pending = l.pending[n:]
	return n, nil
}

// command reads command lines until there is one for the engine.
func (l *link) command(v *view) error {
	l.mu.Lock()
	code, verb := l.code, l.verb
	l.mu.Unlock()
	response := verb == "AUTH" && code == 334
	if verb == "DATA" || verb == "BDAT" {
		l.flush() // the answer for a message waits for nothing
	}
	if len(l.in) > commandBuffer && l.b-l.a <= commandBuffer {
		// Give back what a message or a long line needed.
		l.swap(make([]byte, commandBuffer))
	}
	for {
		line, err := l.readLine(response)
		if err != nil {
			return err
		}
		if response {
			if line == nil {
				return l.fail(500, "5.5.6 authentication exchange line is too long")
			}
			l.set("AUTH", line)
			return nil
		}
		if ok, err := l.dispatch(v, line); ok || err != nil {
			return err
		}
	}
}

// set makes line the engine's next input and verb what it answers.
func (l *link) set(verb string, line []byte) {
	l.mu.Lock()
	l.verb, l.code, l.first = verb, 0, true
	l.mu.Unlock()
	l.pending = append(append(l.pending[:0], line...), '\r', '\n')
}

// fail answers and ends the connection.
func (l *link) fail(code int, text string) error {
	l.bye(code, text)
	return io.EOF
}

// refuse answers a command that the engine does not get to see.
func (l *link) refuse(code int, text string) (bool, error) {
	if l.bad++; l.bad > maxBad {
		return false, l.fail(421, "4.7.0 too many errors")
	}
	l.say(code, text)
	return false, nil
}

// dispatch looks at one command line and reports whether the engine gets it.
func (l *link) dispatch(v *view, line []byte) (bool, error) {
	if line == nil {
		return l.refuse(500, "5.5.2 line is too long")
	}
	if bytes.IndexByte(line, 0) >= 0 || bytes.IndexByte(line, '\r') >= 0 {
		return l.refuse(500, "5.5.2 control character in command")
	}
	verb := strings.ToUpper(string(line[:min(len(line), 4)]))
	switch verb {
	case "STAR":
		// Only the whole word: the engine would take any word it begins.
		if !strings.EqualFold(strings.TrimSpace(string(line)), "STARTTLS") {
			return l.refuse(501, "5.5.4 STARTTLS has no parameters")
		}
		return false, l.startTLS(v)
	case "BDAT":
		// The octets follow whatever the answer is (RFC 3030 section 2), so a
		// size that cannot be read leaves no way to find the next command.
		n, ok := chunkSize(line)
		if !ok {
			return false, l.fail(501, "5.5.4 BDAT needs a size")
		}
		if n > 0 {
			l.mode, l.chunk = modeChunk, n
			l.startData()
		}
	case "RCPT":
		// RFC 5321 section 4.5.1 wants it accepted without a domain.
		const bare = "<postmaster>"
		if i := bytes.IndexByte(line, '<'); i >= 0 && len(line) >= i+len(bare) &&
			strings.EqualFold(string(line[i:i+len(bare)]), bare) {
			whole := append(append([]byte{}, line[:i]...), bare[:len(bare)-1]+"@"...)
			whole = append(whole, l.srv.cfg.PostmasterDomain...)
			line = append(whole, line[i+len(bare)-1:]...)
		}
	case "HELO", "EHLO", "LHLO":
		l.plain = verb == "HELO"
	case "DATA":
		// If the engine agrees, it calls the session, which calls readData.
		line = bytes.TrimRight(line, " \t")
		l.mode = modeData
	}
	l.set(verb, line)
	return true, nil
}

// chunkSize reads a BDAT command just as the engine does.
func chunkSize(line []byte) (int64, bool) {
	if len(line) < 6 || line[4] != ' ' {
		return 0, false
	}
	f := strings.Fields(string(line[5:]))
	if len(f) < 1 || len(f) > 2 || len(f) == 2 && !strings.EqualFold(f[1], "LAST") {
		return 0, false
	}
	n, err := strconv.ParseUint(f[0], 10, 32)
	return int64(n), err == nil
}

// readLine reads a line and cuts its line end. A line that is too long is
// passed over and nil. A bare LF ends a command too: a person may type one, and
// a command, unlike the end of data, gains nothing from it.
func (l *link) readLine(response bool) ([]byte, error) {
	deadline := time.Now().Add(l.srv.cfg.CommandTimeout)
	scanned, skipped := 0, 0
	for {
		if i := bytes.IndexByte(l.in[l.a+scanned:l.b], '\n'); i >= 0 {
			line := l.in[l.a : l.a+scanned+i]
			l.a += scanned + i + 1
			if skipped > 0 {
				return nil, nil
			}
			line = bytes.TrimSuffix(line, []byte{'\r'})
			if len(line) > maxAuthLine || len(line) > maxLine && !response && !authLine(line) {
				return nil, nil
			}
			return line, nil
		}
		scanned = l.b - l.a
		limit := maxLine + 2
		if response || authLine(l.in[l.a:l.b]) {
			limit = maxAuthLine + 2
		}
		if skipped > 0 || scanned > limit {
			skipped += scanned
			l.a, l.b, scanned = 0, 0, 0
			if skipped > maxSkip {
				return nil, l.fail(421, "4.7.0 line is too long")
			}
		}
		if err := l.await(deadline); err != nil {
			return nil, err
		}
	}
}

func authLine(line []byte) bool {
	return len(line) > 5 && strings.EqualFold(string(line[:5]), "AUTH ")
}

// await reads more of a command, and ends the connection if there is none.
func (l *link) await(deadline time.Time) error {
	l.mu.Lock()
	l.idle = true
	l.mu.Unlock()
	err := l.fill(deadline)
	l.mu.Lock()
	l.idle = false
	draining := l.draining
	l.mu.Unlock()
	switch {
	case err == nil:
		return nil
	case draining:
		return l.fail(421, "4.3.2 shutting down")
	case errors.Is(err, os.ErrDeadlineExceeded):
		return l.fail(421, "4.4.2 timeout")
	}
	l.mute()
	return io.EOF
}

// drain tells the link to end before the next command (RFC 5321 section 3.8).
func (l *link) drain() {
	l.mu.Lock()
	l.draining = true
	idle := l.idle
	l.mu.Unlock()
	if idle {
		// Between idle being set and the read, fill looks at draining.
		if err := l.raw.SetReadDeadline(time.Unix(1, 0)); err != nil {
			l.srv.cfg.Log.Debug("smtp: drain", "error", err)
		}
	}
}

// startTLS does the handshake and hands the connection to a new session: RFC
// 3207 section 4.2 wants everything known before forgotten.
func (l *link) startTLS(v *view) error {
	if l.srv.cfg.TLS == nil || l.tls != nil {
		_, err := l.refuse(502, "5.5.1 STARTTLS is not available")
		return err
	}
	if l.a != l.b {
		// Commands sent in clear behind STARTTLS would be taken for protected
		// ones by the client, if they were answered after it.
		return l.fail(501, "5.5.1 nothing may follow STARTTLS")
	}
	l.say(220, "2.0.0 ready for TLS")
	l.flush()
	if err := l.handshake(); err != nil {
		l.mute() // there is nothing to say that the client would understand
		return io.EOF
	}
	next := &view{l: l, quiet: true}
	l.mu.Lock()
	l.view, l.verb, l.code, l.first = next, "", 0, true
	l.mu.Unlock()
	l.authFail = 0
	if !l.srv.hand(next) {
		l.close()
	}
	return io.EOF // to the old session
}

// handshake puts TLS over the connection.
func (l *link) handshake() error {
	t := tls.Server(l.raw, l.srv.cfg.TLS)
	if err := l.raw.SetDeadline(time.Now().Add(l.srv.cfg.HandshakeTimeout)); err != nil {
		return err
	}
	if err := t.Handshake(); err != nil {
		l.srv.stats.handshakes.Add(1)
		return err
	}
	state := t.ConnectionState()
	l.mu.Lock()
	l.nc, l.tls = t, &state
	l.mu.Unlock()
	return l.raw.SetDeadline(time.Time{})
}
