package commit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	"altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/lookup"
)

const (
	// smallBody is the sealed size up to which a command is proposed while
	// its body is still on its way; a larger one would hold up the log.
	smallBody = 256 << 10
	// maxPartBytes bounds the Deliver command of one part, so that a message
	// with many recipients in one group stays far below the entry limit.
	maxPartBytes = 256 << 10
)

// part is what one command stores of a delivery.
type part struct {
	group   cluster.GroupID
	number  uint32 // of the parts of this group
	op      cluster.OpID
	deliver *commandpb.Deliver
	size    int
	command []byte
	to      []int // index in the call's recipients, as in deliver.To

	result *commandpb.Result
	err    error
}

// Deliver stores one message for one or more accounts and returns one error
// for each recipient; nil: stored on a majority's disks. The same op may be
// offered again after a failure: what was done is not done twice.
//
// With recipients in several groups (H1) either nothing is known to be stored,
// and their errors are cluster.ErrUnavailable or another that every group
// gave; or all are answered, those of a group that does not answer by a
// handoff kept in one that did. Once a part is stored, Deliver goes on past the
// caller's deadline, at most Config.HandoffTimeout, to bring the rest so far. A
// caller that is cancelled, or a door that is closed, ends it at once: then
// nobody is there to answer.
func (d *Door) Deliver(ctx context.Context, op cluster.OpID, m *Message, to []Recipient) []error {
	errs := make([]error, len(to))
	if len(to) == 0 {
		return errs
	}
	caller := ctx
	ctx, cancel := d.deadline(ctx)
	defer cancel()
	release, err := d.memory.take(ctx, int64(len(m.Raw)))
	if err != nil {
		return all(errs, unanswered(err))
	}
	defer release()
	s, err := d.seal(m)
	if err != nil {
		return all(errs, err)
	}
	parts, err := d.parts(ctx, op, s, to, errs)
	s.forget()
	if err != nil {
		return all(errs, err)
	}
	if len(parts) == 1 {
		d.deliverPart(ctx, parts[0], s)
	} else {
		var wg sync.WaitGroup
		for _, p := range parts {
			wg.Go(func() { d.deliverPart(ctx, p, s) })
		}
		wg.Wait()
	}
	d.settle(caller, parts, s, errs)
	return errs
}

