package commit

import (
	"context"
	"errors"
	"fmt"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/lookup"
)

// need is what a user who is not the account's own must be allowed to do with a
// mailbox when a command is executed.
type need struct {
	box    mailstore.MailboxID
	rights mailstore.Rights
}

// as makes a command its user's: for the account's own it stays what it is.
func as(a *lookup.Account, c *commandpb.Command, needs ...need) *commandpb.Command {
	h, ok := a.Actor()
	if !ok {
		return c
	}
	c.As = &commandpb.Actor{Hash: h[:]}
	for _, n := range needs {
		c.As.Needs = append(c.As.Needs, &commandpb.Actor_Need{Mailbox: uint32(n.box), Rights: uint32(n.rights)})
	}
	return c
}

// flagRights are the rights to change flags (RFC 4314 section 4).
const flagRights = mailstore.RightSeen | mailstore.RightWrite | mailstore.RightDeleted

// othersFlags are the system flags that RightWrite is about.
const othersFlags = mailstore.AllFlags &^ (mailstore.FlagSeen | mailstore.FlagDeleted)

// changeable returns the system flags that rights allow to change; keywords are
// with RightWrite.
func changeable(r mailstore.Rights) (f mailstore.Flags) {
	if r.Has(mailstore.RightSeen) {
		f |= mailstore.FlagSeen
	}
	if r.Has(mailstore.RightDeleted) {
		f |= mailstore.FlagDeleted
	}
	if r.Has(mailstore.RightWrite) {
		f |= othersFlags
	}
	return f
}

// rightsFor returns the rights that it takes to change flags.
func rightsFor(f mailstore.Flags, words bool) (r mailstore.Rights) {
	if f&mailstore.FlagSeen != 0 {
		r |= mailstore.RightSeen
	}
	if f&mailstore.FlagDeleted != 0 {
		r |= mailstore.RightDeleted
	}
	if f&othersFlags != 0 || words {
		r |= mailstore.RightWrite
	}
	return r
}

// permit cuts a flag change down to what the user may change, which is refused
// only if that is nothing (RFC 4314 section 4), and returns which flags have to
// stay as they are, whether keywords do, and the rights it takes.
func permit(a *lookup.Account, box mailstore.MailboxID, ch *FlagChange) (keep mailstore.Flags, words bool, needs mailstore.Rights, err error) {
	if _, shared := a.Actor(); !shared {
		return 0, false, 0, nil
	}
	r, err := a.Rights(box)
	if err != nil {
		return 0, false, 0, err
	}
	may := changeable(r)
	if ch.Mode == Set {
		if r&flagRights == 0 {
			return 0, false, 0, mailstore.ErrNotPermitted
		}
		return mailstore.AllFlags &^ may, !r.Has(mailstore.RightWrite), r & flagRights, nil
	}
	asked := ch.Flags != 0 || len(ch.Keywords) > 0
	if ch.Flags &= may; !r.Has(mailstore.RightWrite) {
		ch.Keywords = nil
	}
	if asked && ch.Flags == 0 && len(ch.Keywords) == 0 {
		return 0, false, 0, mailstore.ErrNotPermitted
	}
	needs = rightsFor(ch.Flags, len(ch.Keywords) > 0)
	if needs == 0 {
		needs = mailstore.RightRead // nothing is to be changed
	}
	return 0, false, needs, nil
}

