package imap

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/sync/errgroup"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// otherUsers begins the names of other accounts' mailboxes: their main address
// and the name they have there come after it.
const otherUsers = "Other Users"

// found is a mailbox that a name leads to.
type found struct {
	owner  *lookup.Account // as this session's user may use it
	box    mailstore.Mailbox
	rights mailstore.Rights
}

// shared reports whether an account is another's.
func (s *session) shared(owner *lookup.Account) bool { return owner.ID() != s.account.ID() }

// fullName is the name that a mailbox of an account has for this client.
func (s *session) fullName(owner *lookup.Account, name string) string {
	if !s.shared(owner) {
		return name
	}
	return otherUsers + "/" + owner.Address() + "/" + name
}

// isOther reports whether a name is in the namespace of other users.
func isOther(name string) bool { return name == otherUsers || strings.HasPrefix(name, otherUsers+"/") }

// locate returns the account that a mailbox name leads to and the name the
// mailbox has there. Who shares nothing and who does not exist are one
// (mailstore.ErrNoMailbox); rights are not looked at.
func (c *call) locate(name string) (*lookup.Account, string, error) {
	s := c.s
	rest, ok := strings.CutPrefix(name, otherUsers+"/")
	if !ok {
		return s.account, name, nil
	}
	if _, err := s.account.Mailbox(name); !errors.Is(err, mailstore.ErrNoMailbox) {
		return s.account, name, err // made before there was the namespace
	}
	// An address may have a "/" in it, but no domain has.
	at := strings.IndexByte(rest, '@')
	if at < 0 {
		return nil, "", mailstore.ErrNoMailbox
	}
	domain, inner, _ := strings.Cut(rest[at+1:], "/")
	ctx, cancel := c.quorum()
	defer cancel()
	to, err := s.srv.cfg.Lookup.Route(ctx, rest[:at], domain)
	if errors.Is(err, mailstore.ErrNoAddress) || err == nil && to.Account == s.account.ID() {
		return nil, "", mailstore.ErrNoMailbox
	}
	if err != nil {
		return nil, "", err
	}
	owner, err := s.srv.cfg.Lookup.Open(ctx, to.Account)
	if errors.Is(err, mailstore.ErrNoAccount) {
		err = mailstore.ErrNoMailbox
	}
	if err != nil {
		return nil, "", err
	}
	return owner.As(s.account.ID()), inner, nil
}

// anyRight are the rights of which one is enough for MYRIGHTS (RFC 4314 section
// 4).
const anyRight = mailstore.RightLookup | mailstore.RightRead | mailstore.RightInsert | mailstore.RightCreate | mailstore.RightDelete | mailstore.RightAdminister

// find returns the mailbox of a name if the user has the rights. Of another's
// mailbox that it may not list it is not told that it is there (RFC 4314 section
// 6); what it may do is decided after this node knows of every change.
func (c *call) find(name string, need mailstore.Rights) (f found, err error) {
	owner, inner, err := c.locate(name)
	if err != nil {
		return f, err
	}
	if !c.s.shared(owner) {
		f.owner, f.rights = owner, mailstore.AllRights
		f.box, err = c.own(name)
		return f, err
	}
	if err := c.syncOwner(owner); err != nil {
		return f, err
	}
	v := owner.Read()
	defer v.Close()
	return c.s.findIn(v, owner, inner, need)
}

// findIn is find in a view of another's account.
func (s *session) findIn(v *lookup.View, owner *lookup.Account, inner string, need mailstore.Rights) (f found, err error) {
	f.owner = owner
	if f.box, err = v.MailboxByName(inner); err == nil {
		f.rights, err = v.Rights(f.box.ID)
	}
	switch {
	case errors.Is(err, mailstore.ErrNoAccount):
		return f, mailstore.ErrNoMailbox
	case err != nil:
		return f, err
	case f.rights.Has(need):
	case f.rights.Has(mailstore.RightLookup):
		return f, mailstore.ErrNotPermitted
	default:
		return f, mailstore.ErrNoMailbox
	}
	s.asSeen(&f.box, owner)
	return f, nil
}

// asSeen makes a mailbox of another what this client sees of it: what it is for
// its owner it is not for others.
func (s *session) asSeen(box *mailstore.Mailbox, owner *lookup.Account) {
	if s.shared(owner) {
		box.Name = s.fullName(owner, box.Name)
		box.SpecialUse, box.Subscribed = 0, false
	}
}

// target is find for a command that puts messages into a mailbox: it tells
// that CREATE would help (RFC 9051 section 6.3.12).
func (c *call) target(name string) (found, error) {
	f, err := c.find(name, mailstore.RightInsert)
	if errors.Is(err, mailstore.ErrNoMailbox) {
		err = no("TRYCREATE", "No such mailbox")
	}
	return f, err
}

// syncOwner is sync for another's account, which is never read when it may be
// old: rights may be.
func (c *call) syncOwner(owner *lookup.Account) error {
	ctx, cancel := c.quorum()
	defer cancel()
	return owner.Sync(ctx)
}

