package imap

import (
	"fmt"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
)

// cmdStore is of RFC 9051 section 6.4.6 and RFC 7162 section 3.1.3.
func cmdStore(c *call) error {
	st := c.args.Store()
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	change := commit.FlagChange{Mode: commit.Set}
	switch st.Mode {
	case imapwire.StoreAdd:
		change.Mode = commit.Add
	case imapwire.StoreRemove:
		change.Mode = commit.Remove
	}
	var err error
	if change.Flags, change.Keywords, err = parseFlags(st.Flags); err != nil {
		return err
	}
	if st.UnchangedSince != nil {
		s.enableCondstore()
		since := mailstore.ModSeq(*st.UnchangedSince)
		change.UnchangedSince = &since
	}
	uids, missing, err := c.pick(st.Set)
	if err != nil {
		return err
	}
	if s.box.count(uids) == 0 {
		return nil
	}
	if change.UnchangedSince != nil && s.over(uids) {
		// There is one code in an answer, and MODIFIED has to be in it.
		return s.tooMany()
	}
	uids = c.limit(uids)
	if may := permanent(s.box.rights); may != mailstore.AllFlags && (change.Mode == commit.Set || change.Flags&^may != 0 || len(change.Keywords) > 0) {
		// What is not changed for want of a right must not look changed.
		st.Silent = false
	}
	if st.Silent && s.condst {
		// So that it is seen below whether anything came between.
		if err := s.announce(announce{uid: c.uid(), force: true}); err != nil {
			return err
		}
	}
	before := s.box.account
	res, err := s.srv.cfg.Commit.Store(c.ctx, s.box.owner, s.box.id, uids, change)
	if err != nil {
		// Some pieces may have been stored: what they changed is told.
		s.stale = true
		return err
	}
	told := announce{uid: c.uid(), force: true, own: res.Changed, ownSeq: res.ModSeq}
	var done []mailstore.UID
	if st.Silent {
		told.silent, told.silentTo = res.Changed, res.ModSeq
		if s.condst && res.ModSeq != before+1 {
			// Another's change may be in what these messages have now. A
			// client that goes by MODSEQ would not ask for it again.
			told.silent = nil
		}
	} else {
		told.told = func(u mailstore.UID) {
			if inRanges(uids, u) {
				done = append(done, u)
			}
		}
	}
	if err := s.announce(told); err != nil {
		return err
	}
	if !st.Silent && len(done) < s.box.count(uids) {
		// What was so already is told as well.
		if err := c.tellOthers(uids, done); err != nil {
			return err
		}
	}
	if len(res.Modified) > 0 {
		c.code = "MODIFIED " + string(imapwire.AppendSet(nil, c.numbers(res.Modified)))
		c.text = "Conditional STORE failed for some"
	}
	if missing {
		// RFC 5530, RFC 2180 section 4.2.1.
		return c.issued()
	}
	return nil
}

// numbers makes wire ranges of ascending UIDs: of UIDs for a UID command, of
// sequence numbers for any other.
func (c *call) numbers(uids []mailstore.UID) []imapwire.NumRange {
	if c.uid() {
		return numRanges(uids)
	}
	var b imapwire.SetBuilder
	cur := cursor{list: &c.s.box.list}
	for _, u := range uids {
		if seq := cur.seq(u); seq != 0 {
			b.Add(seq)
		}
	}
	return b.Ranges
}

// tellOthers tells the flags of the messages in uids that are not in told,
// both ascending.
func (c *call) tellOthers(uids []mailstore.Range, told []mailstore.UID) error {
	s := c.s
	cur := cursor{list: &s.box.list}
	return c.rows(uids, func(m *mailstore.Message) error {
		for len(told) > 0 && told[0] < m.UID {
			told = told[1:]
		}
		if len(told) > 0 && told[0] == m.UID {
			return nil
		}
		if seq := cur.seq(m.UID); seq != 0 {
			s.tellFlags(seq, m, c.uid() || s.condst, false)
		}
		return nil
	})
}

func copyUID(done *commit.Copied) string {
	return fmt.Sprintf("COPYUID %d %s %s", done.UIDValidity,
		imapwire.AppendSet(nil, numRanges(done.Source)), imapwire.AppendSet(nil, numRanges(done.Dest)))
}

func cmdCopy(c *call) error { return c.copy(false) }
func cmdMove(c *call) error { return c.copy(true) }

// copy is COPY (RFC 9051 section 6.4.7) and MOVE (6.4.8).
func (c *call) copy(move bool) error {
	c.args.SP()
	set := c.args.NumSet()
	c.args.SP()
	name := c.args.Mailbox()
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	uids, missing, err := c.pick(set)
	if err != nil {
		return err
	}
	if missing {
		// All or nothing (RFC 9051 section 6.4.7).
		return no("EXPUNGEISSUED", "Some of the messages were expunged meanwhile")
	}
	if need := mailstore.RightDeleted | mailstore.RightExpunge; move && !s.box.rights.Has(need) {
		return mailstore.ErrNotPermitted
	}
	target, err := c.target(name)
	if err != nil {
		return err
	}
	if len(uids) == 0 {
		return nil
	}
	if !move && s.over(uids) {
		return s.tooMany() // all or nothing
	}
	uids = c.limit(uids)
	if target.owner.ID() != s.box.owner.ID() {
		return c.copyAcross(uids, &target, move)
	}
	done, err := s.srv.cfg.Commit.Copy(c.ctx, s.box.owner, s.box.id, uids, target.box.ID, move)
	if err != nil {
		s.stale = true
		return err
	}
	if target.box.ID == s.box.id {
		s.stale = true
		s.notify.added(done.Dest)
	}
	if len(done.Source) == 0 {
		return nil
	}
	if !move {
		c.code = copyUID(&done)
		return nil
	}
	// RFC 6851 section 4.3: before the EXPUNGEs it explains.
	s.w.Status("*", "OK", copyUID(&done), "Moved")
	if err := s.announce(announce{expunge: true, uid: c.uid(), force: true}); err != nil {
		return err
	}
	c.highest = true
	return nil
}