// SetACL changes what another account may do with a mailbox (RFC 4314 section
// 3.1). Errors are mailstore.ErrNoAccount for who is not there,
// ErrNotPermitted for the owner, whose rights are fixed, ErrNoMailbox, ErrLimit
// and cluster's.
func (d *Door) SetACL(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, who mailstore.AccountID, mode Mode, rights mailstore.Rights) error {
	if who == a.ID() {
		return fmt.Errorf("%w: the owner keeps all rights", mailstore.ErrNotPermitted)
	}
	modes := map[Mode]commandpb.SetACL_Mode{Set: commandpb.SetACL_SET, Add: commandpb.SetACL_ADD, Remove: commandpb.SetACL_REMOVE}
	pbMode, ok := modes[mode]
	if !ok {
		return fmt.Errorf("commit: unknown mode %d", mode)
	}
	ctx, cancel := d.deadline(ctx)
	defer cancel()
	s := a.Keys().SealIdentifier(who)
	c := as(a, &commandpb.Command{Op: &commandpb.Command_SetAcl{SetAcl: &commandpb.SetACL{
		Account: uint64(a.ID()), Mailbox: uint32(box), Hash: s.Hash[:], Sealed: s.Sealed, Mode: pbMode, Rights: uint32(rights),
	}}}, need{box, mailstore.RightAdminister})
	if mode == Remove || rights == 0 {
		if _, err := d.propose(ctx, a.Group(), NewOp(), c, nil); err != nil {
			return err
		}
		d.settleShares(ctx, a, who)
		return nil
	}
	// The directory's record comes first, so that a grant is never one that its
	// user does not find; and it is renewed after the grant, so that who found
	// no grant a moment before it does not take the record away.
	share := func() error {
		_, err := d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_PutShare{PutShare: &commandpb.PutShare{
			Owner: uint64(a.ID()), Grantee: uint64(who),
		}}})
		return err
	}
	if err := share(); err != nil {
		return err
	}
	if _, err := d.propose(ctx, a.Group(), NewOp(), c, nil); err != nil {
		if !errors.Is(err, cluster.ErrUnavailable) {
			d.settleShares(ctx, a, who)
		}
		return err
	}
	err := share()
	if errors.Is(err, mailstore.ErrNoAccount) {
		// The other account is being closed.
		if rerr := d.revoke(ctx, a, who); rerr != nil {
			return rerr
		}
	}
	return err
}

// revoke takes every right on every mailbox of an account from another.
func (d *Door) revoke(ctx context.Context, a *lookup.Account, who mailstore.AccountID) error {
	h := a.Keys().IdentifierHash(who)
	c := &commandpb.SetACL{Account: uint64(a.ID()), Hash: h[:]}
	_, err := d.propose(ctx, a.Group(), NewOp(), &commandpb.Command{Op: &commandpb.Command_SetAcl{SetAcl: c}}, nil)
	return err
}

// revokeAll takes from an account that is closing what others share with it.
func (d *Door) revokeAll(ctx context.Context, who mailstore.AccountID) error {
	owners, err := d.cfg.Lookup.SharedWith(who)
	if err != nil {
		return err
	}
	for _, id := range owners {
		a, err := d.cfg.Lookup.Open(ctx, id)
		if err == nil {
			err = d.revoke(ctx, a, who)
		}
		if err != nil && !errors.Is(err, mailstore.ErrNoAccount) {
			return err
		}
	}
	return nil
}

// settleShares takes the directory's records of what is shared no more. A record
// too many does no harm: that it stays is no error.
func (d *Door) settleShares(ctx context.Context, a *lookup.Account, whom ...mailstore.AccountID) {
	for _, who := range whom {
		if err := d.settleShare(ctx, a, who); err != nil {
			d.cfg.Logger.Debug("a record of shared mailboxes is left", "group", a.Group(), "error", err)
			return
		}
	}
}

func (d *Door) settleShare(ctx context.Context, a *lookup.Account, who mailstore.AccountID) error {
	// The record is read before the grants: one that was made after them has
	// another version.
	if err := d.cfg.Lookup.SyncDirectory(ctx); err != nil {
		return err
	}
	version, ok, err := d.cfg.Lookup.Share(a.ID(), who)
	if err != nil || !ok {
		return err
	}
	if err := a.Sync(ctx); err != nil {
		return err
	}
	if granted, err := a.Grants(a.Keys().IdentifierHash(who)); err != nil || granted {
		return err
	}
	_, err = d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_RemoveShare{RemoveShare: &commandpb.RemoveShare{
		Owner: uint64(a.ID()), Grantee: uint64(who), Version: version,
	}}})
	if errors.Is(err, ErrNoSuch) || errors.Is(err, mailstore.ErrConflict) {
		return nil
	}
	return err
}
