package imap

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"altmail.se/altmail/frontend/deflate"
	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/change"
	"altmail.se/altmail/mailstore/lookup"
)

// state is where a connection is in RFC 9051 section 3. The values are bits:
// a command lists the states it is allowed in.
type state uint8

const (
	notAuthenticated state = 1 << iota
	authenticated
	selected

	anyState = notAuthenticated | authenticated | selected
	loggedIn = authenticated | selected
)

var (
	errLogout   = errors.New("imap: logout")
	errShutdown = errors.New("imap: server is shutting down")
	errKicked   = errors.New("imap: ended by an operator")
	errLoginDue = errors.New("imap: no login in time")
)

// session is one connection.
type session struct {
	srv  *Server
	id   uint64
	raw  net.Conn // the TCP connection
	conn net.Conn // what is spoken over: raw, or TLS on it
	cork *cork    // under TLS
	born time.Time
	// loginFrom is when the time to log in began.
	loginFrom time.Time

	ctx    context.Context // ends when the session is cut off
	cancel context.CancelFunc

	rd    *imapwire.Reader
	w     *imapwire.Writer
	frame imapwire.Frame

	tls     bool
	rev2    bool // ENABLE IMAP4rev2
	utf8    bool // ENABLE UTF8=ACCEPT or IMAP4rev2
	condst  bool // any command that enables CONDSTORE was given
	qresync bool // ENABLE QRESYNC
	uidonly bool // ENABLE UIDONLY
	bad     int  // BAD commands in a row
	badAuth int
	// held is what this session has of Server.memory, for the literals of this
	// command, and target what they are for.
	held   int64
	target target

	account *lookup.Account
	sub     *change.Subscription
	box     *view
	stale   bool // changes of box were hinted at
	reset   bool // the state was exchanged since box was compared with it
	signal  bool // sub has something to take
	notify  *notify
	masked  map[string]bool // capabilities kept from this account's clients
	// optional are those that are off by default and turned on for them.
	optional []string
	most     uint32 // messages a command may be about (RFC 9738); 0 for any number

	// place is where a session before login is counted; Server.mu guards it.
	place netip.Addr

	kicked   atomic.Bool
	inIdle   atomic.Bool
	identity atomic.Uint64 // the account, for Sessions
	secure   atomic.Bool
	endOnce  sync.Once
}

func newSession(srv *Server, id uint64, conn net.Conn) *session {
	now := time.Now()
	s := &session{srv: srv, id: id, raw: conn, conn: conn, born: now, loginFrom: now}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.rd = imapwire.NewReader(conn, s.beforeRead)
	s.w = imapwire.NewWriter(&output{s})
	return s
}

// output writes to the connection in pieces that each have to get through in
// time: the deadline measures progress, not a whole response.
type output struct{ s *session }

