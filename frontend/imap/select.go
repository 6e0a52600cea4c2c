package imap

import (
	"errors"
	"fmt"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/change"
	"altmail.se/altmail/mailstore/lookup"
)

func cmdSelect(c *call) error  { return c.open(false) }
func cmdExamine(c *call) error { return c.open(true) }

// maxUnseenScan bounds the search for the first unseen message.
const maxUnseenScan = 2000

// opened is what SELECT reads, from one view of the state.
type opened struct {
	box      mailstore.Mailbox
	rights   mailstore.Rights
	uids     []mailstore.UID
	keywords []string
	unseen   mailstore.UID // the first one; 0 if it is not known
	since    *lookup.Since // for QRESYNC
}

func (c *call) readOpened(sel *imapwire.Select, owner *lookup.Account, name string) (o opened, err error) {
	v := owner.Read()
	defer v.Close()
	if c.s.shared(owner) {
		f, err := c.s.findIn(v, owner, name, mailstore.RightRead)
		if err != nil {
			return o, err
		}
		o.box, o.rights = f.box, f.rights
		if o.keywords, err = keywordsIn(v, o.box.ID); err != nil {
			return o, err
		}
	} else {
		if o.box, err = v.MailboxByName(name); err != nil {
			return o, err
		}
		o.rights = mailstore.AllRights
		if o.keywords, err = v.Keywords(); err != nil {
			return o, err
		}
	}
	if o.uids, err = v.UIDs(o.box.ID); err != nil {
		return o, err
	}
	// RFC 3501 section 6.3.1; where it is far to the first one, it is left
	// out, which that section allows.
	if !c.s.rev2 && !c.s.uidonly && o.box.Unseen > 0 {
		if o.unseen, err = firstUnseen(v, o.box.ID); err != nil {
			return o, err
		}
	}
	if q := sel.QResync; q != nil && q.UIDValidity == o.box.UIDValidity {
		since, err := v.Since(o.box.ID, mailstore.ModSeq(q.ModSeq))
		if err != nil {
			return o, err
		}
		o.since = &since
	}
	return o, nil
}

// open is SELECT and EXAMINE (RFC 9051 section 6.3.2).
func (c *call) open(readOnly bool) error {
	s := c.s
	sel := c.args.Select()
	if err := c.args.End(); err != nil {
		return err
	}
	if sel.QResync != nil && !s.qresync {
		return bad("QRESYNC needs ENABLE QRESYNC") // RFC 7162 section 3.2.5
	}
	if sel.QResync != nil && sel.QResync.MatchSeqs != nil && s.uidonly {
		return errUIDRequired // they are sequence numbers
	}
	if s.box != nil {
		// Whether it succeeds or not, nothing is selected afterwards.
		s.deselect()
		s.w.Status("*", "OK", "CLOSED", "Mailbox closed")
	}
	owner, name, err := c.locate(sel.Mailbox)
	if err != nil {
		return err
	}
	var sub *change.Subscription
	stale := false
	if s.shared(owner) {
		sub = s.srv.cfg.Feed.Subscribe(owner.ID())
		defer func() {
			if s.box == nil {
				sub.Close()
			}
		}()
		err = c.syncOwner(owner)
	} else {
		stale, err = c.sync()
	}
	if err != nil {
		return err
	}
	if sel.CondStore {
		s.condst = true
	}
	s.take() // what is hinted at by now is in what is read below
	s.stale, s.reset = false, false
	o, err := c.readOpened(&sel, owner, name)
	if err != nil {
		return err
	}
	box := &o.box
	b := &view{
		owner: owner, rights: o.rights, sub: sub,
		id: box.ID, uidValidity: box.UIDValidity, readOnly: readOnly || stale || o.rights&writable == 0,
		list: newUIDList(o.uids), next: box.UIDNext, modseq: box.HighestModSeq, recentFrom: box.RecentFrom,
	}
	w := s.w
	w.UntaggedNum(b.list.n, "EXISTS").CRLF()
	if s.rev2 {
		// RFC 9051 section 6.3.2 wants a LIST response.
		w.Untagged("LIST () \"/\" ").Mailbox(box.Name).CRLF()
	} else {
		w.UntaggedNum(b.recent(), "RECENT").CRLF()
		if o.unseen != 0 {
			w.Status("*", "OK", fmt.Sprintf("UNSEEN %d", b.list.seq(o.unseen)), "First unseen")
		}
	}
	s.box = b
	s.tellKeywords(o.keywords)
	w.Status("*", "OK", fmt.Sprintf("UIDVALIDITY %d", box.UIDValidity), "UIDs valid")
	w.Status("*", "OK", fmt.Sprintf("UIDNEXT %d", box.UIDNext), "Predicted next UID")
	s.highestModSeq(box.HighestModSeq)                                            // RFC 7162 section 3.1.2.1
	w.Status("*", "OK", "MAILBOXID ("+s.objectID(owner, box.ID)+")", "Object id") // RFC 8474 section 4.1
	if o.since != nil {
		if err := c.resync(sel.QResync, o.since); err != nil {
			s.deselect()
			return err
		}
		// The client has the HIGHESTMODSEQ above, whatever it was shown.
		b.shown = 0
	}
	c.code, c.text = "READ-WRITE", "SELECT completed"
	if readOnly {
		c.text = "EXAMINE completed"
	}
	if b.readOnly {
		c.code = "READ-ONLY"
	} else {
		s.touchRecent()
	}
	if stale {
		w.Status("*", "OK", "ALERT", "This server is cut off from the others: what it shows may be old, and nothing can be changed")
	}
	return nil
}

