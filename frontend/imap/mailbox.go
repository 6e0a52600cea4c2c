package imap

import (
	"errors"
	"strings"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// specialUses are the attributes of RFC 6154 section 2.
var specialUses = []struct {
	bit  mailstore.SpecialUse
	name string
}{
	{mailstore.UseAll, `\All`}, {mailstore.UseArchive, `\Archive`}, {mailstore.UseDrafts, `\Drafts`},
	{mailstore.UseFlagged, `\Flagged`}, {mailstore.UseJunk, `\Junk`}, {mailstore.UseSent, `\Sent`},
	{mailstore.UseTrash, `\Trash`},
}

// cmdCreate is of RFC 9051 section 6.3.4 and RFC 6154 section 3.
func cmdCreate(c *call) error {
	name, uses := c.args.Create()
	if err := c.args.End(); err != nil {
		return err
	}
	var use mailstore.SpecialUse
next:
	for _, u := range uses {
		for _, known := range specialUses {
			if strings.EqualFold(u, known.name) {
				use |= known.bit
				continue next
			}
		}
		return no("USEATTR", "No such special use")
	}
	// A hierarchy separator at the end declares that inferiors will follow,
	// which needs nothing here.
	name = strings.TrimSuffix(name, "/")
	owner, inner, err := c.place(name)
	if err != nil {
		return err
	}
	if use != 0 && c.s.shared(owner) {
		return no("USEATTR", "What a mailbox is for is its owner's to say")
	}
	id, err := c.s.srv.cfg.Commit.Create(c.ctx, owner, inner, use)
	if err != nil {
		return err
	}
	c.s.notify.named(name)
	c.code = "MAILBOXID (" + c.s.objectID(owner, id) + ")" // RFC 8474 section 4.2
	return nil
}

// name reads the one mailbox name a command has.
func (c *call) name() (string, error) {
	c.args.SP()
	name := c.args.Mailbox()
	return name, c.args.End()
}

// cmdDelete is of RFC 9051 section 6.3.5.
func cmdDelete(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	if name == "INBOX" {
		return no("CANNOT", "INBOX cannot be deleted")
	}
	owner, inner, err := c.mayMove(name)
	if err != nil {
		return err
	}
	if err := c.s.srv.cfg.Commit.Delete(c.ctx, owner, inner); err != nil {
		return err
	}
	c.s.notify.named(name)
	return c.s.leaveIfGone()
}

// leaveIfGone deselects a mailbox that the session deleted itself: its
// connection has not to end for it.
func (s *session) leaveIfGone() error {
	if s.box == nil {
		return nil
	}
	_, err := s.box.owner.MailboxByID(s.box.id)
	if err == nil {
		return nil
	}
	s.deselect()
	s.w.Status("*", "OK", "CLOSED", "Selected mailbox was deleted")
	return nil
}

// cmdRename is of RFC 9051 section 6.3.6.
func cmdRename(c *call) error {
	c.args.SP()
	from := c.args.Mailbox()
	c.args.SP()
	to := strings.TrimSuffix(c.args.Mailbox(), "/")
	if err := c.args.End(); err != nil {
		return err
	}
	owner, innerFrom, err := c.mayMove(from)
	if err != nil {
		return err
	}
	target, innerTo, err := c.place(to)
	if errors.Is(err, mailstore.ErrNotPermitted) || err == nil && owner.ID() != target.ID() {
		// Whether there is such a user is not told.
		return no("CANNOT", "A mailbox stays in its account")
	}
	if err != nil {
		return err
	}
	if err := c.s.srv.cfg.Commit.Rename(c.ctx, owner, innerFrom, innerTo); err != nil {
		return err
	}
	c.s.notify.named(from, to)
	return nil
}

// place is locate for a mailbox that is to be made. Of another's account nothing
// is told to who may make none there.
func (c *call) place(name string) (*lookup.Account, string, error) {
	owner, inner, err := c.locate(name)
	switch {
	case errors.Is(err, mailstore.ErrNoMailbox):
		err = mailstore.ErrNotPermitted
	case err != nil:
	case c.s.shared(owner):
		err = c.syncOwner(owner)
	case isOther(name):
		err = no("CANNOT", "The name is for mailboxes of other users")
	}
	return owner, inner, err
}

// mayMove is locate for a mailbox that is to be deleted or renamed.
func (c *call) mayMove(name string) (*lookup.Account, string, error) {
	owner, inner, err := c.locate(name)
	if err == nil && c.s.shared(owner) {
		_, err = c.find(name, mailstore.RightDelete)
	}
	return owner, inner, err
}

func cmdSubscribe(c *call) error   { return c.subscribe(true) }
func cmdUnsubscribe(c *call) error { return c.subscribe(false) }

func (c *call) subscribe(on bool) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	name = strings.TrimSuffix(name, "/")
	if err := c.s.srv.cfg.Commit.Subscribe(c.ctx, c.s.account, name, on); err != nil {
		return err
	}
	c.s.notify.named(name)
	return nil
}

