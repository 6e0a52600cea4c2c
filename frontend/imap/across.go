package imap

import (
	"errors"
	"fmt"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
)

// Bounds of what of a COPY to another account is one step.
const (
	acrossMessages = 100
	acrossOctets   = 16 << 20
)

// copyAcross is COPY and MOVE to a mailbox of another account. The messages are
// stored there as APPEND would, under keys of that account, some at a time;
// with move, they leave where they were as soon as they are stored. What was
// copied is taken back when a later step of a COPY fails (RFC 9051 section
// 6.4.7); a MOVE that fails has moved some messages and left the others, and a
// message is always in one of the two mailboxes at least (RFC 6851 section 3.3).
func (c *call) copyAcross(uids []mailstore.Range, to *found, move bool) error {
	s := c.s
	var rows []mailstore.Message
	if err := c.rows(uids, func(m *mailstore.Message) error { rows = append(rows, *m); return nil }); err != nil {
		return err
	}
	done := commit.Copied{}
	for len(rows) > 0 {
		n, size := 0, int64(0)
		for n < len(rows) && n < acrossMessages && (n == 0 || size+int64(rows[n].Size) <= acrossOctets) {
			size += int64(rows[n].Size)
			n++
		}
		err := c.acrossStep(rows[:n], size, to, move, &done)
		if err != nil {
			s.stale = true
			if move {
				c.tellMoved(&done)
				return err
			}
			return errors.Join(err, c.takeBack(to, done.Dest))
		}
		rows = rows[n:]
	}
	if len(done.Source) == 0 {
		return nil
	}
	if !move {
		c.code = copyUID(&done)
		return nil
	}
	c.tellMoved(&done)
	if err := s.announce(announce{expunge: true, uid: c.uid(), force: true}); err != nil {
		return err
	}
	c.highest = true
	return nil
}

// tellMoved tells which messages became which, before they are expunged (RFC
// 6851 section 4.3).
func (c *call) tellMoved(done *commit.Copied) {
	if len(done.Source) > 0 {
		c.s.w.Status("*", "OK", copyUID(done), "Moved")
	}
}

// acrossStep copies a few messages and adds them to done.
func (c *call) acrossStep(rows []mailstore.Message, size int64, to *found, move bool, done *commit.Copied) error {
	s := c.s
	if err := s.grab(size); err != nil {
		return err
	}
	defer func() {
		s.srv.memory.Release(size)
		s.held -= size
	}()
	var msgs []commit.AppendMessage
	var source []mailstore.UID
	for i := range rows {
		m := &rows[i]
		raw, err := c.wholeMessage(m)
		if errors.Is(err, mailstore.ErrExpunged) {
			continue // right now: COPY copies what is there
		}
		if err != nil {
			return err
		}
		var msg commit.AppendMessage
		if err := prepare(&msg, &imapwire.AppendMessage{Date: m.InternalDate, Literal: &imapwire.Literal{Data: raw, Binary: true}}); err != nil {
			return err
		}
		msg.Flags, msg.Keywords = m.Flags, m.Keywords
		msgs, source = append(msgs, msg), append(source, m.UID)
	}
	if len(msgs) == 0 {
		return nil
	}
	res, err := s.srv.cfg.Commit.Append(c.ctx, to.owner, to.box.ID, msgs, 0)
	if errors.Is(err, mailstore.ErrNoMailbox) {
		return no("TRYCREATE", "No such mailbox")
	}
	if err != nil {
		return err
	}
	done.UIDValidity = res.UIDValidity
	done.Source, done.Dest = append(done.Source, source...), append(done.Dest, res.UIDs...)
	if !move {
		return nil
	}
	var rs []mailstore.Range
	for _, u := range source {
		rs = addUID(rs, u)
	}
	err = s.srv.cfg.Commit.Remove(c.ctx, s.box.owner, s.box.id, rs)
	if err != nil && !errors.Is(err, cluster.ErrUnavailable) {
		// They certainly stay where they are, so that they are copied is undone.
		n := len(done.Dest) - len(res.UIDs)
		done.Source, done.Dest = done.Source[:n], done.Dest[:n]
		return errors.Join(err, c.takeBack(to, res.UIDs))
	}
	return err
}

// wholeMessage returns the octets of a message, as FETCH BODY[] has them.
func (c *call) wholeMessage(m *mailstore.Message) (raw []byte, err error) {
	owner := c.s.box.owner
	v := owner.Read()
	content, err := v.Content(m.Content)
	v.Close()
	if err != nil {
		return nil, err
	}
	body, err := owner.OpenBody(c.ctx, content)
	if err != nil {
		return nil, err
	}
	raw, err = body.AppendRange(make([]byte, 0, m.Size), 0, int64(m.Size))
	if err = errors.Join(err, body.Close()); err == nil && len(raw) != int(m.Size) {
		err = fmt.Errorf("%w: a message is shorter than its summary says", mailstore.ErrDamaged)
	}
	return raw, err
}

// takeBack removes what a COPY stored before it failed.
func (c *call) takeBack(to *found, uids []mailstore.UID) error {
	if len(uids) == 0 {
		return nil
	}
	var rs []mailstore.Range
	for _, u := range uids {
		rs = addUID(rs, u)
	}
	// Who may put messages in may not be allowed to take any out: this is not
	// the user's doing.
	s := c.s
	owner, err := s.srv.cfg.Lookup.Open(c.ctx, to.owner.ID())
	if err != nil {
		return err
	}
	return s.srv.cfg.Commit.Remove(c.ctx, owner, to.box.ID, rs)
}
