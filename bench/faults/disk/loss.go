//go:build linux

package disk

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// lose plays the power loss on the backing tree and begins anew with what is
// left, all of it durable. Nothing may use the volume meanwhile.
func (v *volume) lose(seed uint64) (Report, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	c := roll(seed)
	r := Report{Seed: seed}
	all := v.all()
	for _, o := range all {
		if err := v.revert(o, c, &r); err != nil {
			return r, fmt.Errorf("disk: power loss: %s: %w", o.path(), err)
		}
	}
	if err := v.undoNames(all, v.survivors(all, c), &r); err != nil {
		return r, fmt.Errorf("disk: power loss: %w", err)
	}
	v.stat.losses.Add(1)
	err := errors.Join(v.forgetAll(), clearDir(v.limbo), v.start())
	if v.stat.broken.Load() {
		err = errors.Join(err, errors.New("disk: a call failed that can't"))
	}
	return r, err
}

func (r *Report) note(what string) {
	if len(r.Files) < maxReported {
		r.Files = append(r.Files, what)
	}
}

// revert takes back what a file has not synced.
func (v *volume) revert(o *object, c chance, r *Report) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.u.empty() {
		return nil
	}
	fd, err := o.file()
	if err != nil {
		return err
	}
	patches, size, fr, err := o.u.revert(o.size, v.o.Block, v.o.Rules == Ext4, c, func(b int64) ([]byte, error) {
		buf := make([]byte, v.o.Block)
		_, err := readFull(fd, buf, b*int64(v.o.Block))
		return buf, err
	})
	if err != nil {
		return err
	}
	for _, p := range patches {
		if err := writeFull(fd, p.data, p.block*int64(v.o.Block)); err != nil {
			return err
		}
	}
	if err := unix.Ftruncate(fd, size); err != nil {
		return err
	}
	r.Blocks += fr.Blocks
	r.Dropped += fr.Dropped
	r.Torn += fr.Torn
	r.Sizes += fr.Sizes
	if fr.Dropped+fr.Torn+fr.Sizes > 0 {
		r.note(fmt.Sprintf("%s: %d of %d blocks dropped, %d torn, size %d, was %d", o.path(), fr.Dropped, fr.Blocks, fr.Torn, size, o.size))
	}
	return nil
}

// survivors chooses the pending operations that the disk has.
func (v *volume) survivors(all []*object, c chance) map[*dirOp]bool {
	kept := map[*dirOp]bool{}
	switch v.o.Rules {
	case Ext4:
		var ops []*dirOp
		for _, d := range all {
			ops = append(ops, d.pending...)
		}
		slices.SortFunc(ops, func(a, b *dirOp) int { return int(int64(a.seq) - int64(b.seq)) })
		for _, op := range ops[:c.prefix(len(ops))] {
			kept[op] = true
		}
	case Loose:
		for _, d := range all {
			for _, op := range d.pending {
				kept[op] = c.op()
			}
		}
	default:
		for _, d := range all {
			for _, op := range d.pending[:c.prefix(len(d.pending))] {
				kept[op] = true
			}
		}
	}
	// A rename over two directories happened in both or in neither; what came
	// after it in a journal goes with it.
	for again := true; again; {
		again = false
		for _, d := range all {
			lost := false
			for _, op := range d.pending {
				if kept[op] && (lost && v.o.Rules != Loose || op.twin != nil && !op.twin.done && !kept[op.twin]) {
					kept[op] = false
					again = true
				}
				lost = lost || !kept[op]
			}
		}
	}
	return kept
}

// place is a name in a directory.
type place struct {
	dir  *object
	name string
}

// undoNames makes the names in the backing tree what the kept operations say.
func (v *volume) undoNames(all []*object, kept map[*dirOp]bool, r *Report) error {
	type fix struct {
		place
		now, want *object
	}
	var fixes []fix
	for _, d := range all {
		now, want := map[string]*object{}, map[string]*object{}
		for _, op := range d.pending {
			r.DirOps++
			if !kept[op] {
				r.DirDropped++
			}
			for _, ch := range op.changes {
				if _, ok := want[ch.name]; !ok {
					want[ch.name] = ch.before
				}
				if kept[op] {
					want[ch.name] = ch.after
				}
				now[ch.name] = ch.after
			}
		}
		for _, name := range slices.Sorted(maps.Keys(want)) {
			if now[name] != want[name] {
				fixes = append(fixes, fix{place{d, name}, now[name], want[name]})
				r.note(fmt.Sprintf("%s/%s: %s, was %s", d.path(), name, tell(want[name]), tell(now[name])))
			}
		}
	}
	// First everything that is in the wrong place goes to limbo, so that no
	// name is in the way of another.
	held := map[*object]string{}
	for _, o := range all {
		if o.limbo != "" {
			held[o] = o.limbo
		}
	}
	for _, f := range fixes {
		if f.now == nil {
			continue
		}
		if _, ok := held[f.now]; ok {
			if err := unix.Unlinkat(f.dir.fd, f.name, 0); err != nil {
				return fmt.Errorf("unlink %s: %w", f.name, err)
			}
			continue
		}
		to := v.limboName()
		if err := unix.Renameat(f.dir.fd, f.name, v.limboFD, to); err != nil {
			return fmt.Errorf("rename %s: %w", f.name, err)
		}
		held[f.now] = to
	}
	for _, f := range fixes {
		if f.want == nil {
			continue
		}
		var err error
		switch from, ok := held[f.want]; {
		case !ok && f.want.dir():
			// It has its one place already.
		case f.want.dir():
			delete(held, f.want)
			err = unix.Renameat(v.limboFD, from, f.dir.fd, f.name)
		default:
			err = unix.Linkat(unix.AT_FDCWD, f.want.proc(), f.dir.fd, f.name, unix.AT_SYMLINK_FOLLOW)
		}
		if err != nil {
			return fmt.Errorf("bring back %s: %w", f.name, err)
		}
	}
	return nil
}

func tell(o *object) string {
	if o == nil {
		return "nothing"
	}
	return fmt.Sprintf("inode %d", o.ino)
}

// clearDir empties a directory.
func clearDir(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range list {
		errs = append(errs, os.RemoveAll(dir+"/"+e.Name()))
	}
	return errors.Join(errs...)
}
