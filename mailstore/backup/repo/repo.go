package repo

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Repo is an open repository. Its methods may be called at any time, those of
// a Writer by one goroutine.
type Repo struct {
	st  Storage
	cfg config

	packs   []ID           // by number
	sizes   map[ID]int64   // of the packs that are there
	objects map[object]loc // where each is
	indexes []ID           // index files that were read
	loose   []packIndex    // packs that no index file names
	// Bad are files that could not be read when it was opened, and why.
	Bad map[string]error
}

type object struct {
	kind Kind
	id   ID
}

type loc struct {
	pack      uint32
	off, size uint32
	sum       ID // of sealed objects; the others' is their id
}

// Lineage is the part of a cluster's id that stays when it is restored: a
// repository holds the backups of one.
func Lineage(cluster string) string {
	l, _, _ := strings.Cut(cluster, ".")
	return l
}

// Open opens the repository in st and reads its index. ErrNoRepo: there is
// none.
func Open(ctx context.Context, st Storage) (*Repo, error) {
	r := &Repo{st: st}
	b, err := st.Read(ctx, configName, 0, -1)
	if errors.Is(err, ErrMissing) {
		return nil, fmt.Errorf("%w: %s", ErrNoRepo, st)
	}
	if err != nil {
		return nil, err
	}
	if r.cfg, err = parseConfig(b); err != nil {
		return nil, fmt.Errorf("%s: %w", st, err)
	}
	return r, r.load(ctx)
}

// create makes the repository of a cluster. The lock is held. It refuses a
// place that holds something else.
func create(ctx context.Context, st Storage, cluster string) error {
	for _, f := range []string{"", packFolder, indexFolder, snapshotFolder} {
		files, err := st.List(ctx, f)
		if err != nil {
			return err
		}
		for _, file := range files {
			if file.Name != lockName {
				return fmt.Errorf("%w: %s holds %s, and is no repository", ErrExists, st, file.Name)
			}
		}
	}
	var id [16]byte
	rand.Read(id[:]) // never fails (crypto/rand)
	b, err := json.Marshal(config{Version: Version, ID: hex.EncodeToString(id[:]), Cluster: Lineage(cluster)})
	if err != nil {
		return err
	}
	return st.Write(ctx, configName, append(b, '\n'))
}

// ID names the repository.
func (r *Repo) ID() string { return r.cfg.ID }

// Cluster is the lineage whose backups it holds.
func (r *Repo) Cluster() string { return r.cfg.Cluster }

func (r *Repo) String() string { return r.st.String() }

// load reads the index files, and the ends of those packs that none of them
// names: their writer died before it wrote one, or an index file is lost.
func (r *Repo) load(ctx context.Context) error {
	r.packs, r.sizes, r.objects = nil, map[ID]int64{}, map[object]loc{}
	r.indexes, r.loose, r.Bad = nil, nil, map[string]error{}
	// The index files first: a pack that an index names was there before it.
	indexes, err := r.st.List(ctx, indexFolder)
	if err != nil {
		return err
	}
	packs, err := r.st.List(ctx, packFolder)
	if err != nil {
		return err
	}
	for _, f := range packs {
		id, err := parseID(f.Name)
		if err != nil {
			r.Bad[packFolder+"/"+f.Name] = err
			continue
		}
		r.sizes[id] = f.Size
	}
	known := map[ID]bool{}
	for _, f := range indexes {
		name := indexFolder + "/" + f.Name
		id, err := parseID(f.Name)
		var b []byte
		if err == nil {
			b, err = r.st.Read(ctx, name, 0, -1)
		}
		var ps []packIndex
		if err == nil {
			ps, err = decodeIndex(id, b)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.Bad[name] = err // what it says is in the packs too
			continue
		}
		r.indexes = append(r.indexes, id)
		for _, p := range ps {
			if known[p.pack] {
				continue
			}
			known[p.pack] = true
			size, there := r.sizes[p.pack]
			if want := objectsEnd(p.entries) + int64(len(packTail(p.entries))); !there || size != want {
				if there {
					r.Bad[packFolder+"/"+p.pack.String()] = fmt.Errorf("%w: it has %d bytes instead of %d", ErrDamaged, size, want)
				} else {
					r.Bad[packFolder+"/"+p.pack.String()] = ErrMissing
				}
				continue // what it held is not here, and is brought again
			}
			r.add(p)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(r.sizes), func(a, b ID) int { return bytes.Compare(a[:], b[:]) }) {
		if known[id] {
			continue
		}
		es, err := r.readTail(ctx, id)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			r.Bad[packFolder+"/"+id.String()] = err
			continue
		}
		p := packIndex{id, es}
		r.loose = append(r.loose, p)
		r.add(p)
	}
	return nil
}

func (r *Repo) readTail(ctx context.Context, id ID) ([]entry, error) {
	name, size := packFolder+"/"+id.String(), r.sizes[id]
	if size < int64(len(packMagic))+tailLen {
		return nil, fmt.Errorf("%w: too short", ErrDamaged)
	}
	// Most tails fit into one read.
	n := min(size, 64<<10)
	b, err := r.st.Read(ctx, name, size-n, n)
	if err != nil {
		return nil, err
	}
	l, err := tailSize(b[len(b)-tailLen:])
	if err != nil {
		return nil, err
	}
	if l > size-int64(len(packMagic)) {
		return nil, fmt.Errorf("%w: a pack's end", ErrDamaged)
	}
	if l > n {
		if b, err = r.st.Read(ctx, name, size-l, l); err != nil {
			return nil, err
		}
	} else {
		b = b[n-l:]
	}
	return parseTail(b, size)
}

func (r *Repo) add(p packIndex) {
	n := uint32(len(r.packs))
	r.packs = append(r.packs, p.pack)
	for i := range p.entries {
		e := &p.entries[i]
		k := object{e.kind, e.id}
		if _, have := r.objects[k]; !have {
			r.objects[k] = loc{n, e.off, e.size, e.sum}
		}
	}
}

// Has reports whether an object is here, as far as the index knows.
func (r *Repo) Has(k Kind, id ID) bool {
	_, ok := r.objects[object{k, id}]
	return ok
}

// Size returns the size of an object, and whether it is here.
func (r *Repo) Size(k Kind, id ID) (int64, bool) {
	l, ok := r.objects[object{k, id}]
	return int64(l.size), ok
}

// Get reads an object and checks it. ErrMissing: it is not here; ErrDamaged:
// its bytes are not what was stored.
func (r *Repo) Get(ctx context.Context, k Kind, id ID) ([]byte, error) {
	l, ok := r.objects[object{k, id}]
	if !ok {
		return nil, fmt.Errorf("%w: object %s", ErrMissing, id)
	}
	b, err := r.st.Read(ctx, packFolder+"/"+r.packs[l.pack].String(), int64(l.off), int64(l.size))
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(b) != l.sum {
		return nil, fmt.Errorf("%w: object %s in pack %s", ErrDamaged, id, r.packs[l.pack])
	}
	return b, nil
}

// Bodies reads the list of bodies of a group of a snapshot.
func (r *Repo) Bodies(ctx context.Context, s *Snapshot, group int) ([]Body, error) {
	g := &s.Core.Groups[group]
	var all []byte
	for _, id := range IDs(s.Parts[group].Lists) {
		b, err := r.Get(ctx, KindList, id)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	if sha256.Sum256(all) != g.BodiesSum {
		return nil, fmt.Errorf("%w: the list of bodies is not the one that was signed", ErrDamaged)
	}
	return DecodeBodies(all)
}
