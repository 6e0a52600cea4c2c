package smtp

import (
	"context"
	"errors"
	"io"
	"sync"

	gosasl "github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/frontend/auth"
	"altmail.se/altmail/frontend/sasl"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
)

// maxAuthFail is how many wrong logins a connection gets.
const maxAuthFail = 3

// session is what the engine knows of a client between EHLO and its end. With
// BDAT, Data runs beside the commands, so the transaction is under mu.
type session struct {
	srv  *Server
	link *link
	conn *gosmtp.Conn
	opts *sasl.Options // this connection's; nil without AUTH

	user *sasl.Identity // who logged in

	mu sync.Mutex
	tx *transaction
}

// transaction is one MAIL with its RCPTs.
type transaction struct {
	from   string // as for Return-Path, quoted where needed
	utf8   bool
	binary bool // BODY=BINARYMIME
	size   int64
	to     []rcpt
}

// rcpt is one accepted RCPT.
type rcpt struct {
	key     string // as the engine names it in StatusCollector
	address string // as given, for Delivered-To
	Recipient
}

func (s *Server) newSession(c *gosmtp.Conn) (gosmtp.Session, error) {
	v, ok := c.Conn().(*view)
	if !ok {
		return nil, errLocal
	}
	ses := &session{srv: s, link: v.l, conn: c}
	if s.cfg.Role == Submission && (v.l.secure() || s.cfg.InsecureAuth) {
		o := *s.cfg.Auth
		o.Binding = nil
		if v.l.secure() {
			o.Binding = s.binding(v.l.tls)
		}
		ses.opts = &o
	}
	return ses, nil
}

// Reset forgets the transaction, not the login.
func (s *session) Reset() {
	s.mu.Lock()
	s.tx = nil
	s.mu.Unlock()
}

// Logout ends the session.
func (s *session) Logout() error {
	s.Reset()
	return nil
}

// AuthMechanisms is announced in the reply to EHLO.
func (s *session) AuthMechanisms() []string {
	if s.opts == nil {
		return nil
	}
	return s.opts.Mechanisms()
}

// Auth begins an authentication.
func (s *session) Auth(mech string) (gosasl.Server, error) {
	s.mu.Lock()
	busy := s.tx != nil
	s.mu.Unlock()
	switch {
	case s.srv.cfg.Role != Submission:
		return nil, gosmtp.ErrAuthUnsupported
	case busy:
		return nil, errAuthInTx // RFC 4954 section 4
	case s.opts == nil:
		return nil, errAuthPlain
	}
	x, err := s.opts.Start(mech)
	if err != nil {
		return nil, authReply(err)
	}
	return &authentication{s, x}, nil
}

type authentication struct {
	s *session
	x *sasl.Exchange
}

func (a *authentication) Next(response []byte) ([]byte, bool, error) {
	challenge, done, err := a.attempt(response)
	if err != nil {
		r := authReply(err)
		if r == errBadAuth || r == errDisabled {
			a.s.srv.stats.authFailed.Add(1)
			if a.s.link.authFail++; a.s.link.authFail >= maxAuthFail {
				// The engine's own reply is dropped behind this one.
				a.s.link.bye(421, "4.7.0 too many failed logins")
			}
		}
		return nil, false, r
	}
	if done {
		id, ok := a.x.Identity()
		if !ok {
			return nil, false, errAuthOut
		}
		a.s.user = &id
		a.s.srv.stats.authOK.Add(1)
	}
	return challenge, done, nil
}

// attempt gives a message of the client's to the exchange, when the throttle
// lets it.
func (a *authentication) attempt(response []byte) (challenge []byte, done bool, err error) {
	srv := a.s.srv
	how := auth.Undecided
	// Nothing can be guessed with no message.
	if t := srv.cfg.Throttle; t != nil && response != nil {
		end, err := t.Begin(srv.ctx, a.s.link.remote)
		if err != nil {
			return nil, false, err
		}
		defer func() { end(how) }()
	}
	ctx, cancel := context.WithTimeout(srv.ctx, srv.cfg.RouteTimeout)
	defer cancel()
	challenge, done, err = a.x.Next(ctx, response)
	switch {
	case errors.Is(err, sasl.ErrCredentials):
		how = auth.Wrong
	case err == nil && done:
		how = auth.Right
	}
	return challenge, done, err
}

