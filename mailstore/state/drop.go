package state

import (
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

// Drop removes whatever this node has of a group, durably: the node enters the
// group anew, because its log of it was lost. The group must not be open.
func (db *DB) Drop(g cluster.GroupID) error {
	db.mu.Lock()
	open := db.machines[g] != nil
	db.mu.Unlock()
	if open {
		return fmt.Errorf("state: group %s is open", g)
	}
	b := db.p.NewBatch()
	for _, space := range []byte{spaceReplicated, spaceLocal} {
		prefix := groupPrefix(g)
		prefix[0] = space
		if err := b.DeleteRange(prefix, upper(prefix), nil); err != nil {
			return fmt.Errorf("state: drop group %s: %w", g, err)
		}
	}
	if err := b.Commit(pebble.Sync); err != nil {
		return fmt.Errorf("state: drop group %s: %w", g, err)
	}
	return nil
}

// BodiesAfter returns the bodies the group refers to, except those recorded as
// lost, in the order of their ids, from the first after a given one. Each
// ranging reads one consistent state.
func (m *Mail) BodiesAfter(after cluster.BodyID) iter.Seq2[cluster.BodyRef, error] {
	return func(yield func(cluster.BodyRef, error) bool) {
		r := m.Read()
		prefix := r.table(nil, tabBody)
		it, err := r.iter(append(r.bytes(nil, tabBody, after[:]), 0), upper(prefix))
		if err != nil {
			if cerr := r.Close(); cerr != nil {
				err = fmt.Errorf("%w; %w", err, cerr)
			}
			yield(cluster.BodyRef{}, err)
			return
		}
		going := true
		for ok := it.First(); ok && going && err == nil; ok = it.Next() {
			var v []byte
			if v, err = it.ValueAndErr(); err != nil {
				break
			}
			var b bodyRow
			if err = b.decode(v); err != nil {
				break
			}
			k := it.Key()[len(prefix):]
			if len(k) != 32 {
				err = corrupt("body key")
				break
			}
			if !b.lost {
				going = yield(cluster.BodyRef{ID: mailstore.BodyID(k), Size: b.size}, nil)
			}
		}
		err = closeIter(it, err)
		if cerr := r.Close(); err == nil {
			err = cerr
		}
		if err != nil && going {
			yield(cluster.BodyRef{}, err)
		}
	}
}
