package repo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Sizes of what is written.
const (
	// packSize is when a pack is full: what a puller that is killed brings
	// again at most.
	packSize = 16 << 20
	// maxIndexes is from how many index files on they are written as one.
	maxIndexes = 32
	// indexEvery is after how many packs an index file is due: a repository
	// whose puller died reads that many ends of packs.
	indexEvery = 64
)

// Writer adds to a repository. It holds its lock.
type Writer struct {
	*Repo
	release func() error

	buf     []byte // the objects of the pack being filled
	entries []entry
}

// NewWriter takes the lock of the repository in st and opens it; one that is
// not there is made. ErrLocked: somebody else writes. ErrOther: it holds
// another cluster's backups. Close it.
func NewWriter(ctx context.Context, st Storage, cluster string) (_ *Writer, err error) {
	release, err := st.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, release())
		}
	}()
	r, err := Open(ctx, st)
	if errors.Is(err, ErrNoRepo) && cluster != "" {
		if _, rerr := st.Read(ctx, configName, 0, -1); !errors.Is(rerr, ErrMissing) {
			return nil, err // something else lies there
		}
		if err := create(ctx, st, cluster); err != nil {
			return nil, err
		}
		r, err = Open(ctx, st)
	}
	if err != nil {
		return nil, err
	}
	if cluster != "" && r.Cluster() != Lineage(cluster) {
		return nil, fmt.Errorf("%w: of %s, not of %s", ErrOther, r.Cluster(), Lineage(cluster))
	}
	return &Writer{Repo: r, release: release}, nil
}

// Put adds an object that is not here. It may be lost until Flush. id and
// bytes of a body or a list must belong together (ErrDamaged).
func (w *Writer) Put(ctx context.Context, k Kind, id ID, data []byte) error {
	if w.Has(k, id) {
		return nil
	}
	if len(data) > maxObject || !k.valid() {
		return fmt.Errorf("repo: an object of kind %d and %d bytes", k, len(data))
	}
	sum := ID(sha256.Sum256(data))
	if k != KindSealed && sum != id {
		return fmt.Errorf("%w: bytes do not match their id %s", ErrDamaged, id)
	}
	if len(w.buf) > 0 && len(w.buf)+len(data) > packSize {
		if err := w.Flush(ctx); err != nil {
			return err
		}
	}
	if len(w.buf) == 0 {
		w.buf = append(w.buf[:0], packMagic...)
	}
	w.entries = append(w.entries, entry{k, id, uint32(len(w.buf)), uint32(len(data)), sum})
	w.buf = append(w.buf, data...)
	// Known from now on, so that the same is not asked for twice; readable
	// after Flush.
	w.objects[object{k, id}] = loc{pendingPack, w.entries[len(w.entries)-1].off, uint32(len(data)), sum}
	return nil
}

// pendingPack stands for the pack that is being filled.
const pendingPack = 1<<32 - 1

// Flush makes durable what was put.
func (w *Writer) Flush(ctx context.Context) error {
	if len(w.entries) > 0 {
		tail := packTail(w.entries)
		h := sha256.New()
		h.Write(w.buf)
		h.Write(tail)
		id := ID(h.Sum(nil))
		if err := w.st.Write(ctx, packFolder+"/"+id.String(), w.buf, tail); err != nil {
			return err
		}
		p := packIndex{id, slices.Clone(w.entries)}
		for i := range p.entries {
			delete(w.objects, object{p.entries[i].kind, p.entries[i].id})
		}
		w.sizes[id] = int64(len(w.buf) + len(tail))
		w.add(p)
		delete(w.Bad, packFolder+"/"+id.String())
		w.loose = append(w.loose, p)
		w.buf, w.entries = w.buf[:0], w.entries[:0]
	}
	if len(w.loose) >= indexEvery {
		return w.index(ctx)
	}
	return nil
}

// index writes an index file for the packs that none names. Once there are
// many files, they become one.
func (w *Writer) index(ctx context.Context) error {
	if len(w.indexes) >= maxIndexes {
		return w.reindex(ctx)
	}
	if len(w.loose) == 0 {
		return nil
	}
	id, err := w.writeIndex(ctx, w.loose)
	if err != nil {
		return err
	}
	w.indexes = append(w.indexes, id)
	w.loose = nil
	return nil
}

func (w *Writer) writeIndex(ctx context.Context, ps []packIndex) (ID, error) {
	b := encodeIndex(ps)
	id := ID(sha256.Sum256(b))
	return id, w.st.Write(ctx, indexFolder+"/"+id.String(), b)
}