// Mail begins a transaction.
func (s *session) Mail(from string, opts *gosmtp.MailOptions) error {
	s.mu.Lock()
	nested := s.tx != nil
	s.mu.Unlock()
	cfg := &s.srv.cfg
	switch {
	case nested:
		return errNested // RFC 5321 section 4.1.4
	case cfg.Role == Submission && s.user == nil:
		return errAuthFirst
	case opts.Size > cfg.MaxMessage:
		return errTooBig // RFC 1870 section 6.1
	}
	tx := &transaction{utf8: opts.UTF8, binary: opts.Body == gosmtp.BodyBinaryMIME, size: opts.Size}
	if from != "" {
		local, domain, ok := cleanPath(from, opts.UTF8)
		if !ok {
			if _, _, ok := cleanPath(from, true); ok {
				return errNeedUTF8
			}
			return errSender
		}
		tx.from = quotePath(local, domain)
		if cfg.Role == Submission {
			ctx, cancel := context.WithTimeout(s.srv.ctx, cfg.RouteTimeout)
			defer cancel()
			own, err := cfg.Directory.Owns(ctx, s.user.Account, from)
			if err != nil {
				return routeReply(cfg.Role, err)
			}
			if !own {
				return errNotOwn
			}
		}
	}
	s.mu.Lock()
	s.tx = tx
	s.mu.Unlock()
	return nil
}

// Rcpt adds a recipient.
func (s *session) Rcpt(to string, opts *gosmtp.RcptOptions) error {
	s.mu.Lock()
	tx := s.tx
	s.mu.Unlock()
	cfg := &s.srv.cfg
	switch {
	case tx == nil:
		return errSequence
	case len(tx.to) >= cfg.MaxRecipients:
		return errTooMany
	}
	local, domain, ok := cleanPath(to, tx.utf8)
	if !ok {
		if _, _, ok := cleanPath(to, true); ok {
			return errNeedUTF8
		}
		return errRecipient
	}
	ctx, cancel := context.WithTimeout(s.srv.ctx, cfg.RouteTimeout)
	defer cancel()
	r, err := cfg.Directory.Route(ctx, local, domain, tx.size)
	if err != nil {
		s.srv.stats.refused.Add(1)
		answer := routeReply(cfg.Role, err)
		if errors.Is(err, context.DeadlineExceeded) {
			answer = errQuorum
		}
		if answer.Code/100 == 4 {
			cfg.Log.Info("smtp: recipient put off", "error", err)
		}
		return answer
	}
	tx.to = append(tx.to, rcpt{key: to, address: quotePath(local, domain), Recipient: r})
	return nil
}

// Data takes a message and answers for all recipients at once.
func (s *session) Data(r io.Reader) error {
	tx, id, errs, err := s.message(r)
	if err != nil {
		return err
	}
	return s.verdict(tx, id, errs)
}

// LMTPData takes a message and answers for each recipient (RFC 2033 section
// 4.2).
func (s *session) LMTPData(r io.Reader, status gosmtp.StatusCollector) error {
	tx, id, errs, err := s.message(r)
	if err != nil {
		return err
	}
	for i := range tx.to {
		status.SetStatus(tx.to[i].key, s.outcome(id, errs[i]))
	}
	return nil
}

// outcome is the reply for one recipient.
func (s *session) outcome(id string, err error) error {
	if r := deliverReply(err); r != nil {
		return r
	}
	return reply(250, 2, 0, 0, "queued as "+id)
}

