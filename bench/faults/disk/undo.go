//go:build linux

package disk

import (
	"maps"
	"slices"
)

// sector is what a disk writes whole or not at all.
const sector = 512

// layer is what a file's contents went through between two syncs: enough to
// take every block and the size back.
type layer struct {
	seq  uint64
	size int64 // when the layer began
	low  int64 // the smallest since
	// old holds each touched block as it was when the layer began, cut at the
	// size it had; a block that was not there is empty.
	old map[int64][]byte
}

// undo is the volatile part of one file. Layers lie one on another, oldest
// first: there is more than one while an fsync is under way or after it failed.
type undo struct {
	layers []*layer
	next   uint64
	sealed uint64 // layers up to here belong to an fsync that has begun
	// poison are the blocks of an fsync that failed, as they are on the disk.
	// The kernel holds them for clean: only writing them again helps.
	poison map[int64][]byte
}

func (u *undo) empty() bool { return len(u.layers) == 0 && len(u.poison) == 0 }

// top returns the layer that takes the next change.
func (u *undo) top(size int64) *layer {
	if n := len(u.layers); n > 0 && u.layers[n-1].seq > u.sealed {
		return u.layers[n-1]
	}
	u.next++
	l := &layer{seq: u.next, size: size, low: size, old: map[int64][]byte{}}
	u.layers = append(u.layers, l)
	return l
}

// seal begins an fsync: what was written so far is what it is about.
func (u *undo) seal() uint64 {
	u.sealed = u.next
	return u.sealed
}

// commit ends an fsync: its layers can't be taken back any more.
func (u *undo) commit(seq uint64) (freed weight) {
	keep := u.layers[:0]
	for _, l := range u.layers {
		if l.seq > seq {
			keep = append(keep, l)
			continue
		}
		freed = freed.plus(l.weight())
		for b := range l.old {
			if p, ok := u.poison[b]; ok {
				freed = freed.plus(weight{1, int64(len(p))})
				delete(u.poison, b)
			}
		}
	}
	clear(u.layers[len(keep):])
	u.layers = keep
	return freed
}

// fail ends an fsync that did not: its blocks count as written and are not.
func (u *undo) fail(seq uint64) (freed weight) {
	var rest *layer
	var keep []*layer
	for _, l := range u.layers {
		if l.seq > seq {
			keep = append(keep, l)
			continue
		}
		if rest == nil {
			rest = &layer{seq: l.seq, size: l.size, low: l.low, old: map[int64][]byte{}}
		}
		rest.seq, rest.low = l.seq, min(rest.low, l.low)
		for b, old := range l.old {
			if _, ok := u.poison[b]; ok {
				freed = freed.plus(weight{1, int64(len(old))})
				continue
			}
			if u.poison == nil {
				u.poison = map[int64][]byte{}
			}
			u.poison[b] = old
		}
	}
	if rest != nil {
		keep = append([]*layer{rest}, keep...)
	}
	u.layers = keep
	return freed
}

// weight of what is held: blocks and bytes.
type weight struct{ blocks, bytes int64 }

func (w weight) plus(o weight) weight { return weight{w.blocks + o.blocks, w.bytes + o.bytes} }

func (l *layer) weight() weight {
	w := weight{blocks: int64(len(l.old))}
	for _, b := range l.old {
		w.bytes += int64(len(b))
	}
	return w
}

func (u *undo) weight() weight {
	var w weight
	for _, l := range u.layers {
		w = w.plus(l.weight())
	}
	w.blocks += int64(len(u.poison))
	for _, b := range u.poison {
		w.bytes += int64(len(b))
	}
	return w
}

// fate of one unsynced thing.
type fate int

const (
	keep fate = iota
	drop
	tear
)

// chance decides fates.
type chance interface {
	// block decides over one block.
	block() fate
	// tornAt returns how much of a torn block is new, in whole sectors.
	tornAt(block int) int
	// size picks what is left of a change of size: start itself with back set,
	// or what the file had on the way from low to now.
	size(start, low, now int64, block int) (size int64, back bool)
	// prefix returns how many of n operations in order are kept.
	prefix(n int) int
	// op decides over one operation on its own.
	op() bool
}

// patch is a block as it is found after the loss, without trailing zeros that
// the size takes care of.
type patch struct {
	block int64
	data  []byte
}

// revert plays a power loss on a file of the given size. read returns a block
// as it is now, as long as a block. It returns what to write, and the size.
func (u *undo) revert(now int64, block int, ordered bool, c chance, read func(int64) ([]byte, error)) (patches []patch, size int64, r Report, err error) {
	bs := int64(block)
	size = now
	final := false           // the size is decided
	kept := map[int64]bool{} // blocks that reached the disk in a later layer
	found := map[int64][]byte{}
	put := func(b int64, old []byte, how fate) error {
		data := make([]byte, block)
		copy(data, old)
		if how == tear {
			cur, ok := found[b]
			if !ok {
				if cur, err = read(b); err != nil {
					return err
				}
			}
			n := c.tornAt(block)
			copy(data[:n], cur[:n])
		}
		found[b] = data
		return nil
	}
	for _, l := range slices.Backward(u.layers) {
		back := false
		if !final {
			if was := size; l.size != was || l.low != was {
				if size, back = c.size(l.size, l.low, was, block); size != was {
					r.Sizes = 1
				}
				final = !back
			}
		}
		for _, b := range slices.Sorted(maps.Keys(l.old)) {
			if kept[b] {
				continue
			}
			r.Blocks++
			at, old := b*bs, l.old[b]
			if l.low < l.size && at+bs > l.low {
				if back {
					// The truncation never happened, so nothing was freed.
					if err := put(b, old, drop); err != nil {
						return nil, 0, r, err
					}
					r.Dropped++
					continue
				}
				// It did: what was behind it does not come back.
				old = old[:max(0, min(int64(len(old)), l.low-at))]
			}
			how := c.block()
			if ordered && at >= l.size && at < size {
				how = keep
			}
			if how == keep {
				kept[b] = true
				continue
			}
			if how == tear {
				r.Torn++
				// Part of it is on the disk: older layers are under it.
				kept[b] = true
			} else {
				r.Dropped++
			}
			if err := put(b, old, how); err != nil {
				return nil, 0, r, err
			}
		}
	}
	for _, b := range slices.Sorted(maps.Keys(u.poison)) {
		if kept[b] {
			continue
		}
		r.Blocks++
		if c.block() == keep {
			continue
		}
		r.Dropped++
		if err := put(b, u.poison[b], drop); err != nil {
			return nil, 0, r, err
		}
	}
	for _, b := range slices.Sorted(maps.Keys(found)) {
		if b*bs < size {
			patches = append(patches, patch{b, found[b]})
		}
	}
	return patches, size, r, nil
}
