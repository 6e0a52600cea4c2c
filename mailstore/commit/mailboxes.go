package commit

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/lookup"
)

// maxConflicts bounds how often a change of the mailbox list starts again
// because somebody else changed the list meanwhile.
const maxConflicts = 20

// retry runs fn until the list it saw was still the one that counted.
func retry(fn func() error) error {
	var err error
	for range maxConflicts {
		if err = fn(); !errors.Is(err, mailstore.ErrConflict) {
			return err
		}
	}
	return err
}

// Create makes a mailbox, and the superiors it lacks (RFC 9051 section 6.3.4).
// A final separator is left out. Its errors are mailstore.ErrMailboxExists,
// ErrBadName, ErrLimit and cluster's.
func (d *Door) Create(ctx context.Context, a *lookup.Account, name string, use mailstore.SpecialUse) (mailstore.MailboxID, error) {
	clean, err := lookup.CleanName(strings.TrimSuffix(name, lookup.Separator))
	if err != nil {
		return 0, err
	}
	if clean == lookup.Inbox {
		return 0, mailstore.ErrMailboxExists
	}
	ctx, cancel := d.deadline(ctx)
	defer cancel()
	// The name itself is decided when the command is applied. Superiors come
	// first, so that a failure in between leaves whole, if empty, mailboxes.
	up, err := d.createSuperiors(ctx, a, clean)
	if err != nil {
		return 0, err
	}
	return d.create(ctx, a, clean, up, use)
}

// create makes a mailbox below another, whose access list it begins with; up is
// 0 where there is none above it.
func (d *Door) create(ctx context.Context, a *lookup.Account, clean string, up mailstore.MailboxID, use mailstore.SpecialUse) (mailstore.MailboxID, error) {
	if _, shared := a.Actor(); shared && up == 0 {
		return 0, mailstore.ErrNotPermitted
	}
	c := &commandpb.CreateMailbox{Account: uint64(a.ID()), Name: name(a.Keys(), clean), SpecialUse: uint32(use), Inherit: uint32(up)}
	cmd := as(a, &commandpb.Command{Op: &commandpb.Command_CreateMailbox{CreateMailbox: c}}, need{up, mailstore.RightCreate})
	res, err := d.propose(ctx, a.Group(), NewOp(), cmd, nil)
	if err != nil {
		return 0, err
	}
	return mailstore.MailboxID(res.Mailbox), nil
}

// createSuperiors makes the mailboxes above a clean name that are not there, and
// returns the one right above it, 0 if there is none.
func (d *Door) createSuperiors(ctx context.Context, a *lookup.Account, clean string) (above mailstore.MailboxID, err error) {
	for _, up := range lookup.Superiors(clean) {
		m, err := a.Mailbox(up)
		if err == nil {
			above = m.ID
			continue
		}
		if !errors.Is(err, mailstore.ErrNoMailbox) {
			return 0, err
		}
		made, err := d.create(ctx, a, up, above, 0)
		if errors.Is(err, mailstore.ErrMailboxExists) {
			// Somebody else made it since this node was looked at.
			if err = a.Sync(ctx); err == nil {
				m, err = a.Mailbox(up)
			}
			made = m.ID
		}
		if err != nil {
			return 0, fmt.Errorf("commit: making a superior mailbox: %w", err)
		}
		above = made
	}
	return above, nil
}

// Delete removes a mailbox and its messages; inferiors stay, and INBOX cannot
// be removed (RFC 9051 section 6.3.5). The list is compared when it is
// executed, so that the mailbox of this name, not another of that id, goes.
func (d *Door) Delete(ctx context.Context, a *lookup.Account, name string) error {
	clean, err := lookup.CleanName(name)
	if err != nil {
		return mailstore.ErrNoMailbox
	}
	if clean == lookup.Inbox {
		return fmt.Errorf("%w: INBOX stays", mailstore.ErrNotPermitted)
	}
	ctx, cancel := d.deadline(ctx)
	defer cancel()
	var shared []mailstore.AccountID
	err = retry(func() error {
		if err := a.Sync(ctx); err != nil {
			return err
		}
		m, list, err := byName(a, clean)
		if err != nil {
			return err
		}
		if shared, err = sharedTo(a, m.ID); err != nil {
			return err
		}
		c := &commandpb.DeleteMailbox{Account: uint64(a.ID()), Mailbox: uint32(m.ID), List: &list}
		_, err = d.propose(ctx, a.Group(), NewOp(), as(a, &commandpb.Command{Op: &commandpb.Command_DeleteMailbox{DeleteMailbox: c}}, need{m.ID, mailstore.RightDelete}), nil)
		return err
	})
	if err == nil {
		d.Wake()
		d.settleShares(ctx, a, shared...)
	}
	return err
}

// sharedTo returns whom a mailbox is shared with.
func sharedTo(a *lookup.Account, box mailstore.MailboxID) ([]mailstore.AccountID, error) {
	acl, err := a.ACL(box)
	out := make([]mailstore.AccountID, len(acl))
	for i := range acl {
		out[i] = acl[i].Account
	}
	return out, err
}

// byName returns a mailbox and the list counter of the same view.
func byName(a *lookup.Account, clean string) (mailstore.Mailbox, uint64, error) {
	v := a.Read()
	defer v.Close()
	m, err := v.MailboxByName(clean)
	if err != nil {
		return m, 0, err
	}
	list, err := v.List()
	return m, list, err
}