// verdict is one reply for all recipients. A recipient whose account is gone
// meanwhile does not spoil it for the others (H14). If some are stored and
// others could not be, the deliverer has already tried all it can (H1); then
// the sender must try again, because two copies are better than none.
func (s *session) verdict(tx *transaction, id string, errs []error) error {
	var stored, later, never int
	var worst error
	for _, err := range errs {
		r := deliverReply(err)
		switch {
		case r == nil:
			stored++
		case r.Code/100 == 4:
			later++
			worst = r
		default:
			never++
			if worst == nil {
				worst = r
			}
		}
	}
	if later == 0 && stored > 0 {
		if never > 0 {
			s.srv.stats.partial.Add(1)
			s.srv.cfg.Log.Warn("smtp: message stored for some recipients only", "id", id, "stored", stored, "gone", never)
		}
		return reply(250, 2, 0, 0, "queued as "+id)
	}
	if stored > 0 {
		s.srv.stats.partial.Add(1)
		s.srv.cfg.Log.Error("smtp: message stored for some recipients, others must be tried again", "id", id, "stored", stored, "failed", later)
	}
	return worst
}

// message reads the message and delivers it. With err nothing was delivered
// and all recipients get that answer.
func (s *session) message(r io.Reader) (tx *transaction, id string, errs []error, err error) {
	s.mu.Lock()
	tx = s.tx
	s.mu.Unlock()
	if tx == nil || len(tx.to) == 0 {
		return nil, "", nil, errSequence
	}
	l := s.link
	t, err := newIntake(s.srv.cfg.MaxMessage, tx.size, s.srv.cfg.Memory)
	if err != nil {
		t = &intake{max: s.srv.cfg.MaxMessage, budget: s.srv.cfg.Memory} // only reads on
	}
	defer t.drop()
	if l.inData() {
		if werr := l.readData(t); werr != nil {
			return nil, "", nil, errBroken
		}
		// The engine's own reader sees an empty message.
		if n, rerr := io.Copy(io.Discard, r); rerr != nil || n != 0 {
			l.mute()
			return nil, "", nil, errBroken
		}
	} else if err == nil {
		// A chunk that is refused is passed over by the engine.
		if _, cerr := io.Copy(t, r); cerr != nil {
			var answer *gosmtp.SMTPError
			if errors.As(cerr, &answer) {
				return nil, "", nil, answer
			}
			return nil, "", nil, errBroken
		}
	}
	if err != nil {
		return nil, "", nil, err
	}
	if t.n > t.max {
		return nil, "", nil, errTooBig
	}
	if t.buf == nil {
		return nil, "", nil, errNoMemory
	}
	op := commit.NewOp()
	id = queueID(op)
	m, answer := s.envelop(tx, t, id)
	if answer != nil {
		return nil, "", nil, answer
	}
	return tx, id, s.deliver(op, m, tx), nil
}

// deliver hands the message over, once for each account.
func (s *session) deliver(op cluster.OpID, m *commit.Message, tx *transaction) []error {
	type target struct {
		account mailstore.AccountID
		mailbox string
	}
	place := make(map[target]int, len(tx.to))
	which := make([]int, len(tx.to))
	to := make([]commit.Recipient, 0, len(tx.to))
	now := s.srv.cfg.now()
	for i := range tx.to {
		r := &tx.to[i]
		key := target{r.Account, r.Mailbox}
		n, ok := place[key]
		if !ok {
			n = len(to)
			place[key] = n
			to = append(to, commit.Recipient{
				Account: r.Account, Group: r.Group, Mailbox: r.Mailbox,
				Prefix:    prefix(tx.from, r.address),
				Placement: commit.Placement{InternalDate: now},
			})
		}
		which[i] = n
	}
	results := s.srv.cfg.Deliverer.Deliver(s.srv.ctx, op, m, to)
	errs := make([]error, len(tx.to))
	stored := false
	for i, n := range which {
		if n < len(results) {
			errs[i] = results[n]
		} else {
			errs[i] = errLocal // a deliverer that answers for too few
		}
		stored = stored || errs[i] == nil
		switch answer := deliverReply(errs[i]); {
		case answer == errLocal:
			s.srv.cfg.Log.Error("smtp: delivery failed", "id", queueID(op), "error", errs[i])
		case answer != nil && answer.Code/100 == 4:
			s.srv.cfg.Log.Info("smtp: delivery put off", "id", queueID(op), "error", errs[i])
		}
	}
	if stored {
		s.srv.stats.messages.Add(1)
		s.srv.stats.octets.Add(uint64(len(m.Raw)))
	} else {
		s.srv.stats.failed.Add(1)
	}
	return errs
}
