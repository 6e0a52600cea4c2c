package imap

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"time"
	"unicode/utf8"

	"altmail.se/altmail/frontend/auth"
	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/frontend/sasl"
)

// mayLogin reports whether passwords may be sent on this connection.
func (s *session) mayLogin() bool { return s.tls || s.srv.cfg.AllowPlaintext }

func (s *session) sasl() *sasl.Options {
	o := &sasl.Options{Auth: s.srv.cfg.Auth, FakeSecret: s.srv.cfg.FakeSecret}
	c, ok := s.tlsConn()
	if !ok {
		return o
	}
	st := c.ConnectionState()
	var served *x509.Certificate
	if f := s.srv.cfg.Certificate; f != nil {
		served = f(st.ServerName)
	}
	// Without anything to bind to, -PLUS would be an empty promise.
	if served != nil || st.Version >= tls.VersionTLS13 {
		o.Binding = sasl.TLSBinding(st, served)
	}
	return o
}

func cmdLogout(c *call) error {
	if err := c.args.End(); err != nil {
		return err
	}
	c.s.w.Status("*", "BYE", "", "Logging out")
	c.s.w.Status(c.s.frame.Tag, "OK", "", "LOGOUT completed")
	return errLogout
}

// cmdID is of RFC 2971. What clients say of themselves is neither kept nor
// used (section 2).
func cmdID(c *call) error {
	c.args.ID()
	if err := c.args.End(); err != nil {
		return err
	}
	c.s.w.Untagged(`ID ("name" "altmail" "support-url" "https://altmail.se/")`).CRLF()
	return nil
}

// cmdStartTLS is of RFC 9051 section 6.2.1.
func cmdStartTLS(c *call) error {
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	if s.tls {
		return bad("TLS is on already")
	}
	if s.srv.cfg.TLS == nil || s.compressed() {
		return bad("TLS is not available")
	}
	s.w.Status(s.frame.Tag, "OK", "", "Begin TLS now")
	if err := s.w.Flush(); err != nil {
		return &connError{err}
	}
	c.done = true
	// What came in clear behind the command was not sent by who will talk
	// next: it is dropped.
	if err := s.startTLS(); err != nil {
		return &connError{err}
	}
	return nil
}

// cmdLogin is of RFC 9051 section 6.2.3.
func cmdLogin(c *call) error {
	c.args.SP()
	user := c.args.Astring()
	c.args.SP()
	password := c.args.Astring()
	if err := c.args.End(); err != nil {
		return err
	}
	if !c.s.mayLogin() {
		return no("PRIVACYREQUIRED", "Use STARTTLS first")
	}
	if !utf8.Valid(user) {
		return sasl.ErrCredentials
	}
	x, err := c.s.sasl().Start(sasl.Plain)
	if err != nil {
		return err
	}
	msg := bytes.Join([][]byte{nil, user, password}, []byte{0})
	defer clear(msg)
	return c.login(x, msg)
}

// cmdAuthenticate is of RFC 9051 section 6.2.2.
func cmdAuthenticate(c *call) error {
	c.args.SP()
	mech := c.args.Word()
	var initial []byte
	if c.args.Err() == nil && c.args.Peek(' ') {
		c.args.SP()
		enc := c.args.Base64()
		if bytes.Equal(enc, []byte("=")) {
			initial = []byte{} // RFC 4959 section 3: an empty one
		} else if c.args.Err() == nil {
			var err error
			if initial, err = decodeBase64(enc); err != nil {
				return err
			}
		}
	}
	if err := c.args.End(); err != nil {
		return err
	}
	if !c.s.mayLogin() {
		return no("PRIVACYREQUIRED", "Use STARTTLS first")
	}
	x, err := c.s.sasl().Start(mech)
	if errors.Is(err, sasl.ErrMechanism) {
		return no("CANNOT", "No such mechanism")
	}
	if err != nil {
		return err
	}
	return c.login(x, initial)
}

func decodeBase64(enc []byte) ([]byte, error) {
	out := make([]byte, base64.StdEncoding.DecodedLen(len(enc)))
	n, err := base64.StdEncoding.Decode(out, enc)
	if err != nil {
		return nil, &imapwire.SyntaxError{Text: "Malformed base64"}
	}
	return out[:n], nil
}

