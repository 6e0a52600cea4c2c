package commit

import (
	"context"
	"fmt"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/lookup"
)

const (
	// maxPiece bounds the messages that one StoreFlags or Expunge changes
	// (H16): other accounts of the group wait for one piece, not for all.
	maxPiece = 1000
	// maxCopy bounds a Copy, which is all or nothing.
	maxCopy = 10000
	// maxFew is how many UIDs are named as they are: a mailbox is not listed
	// for them.
	maxFew = 16
)

// pieces calls fn for at most maxPiece of the uids at a time, each with its
// own time limit: a change of a million messages is not one of five seconds.
func (d *Door) pieces(ctx context.Context, uids []mailstore.UID, fn func(ctx context.Context, uids []mailstore.UID) error) error {
	_, limited := ctx.Deadline()
	for len(uids) > 0 {
		n := min(len(uids), maxPiece)
		try, cancel := ctx, context.CancelFunc(func() {})
		if !limited {
			try, cancel = context.WithTimeout(ctx, d.cfg.Timeout)
		}
		err := fn(try, uids[:n])
		cancel()
		if err != nil {
			return err
		}
		uids = uids[n:]
	}
	return nil
}

// Store changes flags of the messages in the ranges that still exist, in
// pieces of at most 1000 messages, each atomic and answered before the next
// begins. A few UIDs are proposed without a look at whether they exist. After an error the result tells what was done until then.
func (d *Door) Store(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, uids []mailstore.Range, ch FlagChange) (StoreResult, error) {
	var done StoreResult
	keep, keepWords, rights, err := permit(a, box, &ch)
	if err != nil {
		return done, err
	}
	words, err := keywords(a.Keys(), ch.Keywords)
	if err != nil {
		return done, err
	}
	modes := map[Mode]commandpb.StoreFlags_Mode{
		Set: commandpb.StoreFlags_SET, Add: commandpb.StoreFlags_ADD, Remove: commandpb.StoreFlags_REMOVE,
	}
	mode, ok := modes[ch.Mode]
	if !ok {
		return done, fmt.Errorf("commit: unknown mode %d", ch.Mode)
	}
	var exist []mailstore.UID
	if few := normal(uids); span(few) <= maxFew {
		// Which of them exist is decided at Apply (H16); to look here first
		// would cost as much as the change.
		exist = expand(few)
	} else if _, exist, err = d.existing(a, box, uids); err != nil {
		return done, err
	}
	err = d.pieces(ctx, exist, func(ctx context.Context, uids []mailstore.UID) error {
		c := &commandpb.StoreFlags{
			Account: uint64(a.ID()), Mailbox: uint32(box), Uids: rangesToPB(uids),
			Mode: mode, Flags: uint32(ch.Flags & mailstore.AllFlags), Keywords: words,
			Keep: uint32(keep), KeepKeywords: keepWords,
		}
		if ch.UnchangedSince != nil {
			since := uint64(*ch.UnchangedSince)
			c.UnchangedSince = &since
		}
		res, err := d.propose(ctx, a.Group(), NewOp(), as(a, &commandpb.Command{Op: &commandpb.Command_StoreFlags{StoreFlags: c}}, need{box, rights}), nil)
		if err != nil {
			return err
		}
		for _, m := range res.Changed {
			done.Changed = append(done.Changed, mailstore.UID(m.Uid))
		}
		for _, u := range res.Modified {
			done.Modified = append(done.Modified, mailstore.UID(u))
		}
		done.ModSeq = max(done.ModSeq, mailstore.ModSeq(res.Modseq))
		return nil
	})
	return done, err
}

