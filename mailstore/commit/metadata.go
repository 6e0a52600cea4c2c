package commit

import (
	"context"
	"fmt"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	"altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/lookup"
)

// MetadataChange sets an annotation, or removes it where Value is nil.
type MetadataChange struct {
	Name  string
	Value []byte
}

// SetMetadata changes annotations of a mailbox, or of the account (mailbox 0),
// all of them or none, and returns the modification sequence it was done at.
// Another than its owner may change only shared ones of a mailbox. Its errors are mailstore.ErrBadName, ErrTooBig (one value), ErrLimit (too many),
// ErrOverQuota (too much altogether), ErrNoMailbox and cluster's.
func (d *Door) SetMetadata(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, changes []MetadataChange) (mailstore.ModSeq, error) {
	if len(changes) == 0 || len(changes) > command.MaxMetadataEntries {
		return 0, fmt.Errorf("%w: %d annotations at once", mailstore.ErrLimit, len(changes))
	}
	if _, shared := a.Actor(); shared && box == 0 {
		return 0, mailstore.ErrNotPermitted
	}
	c := &commandpb.SetMetadata{Account: uint64(a.ID()), Mailbox: uint32(box)}
	at := make(map[mailstore.Hash]int, len(changes))
	for i := range changes {
		name, err := lookup.CleanEntry(changes[i].Name)
		if err != nil {
			return 0, err
		}
		if _, shared := a.Actor(); shared && lookup.PrivateEntry(name) {
			// RFC 5464 section 3.3: a private one of another user would be
			// another annotation.
			return 0, mailstore.ErrNotPermitted
		}
		if len(changes[i].Value) > lookup.MaxMetadataValue {
			return 0, fmt.Errorf("%w: an annotation of %d octets", mailstore.ErrTooBig, len(changes[i].Value))
		}
		s := lookup.Sealed{Hash: a.Keys().EntryHash(name)}
		if changes[i].Value != nil {
			s = a.Keys().SealMetadata(name, changes[i].Value)
		}
		e := &commandpb.SetMetadata_Entry{Hash: s.Hash[:], Sealed: s.Sealed}
		// The last one of a name counts.
		if k, twice := at[s.Hash]; twice {
			c.Entries[k] = e
			continue
		}
		at[s.Hash] = len(c.Entries)
		c.Entries = append(c.Entries, e)
	}
	res, err := d.propose(ctx, a.Group(), NewOp(), as(a, &commandpb.Command{Op: &commandpb.Command_SetMetadata{SetMetadata: c}}, need{box, mailstore.RightWrite}), nil)
	if err != nil {
		return 0, err
	}
	return mailstore.ModSeq(res.Modseq), nil
}

// metadataAtOnce keeps a command with annotations of the greatest size below
// maxCommand.
const metadataAtOnce = 10

// copyMetadata gives a new mailbox the annotations of another.
func (d *Door) copyMetadata(ctx context.Context, a *lookup.Account, from, to mailstore.MailboxID) error {
	all, err := a.Metadata(from)
	if err != nil {
		return err
	}
	var changes []MetadataChange
	for i := range all {
		changes = append(changes, MetadataChange{Name: all[i].Name, Value: all[i].Value})
		if len(changes) == metadataAtOnce || i == len(all)-1 {
			if _, err := d.SetMetadata(ctx, a, to, changes); err != nil {
				return fmt.Errorf("commit: copying annotations: %w", err)
			}
			changes = changes[:0]
		}
	}
	return nil
}
