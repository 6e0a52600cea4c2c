package main

import (
	"context"
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/crypto/cryptfs"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/frontend/fulltext"
	"altmail.se/altmail/mailstore/search"
	"altmail.se/altmail/mailstore/state"
)

// index keeps the search index up to date, in the background.
func (n *nodeProc) index() {
	in := search.NewIndexer(n.search, n.lookup.Indexed(fulltext.Extract), search.IndexerOptions{
		// What was deleted is found in a quarter of the time and gone in the
		// next.
		Sweep: time.Duration(n.cfg.Store.EraseWithin) / 4,
	})
	n.bg.Go(func() { in.Run(n.ctx) })
	sub := n.feed.Subscribe(0)
	n.bg.Go(func() {
		defer sub.Close()
		for {
			select {
			case <-n.ctx.Done():
				return
			case <-sub.C():
			}
			for _, e := range sub.Take() {
				if e.Reset && e.Account == 0 {
					in.ChangedAll()
				} else {
					in.Changed(e.Account)
				}
			}
		}
	})
}

// renewIndex writes the files of a search index anew that are not under the
// newest file key.
func renewIndex(ctx context.Context, ring *keyring.Ring, x *search.Index) error {
	current, _ := ring.Files().FileKey()
	return x.Renew(ctx, func(path string) (bool, error) {
		e, ok, err := cryptfs.Epoch(vfs.Default, path)
		return ok && e != current, err
	})
}

// checkIndex adds to a check what is wrong with the search index. With read all
// of it is read, and with mail compared with the messages.
func (s *states) checkIndex(ctx context.Context, x *search.Index, ring *keyring.Ring, mail search.Mail, read bool, out *adminpb.CheckResponse) error {
	r := s.directory().Read()
	err := r.Accounts(func(row *state.DirectoryAccount) error {
		if len(row.WrappedKeys) == 0 {
			return nil // shredded: what may be left of its index nobody can open
		}
		keys, err := ring.UnwrapAccount(uint64(row.ID), row.WrappedKeys)
		if err != nil {
			return err
		}
		var m search.MailAccount
		if mail != nil {
			if m, err = mail.Account(ctx, row.ID); err != nil {
				return err
			}
		}
		return x.Verify(ctx, row.ID, keys, read, m, func(what string) { out.Problems = append(out.Problems, what) })
	})
	return errors.Join(err, r.Close())
}