// existing returns the mailbox and the UIDs of the ranges that exist here.
func (d *Door) existing(a *lookup.Account, box mailstore.MailboxID, ranges []mailstore.Range) (mailstore.Mailbox, []mailstore.UID, error) {
	v := a.Read()
	defer v.Close()
	m, err := v.Mailbox(box)
	if err != nil {
		return m, nil, err
	}
	ranges = normal(ranges)
	if n := span(ranges); n <= maxFew && n < int(m.Exists) {
		// A few messages by their UIDs: no need to list the mailbox.
		var uids []mailstore.UID
		err := v.Messages(box, ranges, func(msg *mailstore.Message) error {
			uids = append(uids, msg.UID)
			return nil
		})
		return m, uids, err
	}
	uids, err := v.UIDs(box)
	return m, within(uids, ranges), err
}

// Expunge removes those messages of the ranges that have \Deleted set when it
// is executed (RFC 9051 section 6.4.3, RFC 4315 section 2.1). The ranges are
// what the session has seen: a message it was not told of stays. It returns
// what was removed and the modification sequence of that; after an error, what
// was removed until then.
func (d *Door) Expunge(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, uids []mailstore.Range) ([]mailstore.Range, mailstore.ModSeq, error) {
	// A \Deleted that was answered on another node counts, so this one catches
	// up before it looks for them; looking first spares the group a command
	// for every thousand messages that are not deleted.
	if err := a.Sync(ctx); err != nil {
		return nil, 0, err
	}
	v := a.Read()
	defer v.Close()
	m, err := v.Mailbox(box)
	if err != nil || m.Deleted == 0 {
		return nil, m.HighestModSeq, err
	}
	var marked []mailstore.UID
	err = v.Messages(box, normal(uids), func(msg *mailstore.Message) error {
		if msg.Flags&mailstore.FlagDeleted != 0 {
			marked = append(marked, msg.UID)
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	v.Close()
	seq := m.HighestModSeq
	var gone []mailstore.Range
	err = d.pieces(ctx, marked, func(ctx context.Context, uids []mailstore.UID) error {
		c := &commandpb.Expunge{Account: uint64(a.ID()), Mailbox: uint32(box), Uids: rangesToPB(uids)}
		res, err := d.propose(ctx, a.Group(), NewOp(), as(a, &commandpb.Command{Op: &commandpb.Command_Expunge{Expunge: c}}, need{box, mailstore.RightExpunge}), nil)
		if err != nil {
			return err
		}
		gone = append(gone, rangesFromPB(res.Expunged)...)
		seq = max(seq, mailstore.ModSeq(res.Modseq))
		return nil
	})
	return normal(gone), seq, err
}

// Remove expunges the messages of the ranges that still exist, whether or not
// they have \Deleted set: the second half of a move to another account. It takes
// the rights of a move (RFC 6851 section 3.3).
func (d *Door) Remove(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, uids []mailstore.Range) error {
	_, exist, err := d.existing(a, box, uids)
	if err != nil {
		return err
	}
	return d.pieces(ctx, exist, func(ctx context.Context, uids []mailstore.UID) error {
		c := &commandpb.Expunge{Account: uint64(a.ID()), Mailbox: uint32(box), Uids: rangesToPB(uids), Any: true}
		need := need{box, mailstore.RightDeleted | mailstore.RightExpunge}
		_, err := d.propose(ctx, a.Group(), NewOp(), as(a, &commandpb.Command{Op: &commandpb.Command_Expunge{Expunge: c}}, need), nil)
		return err
	})
}

// Copy adds the messages of the ranges that still exist to another mailbox of
// the account, all or none; with move, they leave their mailbox in the same
// step (RFC 6851). At most 10,000 messages at once.
func (d *Door) Copy(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, uids []mailstore.Range, target mailstore.MailboxID, move bool) (Copied, error) {
	_, exist, err := d.existing(a, box, uids)
	if err != nil {
		return Copied{}, err
	}
	return d.copyUIDs(ctx, a, box, exist, target, move)
}

func (d *Door) copyUIDs(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, uids []mailstore.UID, target mailstore.MailboxID, move bool) (Copied, error) {
	var done Copied
	if len(uids) > maxCopy {
		return done, fmt.Errorf("%w: %d messages to copy, at most %d", mailstore.ErrLimit, len(uids), maxCopy)
	}
	c := &commandpb.Copy{Account: uint64(a.ID()), Mailbox: uint32(box), Uids: rangesToPB(uids), Target: uint32(target), Move: move}
	if len(uids) == 0 {
		// Nothing to copy; but a target that is not there is told (RFC 9051
		// section 6.4.7), and from a state that is surely new enough (H8).
		if err := a.Sync(ctx); err != nil {
			return done, err
		}
		m, err := a.MailboxByID(target)
		done.UIDValidity, done.ModSeq = m.UIDValidity, m.HighestModSeq
		return done, err
	}
	from, to := need{box, mailstore.RightRead}, need{target, mailstore.RightInsert}
	if move {
		from.rights |= mailstore.RightDeleted | mailstore.RightExpunge
	}
	if _, shared := a.Actor(); shared {
		// RFC 4314 section 4: flags that the user could not set there are lost.
		r, err := a.Rights(target)
		if err != nil {
			return done, err
		}
		to.rights |= r & flagRights
		c.Drop, c.DropKeywords = uint32(mailstore.AllFlags&^changeable(r)), !r.Has(mailstore.RightWrite)
	}
	res, err := d.propose(ctx, a.Group(), NewOp(), as(a, &commandpb.Command{Op: &commandpb.Command_Copy{Copy: c}}, from, to), nil)
	if err != nil {
		return done, err
	}
	done.UIDValidity, done.ModSeq = res.UidValidity, mailstore.ModSeq(res.Modseq)
	done.Source = make([]mailstore.UID, len(res.Stored))
	done.Dest = make([]mailstore.UID, len(res.Stored))
	for i, s := range res.Stored {
		done.Source[i], done.Dest[i] = mailstore.UID(s.Source), mailstore.UID(s.Uid)
		if done.UIDValidity == 0 {
			done.UIDValidity = s.UidValidity
		}
	}
	done.Expunged = rangesFromPB(res.Expunged)
	return done, nil
}

// maxTouches bounds the low-water marks that wait to be proposed. They are
// hints: when there are more, the newest are left out.
const maxTouches = 1024

type touch struct {
	group   cluster.GroupID
	account mailstore.AccountID
	mailbox mailstore.MailboxID
}

// TouchRecent raises the mark below which no message of the mailbox is \Recent
// any more (H23). It returns at once; the mark is proposed in the background
// and is lost, to no harm, when that fails.
func (d *Door) TouchRecent(a *lookup.Account, box mailstore.MailboxID, uid mailstore.UID) {
	if _, shared := a.Actor(); shared {
		return // what is \Recent is the owner's
	}
	t := touch{a.Group(), a.ID(), box}
	d.touchMu.Lock()
	defer d.touchMu.Unlock()
	if old, ok := d.touches[t]; ok || len(d.touches) < maxTouches {
		d.touches[t] = max(old, uid)
	}
	if !d.touching && !d.closed {
		d.touching = true
		d.background.Go(d.sendTouches)
	}
}

func (d *Door) sendTouches() {
	for {
		d.touchMu.Lock()
		batch := d.touches
		d.touches = map[touch]mailstore.UID{}
		if len(batch) == 0 || d.closed {
			d.touching = false
			d.touchMu.Unlock()
			return
		}
		d.touchMu.Unlock()
		for t, uid := range batch {
			c := &commandpb.TouchRecent{Account: uint64(t.account), Mailbox: uint32(t.mailbox), Uid: uint32(uid)}
			_, err := d.propose(d.ctx, t.group, NewOp(), &commandpb.Command{Op: &commandpb.Command_TouchRecent{TouchRecent: c}}, nil)
			if err != nil {
				d.stats.lostTouches.Add(1)
				d.cfg.Logger.Debug("a mark of recent messages was not stored", "group", t.group, "error", err)
			}
		}
	}
}