// cmdStatus is of RFC 9051 section 6.3.11.
func cmdStatus(c *call) error {
	name, items := c.args.Status()
	if err := c.args.End(); err != nil {
		return err
	}
	if _, err := c.sync(); err != nil {
		return err
	}
	f, err := c.find(name, mailstore.RightRead)
	if err != nil {
		return err
	}
	return c.s.status(&f, items)
}

// status writes a STATUS response.
func (s *session) status(f *found, items []imapwire.StatusItem) error {
	recent := uint64(0)
	for _, it := range items {
		switch it {
		case imapwire.StatusHighestModSeq:
			s.enableCondstore()
		case imapwire.StatusRecent:
			var err error
			if recent, err = s.countRecent(f); err != nil {
				return err
			}
		}
	}
	s.statusItems(f.owner, &f.box, items, recent)
	return nil
}

// statusItems writes a STATUS response with what is known already.
func (s *session) statusItems(owner *lookup.Account, box *mailstore.Mailbox, items []imapwire.StatusItem, recent uint64) {
	w := s.w
	w.Untagged("STATUS ").Mailbox(box.Name).SP().Open()
	for _, it := range items {
		w.Item()
		switch it {
		case imapwire.StatusMessages:
			w.Raw("MESSAGES ").Num(uint64(box.Exists))
		case imapwire.StatusRecent:
			w.Raw("RECENT ").Num(recent)
		case imapwire.StatusUIDNext:
			w.Raw("UIDNEXT ").Num(uint64(box.UIDNext))
		case imapwire.StatusUIDValidity:
			w.Raw("UIDVALIDITY ").Num(uint64(box.UIDValidity))
		case imapwire.StatusUnseen:
			w.Raw("UNSEEN ").Num(uint64(box.Unseen))
		case imapwire.StatusDeleted:
			w.Raw("DELETED ").Num(uint64(box.Deleted))
		case imapwire.StatusSize:
			w.Raw("SIZE ").Num(box.Size)
		case imapwire.StatusHighestModSeq:
			w.Raw("HIGHESTMODSEQ ").Num(uint64(box.HighestModSeq))
		case imapwire.StatusAppendLimit:
			w.Raw("APPENDLIMIT ").Num(uint64(s.srv.cfg.Limits.MessageSize))
		case imapwire.StatusMailboxID:
			w.Raw("MAILBOXID (").Raw(s.objectID(owner, box.ID)).Raw(")")
		case imapwire.StatusDeletedStorage:
			w.Raw("DELETED-STORAGE ").Num(box.DeletedSize)
		}
	}
	w.Close().CRLF()
}

// countRecent counts the messages that no session was told of as \Recent.
func (s *session) countRecent(f *found) (n uint64, err error) {
	box := &f.box
	if s.rev2 || box.RecentFrom >= box.UIDNext {
		return 0, nil
	}
	v := f.owner.Read()
	defer v.Close()
	err = v.Messages(box.ID, []mailstore.Range{{First: max(box.RecentFrom, 1), Last: box.UIDNext}}, func(*mailstore.Message) error {
		n++
		return nil
	})
	return n, err
}