// cmdUnauthenticate is of RFC 8437: the connection is as it was before login,
// but for TLS. What it was told and what it enabled is forgotten.
func cmdUnauthenticate(c *call) error {
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	s.sub.Close()
	s.srv.left(s, s.account.ID())
	s.deselect()
	s.account, s.sub, s.notify = nil, nil, nil
	s.masked, s.optional, s.most = nil, nil, 0
	s.rev2, s.utf8, s.condst, s.qresync, s.uidonly = false, false, false, false, false
	s.w.UTF8 = false
	s.stale, s.reset, s.signal = false, false, false
	s.identity.Store(0)
	s.loginFrom = time.Now()
	c.code = "CAPABILITY " + s.capabilities()
	return nil
}

// maxResponse bounds a line of an exchange: RFC 4422 sets no limit, tokens of
// several KiB are in use.
const maxResponse = 64 << 10

// login runs an exchange to its end.
func (c *call) login(x *sasl.Exchange, msg []byte) error {
	s := c.s
	for {
		challenge, done, err := c.attempt(x, msg)
		if err != nil {
			return c.failed(err)
		}
		if done {
			break
		}
		out := append(s.w.Buf(), "+ "...)
		out = base64.StdEncoding.AppendEncode(out, challenge)
		s.w.SetBuf(append(out, "\r\n"...))
		line, err := s.rd.ReadLine(nil, maxResponse)
		if err != nil {
			return &connError{err}
		}
		if bytes.Equal(line, []byte("*")) {
			return bad("Authentication cancelled") // RFC 9051 section 6.2.2
		}
		if msg, err = decodeBase64(line); err != nil {
			return err
		}
	}
	id, ok := x.Identity()
	if !ok {
		return c.failed(sasl.ErrCredentials)
	}
	ctx, cancel := c.quorum()
	defer cancel()
	account, err := s.srv.cfg.Lookup.Open(ctx, id.Account)
	if err != nil {
		return err
	}
	mask, err := s.srv.cfg.Lookup.Mask(account)
	if err != nil {
		return err
	}
	if !s.srv.enter(s, id.Account) {
		return no("LIMIT", "Too many connections of this account")
	}
	s.srv.stats.logins.Add(1)
	s.account = account
	s.mask(mask)
	s.identity.Store(uint64(id.Account))
	s.sub = s.srv.cfg.Feed.Subscribe(id.Account)
	c.code, c.text = "CAPABILITY "+s.capabilities(), "Logged in"
	return nil
}

// attempt gives a message of the client's to an exchange, when the throttle
// lets it.
func (c *call) attempt(x *sasl.Exchange, msg []byte) (challenge []byte, done bool, err error) {
	how := auth.Undecided
	// Nothing can be guessed with no message.
	if t := c.s.srv.cfg.Throttle; t != nil && msg != nil {
		ctx, cancel := c.s.srv.untilClosing(c.ctx)
		end, err := t.Begin(ctx, c.s.raw.RemoteAddr())
		cancel()
		if err != nil {
			if why := c.s.ending(); why != nil {
				return nil, false, why
			}
			return nil, false, no("LIMIT", "Too many attempts, try again later")
		}
		defer func() { end(how) }()
	}
	// The time in the queue is not the exchange's, nor what the client takes.
	ctx, cancel := c.quorum()
	defer cancel()
	challenge, done, err = x.Next(ctx, msg)
	switch {
	case errors.Is(err, sasl.ErrCredentials):
		how = auth.Wrong
	case err == nil && done:
		how = auth.Right
	}
	return challenge, done, err
}

// failed counts a failed attempt. A connection has few.
func (c *call) failed(err error) error {
	s := c.s
	if !errors.Is(err, sasl.ErrCredentials) {
		return err
	}
	s.srv.stats.badLogins.Add(1)
	if s.badAuth++; s.badAuth >= s.srv.cfg.Limits.BadLogins {
		if err := s.answer(s.frame.Tag, s.frame.Name, err); err != nil {
			return err
		}
		return errTooManyLogins
	}
	return err
}