func all(errs []error, err error) []error {
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// parts seals the message for each recipient and groups them; a recipient
// that is refused here gets its error and no place in a part. An error means
// that nothing is to be stored for anybody: what may be there for one
// recipient in a moment cannot be handed off, so the sender has to repeat it
// for all (H1).
func (d *Door) parts(ctx context.Context, op cluster.OpID, s *sealed, to []Recipient, errs []error) ([]*part, error) {
	var parts []*part
	for i := range to {
		item, group, err := d.recipient(ctx, s, &to[i])
		if errors.Is(err, cluster.ErrUnavailable) {
			return nil, err
		}
		if err != nil {
			errs[i] = err
			continue
		}
		size := len(item.Message.Content.Summary) + 256 + len(item.Message.Keywords)*128
		p := lastOf(parts, group)
		if p == nil || p.size+size > maxPartBytes {
			n := uint32(0)
			if p != nil {
				n = p.number + 1
			}
			p = &part{group: group, number: n, op: derive(op, opDeliver, uint32(group), n), deliver: &commandpb.Deliver{}}
			parts = append(parts, p)
		}
		p.size += size
		p.deliver.To = append(p.deliver.To, item)
		p.to = append(p.to, i)
	}
	for _, p := range parts {
		var err error
		if p.command, err = encode(&commandpb.Command{Op: &commandpb.Command_Deliver{Deliver: p.deliver}}); err != nil {
			return nil, err
		}
		p.deliver = nil
	}
	return parts, nil
}

// lastOf returns the part of a group that is still being filled.
func lastOf(parts []*part, g cluster.GroupID) *part {
	for i := len(parts) - 1; i >= 0; i-- {
		if parts[i].group == g {
			return parts[i]
		}
	}
	return nil
}

func (d *Door) recipient(ctx context.Context, s *sealed, r *Recipient) (*commandpb.Deliver_To, cluster.GroupID, error) {
	a, err := d.cfg.Lookup.Open(ctx, r.Account)
	if err != nil {
		return nil, 0, err
	}
	k := a.Keys()
	msg, err := d.placed(k, s, r.Prefix, &r.Placement)
	if err != nil {
		return nil, 0, err
	}
	target := a.InboxHash()
	if r.Mailbox != "" {
		// A name that cannot exist is a mailbox that does not: INBOX.
		if clean, err := lookup.CleanName(r.Mailbox); err == nil {
			target = k.NameHash(clean)
		}
	}
	return &commandpb.Deliver_To{Account: uint64(r.Account), Mailbox: target[:], Message: msg}, a.Group(), nil
}

// deliverPart stores one part and leaves its outcome in it.
func (d *Door) deliverPart(ctx context.Context, p *part, s *sealed) {
	if answerEarly {
		p.result = &commandpb.Result{}
		for range p.to {
			p.result.Stored = append(p.result.Stored, &commandpb.Stored{})
		}
		d.background.Go(func() {
			_, err := d.proposeWithBodies(context.WithoutCancel(ctx), p.group, p.op, p.command, []*sealed{s})
			d.cfg.Logger.Debug("sabotage: committed after the answer", "err", err)
		})
		return
	}
	p.result, p.err = d.proposeWithBodies(ctx, p.group, p.op, p.command, []*sealed{s})
}

// final reports whether an error will be the same however often the part is
// repeated, so that a handoff would not help. ErrUnsupported will not: the group
// rises to the level of the others.
func final(err error) bool {
	return errors.Is(err, cluster.ErrTooLarge) || errors.Is(err, command.ErrInvalid)
}

// settle turns the outcomes of the parts into the recipients' errors, handing
// off what is missing where something is stored already.
func (d *Door) settle(ctx context.Context, parts []*part, s *sealed, errs []error) {
	var stored []cluster.GroupID
	var missing []*part
	for _, p := range parts {
		switch {
		case p.err == nil:
			if p.report(errs) && !slices.Contains(stored, p.group) {
				stored = append(stored, p.group)
			}
		case final(p.err):
			p.fail(errs)
		default:
			missing = append(missing, p)
		}
	}
	if len(missing) == 0 {
		return
	}
	if len(stored) == 0 {
		for _, p := range missing {
			p.fail(errs)
		}
		return
	}
	// From here on the message is known to be stored for somebody, so that a
	// refusal of the whole would make the sender repeat it for them. The
	// caller's deadline no longer counts.
	ctx, cancel := d.lasting(ctx)
	defer cancel()
	for _, p := range missing {
		if p.err = d.handoff(ctx, p, s, stored); p.err != nil {
			p.fail(errs)
			continue
		}
		if p.result != nil {
			p.report(errs)
		}
	}
}

// report gives the recipients of a committed part their errors and tells
// whether it stored anything.
func (p *part) report(errs []error) (stored bool) {
	for n, i := range p.to {
		if n >= len(p.result.Stored) {
			errs[i] = fmt.Errorf("%w: %d results for %d recipients", command.ErrInvalid, len(p.result.Stored), len(p.to))
			continue
		}
		if c := p.result.Stored[n].Code; c != commandpb.Code_EXISTS {
			errs[i] = codeError(c)
		}
		// EXISTS: its content is there already, from an execution whose
		// operation id has been forgotten.
		stored = stored || errs[i] == nil
	}
	return stored
}

func (p *part) fail(errs []error) {
	for _, i := range p.to {
		errs[i] = p.err
	}
}

// handoff has a part kept in one of the groups that stored the message, until
// its own group answers. Between the tries the part itself is tried again.
// When it returns nil with a result in p, the part was stored after all. Its
// operation id comes from the part's own: which parts are missing may be others
// when the message is offered again.
func (d *Door) handoff(ctx context.Context, p *part, s *sealed, stored []cluster.GroupID) error {
	open := &commandpb.OpenHandoff{
		Id: p.op[:], Body: s.ref.ID[:], BodySize: s.ref.Size,
		Items: []*commandpb.OpenHandoff_Item{{Group: uint32(p.group), Op: p.op[:], Command: p.command}},
	}
	cmd, err := encode(&commandpb.Command{Op: &commandpb.Command_OpenHandoff{OpenHandoff: open}})
	if err != nil {
		return err
	}
	last := p.err
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		for _, g := range stored {
			try, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
			_, err := d.proposeBytes(try, g, derive(p.op, opHandoff, uint32(g), p.number), cmd, []cluster.BodyRef{s.ref})
			cancel()
			if err == nil || errors.Is(err, mailstore.ErrExists) { // it is kept there already
				p.result = nil
				d.stats.handoffs.Add(1)
				d.Wake()
				return nil
			}
			last = err
		}
		try, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
		res, err := d.proposeWithBodies(try, p.group, p.op, p.command, []*sealed{s})
		cancel()
		if err == nil {
			p.result = res
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("commit: stored for some recipients, not for these: %w", unanswered(last))
		case <-time.After(wait):
		}
	}
}

