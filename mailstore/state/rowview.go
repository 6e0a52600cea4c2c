package state

import (
	"encoding/binary"
	"hash/crc32"

	"altmail.se/altmail/cluster"
)

// RowView is what the views of this package can do besides: a backup cuts a
// state into pieces of its own.
type RowView interface {
	cluster.View
	// Rows calls fn for the records after the key named by after (nil: from the
	// first), ascending, until it returns false. Keys are as in blocks, without
	// the group. What fn is given is only valid during the call.
	Rows(after []byte, fn func(key, row []byte) (bool, error)) error
	// Bodies calls fn for each body that the group refers to, except those
	// recorded as lost, ascending.
	Bodies(fn func(cluster.BodyRef) error) error
}

var _ RowView = (*view)(nil)

// Rows implements RowView.
func (v *view) Rows(after []byte, fn func(key, row []byte) (bool, error)) error {
	lower := v.table(nil, tabApplied+1)
	if after != nil {
		lower = append(append(append([]byte{}, v.prefix[:]...), after...), 0)
	}
	it, err := v.iter(lower, upper(v.prefix[:]))
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		val, err := it.ValueAndErr()
		if err != nil {
			return closeIter(it, err)
		}
		more, err := fn(it.Key()[prefixLen:], val)
		if err != nil || !more {
			return closeIter(it, err)
		}
	}
	return closeIter(it, nil)
}

// Bodies implements RowView.
func (v *view) Bodies(fn func(cluster.BodyRef) error) error {
	return v.scan(v.table(nil, tabBody), func(k, row []byte) error {
		var b bodyRow
		if err := b.decode(row); err != nil {
			return err
		}
		if len(k) != 32 {
			return corrupt("body key")
		}
		if b.lost {
			return nil
		}
		return fn(cluster.BodyRef{ID: cluster.BodyID(k), Size: b.size})
	})
}

// AppendRecord adds a record to those of a block.
func AppendRecord(b, key, row []byte) []byte { return putBytes(putBytes(b, key), row) }

// Block makes a block, for a Stage to take, of records in order (AppendRecord).
func Block(records []byte) []byte {
	b := make([]byte, blockHead, blockHead+len(records)+blockTail)
	b[0] = blockVersion
	binary.BigEndian.PutUint32(b[2:], uint32(len(records)))
	b = append(b, records...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}
