package imap

import (
	"strings"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
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
	id, err := c.s.srv.cfg.Commit.Create(c.ctx, c.s.account, name, use)
	if err != nil {
		return err
	}
	c.s.notify.named(name)
	c.code = "MAILBOXID (" + id.ObjectID() + ")" // RFC 8474 section 4.2
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
	if err := c.s.srv.cfg.Commit.Delete(c.ctx, c.s.account, name); err != nil {
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
	_, err := s.account.MailboxByID(s.box.id)
	if err == nil {
		return nil
	}
	s.box = nil
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
	if err := c.s.srv.cfg.Commit.Rename(c.ctx, c.s.account, from, to); err != nil {
		return err
	}
	c.s.notify.named(from, to)
	return nil
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

// cmdNamespace is of RFC 9051 section 6.3.10: one personal namespace.
func cmdNamespace(c *call) error {
	if err := c.args.End(); err != nil {
		return err
	}
	c.s.w.Untagged(`NAMESPACE (("" "/")) NIL NIL`).CRLF()
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
	box, err := c.s.account.Mailbox(name)
	if err != nil {
		return err
	}
	return c.s.status(&box, items)
}

// status writes a STATUS response.
func (s *session) status(box *mailstore.Mailbox, items []imapwire.StatusItem) error {
	recent := uint64(0)
	for _, it := range items {
		switch it {
		case imapwire.StatusHighestModSeq:
			s.enableCondstore()
		case imapwire.StatusRecent:
			var err error
			if recent, err = s.countRecent(box); err != nil {
				return err
			}
		}
	}
	s.statusItems(box, items, recent)
	return nil
}

// statusItems writes a STATUS response with what is known already.
func (s *session) statusItems(box *mailstore.Mailbox, items []imapwire.StatusItem, recent uint64) {
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
			w.Raw("MAILBOXID (").Raw(box.ID.ObjectID()).Raw(")")
		case imapwire.StatusDeletedStorage:
			w.Raw("DELETED-STORAGE ").Num(box.DeletedSize)
		}
	}
	w.Close().CRLF()
}

// countRecent counts the messages that no session was told of as \Recent.
func (s *session) countRecent(box *mailstore.Mailbox) (n uint64, err error) {
	if s.rev2 || box.RecentFrom >= box.UIDNext {
		return 0, nil
	}
	v := s.account.Read()
	defer v.Close()
	err = v.Messages(box.ID, []mailstore.Range{{First: max(box.RecentFrom, 1), Last: box.UIDNext}}, func(*mailstore.Message) error {
		n++
		return nil
	})
	return n, err
}
