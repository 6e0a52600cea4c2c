package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"sync"

	"github.com/klauspost/compress/zstd"

	"altmail.se/altmail/cluster"
)

// A block of a view: version, flags, length of the records (u32), the records,
// CRC-32C of all that. FORMAT.md draws it.
const (
	blockVersion = 1
	blockZstd    = 1 // flag: the records are one zstd frame
	blockHead    = 1 + 1 + 4
	blockTail    = 4

	// maxBlock bounds what a receiver unpacks; minBlock what a sender fills,
	// and a block always holds at least one record.
	maxBlock = 64 << 20
	minBlock = 4 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrBadBlock: a block of a view was damaged or does not follow the last one.
var ErrBadBlock = errors.New("state: bad block")

// view pins a group's rows for streaming.
type view struct {
	snapshot
	at appliedRow

	mu  sync.Mutex // one Read at a time: they share the encoder and buffers
	enc *zstd.Encoder
	raw []byte
}

// View implements cluster.Machine.
func (m *machine) View() (cluster.View, error) {
	v := &view{snapshot: snapshot{keys: m.keys, efos: m.snapshot()}}
	var err error
	if v.at, err = v.applied(); err == nil {
		v.enc, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	}
	if err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return v, nil
}

// Index implements cluster.View.
func (v *view) Index() (index, term uint64) { return v.at.index, v.at.term }

// Digest implements cluster.View.
func (v *view) Digest() cluster.Digest { return v.at.sum.digest() }

// Read implements cluster.View. Keys in and out are without the group prefix,
// which sender and receiver know. A nil after begins at the first record.
func (v *view) Read(after []byte, limit int) (block, next []byte, done bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	limit = min(max(limit, minBlock), maxBlock/2)
	// The applied row, in the first table, is not part of a view.
	lower := v.table(nil, tabApplied+1)
	if after != nil {
		lower = append(append(append([]byte{}, v.prefix[:]...), after...), 0)
	}
	it, err := v.iter(lower, upper(v.prefix[:]))
	if err != nil {
		return nil, nil, false, err
	}
	raw := v.raw[:0]
	next = after
	done = true
	for ok := it.First(); ok; ok = it.Next() {
		if len(raw) >= limit {
			done = false
			break
		}
		val, verr := it.ValueAndErr()
		if verr != nil {
			return nil, nil, false, closeIter(it, verr)
		}
		key := it.Key()[prefixLen:]
		raw = putBytes(putBytes(raw, key), val)
		next = append(next[:0:0], key...)
	}
	if err := closeIter(it, nil); err != nil {
		return nil, nil, false, err
	}
	v.raw = raw
	return v.seal(raw), next, done, nil
}

func (v *view) seal(raw []byte) []byte {
	b := make([]byte, blockHead, blockHead+len(raw)+blockTail)
	b[0] = blockVersion
	binary.BigEndian.PutUint32(b[2:], uint32(len(raw)))
	b = v.enc.EncodeAll(raw, b)
	if len(b)-blockHead < len(raw) {
		b[1] = blockZstd
	} else {
		b = append(b[:blockHead], raw...)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// openBlock checks a block and returns its records.
func openBlock(dec *zstd.Decoder, b []byte) ([]byte, error) {
	if len(b) < blockHead+blockTail || b[0] != blockVersion || b[1] > blockZstd {
		return nil, fmt.Errorf("%w: header", ErrBadBlock)
	}
	body := b[:len(b)-blockTail]
	if crc32.Checksum(body, castagnoli) != binary.BigEndian.Uint32(b[len(body):]) {
		return nil, fmt.Errorf("%w: checksum", ErrBadBlock)
	}
	n := binary.BigEndian.Uint32(body[2:])
	if n > maxBlock {
		return nil, fmt.Errorf("%w: too large", ErrBadBlock)
	}
	raw := body[blockHead:]
	if b[1] == blockZstd {
		var err error
		if raw, err = dec.DecodeAll(raw, make([]byte, 0, min(int(n), 8<<20))); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrBadBlock, err)
		}
	}
	if uint32(len(raw)) != n {
		return nil, fmt.Errorf("%w: length", ErrBadBlock)
	}
	return raw, nil
}

// records calls fn for each record of an opened block. It fails on one that is
// cut short.
func records(raw []byte, fn func(key, value []byte) error) error {
	d := dec{b: raw}
	for len(d.b) > 0 {
		k := d.bytes()
		v := d.bytes()
		if d.bad {
			return fmt.Errorf("%w: record", ErrBadBlock)
		}
		if err := fn(k, v); err != nil {
			return err
		}
	}
	return nil
}

// Close implements cluster.View.
func (v *view) Close() error {
	err := v.snapshot.Close()
	if v.enc != nil {
		err = errors.Join(err, v.enc.Close())
	}
	return err
}
