package repo

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
)

// Problem is one thing that is wrong with a repository.
type Problem struct {
	File string // below the repository
	What string
}

// Verified is what Verify found.
type Verified struct {
	Snapshots, Packs int
	Bytes            int64 // read
	Problems         []Problem
	// Hurt are the snapshots that can't be restored whole, and how many
	// objects each lacks.
	Hurt map[string]int
}

// Verify looks whether everything that the snapshots need is here: every
// snapshot is read and its signature checked, every pack has the size and the
// end it was written with. With data, every byte is read. tell is told how far
// it is.
func (r *Repo) Verify(ctx context.Context, data bool, tell func(done, all int64)) (*Verified, error) {
	v := &Verified{Hurt: map[string]int{}}
	bad := map[string]string{}
	for name, err := range r.Bad {
		bad[name] = err.Error()
	}
	lost := map[ID]bool{} // packs that can't be trusted
	var all, done int64
	for _, size := range r.sizes {
		all += size
	}
	for id, size := range r.sizes {
		v.Packs++
		name := packFolder + "/" + id.String()
		var err error
		if data {
			err = r.readPack(ctx, id, size)
			v.Bytes += size
		} else if _, told := bad[name]; !told {
			_, err = r.readTail(ctx, id)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			bad[name] = err.Error()
			lost[id] = true
		}
		done += size
		tell(done, all)
	}
	snaps, unread, err := r.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	v.Snapshots = len(snaps) + len(unread)
	for name, err := range unread {
		bad[name] = err.Error()
		v.Hurt[name] = 0
	}
	for _, s := range snaps {
		if _, err := s.Check(); err != nil {
			bad[s.Name] = err.Error()
		}
		n := 0
		err := r.needs(ctx, s, func(k Kind, id ID, here bool) {
			if !here || lost[r.packs[r.objects[object{k, id}].pack]] && !r.intact(ctx, k, id) {
				n++
			}
		})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			n = max(n, 1)
		}
		if n > 0 {
			v.Hurt[s.Name] = n
		}
	}
	for name, what := range bad {
		v.Problems = append(v.Problems, Problem{name, what})
	}
	slices.SortFunc(v.Problems, func(a, b Problem) int { return cmp.Compare(a.File, b.File) })
	return v, nil
}

// intact reads one object of a pack that is damaged somewhere.
func (r *Repo) intact(ctx context.Context, k Kind, id ID) bool {
	_, err := r.Get(ctx, k, id)
	return err == nil
}

// readPack compares the bytes of a pack with its name.
func (r *Repo) readPack(ctx context.Context, id ID, size int64) error {
	const step = 4 << 20
	h := sha256.New()
	for off := int64(0); off < size; off += step {
		b, err := r.st.Read(ctx, packFolder+"/"+id.String(), off, min(step, size-off))
		if err != nil {
			return err
		}
		h.Write(b)
	}
	if ID(h.Sum(nil)) != id {
		return fmt.Errorf("%w: its bytes are not those its name stands for", ErrDamaged)
	}
	if _, err := r.readTail(ctx, id); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