// Rename gives a mailbox and its inferiors new names in one step, making the
// superiors the new name lacks. Renaming INBOX moves its messages to a new
// mailbox and leaves it and its inferiors where they are (RFC 9051 section
// 6.3.6).
func (d *Door) Rename(ctx context.Context, a *lookup.Account, from, to string) error {
	src, err := lookup.CleanName(from)
	if err != nil {
		return mailstore.ErrNoMailbox
	}
	dst, err := lookup.CleanName(strings.TrimSuffix(to, lookup.Separator))
	if err != nil {
		return err
	}
	switch {
	case dst == lookup.Inbox || dst == src:
		return mailstore.ErrMailboxExists
	case lookup.Inferior(dst, src) && src != lookup.Inbox:
		return fmt.Errorf("%w: a mailbox cannot become its own inferior", mailstore.ErrNotPermitted)
	}
	ctx, cancel := d.deadline(ctx)
	defer cancel()
	if src == lookup.Inbox {
		if _, shared := a.Actor(); shared {
			return fmt.Errorf("%w: another's INBOX stays", mailstore.ErrNotPermitted)
		}
		return d.renameInbox(ctx, a, dst)
	}
	return retry(func() error {
		if err := a.Sync(ctx); err != nil {
			return err
		}
		// What cannot succeed makes no superiors either.
		if _, err := a.Mailbox(dst); err == nil {
			return mailstore.ErrMailboxExists
		} else if !errors.Is(err, mailstore.ErrNoMailbox) {
			return err
		}
		if _, err := renames(a, src, dst); err != nil {
			return err
		}
		up, err := d.createSuperiors(ctx, a, dst)
		if err != nil {
			return err
		}
		c, err := renames(a, src, dst)
		if err != nil {
			return err
		}
		cmd := &commandpb.Command{Op: &commandpb.Command_RenameMailboxes{RenameMailboxes: c}}
		if _, shared := a.Actor(); shared {
			if up == 0 {
				return mailstore.ErrNotPermitted
			}
			as(a, cmd, need{mailstore.MailboxID(c.Items[0].Mailbox), mailstore.RightDelete}, need{up, mailstore.RightCreate})
		}
		_, err = d.propose(ctx, a.Group(), NewOp(), cmd, nil)
		return err
	})
}

// renames makes the command that renames a mailbox and its inferiors.
func renames(a *lookup.Account, src, dst string) (*commandpb.RenameMailboxes, error) {
	boxes, list, err := a.Mailboxes()
	if err != nil {
		return nil, err
	}
	c := &commandpb.RenameMailboxes{Account: uint64(a.ID()), List: &list}
	found := false
	for i := range boxes {
		m := &boxes[i]
		if m.Name != src && !lookup.Inferior(m.Name, src) {
			continue
		}
		found = found || m.Name == src
		// The new name is checked like any other: it may have become too long.
		clean, err := lookup.CleanName(dst + m.Name[len(src):])
		if err != nil {
			return nil, err
		}
		c.Items = append(c.Items, &commandpb.RenameMailboxes_Item{Mailbox: uint32(m.ID), Name: name(a.Keys(), clean)})
	}
	if !found {
		return nil, mailstore.ErrNoMailbox
	}
	return c, nil
}

// renameInbox moves all messages of INBOX to a new mailbox. Each step is one
// command; when it ends between two of them, the messages are in INBOX and in
// the new mailbox, each in one of them.
func (d *Door) renameInbox(ctx context.Context, a *lookup.Account, dst string) error {
	if err := a.Sync(ctx); err != nil {
		return err
	}
	inbox, err := a.Mailbox(lookup.Inbox)
	if err != nil {
		return err
	}
	// What cannot succeed makes no superiors either.
	if _, err := a.Mailbox(dst); err == nil {
		return mailstore.ErrMailboxExists
	} else if !errors.Is(err, mailstore.ErrNoMailbox) {
		return err
	}
	up, err := d.createSuperiors(ctx, a, dst)
	if err != nil {
		return err
	}
	target, err := d.create(ctx, a, dst, up, 0)
	if err != nil {
		return err
	}
	if err := d.copyMetadata(ctx, a, inbox.ID, target); err != nil {
		return err
	}
	v := a.Read()
	uids, err := v.UIDs(inbox.ID)
	v.Close()
	for err == nil && len(uids) > 0 {
		n := min(len(uids), maxCopy)
		_, err = d.copyUIDs(ctx, a, inbox.ID, uids[:n], target, true)
		uids = uids[n:]
	}
	return err
}

// Subscribe adds a name to the subscriptions or removes it; no mailbox of that
// name need exist (RFC 9051 section 6.3.7).
func (d *Door) Subscribe(ctx context.Context, a *lookup.Account, mailbox string, on bool) error {
	clean, err := lookup.CleanName(strings.TrimSuffix(mailbox, lookup.Separator))
	if err != nil {
		return err
	}
	c := &commandpb.Subscribe{Account: uint64(a.ID()), Name: name(a.Keys(), clean), Remove: !on}
	_, err = d.propose(ctx, a.Group(), NewOp(), &commandpb.Command{Op: &commandpb.Command_Subscribe{Subscribe: c}}, nil)
	if !on && errors.Is(err, ErrNoSuch) {
		return nil
	}
	return err
}