func (o *output) Write(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if err := o.s.conn.SetWriteDeadline(time.Now().Add(o.s.srv.cfg.Limits.Progress)); err != nil {
			return n, err
		}
		m, err := o.s.put(p[n:min(len(p), n+outputPiece)])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// outputPiece is what has to get through within one deadline.
const outputPiece = 64 << 10

// put writes one piece of output, with one write to the system.
func (s *session) put(p []byte) (int, error) {
	if s.cork == nil || len(p) < 16<<10 {
		return s.conn.Write(p)
	}
	s.cork.hold()
	n, err := s.conn.Write(p)
	if rerr := s.cork.release(); err == nil {
		err = rerr
	}
	return n, err
}

// beforeRead is called before every read that may wait.
func (s *session) beforeRead() error {
	if err := s.w.Flush(); err != nil {
		return err
	}
	lim, now := &s.srv.cfg.Limits, time.Now()
	deadline := now.Add(lim.Idle)
	switch {
	case s.account == nil:
		due := s.loginFrom.Add(lim.Login)
		if now.After(due) {
			return errLoginDue
		}
		deadline = now.Add(lim.PreAuth)
		if due.Before(deadline) {
			deadline = due
		}
	case s.rd.Begun():
		deadline = now.Add(lim.Progress)
	}
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	// After the deadline: wake sets one that has passed after it said why, so
	// one of the two is seen.
	return s.ending()
}

// ending returns why the session has to end, nil if it has not.
func (s *session) ending() error {
	select {
	case <-s.srv.closing:
		return errShutdown
	default:
	}
	if s.kicked.Load() {
		return errKicked
	}
	return nil
}

// wake makes a session that waits for its client look at ending.
func (s *session) wake() {
	if err := s.raw.SetReadDeadline(time.Unix(1, 0)); err != nil {
		s.cut()
	}
}

func (s *session) kick() {
	s.kicked.Store(true)
	s.wake()
}

// cut ends the session without a word.
func (s *session) cut() {
	s.cancel()
	s.srv.close(s.raw)
}

func (s *session) info() SessionInfo {
	return SessionInfo{ID: s.id, Account: accountID(s.identity.Load()), Remote: s.raw.RemoteAddr().String(),
		Since: s.born, TLS: s.secure.Load(), Idle: s.inIdle.Load()}
}

// end lets go of what the session holds.
func (s *session) end() {
	s.endOnce.Do(func() {
		s.cancel()
		s.deselect()
		if s.sub != nil {
			s.sub.Close()
		}
		s.releaseMemory()
		s.srv.stats.fetched.Add(uint64(s.w.Sent))
	})
}

func (s *session) state() state {
	switch {
	case s.account == nil:
		return notAuthenticated
	case s.box == nil:
		return authenticated
	}
	return selected
}

// startTLS begins TLS on the connection, within a deadline.
func (s *session) startTLS() error {
	under := &cork{Conn: s.raw}
	c := tls.Server(under, s.srv.cfg.TLS)
	if err := s.raw.SetDeadline(time.Now().Add(s.srv.cfg.Limits.Handshake)); err != nil {
		return err
	}
	if err := s.ending(); err != nil {
		return err
	}
	if err := c.HandshakeContext(s.ctx); err != nil {
		s.srv.stats.handshakeFailed.Add(1)
		return fmt.Errorf("imap: handshake: %w", err)
	}
	// The peer's name in it may be anything; nothing of it is kept.
	s.conn, s.cork, s.tls = c, under, true
	s.secure.Store(true)
	s.rd.Discard(c)
	return nil
}

// serve runs the connection to its end.
func (s *session) serve(implicitTLS bool) {
	if implicitTLS {
		if err := s.startTLS(); err != nil {
			return
		}
	}
	s.w.Status("*", "OK", "CAPABILITY "+s.capabilities(), "altmail ready")
	err := s.loop()
	switch {
	case errors.Is(err, errLogout):
	case s.w.Err() != nil:
		s.srv.stats.lost.Add(1)
		s.srv.log.Debug("imap: client is gone", "err", s.w.Err())
	case errors.Is(err, errShutdown):
		s.bye("UNAVAILABLE", "Server is shutting down, connect again")
	case errors.Is(err, errKicked):
		s.bye("", "Connection ended by an operator")
	case errors.Is(err, errLoginDue):
		s.bye("", "Login took too long")
	case errors.Is(err, errIdleOver):
		s.bye("", "Idle for too long")
	case errors.Is(err, os.ErrDeadlineExceeded):
		// A deadline in the past was a wake.
		if why := s.ending(); errors.Is(why, errShutdown) {
			s.bye("UNAVAILABLE", "Server is shutting down, connect again")
		} else if why != nil {
			s.bye("", "Connection ended by an operator")
		} else {
			s.bye("", "Idle for too long")
		}
	case errors.Is(err, imapwire.ErrTooMuch):
		s.bye("", "Command too long")
	case errors.As(err, new(*deflate.CorruptError)):
		s.bye("", "Compressed data is corrupt")
	case errors.Is(err, errBoxGone):
		s.bye("", "Selected mailbox is gone, connect again")
	case errors.Is(err, errTooBad):
		s.bye("", "Too many bad commands")
	case errors.Is(err, errTooManyLogins):
		s.bye("", "Too many failed logins")
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
	default:
		if errors.Is(err, errCutShort) {
			s.srv.stats.lost.Add(1)
		}
		s.srv.log.Debug("imap: connection ended", "err", err)
	}
	if err := s.w.Flush(); err == nil && s.tls {
		// Tell the peer that nothing was cut off.
		if c, ok := s.tlsConn(); ok {
			if err := c.CloseWrite(); err != nil {
				s.srv.log.Debug("imap: close notify", "err", err)
			}
		}
	}
}

// bye says goodbye; what stands in the way of it does not matter any more.
func (s *session) bye(code, text string) {
	s.w.Status("*", "BYE", code, text)
}

// loop executes commands until the connection ends.
func (s *session) loop() error {
	for {
		if s.notify != nil {
			if err := s.await(); err != nil {
				return err
			}
		}
		err := s.rd.ReadFrame(&s.frame, s)
		var refused *imapwire.Refused
		switch {
		case err == nil:
			err = s.execute()
		case errors.As(err, &refused):
			if err = refused.Err; !fatal(err) {
				err = s.answer(s.frame.Tag, s.frame.Name, err)
			}
		}
		s.releaseMemory()
		if err != nil {
			return err
		}
		if err := s.w.Err(); err != nil {
			return err
		}
		if err := s.ending(); err != nil {
			return err
		}
	}
}

func (s *session) execute() error {
	f := &s.frame
	s.srv.stats.commands.Add(1)
	if f.Tag == "" {
		return s.answer("", "", &imapwire.SyntaxError{Text: "Expected a tag"})
	}
	cmd, err := s.command(f.Name)
	if err != nil {
		return s.answer(f.Tag, f.Name, err)
	}
	c := call{s: s, cmd: cmd, ctx: s.ctx, args: imapwire.NewScanner(f, s.utf8)}
	if s.box != nil && !cmd.quiet {
		// What is known by now is told before the command is executed, so
		// that "*" means the newest message (RFC 9051 section 5.2).
		if err := s.announce(announce{}); fatal(err) {
			return err
		} else if err != nil {
			return s.answer(f.Tag, f.Name, err)
		}
	}
	err = cmd.run(&c)
	if fatal(err) {
		return err
	}
	if s.box != nil && !cmd.quiet {
		var syn *imapwire.SyntaxError
		if !errors.As(err, &syn) {
			if perr := s.announceAfter(&c); fatal(perr) {
				return perr
			} else if perr != nil {
				// The command's own answer stands: a change that is committed
				// must not look refused, or the client does it again. What
				// could not be told now is told after the next command.
				s.srv.log.Warn("imap: news of the mailbox could not be read", "error", perr)
			}
		}
		if !c.done {
			s.settle()
		}
	}
	if err != nil {
		return s.answer(f.Tag, f.Name, err)
	}
	s.bad = 0
	if c.done {
		return nil
	}
	text := c.text
	if text == "" {
		text = f.Name + " completed"
	}
	if c.highest && s.condst {
		// RFC 7162 section 3.2.7.
		if c.code == "" {
			c.code = fmt.Sprintf("HIGHESTMODSEQ %d", s.box.complete())
		} else {
			s.highestModSeq(s.box.complete())
		}
	}
	s.w.Status(f.Tag, "OK", c.code, text)
	return nil
}

// announceAfter tells what is new after a command. RFC 9051 section 7.5.1 and
// RFC 7162 section 3.2.10.2: no message is expunged while sequence numbers
// count.
func (s *session) announceAfter(c *call) error {
	return s.announce(announce{
		expunge: !c.cmd.sequence || c.uid() && !c.numbered,
		uid:     c.uid(),
		// A FETCH may have seen what the feed has not hinted at yet.
		force: s.condst && s.box.shown > s.box.modseq,
	})
}

// call is one command in execution.
type call struct {
	s    *session
	cmd  *command
	ctx  context.Context
	args *imapwire.Scanner
	// code and text are those of the tagged OK.
	code, text string
	// highest is set when HIGHESTMODSEQ goes with the tagged OK.
	highest bool
	// cut is set when the command was done for a part of its messages.
	cut bool
	// numbered is set for a UID command that has sequence numbers all the
	// same.
	numbered bool
	// done is set when the tagged response was written already.
	done bool
	// texts are what the full-text index said in this command. Searches of one
	// command follow each other, so that it needs no lock.
	texts map[textKey]*lookup.Found
	// scorers are the fuzzy texts of the search, relevancyOf what came of them.
	scorers     []scorer
	relevancyOf func(mailstore.UID) uint8
}

// uid reports whether the command is one of the UID commands.
func (c *call) uid() bool { return c.cmd.uid }

// timeout returns the context for what needs a quorum.
func (c *call) quorum() (context.Context, context.CancelFunc) {
	return context.WithTimeout(c.ctx, c.s.srv.cfg.Limits.Quorum)
}

// Limits implements imapwire.Gate.
func (s *session) Limits() imapwire.Limits {
	if s.account == nil {
		return imapwire.Limits{Command: 64 << 10, Literal: 8 << 10, Drain: 64 << 10}
	}
	return imapwire.Limits{Command: 1 << 20, Literal: 1 << 20, Drain: 2*s.srv.cfg.Limits.MessageSize + 1<<20}
}

// Continue implements imapwire.Gate.
func (s *session) Continue() error {
	s.w.Raw("+ Ready\r\n")
	return s.w.Err()
}

// Literal implements imapwire.Gate: the command is known, and whatever can be
// known to fail does so before its client sends the literal.
func (s *session) Literal(f *imapwire.Frame, l *imapwire.Literal) error {
	cmd, err := s.command(f.Name)
	if err != nil {
		return err
	}
	if cmd.literal != nil {
		return cmd.literal(s, f, l)
	}
	if cmd.noArgs {
		return &imapwire.SyntaxError{Text: "Unexpected arguments"}
	}
	return nil
}

// grab takes octets of the memory for messages on their way in.
func (s *session) grab(n int64) error {
	ctx, cancel := context.WithTimeout(s.ctx, s.srv.cfg.Limits.Quorum)
	defer cancel()
	if err := s.srv.memory.Acquire(ctx, n); err != nil {
		return &refusal{status: "NO", code: "LIMIT", text: "Too many messages on their way in, try again"}
	}
	s.held += n
	return nil
}

func (s *session) releaseMemory() {
	s.target = target{}
	if s.held > 0 {
		s.srv.memory.Release(s.held)
		s.held = 0
		s.frame.Reset()
	}
}
