package commit

import (
	"context"
	"errors"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command/commandpb"
)

// ChangeSetting replaces a setting of the cluster by what change makes of it,
// and tries again when somebody else was faster. An error of change is
// returned. The value is sealed by the caller.
func (d *Door) ChangeSetting(ctx context.Context, name string, change func(old []byte) ([]byte, error)) error {
	ctx, cancel := d.deadline(ctx)
	defer cancel()
	for {
		if err := d.cfg.Lookup.SyncDirectory(ctx); err != nil {
			return err
		}
		r := d.cfg.Directory.Read()
		row, _, err := r.Setting(name)
		if err := errors.Join(err, r.Close()); err != nil {
			return err
		}
		value, err := change(row.Value)
		if err != nil {
			return err
		}
		c := &commandpb.PutSetting{Name: name, Value: value, Expect: &row.Version}
		_, err = d.directory(ctx, &commandpb.Command{Op: &commandpb.Command_PutSetting{PutSetting: c}})
		if !errors.Is(err, mailstore.ErrConflict) || ctx.Err() != nil {
			return err
		}
	}
}
