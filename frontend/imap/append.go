package imap

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
)

// appendLiteral is asked before each literal of an APPEND: everything that
// can refuse it does so before the client sends the message.
func appendLiteral(s *session, f *imapwire.Frame, l *imapwire.Literal) error {
	name, n, err := imapwire.NewScanner(f, s.utf8).AppendSoFar()
	if err != nil || n == 0 {
		return err
	}
	return s.mayAppend(f, l, name, uint64(n), 0)
}

// mayAppend decides about a literal that is to be added to a mailbox as one of
// count messages, or in the place of one of freed octets.
func (s *session) mayAppend(f *imapwire.Frame, l *imapwire.Literal, name string, count, freed uint64) error {
	limit := s.srv.cfg.Limits.MessageSize
	if l.Size > limit {
		return no("TOOBIG", fmt.Sprintf("A message may have at most %d octets", limit))
	}
	if err := s.mayAppendMany(int(count)); err != nil {
		return err
	}
	to, q, err := s.appendTo(name)
	if err != nil {
		return err
	}
	// Decided again when it is stored; here it saves the way.
	total := uint64(l.Size)
	for i := range f.Literals {
		total += uint64(f.Literals[i].Size)
	}
	if q.LimitBytes != 0 && q.UsedBytes+total > q.LimitBytes+freed || q.LimitMessages != 0 && q.UsedMessages+count > q.LimitMessages {
		return mailstore.ErrOverQuota
	}
	if int64(total) > 2*limit {
		return no("LIMIT", "Too much for one command")
	}
	if err := s.grab(l.Size); err != nil {
		return err
	}
	l.Data = make([]byte, l.Size)
	s.target = target{name, to}
	return nil
}

// target is the mailbox that a command's literals were let in for.
type target struct {
	name string
	found
}

// appendTo returns a mailbox that messages are to go to, and the quota.
func (s *session) appendTo(name string) (found, lookup.Quota, error) {
	v := s.account.Read()
	defer v.Close()
	box, err := v.MailboxByName(name)
	if errors.Is(err, mailstore.ErrNoMailbox) {
		v.Close()
		c := call{s: s, ctx: s.ctx}
		f, err := c.target(name)
		if err != nil {
			return f, lookup.Quota{}, err
		}
		q, err := f.owner.Quota()
		return f, q, err
	}
	f := found{owner: s.account, box: box, rights: mailstore.AllRights}
	if err != nil {
		return f, lookup.Quota{}, err
	}
	q, err := v.Quota()
	return f, q, err
}

// appendBox returns the mailbox of a name, as it was when the literals of this
// command were let in. That it is there still is decided at Apply.
func (c *call) appendBox(name string) (found, error) {
	if t := c.s.target; t.owner != nil && t.name == name {
		return t.found, nil
	}
	return c.target(name)
}

// cmdAppend is of RFC 9051 section 6.3.12 and RFC 3502.
func cmdAppend(c *call) error {
	a := c.args.Append()
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	if err := s.mayAppendMany(len(a.Messages)); err != nil {
		return err
	}
	if err := c.catenate(a.Messages); err != nil {
		return err
	}
	msgs := make([]commit.AppendMessage, len(a.Messages))
	for i := range a.Messages {
		if err := prepare(&msgs[i], &a.Messages[i]); err != nil {
			return err
		}
	}
	to, err := c.appendBox(a.Mailbox)
	if err != nil {
		return err
	}
	done, err := s.srv.cfg.Commit.Append(c.ctx, to.owner, to.box.ID, msgs, 0)
	if errors.Is(err, mailstore.ErrNoMailbox) {
		return no("TRYCREATE", "No such mailbox")
	}
	if err != nil {
		return err
	}
	for i := range msgs {
		s.srv.stats.appended.Add(uint64(len(msgs[i].Raw)))
	}
	// RFC 4315 section 3.
	c.code = fmt.Sprintf("APPENDUID %d %s", done.UIDValidity, imapwire.AppendSet(nil, numRanges(done.UIDs)))
	if s.selects(to.owner, to.box.ID) {
		s.stale = true
		s.notify.added(done.UIDs)
	}
	return nil
}

// prepare indexes one message.
func prepare(m *commit.AppendMessage, a *imapwire.AppendMessage) error {
	var err error
	if m.Flags, m.Keywords, err = parseFlags(dropRecent(a.Flags)); err != nil {
		return err
	}
	if m.InternalDate = a.Date; a.Date.IsZero() {
		m.InternalDate = time.Now()
	}
	raw := a.Literal.Data
	if len(raw) == 0 {
		// RFC 3502 section 6.3.11: a client that gives up says so.
		return no("", "Message is empty")
	}
	if !a.Literal.Binary && bytes.IndexByte(raw, 0) >= 0 {
		// RFC 9051 section 9: a literal has no NUL; literal8 may (H22).
		return &imapwire.SyntaxError{Text: "NUL needs a binary literal"}
	}
	x := message.Parse(raw)
	m.Raw, m.HeaderLen = raw, x.HeaderLen
	if m.Summary, err = x.AppendBinary(nil); err != nil {
		return err
	}
	header := raw[:x.HeaderLen]
	t := message.HeaderThread(header)
	m.MessageID = string(t.ID)
	for _, ref := range t.References {
		m.References = append(m.References, string(ref))
	}
	base, _ := message.BaseSubject(message.Lookup(header, "Subject"))
	m.Subject = string(base)
	return nil
}

// dropRecent removes \Recent, which clients copy along from other servers.
func dropRecent(flags []string) []string {
	out := flags[:0]
	for _, f := range flags {
		if f != `\Recent` {
			out = append(out, f)
		}
	}
	return out
}
