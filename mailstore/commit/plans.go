package commit

import (
	"context"
	"errors"
	"fmt"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/state"
)

// finish brings an account in both groups to what the directory says of it.
// Every step may be repeated, by this node or another, and none is undone by a
// late repetition: an account that is closed stays so.
func (d *Door) finish(ctx context.Context, id mailstore.AccountID) error {
	row, ok, err := d.dirAccount(id)
	if err != nil {
		return err
	}
	if !ok {
		return mailstore.ErrNoAccount
	}
	switch lookup.Status(row.Status) {
	case lookup.Opening:
		return d.finishOpening(ctx, &row)
	case lookup.Active, lookup.Suspended:
		return d.finishUpdate(ctx, &row)
	case lookup.Closing:
		return d.finishClosing(ctx, &row)
	}
	return nil
}

func (d *Door) dirAccount(id mailstore.AccountID) (row state.DirectoryAccount, ok bool, err error) {
	r := d.cfg.Directory.Read()
	defer func() { err = errors.Join(err, r.Close()) }()
	return r.Account(id)
}

func (d *Door) finishOpening(ctx context.Context, row *state.DirectoryAccount) error {
	if err := d.openInGroup(ctx, row); err != nil {
		return err
	}
	err := d.status(ctx, row.ID, commandpb.AccountStatus_ACTIVE, commandpb.AccountStatus_OPENING)
	if errors.Is(err, mailstore.ErrConflict) || errors.Is(err, mailstore.ErrNoAccount) {
		return nil // somebody else has got here before, and further
	}
	return err
}

func (d *Door) openInGroup(ctx context.Context, row *state.DirectoryAccount) error {
	a, err := d.cfg.Lookup.Open(ctx, row.ID)
	if err != nil {
		return err
	}
	c := &commandpb.OpenAccount{Account: uint64(row.ID), QuotaBytes: row.QuotaBytes, QuotaMessages: row.QuotaMessages}
	for _, m := range firstMailboxes {
		c.Mailboxes = append(c.Mailboxes, &commandpb.CreateMailbox{
			Name: name(a.Keys(), m.name), SpecialUse: uint32(m.use), Subscribe: true,
		})
	}
	_, err = d.propose(ctx, row.Group, NewOp(), &commandpb.Command{Op: &commandpb.Command_OpenAccount{OpenAccount: c}}, nil)
	return err
}

// finishUpdate copies quota and suspension into the mail group, which decides
// by its own rows alone (R15).
func (d *Door) finishUpdate(ctx context.Context, row *state.DirectoryAccount) error {
	frozen := lookup.Status(row.Status) == lookup.Suspended
	c := &commandpb.UpdateAccount{
		Account: uint64(row.ID), QuotaBytes: &row.QuotaBytes, QuotaMessages: &row.QuotaMessages, Frozen: &frozen,
	}
	_, err := d.propose(ctx, row.Group, NewOp(), &commandpb.Command{Op: &commandpb.Command_UpdateAccount{UpdateAccount: c}}, nil)
	if err != nil {
		return err
	}
	// Two changes at once may reach the mail group in the wrong order; the
	// one that finds the directory changed since it read it does its part
	// again.
	now, ok, err := d.dirAccount(row.ID)
	if err != nil {
		return err
	}
	if ok && (now.Status != row.Status || now.QuotaBytes != row.QuotaBytes || now.QuotaMessages != row.QuotaMessages) {
		return d.finish(ctx, row.ID)
	}
	return nil
}

func (d *Door) finishClosing(ctx context.Context, row *state.DirectoryAccount) error {
	id := uint64(row.ID)
	closing := &commandpb.Command{Op: &commandpb.Command_CloseAccount{CloseAccount: &commandpb.CloseAccount{Account: id}}}
	// An account that its group never heard of leaves a tombstone there too,
	// for an OpenAccount that comes late.
	if _, err := d.propose(ctx, row.Group, NewOp(), closing, nil); err != nil {
		return err
	}
	// What others share with it goes while the directory still knows of it.
	if err := d.revokeAll(ctx, row.ID); err != nil {
		return err
	}
	shred := &commandpb.Command{Op: &commandpb.Command_ShredAccount{ShredAccount: &commandpb.ShredAccount{Id: id}}}
	if _, err := d.directory(ctx, shred); err != nil {
		return err
	}
	d.cfg.Lookup.Forget(row.ID)
	d.Wake() // there is something to purge
	return d.status(ctx, row.ID, commandpb.AccountStatus_CLOSED, commandpb.AccountStatus_CLOSING)
}

// plans brings interrupted account commands to an end. With all, it compares
// every account with its mail group.
func (r *Driver) plans(ctx context.Context, all bool) error {
	rd := r.d.cfg.Directory.Read()
	var todo, sharing []mailstore.AccountID
	err := rd.Accounts(func(row *state.DirectoryAccount) error {
		switch s := lookup.Status(row.Status); {
		case s == lookup.Opening || s == lookup.Closing:
			todo = append(todo, row.ID)
		case all && (s == lookup.Active || s == lookup.Suspended):
			differs, err := r.differs(row)
			if err != nil {
				return err
			}
			if differs {
				todo = append(todo, row.ID)
			}
			shares, err := rd.SharesOf(row.ID)
			if err != nil {
				return err
			}
			if len(shares) > 0 {
				sharing = append(sharing, row.ID)
			}
		}
		return ctx.Err()
	})
	if err = errors.Join(err, rd.Close()); err != nil {
		return err
	}
	var failed []error
	for _, id := range todo {
		if err := r.d.finish(ctx, id); err != nil {
			failed = append(failed, fmt.Errorf("commit: account %v: %w", id, err))
			continue
		}
		r.d.stats.plans.Add(1)
	}
	for _, id := range sharing {
		if err := r.shares(ctx, id); err != nil {
			failed = append(failed, fmt.Errorf("commit: shares of account %v: %w", id, err))
		}
	}
	return errors.Join(failed...)
}

// shares takes the records of what an account shares no more.
func (r *Driver) shares(ctx context.Context, id mailstore.AccountID) error {
	a, err := r.d.cfg.Lookup.Open(ctx, id)
	if err != nil {
		return err
	}
	whom, err := r.d.cfg.Lookup.SharesOf(id)
	if err != nil {
		return err
	}
	for _, who := range whom {
		if granted, err := a.Grants(a.Keys().IdentifierHash(who)); err != nil || granted {
			if err != nil {
				return err
			}
			continue
		}
		if err := r.d.settleShare(ctx, a, who); err != nil {
			return err
		}
	}
	return nil
}

// differs reports whether an account's mail group has other limits than the
// directory.
func (r *Driver) differs(row *state.DirectoryAccount) (differs bool, err error) {
	m, ok := r.d.cfg.Mail(row.Group)
	if !ok {
		return false, nil
	}
	rd := m.Read()
	defer func() { err = errors.Join(err, rd.Close()) }()
	acc, ok, err := rd.Account(row.ID)
	if err != nil || !ok || acc.Closed {
		return false, err
	}
	frozen := lookup.Status(row.Status) == lookup.Suspended
	return acc.QuotaBytes != row.QuotaBytes || acc.QuotaMessages != row.QuotaMessages || acc.Frozen != frozen, nil
}
