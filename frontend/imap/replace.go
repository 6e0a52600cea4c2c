package imap

import (
	"errors"
	"fmt"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
)

// replaceLiteral is appendLiteral for REPLACE, which needs room only for what
// the new message has more than the old one.
func replaceLiteral(s *session, f *imapwire.Frame, l *imapwire.Literal) error {
	what, name, n, err := imapwire.NewScanner(f, s.utf8).ReplaceSoFar()
	if err != nil || n == 0 {
		return err
	}
	c := call{s: s, ctx: s.ctx, cmd: commands[f.Name]}
	old, err := c.replaced(what)
	if err != nil {
		return err
	}
	return s.mayAppend(f, l, name, 0, uint64(old.Size))
}

// replaced returns the message that is to be replaced.
func (c *call) replaced(what imapwire.NumSet) (old mailstore.Message, err error) {
	uids, missing, err := c.pick(what)
	if err != nil {
		return old, err
	}
	if missing {
		return old, mailstore.ErrExpunged
	}
	err = c.rows(uids, func(m *mailstore.Message) error {
		old = *m
		return nil
	})
	if err == nil && old.UID == 0 {
		if len(uids) > 0 && c.s.box.count(uids) > 0 {
			return old, mailstore.ErrExpunged
		}
		return old, no("NONEXISTENT", "No such message")
	}
	return old, err
}

// cmdReplace is of RFC 8508. One command does both halves, on every node or on
// none.
func cmdReplace(c *call) error {
	what, a := c.args.Replace()
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	old, err := c.replaced(what)
	if err != nil {
		return err
	}
	if err := c.catenate(a.Messages); err != nil {
		return err
	}
	var msg commit.AppendMessage
	if err := prepare(&msg, &a.Messages[0]); err != nil {
		return err
	}
	to, err := c.target(a.Mailbox)
	if err != nil {
		return err
	}
	if to.owner.ID() != s.box.owner.ID() {
		// Both halves are one step, and a step is of one account.
		return no("CANNOT", "Both mailboxes have to be of one account")
	}
	done, err := s.srv.cfg.Commit.Replace(c.ctx, to.owner, to.box.ID, msg, s.box.id, old.UID)
	if err != nil {
		s.stale = true
		if errors.Is(err, mailstore.ErrNoMailbox) {
			// One of the two is gone.
			if _, berr := s.box.owner.MailboxByID(s.box.id); berr == nil {
				return no("TRYCREATE", "No such mailbox")
			}
			return errBoxGone
		}
		return err
	}
	s.srv.stats.appended.Add(uint64(len(msg.Raw)))
	if s.selects(to.owner, to.box.ID) {
		s.notify.added(done.UIDs)
	}
	// Section 4.3: before the EXPUNGE, so that the client knows what for.
	s.w.Status("*", "OK", fmt.Sprintf("APPENDUID %d %s", done.UIDValidity, imapwire.AppendSet(nil, numRanges(done.UIDs))), "Replacement is stored")
	if err := s.announce(announce{expunge: true, uid: c.uid(), force: true}); err != nil {
		return err
	}
	c.highest = true
	return nil
}