// reindex writes one index file of all packs that are there, then removes the
// others, the unreadable ones too: what they said is in the new one.
func (w *Writer) reindex(ctx context.Context) error {
	var ps []packIndex
	for id := range w.sizes {
		es, err := w.readTail(ctx, id)
		if errors.Is(err, ErrDamaged) {
			continue // verify names it
		}
		if err != nil {
			return err
		}
		ps = append(ps, packIndex{id, es})
	}
	slices.SortFunc(ps, func(a, b packIndex) int { return slices.Compare(a.pack[:], b.pack[:]) })
	id, err := w.writeIndex(ctx, ps)
	if err != nil {
		return err
	}
	old, err := w.st.List(ctx, indexFolder)
	if err != nil {
		return err
	}
	for _, f := range old {
		if f.Name == id.String() {
			continue
		}
		if err := w.st.Remove(ctx, indexFolder+"/"+f.Name); err != nil {
			return err
		}
		delete(w.Bad, indexFolder+"/"+f.Name)
	}
	w.indexes, w.loose = []ID{id}, nil
	return nil
}

// Commit makes everything durable and then the snapshot that names it. It
// refuses one that names what is not here.
func (w *Writer) Commit(ctx context.Context, s *Snapshot) error {
	if err := w.Flush(ctx); err != nil {
		return err
	}
	if err := w.index(ctx); err != nil {
		return err
	}
	b, err := encodeSnapshot(s)
	if err != nil {
		return err
	}
	read, err := decodeSnapshot(b)
	if err != nil {
		return err
	}
	if _, err := read.Check(); err != nil {
		return err
	}
	lost := 0
	if err := w.needs(ctx, read, func(_ Kind, _ ID, here bool) {
		if !here {
			lost++
		}
	}); err != nil {
		return err
	}
	if lost > 0 {
		return fmt.Errorf("%w: %d objects of the snapshot", ErrMissing, lost)
	}
	if err := w.st.Write(ctx, snapshotName(read), b); err != nil {
		return err
	}
	*s = *read
	s.Name = snapshotName(read)
	return nil
}

// needs calls fn for every object that a snapshot needs. A list that can't be
// read is told as not here, and an error.
func (r *Repo) needs(ctx context.Context, s *Snapshot, fn func(k Kind, id ID, here bool)) error {
	fn(KindSealed, s.Core.Head, r.Has(KindSealed, s.Core.Head))
	var errs []error
	for i, p := range s.Parts {
		for _, id := range IDs(p.Chunks) {
			fn(KindSealed, id, r.Has(KindSealed, id))
		}
		for _, id := range IDs(p.Lists) {
			fn(KindList, id, r.Has(KindList, id))
		}
		bodies, err := r.Bodies(ctx, s, i)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		gone := goneOf(p)
		for _, b := range bodies {
			if here := r.Has(KindBody, b.ID); here || !gone[b.ID] {
				fn(KindBody, b.ID, here)
			}
		}
	}
	return errors.Join(errs...)
}

func goneOf(p Parts) map[ID]bool {
	gone := map[ID]bool{}
	for _, id := range IDs(p.Gone) {
		gone[id] = true
	}
	return gone
}

// Close flushes nothing and lets go of the lock.
func (w *Writer) Close() error { return w.release() }

// Forget puts out of the index what a Verify that read all data found damaged,
// so that the next pull brings it again.
func (w *Writer) Forget(ctx context.Context, v *Verified) error {
	for _, p := range v.Problems {
		name, ok := strings.CutPrefix(p.File, packFolder+"/")
		if !ok {
			continue
		}
		id, err := parseID(name)
		if err != nil {
			continue
		}
		if err := w.salvage(ctx, id); err != nil {
			return err
		}
	}
	if err := w.Flush(ctx); err != nil {
		return err
	}
	return w.reindex(ctx)
}

// salvage copies what is intact out of a damaged pack and removes it.
func (w *Writer) salvage(ctx context.Context, pack ID) error {
	if _, there := w.sizes[pack]; !there {
		return nil
	}
	var of []object
	for k, l := range w.objects {
		if l.pack != pendingPack && w.packs[l.pack] == pack {
			of = append(of, k)
		}
	}
	for _, k := range of {
		b, err := w.Get(ctx, k.kind, k.id)
		delete(w.objects, k)
		if errors.Is(err, ErrDamaged) || errors.Is(err, ErrMissing) {
			continue
		}
		if err != nil {
			return err
		}
		if err := w.Put(ctx, k.kind, k.id, b); err != nil {
			return err
		}
	}
	if err := w.Flush(ctx); err != nil {
		return err
	}
	delete(w.sizes, pack)
	delete(w.Bad, packFolder+"/"+pack.String())
	return w.st.Remove(ctx, packFolder+"/"+pack.String())
}