var errStop = errors.New("imap: found")

// unseenReader is the part of a lookup.View that firstUnseen needs.
type unseenReader interface {
	Messages(mailstore.MailboxID, []mailstore.Range, func(*mailstore.Message) error) error
}

// firstUnseen returns the first message without \Seen, 0 if it was not found.
func firstUnseen(v unseenReader, id mailstore.MailboxID) (first mailstore.UID, err error) {
	n := 0
	err = v.Messages(id, []mailstore.Range{{First: 1, Last: 1<<32 - 1}}, func(m *mailstore.Message) error {
		if m.Flags&mailstore.FlagSeen == 0 {
			first = m.UID
			return errStop
		}
		if n++; n >= maxUnseenScan {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		err = nil
	}
	return first, err
}

// sync waits until this node knows every change that was answered anywhere
// (H7). It reports true when that is not possible and the operator allows to
// read what is here all the same.
func (c *call) sync() (stale bool, err error) {
	ctx, cancel := c.quorum()
	defer cancel()
	err = c.s.account.Sync(ctx)
	if err != nil && c.s.srv.cfg.StaleReads && (errors.Is(err, cluster.ErrUnavailable) || ctx.Err() != nil) {
		return true, nil
	}
	return false, err
}

// own returns a mailbox of the session's account by its name. That there is none
// is only said after this node knows of every change (H8).
func (c *call) own(name string) (mailstore.Mailbox, error) {
	box, err := c.s.account.Mailbox(name)
	if !errors.Is(err, mailstore.ErrNoMailbox) {
		return box, err
	}
	ctx, cancel := c.quorum()
	defer cancel()
	if err := c.s.account.Sync(ctx); err != nil {
		return box, err
	}
	return c.s.account.Mailbox(name)
}

func cmdNoop(c *call) error { return c.args.End() }

func cmdUnselect(c *call) error {
	if err := c.args.End(); err != nil {
		return err
	}
	c.s.deselect()
	return nil
}

// cmdClose is of RFC 9051 section 6.4.1: like EXPUNGE, but nothing is told.
func cmdClose(c *call) error {
	if err := c.args.End(); err != nil {
		return err
	}
	// RFC 4314 section 4: without the right it only closes.
	if !c.s.box.readOnly && c.s.box.rights.Has(mailstore.RightExpunge) {
		if err := c.expunge(mailstore.Range{First: 1, Last: c.s.box.list.last()}); err != nil {
			return err
		}
	}
	c.s.deselect()
	return nil
}

// cmdExpunge removes the messages marked \Deleted that the client knows of:
// what came later it cannot have meant (H16).
func cmdExpunge(c *call) error {
	if err := c.args.End(); err != nil {
		return err
	}
	return c.expungeAndTell(mailstore.Range{First: 1, Last: c.s.box.list.last()})
}

// cmdUIDExpunge is of RFC 4315 section 2.1.
func cmdUIDExpunge(c *call) error {
	c.args.SP()
	set := c.args.NumSet()
	if err := c.args.End(); err != nil {
		return err
	}
	uids, _, err := c.pick(set)
	if err != nil {
		return err
	}
	return c.expungeAndTell(c.limit(uids)...)
}

func (c *call) expungeAndTell(uids ...mailstore.Range) error {
	if !c.s.box.rights.Has(mailstore.RightExpunge) {
		return mailstore.ErrNotPermitted
	}
	if err := c.expunge(uids...); err != nil {
		return err
	}
	if err := c.s.announce(announce{expunge: true, uid: c.uid(), force: true}); err != nil {
		return err
	}
	c.highest = true
	return nil
}

func (c *call) expunge(uids ...mailstore.Range) error {
	s := c.s
	if len(uids) == 0 || s.box.list.n == 0 {
		return nil
	}
	// One's own \Deleted is known here, so nothing to do is seen without
	// asking the others. That another client's is not yet is no matter: it
	// might as well have come later.
	box, err := s.box.owner.MailboxByID(s.box.id)
	if errors.Is(err, mailstore.ErrNoMailbox) {
		return errBoxGone
	}
	if err != nil || box.Deleted == 0 {
		return err
	}
	_, _, err = s.srv.cfg.Commit.Expunge(c.ctx, s.box.owner, s.box.id, uids)
	return err
}