// syncAll is sync for a command that looks at others' mailboxes too.
func (c *call) syncAll() (stale bool, err error) {
	var own, others error
	var work errgroup.Group
	work.Go(func() error {
		stale, own = c.sync()
		return nil
	})
	work.Go(func() error {
		others = c.syncOthers()
		return nil
	})
	if err := work.Wait(); err != nil {
		return false, err
	}
	if own != nil || stale {
		return stale, own
	}
	return false, others
}

// syncOthers waits until this node knows what is shared with the account.
func (c *call) syncOthers() error {
	ctx, cancel := c.quorum()
	defer cancel()
	if err := c.s.srv.cfg.Lookup.SyncDirectory(ctx); err != nil {
		return err
	}
	owners, err := c.s.owners(ctx)
	if err != nil {
		return err
	}
	work, ctx := errgroup.WithContext(ctx)
	work.SetLimit(8)
	for _, a := range oneOfEachGroup(owners) {
		work.Go(func() error { return a.Sync(ctx) })
	}
	return work.Wait()
}

// oneOfEachGroup returns accounts whose groups are those of all.
func oneOfEachGroup(all []*lookup.Account) (out []*lookup.Account) {
next:
	for _, a := range all {
		for _, b := range out {
			if a.Group() == b.Group() {
				continue next
			}
		}
		out = append(out, a)
	}
	return out
}

// owners returns the accounts that may share mailboxes with the session's user,
// as this node knows them.
func (s *session) owners(ctx context.Context) ([]*lookup.Account, error) {
	ids, err := s.srv.cfg.Lookup.SharedWith(s.account.ID())
	if err != nil {
		return nil, err
	}
	out := make([]*lookup.Account, 0, len(ids))
	for _, id := range ids {
		a, err := s.srv.cfg.Lookup.Open(ctx, id)
		if errors.Is(err, mailstore.ErrNoAccount) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, a.As(s.account.ID()))
	}
	return out, nil
}

// othersMailboxes returns what others share with the session's user and it may
// list.
func (c *call) othersMailboxes() (out []found, err error) {
	owners, err := c.s.owners(c.ctx)
	if err != nil {
		return nil, err
	}
	for _, a := range owners {
		all, err := a.Granted()
		if errors.Is(err, mailstore.ErrNoAccount) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for i := range all {
			if !all[i].Rights.Has(mailstore.RightLookup) {
				continue
			}
			f := found{owner: a, box: all[i].Mailbox, rights: all[i].Rights}
			c.s.asSeen(&f.box, a)
			out = append(out, f)
		}
	}
	return out, nil
}

// selects reports whether a mailbox is the selected one.
func (s *session) selects(owner *lookup.Account, id mailstore.MailboxID) bool {
	return s.box != nil && s.box.id == id && s.box.owner.ID() == owner.ID()
}

// deselect leaves no mailbox selected.
func (s *session) deselect() {
	if s.box != nil && s.box.sub != nil {
		s.box.sub.Close()
	}
	s.box = nil
}

// boxNews tells that something happened in another's account of which a mailbox
// is selected. It never does where none is.
func (s *session) boxNews() <-chan struct{} {
	if s.box == nil || s.box.sub == nil {
		return nil
	}
	return s.box.sub.C()
}

// objectID is the MAILBOXID of a mailbox (RFC 8474 section 4): unique among all
// that the client sees.
func (s *session) objectID(owner *lookup.Account, id mailstore.MailboxID) string {
	if !s.shared(owner) {
		return id.ObjectID()
	}
	return id.ObjectID() + "-" + owner.ID().String()
}

// keywordsIn returns the keywords of the messages of a mailbox: of another's
// account no others are shown.
func keywordsIn(v *lookup.View, box mailstore.MailboxID) ([]string, error) {
	seen := map[string]bool{}
	var out []string
	err := v.Messages(box, []mailstore.Range{{First: 1, Last: 1<<32 - 1}}, func(m *mailstore.Message) error {
		for _, k := range m.Keywords {
			if !seen[k] {
				seen[k] = true
				out = append(out, k)
			}
		}
		return nil
	})
	return out, err
}

// writable are the rights without all of which a mailbox is READ-ONLY (RFC 4314
// section 5.2). Flags are shared by all who see a mailbox.
const writable = mailstore.RightInsert | mailstore.RightExpunge | mailstore.RightSeen | mailstore.RightWrite | mailstore.RightDeleted

// permanent returns the flags that rights allow to change, as they are written.
func permanent(r mailstore.Rights) mailstore.Flags {
	var f mailstore.Flags
	if r.Has(mailstore.RightSeen) {
		f |= mailstore.FlagSeen
	}
	if r.Has(mailstore.RightDeleted) {
		f |= mailstore.FlagDeleted
	}
	if r.Has(mailstore.RightWrite) {
		f |= mailstore.AllFlags &^ (mailstore.FlagSeen | mailstore.FlagDeleted)
	}
	return f
}

// cmdNamespace is of RFC 9051 section 6.3.10.
func cmdNamespace(c *call) error {
	if err := c.args.End(); err != nil {
		return err
	}
	out := append(c.s.w.Buf(), `* NAMESPACE (("" "/")) ((`...)
	out = imapwire.AppendMailbox(out, otherUsers+"/", c.s.utf8)
	c.s.w.SetBuf(append(out, " \"/\")) NIL\r\n"...))
	return nil
}
