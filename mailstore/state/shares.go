package state

import (
	"encoding/binary"
	"fmt"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// ShareRow says that an account may have mailboxes that are shared with
// another. What is shared, and how, the owner's mail group knows.
type ShareRow struct {
	Owner, Grantee mailstore.AccountID
	// Version is the index of the entry that wrote it last: one that is removed
	// and comes again has another.
	Version uint64
}

func (r *ShareRow) encode(b []byte) []byte { return putUint(append(b, rowVersion), r.Version) }

func (r *ShareRow) decode(v []byte) error {
	d := decode(v)
	r.Version = d.uint()
	return d.done("share")
}

func (k *keys) pair(b []byte, t byte, x, y mailstore.AccountID) []byte {
	return binary.BigEndian.AppendUint64(k.account(b, t, x), uint64(y))
}

// putShare refuses accounts that are closing: their shares are taken away.
func (d *Directory) putShare(t *tx, e *cluster.Entry, c *pb.PutShare) (*pb.Result, error) {
	for _, id := range []uint64{c.Owner, c.Grantee} {
		if _, _, cd, err := d.openAccount(t, id); err != nil || cd != pb.Code_OK {
			return code(cd), err
		}
	}
	owner, grantee := mailstore.AccountID(c.Owner), mailstore.AccountID(c.Grantee)
	key := d.pair(nil, tabShare, grantee, owner)
	at, found, err := t.fetch(key, nil)
	if err != nil {
		return nil, err
	}
	if _, err := t.put(key, at, (&ShareRow{Version: e.Index}).encode(nil)); err != nil {
		return nil, err
	}
	if !found {
		if _, err := t.put(d.pair(nil, tabShared, owner, grantee), absent, nil); err != nil {
			return nil, err
		}
	}
	return &pb.Result{Version: e.Index}, nil
}

func (d *Directory) removeShare(t *tx, c *pb.RemoveShare) (*pb.Result, error) {
	owner, grantee := mailstore.AccountID(c.Owner), mailstore.AccountID(c.Grantee)
	var row ShareRow
	_, found, err := t.fetch(d.pair(nil, tabShare, grantee, owner), row.decode)
	switch {
	case err != nil:
		return nil, err
	case !found:
		return code(pb.Code_NO_SUCH), nil
	case row.Version != c.Version:
		return &pb.Result{Code: pb.Code_CONFLICT, Version: row.Version}, nil
	}
	return code(pb.Code_OK), d.dropShare(t, owner, grantee)
}

// dropShare removes a share that is there.
func (d *Directory) dropShare(t *tx, owner, grantee mailstore.AccountID) error {
	key := d.pair(nil, tabShare, grantee, owner)
	at, found, err := t.fetch(key, nil)
	if err != nil {
		return err
	}
	if !found {
		return corrupt("share")
	}
	if err := t.del(key, at); err != nil {
		return err
	}
	key = d.pair(nil, tabShared, owner, grantee)
	return t.del(key, t.row(key, nil))
}

// dropShares removes what an account shares and what is shared with it.
func (d *Directory) dropShares(t *tx, id mailstore.AccountID) error {
	var rows []ShareRow
	p := d.account(nil, tabShare, id)
	if err := t.scan(p, func(k, _ []byte) (bool, error) {
		rows = append(rows, ShareRow{Owner: mailstore.AccountID(binary.BigEndian.Uint64(k[len(p):])), Grantee: id})
		return true, nil
	}); err != nil {
		return err
	}
	p = d.account(nil, tabShared, id)
	if err := t.scan(p, func(k, _ []byte) (bool, error) {
		rows = append(rows, ShareRow{Owner: id, Grantee: mailstore.AccountID(binary.BigEndian.Uint64(k[len(p):]))})
		return true, nil
	}); err != nil {
		return err
	}
	for i := range rows {
		if err := d.dropShare(t, rows[i].Owner, rows[i].Grantee); err != nil {
			return err
		}
	}
	return nil
}

// SharedWith returns the accounts that may share mailboxes with another, in the
// order of their ids.
func (r *DirectoryReader) SharedWith(grantee mailstore.AccountID) ([]ShareRow, error) {
	var out []ShareRow
	err := r.scan(r.account(nil, tabShare, grantee), func(k, v []byte) error {
		if len(k) != 8 {
			return corrupt("share key")
		}
		row := ShareRow{Owner: mailstore.AccountID(binary.BigEndian.Uint64(k)), Grantee: grantee}
		err := row.decode(v)
		out = append(out, row)
		return err
	})
	return out, err
}

// SharesOf returns the accounts that one may share mailboxes with, in the order
// of their ids.
func (r *DirectoryReader) SharesOf(owner mailstore.AccountID) ([]ShareRow, error) {
	var out []ShareRow
	err := r.scan(r.account(nil, tabShared, owner), func(k, _ []byte) error {
		if len(k) != 8 {
			return corrupt("share key")
		}
		row, found, err := r.Share(owner, mailstore.AccountID(binary.BigEndian.Uint64(k)))
		if err == nil && !found {
			err = corrupt("share")
		}
		out = append(out, row)
		return err
	})
	return out, err
}

// Share returns one share.
func (r *DirectoryReader) Share(owner, grantee mailstore.AccountID) (ShareRow, bool, error) {
	row := ShareRow{Owner: owner, Grantee: grantee}
	found, err := r.get(r.pair(nil, tabShare, grantee, owner), row.decode)
	return row, found, err
}

// shares checks rule 6.
func (c *checker) shares(r *DirectoryReader) error {
	n := 0
	err := c.scan(c.table(nil, tabShare), func(k, v []byte) error {
		if len(k) != 16 {
			return corrupt("share key")
		}
		n++
		var row ShareRow
		if err := row.decode(v); err != nil {
			c.add(1, "share: %v", err)
		}
		grantee, owner := mailstore.AccountID(binary.BigEndian.Uint64(k)), mailstore.AccountID(binary.BigEndian.Uint64(k[8:]))
		found, err := c.get(c.pair(nil, tabShared, owner, grantee), nil)
		if err != nil {
			return err
		}
		c.want(6, found, "a share of account %s is not found by its owner", owner)
		for _, id := range []mailstore.AccountID{owner, grantee} {
			a, found, err := r.Account(id)
			if err != nil {
				return err
			}
			c.want(6, found && len(a.WrappedKeys) > 0, "a share of account %s, which is not there", id)
		}
		return c.ctx.Err()
	})
	if err != nil {
		return fmt.Errorf("shares: %w", err)
	}
	m := 0
	err = c.scan(c.table(nil, tabShared), func(_, _ []byte) error { m++; return nil })
	c.want(6, n == m, "%d shares, %d of owners", n, m)
	return err
}
