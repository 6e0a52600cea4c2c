package search

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// category is what the writes of the index are counted as.
const category = vfs.WriteCategoryUnspecified

// write makes a segment of what a builder holds and puts it in the place of
// others. change is held. It is durable before they are removed, so that a
// crash leaves it, or them, or both, of which load then removes them.
func (a *account) write(b *builder, keys Keys, out []*segment) error {
	if len(b.docs) == 0 {
		return a.exchange(out, nil, false)
	}
	a.mu.Lock()
	num := a.next
	a.next++
	a.mu.Unlock()
	if err := a.x.fs.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	nums := make([]uint64, len(out))
	for i, s := range out {
		nums[i] = s.num
	}
	err := a.put(num, func(f vfs.File) error {
		return b.write(f, keys, a.x.opts.Text, nums, newSeeds())
	})
	if err != nil {
		return err
	}
	s, err := a.openFile(a.path(num, segmentSuffix), num, keys)
	if err != nil {
		return err
	}
	return a.exchange(out, []*segment{s}, false)
}

// put writes a segment's file, durably or not at all.
func (a *account) put(num uint64, fill func(vfs.File) error) (err error) {
	fs, tmp, path := a.x.fs, a.path(num, unfinished), a.path(num, segmentSuffix)
	f, err := fs.Create(tmp, category)
	if err != nil {
		return err
	}
	err = fill(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, fs.Remove(tmp))
	}
	was, serr := fs.Stat(path)
	if err := fs.Rename(tmp, path); err != nil {
		return errors.Join(err, fs.Remove(tmp))
	}
	if serr == nil {
		a.x.stats.segments.Add(-1)
		a.x.stats.bytes.Add(-was.Size())
	}
	if info, err := fs.Stat(path); err == nil {
		a.x.stats.segments.Add(1)
		a.x.stats.bytes.Add(info.Size())
	}
	return syncDirs(fs, a.dir, a.x.dir)
}

func syncDirs(fs vfs.FS, dirs ...string) error {
	for _, dir := range dirs {
		d, err := fs.OpenDir(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

// fan is how many segments of about one size are merged.
const fan = 8

// tier is how big a segment is: each holds about fan times the text of the one
// below.
func tier(text int64) int {
	const smallest = segmentText >> 6
	return bits.Len64(uint64(text/smallest)) / 3
}

// due returns segments that are to become one.
func (a *account) due() []*segment {
	var tiers [3][]*segment
	a.mu.Lock()
	for _, s := range a.segs {
		if t := tier(s.text); t < len(tiers)-1 {
			tiers[t] = append(tiers[t], s)
		}
	}
	a.mu.Unlock()
	for _, list := range tiers {
		if len(list) < fan {
			continue
		}
		sum, n := int64(0), 0
		for n < len(list) && (n < 2 || sum+list[n].text <= segmentText) {
			sum += list[n].text
			n++
		}
		return list[:n]
	}
	return nil
}

// pacer is called between pieces of work; it may wait, and fails when the work
// is to end.
type pacer func(ctx context.Context) error

// merge makes one segment of some, without the documents that drop says. change
// is held.
func (a *account) merge(ctx context.Context, list []*segment, keys Keys, b *builder, drop func(s *segment, doc int) bool, pace pacer) error {
	b.reset()
	r := rooms.Get().(*room)
	defer r.put()
	for _, s := range list {
		at := -1
		var text []byte
		for i := range s.foot.docs {
			d := &s.foot.docs[i]
			if drop(s, i) {
				continue
			}
			if d.unknown {
				b.addUnknown(d.id)
				continue
			}
			if at != int(d.block) {
				if err := pace(ctx); err != nil {
					return err
				}
				var err error
				if text, err = s.read(r, kindText, int(d.block)); err != nil {
					if errors.Is(err, errDamaged) {
						a.drop(s, err)
					}
					return err
				}
				at = int(d.block)
			}
			off := len(b.text)
			b.text = append(b.text, text[d.off:d.off+d.n]...)
			b.add(d.id, off, int(d.body))
		}
	}
	return a.write(b, keys, list)
}

// Renew writes the files anew for which stale says so, as they are: a
// file that a key is to be destroyed of. No keys of accounts are needed.
func (x *Index) Renew(ctx context.Context, stale func(path string) (bool, error)) error {
	for _, id := range x.Accounts() {
		x.mu.Lock()
		a := x.accounts[id]
		if a != nil {
			a.users++ // stays as it is, open or not
		}
		x.mu.Unlock()
		if a == nil {
			continue
		}
		err := a.renew(ctx, stale)
		x.release(a)
		if err != nil {
			return fmt.Errorf("search: %w", err)
		}
	}
	return nil
}

func (a *account) renew(ctx context.Context, stale func(path string) (bool, error)) error {
	a.change.Lock()
	defer a.change.Unlock()
	fs := a.x.fs
	nums, err := a.files()
	if err != nil {
		return err
	}
	for _, num := range nums {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := a.path(num, segmentSuffix)
		old, err := stale(path)
		if err != nil {
			return err
		}
		if !old {
			continue
		}
		from, err := fs.Open(path, vfs.SequentialReadsOption)
		if err != nil {
			return err
		}
		err = a.put(num, func(f vfs.File) error {
			_, err := io.Copy(f, io.NewSectionReader(from, 0, 1<<62))
			return err
		})
		if err = errors.Join(err, from.Close()); err != nil {
			return err
		}
		a.x.stats.rewritten.Add(1)
		if err := a.reopen(num); err != nil {
			return err
		}
	}
	return nil
}

// reopen lets a segment that is open go on with its new file.
func (a *account) reopen(num uint64) error {
	a.mu.Lock()
	i := slices.IndexFunc(a.segs, func(s *segment) bool { return s.num == num })
	var was *segment
	if i >= 0 {
		was = a.segs[i]
	}
	a.mu.Unlock()
	if was == nil {
		return nil
	}
	f, err := a.x.fs.Open(a.path(num, segmentSuffix), vfs.RandomReadsOption)
	if err != nil {
		return err
	}
	s := &segment{num: num, file: f, size: was.size, box: was.box, foot: was.foot, text: was.text, close: f.Close}
	s.refs.Store(1)
	return a.exchange([]*segment{was}, []*segment{s}, true)
}
