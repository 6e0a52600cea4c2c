package commit

import (
	"context"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/lookup"
)

// SetMask sets which IMAP capabilities are kept from an account's clients, from
// their next login on, and with a "+" before them which are turned on that are
// off by default; none for no mask. Its errors are mailstore.ErrBadName,
// ErrLimit, ErrNoAccount and cluster's.
func (d *Door) SetMask(ctx context.Context, id mailstore.AccountID, caps []string) error {
	clean, err := lookup.CleanMask(caps)
	if err != nil {
		return err
	}
	a, err := d.cfg.Lookup.Open(ctx, id)
	if err != nil {
		return err
	}
	name, sealed := a.SealMask(clean)
	_, err = d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_PutSetting{PutSetting: &commandpb.PutSetting{Name: name, Value: sealed}}})
	return err
}