// proposeWithBodies stores bodies in a group and proposes the command that
// names them.
func (d *Door) proposeWithBodies(ctx context.Context, g cluster.GroupID, op cluster.OpID, cmd []byte, bodies []*sealed) (*commandpb.Result, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	refs := make([]cluster.BodyRef, 0, len(bodies))
	large := false
	for _, s := range bodies {
		refs = append(refs, s.ref)
		large = large || len(s.data) > smallBody
	}
	spread := d.spread(ctx, g, bodies)
	if large {
		if err := spread.majority(ctx); err != nil {
			return nil, unanswered(err) // nothing was proposed
		}
	}
	res, err := d.proposeBytes(ctx, g, op, cmd, refs)
	if err != nil {
		// Without its body the command can never be acknowledged; the disk's
		// own reason is worth more than that nobody answered.
		cancel()
		if put := spread.local(); put != nil && !errors.Is(put, context.Canceled) {
			err = fmt.Errorf("%w: %w", err, put)
		}
		return nil, err
	}
	// Committed: a majority has the bodies, whatever became of the write here.
	if err := spread.local(); err != nil {
		d.stats.lateBodies.Add(1)
	}
	return res, nil
}

// Append adds messages to one mailbox, all of them or none. With replace, the
// message of that UID is expunged in the same step (RFC 8508).
func (d *Door) Append(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, msgs []AppendMessage, replace mailstore.UID) (Appended, error) {
	return d.append(ctx, a, &commandpb.Append{Mailbox: uint32(box), Replace: uint32(replace)}, msgs)
}

// Replace adds a message to a mailbox and expunges another one, of the same or
// another mailbox of the account, in the same step: both or neither (RFC 8508).
// A message that is gone is mailstore.ErrExpunged.
func (d *Door) Replace(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, msg AppendMessage, from mailstore.MailboxID, uid mailstore.UID) (Appended, error) {
	done, err := d.append(ctx, a, &commandpb.Append{Mailbox: uint32(box), Replace: uint32(uid), ReplaceMailbox: uint32(from)}, []AppendMessage{msg})
	if errors.Is(err, ErrNoSuch) {
		return done, mailstore.ErrExpunged
	}
	return done, err
}

func (d *Door) append(ctx context.Context, a *lookup.Account, ap *commandpb.Append, msgs []AppendMessage) (Appended, error) {
	var done Appended
	if len(msgs) == 0 || len(msgs) > maxAppend {
		return done, fmt.Errorf("%w: %d messages in one append", mailstore.ErrLimit, len(msgs))
	}
	ctx, cancel := d.deadline(ctx)
	defer cancel()
	octets := int64(0)
	for i := range msgs {
		octets += int64(len(msgs[i].Raw))
	}
	release, err := d.memory.take(ctx, octets)
	if err != nil {
		return done, unanswered(err)
	}
	defer release()
	ap.Account = uint64(a.ID())
	to := need{mailstore.MailboxID(ap.Mailbox), mailstore.RightInsert}
	_, shared := a.Actor()
	var rights mailstore.Rights
	if shared {
		if rights, err = a.Rights(to.box); err != nil {
			return done, err
		}
	}
	bodies := make([]*sealed, 0, len(msgs))
	for i := range msgs {
		m := &msgs[i]
		s, err := d.seal(&m.Message)
		if err != nil {
			return done, err
		}
		p := m.Placement
		if shared {
			// RFC 4314 section 4: flags that the user may not set are lost.
			if p.Flags &= changeable(rights); !rights.Has(mailstore.RightWrite) {
				p.Keywords = nil
			}
			to.rights |= rightsFor(p.Flags, len(p.Keywords) > 0)
		}
		placed, err := d.placed(a.Keys(), s, nil, &p)
		s.forget()
		if err != nil {
			return done, err
		}
		ap.Messages = append(ap.Messages, placed)
		bodies = append(bodies, s)
	}
	needs := []need{to}
	if from := mailstore.MailboxID(ap.ReplaceMailbox); ap.Replace != 0 {
		if from == 0 {
			from = to.box
		}
		needs = append(needs, need{from, mailstore.RightDeleted | mailstore.RightExpunge})
	}
	cmd, err := encode(as(a, &commandpb.Command{Op: &commandpb.Command_Append{Append: ap}}, needs...))
	if err != nil {
		return done, err
	}
	res, err := d.proposeWithBodies(ctx, a.Group(), NewOp(), cmd, bodies)
	if err != nil {
		return done, err
	}
	done.UIDValidity, done.ModSeq = res.UidValidity, mailstore.ModSeq(res.Modseq)
	for _, s := range res.Stored {
		if done.UIDValidity == 0 {
			done.UIDValidity = s.UidValidity
		}
		done.UIDs = append(done.UIDs, mailstore.UID(s.Uid))
	}
	if len(done.UIDs) != len(msgs) {
		return done, fmt.Errorf("%w: %d results for %d messages", command.ErrInvalid, len(done.UIDs), len(msgs))
	}
	return done, nil
}

// maxAppend bounds the messages of one Append.
const maxAppend = 500
