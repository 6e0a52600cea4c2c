package commit

import (
	"context"
	"fmt"

	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	"altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/lookup"
)

// ImportMessage is a message with the UID it had where it comes from.
type ImportMessage struct {
	AppendMessage
	Source mailstore.UID
}

// Adoption is what a mailbox was elsewhere; what is zero does not matter.
type Adoption struct {
	UIDValidity uint32
	// UIDNext and ModSeq are lower bounds of what comes after. ModSeq is the
	// account's.
	UIDNext mailstore.UID
	ModSeq  mailstore.ModSeq
}

const (
	// maxImport bounds the messages of one command of an import, and
	// maxImportBytes its size, well below what a group takes.
	maxImport      = 200
	maxImportBytes = 192 << 10
)

// BeginImport makes an account ready for mail from a source, which is told by
// any text that names it. An account that has mail, of its own or from another
// source, is mailstore.ErrExists, unless mix is set.
func (d *Door) BeginImport(ctx context.Context, a *lookup.Account, source string, mix bool) error {
	h := a.Keys().Hash(keyring.KindSource, []byte(source))
	c := &commandpb.BeginImport{Account: uint64(a.ID()), Source: h[:], Mix: mix}
	_, err := d.propose(ctx, a.Group(), NewOp(), &commandpb.Command{Op: &commandpb.Command_BeginImport{BeginImport: c}}, nil)
	return err
}

// Adopt makes a mailbox go on as what it was elsewhere and returns its
// UIDVALIDITY. UIDVALIDITY is taken over by a mailbox that never had a message:
// another is mailstore.ErrConflict. One that a mailbox of the account has or had
// is mailstore.ErrExists. Repeating it during one import is no error.
func (d *Door) Adopt(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, what Adoption) (uint32, error) {
	if what.UIDValidity > command.MaxImportUID || what.UIDNext > command.MaxImportUID || what.ModSeq > command.MaxImportModSeq {
		return 0, fmt.Errorf("%w: UIDVALIDITY, UIDNEXT or HIGHESTMODSEQ of the source", mailstore.ErrLimit)
	}
	c := &commandpb.AdoptMailbox{
		Account: uint64(a.ID()), Mailbox: uint32(box),
		UidValidity: what.UIDValidity, UidNext: uint32(what.UIDNext), ModSeq: uint64(what.ModSeq),
	}
	res, err := d.propose(ctx, a.Group(), NewOp(), &commandpb.Command{Op: &commandpb.Command_AdoptMailbox{AdoptMailbox: c}}, nil)
	if err != nil {
		return 0, err
	}
	return res.UidValidity, nil
}

// Import adds messages of a source to a mailbox, in the order of their UIDs
// there. With keep they get these UIDs; the mailbox must have adopted the
// source's UIDVALIDITY. It returns how many are stored: the first ones, when
// there is an error. One that is stored already, or whose UID the mailbox has
// given to another, is mailstore.ErrConflict; Account.Imported tells where to go
// on.
func (d *Door) Import(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, msgs []ImportMessage, keep bool) (stored int, err error) {
	ctx, cancel := d.deadline(ctx)
	defer cancel()
	octets := int64(0)
	for i := range msgs {
		octets += int64(len(msgs[i].Raw))
	}
	release, err := d.memory.take(ctx, octets)
	if err != nil {
		return 0, unanswered(err)
	}
	defer release()
	for stored < len(msgs) {
		n, err := d.importSome(ctx, a, box, msgs[stored:], keep)
		if err != nil {
			return stored, err
		}
		stored += n
	}
	return stored, nil
}

// importSome stores as many of the messages as go into one command.
func (d *Door) importSome(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, msgs []ImportMessage, keep bool) (int, error) {
	ap := &commandpb.Append{Account: uint64(a.ID()), Mailbox: uint32(box), KeepUids: keep}
	var bodies []*sealed
	size := 0
	for i := range msgs[:min(len(msgs), maxImport)] {
		m := &msgs[i]
		s, err := d.seal(&m.Message)
		if err != nil {
			return 0, err
		}
		p, err := d.placed(a.Keys(), s, nil, &m.Placement)
		s.forget()
		if err != nil {
			return 0, err
		}
		size += len(p.Content.Summary) + len(p.Content.WrappedKey) + 16*len(p.Content.Threads) + 128*len(p.Keywords) + 256
		if i > 0 && size > maxImportBytes {
			break // it is sealed again for the next command
		}
		ap.Messages, ap.SourceUids = append(ap.Messages, p), append(ap.SourceUids, uint32(m.Source))
		bodies = append(bodies, s)
	}
	cmd, err := encode(&commandpb.Command{Op: &commandpb.Command_Append{Append: ap}})
	if err != nil {
		return 0, err
	}
	_, err = d.proposeWithBodies(ctx, a.Group(), NewOp(), cmd, bodies)
	return len(bodies), err
}
