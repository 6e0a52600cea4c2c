package repo

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/crypto/pki"
)

var update = flag.Bool("update", false, "write the golden bytes")

const testCluster = "00112233.1"

// authority signs the snapshots of tests.
type authority struct {
	ca   *pki.CA
	key  ed25519.PrivateKey
	cert []byte
	node string
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{node: strings.Repeat("ab", 16)}
	var err error
	if a.ca, err = pki.NewCA(testCluster, time.Now()); err != nil {
		t.Fatal(err)
	}
	if a.key, err = pki.NewKey(); err != nil {
		t.Fatal(err)
	}
	csr, err := pki.NewCSR(a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = a.ca.Sign(csr, a.node, time.Hour, time.Now()); err != nil {
		t.Fatal(err)
	}
	return a
}

func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// content is what a test snapshot holds.
type content struct {
	sealed [][]byte
	bodies [][]byte
}

func (c *content) ids() (sealed []ID) {
	for _, b := range c.sealed {
		sealed = append(sealed, ID(sha256.Sum256(append([]byte("key"), b...))))
	}
	return sealed
}

// store writes content and commits a snapshot of it.
func (a *authority) store(ctx context.Context, w *Writer, c *content, at time.Time) (*Snapshot, error) {
	var list []Body
	var total int64
	for i, id := range c.ids() {
		if err := w.Put(ctx, KindSealed, id, c.sealed[i]); err != nil {
			return nil, err
		}
	}
	for _, b := range c.bodies {
		id := ID(sha256.Sum256(b))
		if err := w.Put(ctx, KindBody, id, b); err != nil {
			return nil, err
		}
		list = append(list, Body{id, uint32(len(b))})
		total += int64(len(b))
	}
	slices.SortFunc(list, func(x, y Body) int { return bytes.Compare(x.ID[:], y.ID[:]) })
	raw := EncodeBodies(list)
	sum := ID(sha256.Sum256(raw))
	if err := w.Put(ctx, KindList, sum, raw); err != nil {
		return nil, err
	}
	var chunks []byte
	for _, id := range c.ids()[1:] {
		chunks = append(chunks, id[:]...)
	}
	core, err := json.Marshal(Core{
		Version: Version, Cluster: testCluster, Node: a.node, Time: at.UnixMilli(), Head: c.ids()[0],
		Groups: []Group{{
			Group: 1, Index: 7, Term: 2, Digest: make([]byte, 16), Chunks: len(chunks) / 32, ChunksSum: sha256.Sum256(chunks),
			Bodies: int64(len(list)), BodyBytes: total, BodiesSum: sum,
		}},
	})
	if err != nil {
		return nil, err
	}
	s := &Snapshot{
		CoreBytes: core, Signature: Sign(a.key, core), NodeCert: a.cert, CACert: a.ca.Cert().Raw,
		Parts: []Parts{{Chunks: chunks, Lists: sum[:]}},
	}
	return s, w.Commit(ctx, s)
}

func someContent(rng *rand.Rand) *content {
	c := &content{}
	for range 5 {
		c.sealed = append(c.sealed, noise(rng, 100+rng.IntN(3000)))
		c.bodies = append(c.bodies, noise(rng, rng.IntN(9000)))
	}
	return c
}

// whole checks that every object of a snapshot reads back.
func whole(t testing.TB, r *Repo, s *Snapshot, c *content) {
	t.Helper()
	ctx := t.Context()
	for i, id := range c.ids() {
		if b, err := r.Get(ctx, KindSealed, id); err != nil || !bytes.Equal(b, c.sealed[i]) {
			t.Fatalf("sealed object %d: %v", i, err)
		}
	}
	for i, b := range c.bodies {
		if got, err := r.Get(ctx, KindBody, sha256.Sum256(b)); err != nil || !bytes.Equal(got, b) {
			t.Fatalf("body %d: %v", i, err)
		}
	}
	if _, err := r.Bodies(ctx, s, 0); err != nil {
		t.Fatal(err)
	}
}

func quiet(int64, int64) {}

func verify(t testing.TB, r *Repo, data bool) *Verified {
	t.Helper()
	v, err := r.Verify(t.Context(), data, quiet)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWriteAndRead(t *testing.T) {
	ctx, fs := t.Context(), vfs.NewMem()
	a, rng := newAuthority(t), rand.New(rand.NewPCG(1, 2))
	one, two := someContent(rng), someContent(rng)
	two.bodies = append(two.bodies, one.bodies[:3]...)
	two.bodies = append(two.bodies, noise(rng, packSize+5), noise(rng, packSize-5)) // packs of their own
	var snaps []*Snapshot
	for i, c := range []*content{one, two} {
		w, err := NewWriter(ctx, NewDir(fs, "r"), testCluster)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewWriter(ctx, NewDir(fs, "r"), testCluster); !errors.Is(err, ErrLocked) {
			t.Fatalf("a second writer: %v", err)
		}
		s, err := a.store(ctx, w, c, time.UnixMilli(1700000000000+int64(i)))
		if err != nil {
			t.Fatal(err)
		}
		snaps = append(snaps, s)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := NewWriter(ctx, NewDir(fs, "r"), "ff00.1"); !errors.Is(err, ErrOther) {
		t.Fatalf("another cluster's: %v", err)
	}
	if _, err := NewWriter(ctx, NewDir(fs, "r"), "00112233.2"); err != nil {
		t.Fatalf("the cluster after a restore: %v", err)
	}
	r, err := Open(ctx, NewDir(fs, "r"))
	if err != nil {
		t.Fatal(err)
	}
	whole(t, r, snaps[0], one)
	whole(t, r, snaps[1], two)
	for _, data := range []bool{false, true} {
		if v := verify(t, r, data); len(v.Problems) != 0 || len(v.Hurt) != 0 || v.Snapshots != 2 {
			t.Fatalf("verify: %+v", v)
		}
	}
	for _, what := range []string{"latest", snaps[1].Short(), "2099-01-01"} {
		if s, err := r.Find(ctx, what); err != nil || s.ID != snaps[1].ID {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if _, err := r.Find(ctx, "2001-01-01"); !errors.Is(err, ErrMissing) {
		t.Fatalf("before the first: %v", err)
	}
}

// TestNotOurs: a directory that holds something else is not made a repository.
func TestNotOurs(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.txt"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := NewWriter(t.Context(), NewDir(vfs.Default, dir), testCluster); !errors.Is(err, ErrExists) {
		t.Fatalf("got %v", err)
	}
}

// TestCrash loses power after every step of a pull and of a prune: the
// repository is valid, what a committed snapshot needs is there, and the next
// writer goes on.
func TestCrash(t *testing.T) {
	a := newAuthority(t)
	contents := func() []*content {
		rng := rand.New(rand.NewPCG(3, 4))
		cs := []*content{someContent(rng), someContent(rng), someContent(rng)}
		cs[1].bodies = append(cs[1].bodies, cs[0].bodies[0])
		cs[2].bodies = append(cs[2].bodies, cs[1].bodies[1], cs[0].bodies[2])
		return cs
	}()
	base := time.UnixMilli(1700000000000)
	// work is three pulls with a flush in their middle, then a prune of all but
	// the last.
	work := func(fs vfs.FS, done *int) error {
		ctx := context.Background()
		for i, c := range contents {
			w, err := NewWriter(ctx, NewDir(fs, "r"), testCluster)
			if err != nil {
				return err
			}
			half := &content{sealed: c.sealed, bodies: c.bodies[:2]}
			for _, b := range half.bodies {
				if err := w.Put(ctx, KindBody, sha256.Sum256(b), b); err != nil {
					return errors.Join(err, w.Close())
				}
			}
			if err := w.Flush(ctx); err != nil {
				return errors.Join(err, w.Close())
			}
			if _, err := a.store(ctx, w, c, base.Add(time.Duration(i)*time.Hour)); err != nil {
				return errors.Join(err, w.Close())
			}
			*done = i + 1
			if i == 2 {
				all, _, err := w.Snapshots(ctx)
				if err != nil {
					return errors.Join(err, w.Close())
				}
				*done = 10
				if _, err := w.Prune(ctx, all[:len(all)-1], func(int, int) {}); err != nil {
					return errors.Join(err, w.Close())
				}
				*done = 11
			}
			if err := w.Close(); err != nil {
				return err
			}
		}
		return nil
	}
	for step := 0; ; step++ {
		mem := vfs.NewCrashableMem()
		stop := &stopFS{FS: mem, mem: mem, left: step, rng: rand.New(rand.NewPCG(uint64(step), 9)), cut: step%3 - 1}
		done := 0
		err := work(stop, &done)
		if err == nil && stop.clone == nil {
			if step < 60 {
				t.Fatalf("only %d steps", step)
			}
			break
		}
		left := stop.clone
		r, err := Open(t.Context(), NewDir(left, "r"))
		if errors.Is(err, ErrNoRepo) && stop.done == 0 {
			continue
		}
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		v := verify(t, r, true)
		if len(v.Problems) > 0 || len(v.Hurt) > 0 {
			t.Fatalf("step %d: %+v", step, v)
		}
		snaps, _, err := r.Snapshots(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range snaps {
			whole(t, r, s, contents[s.Time().Sub(base)/time.Hour])
		}
		// A second run over what is left ends as one that nothing disturbed.
		if err := work(left, &done); err != nil {
			t.Fatalf("step %d: the next writer: %v", step, err)
		}
		if r, err = Open(t.Context(), NewDir(left, "r")); err != nil {
			t.Fatal(err)
		}
		if v := verify(t, r, true); len(v.Problems) > 0 || v.Snapshots != 1 {
			t.Fatalf("step %d, after all: %+v", step, v)
		}
		if r.Has(KindBody, sha256.Sum256(contents[0].bodies[1])) {
			t.Fatalf("step %d: a body of a pruned snapshot is still here", step)
		}
		if files, err := NewDir(left, "r").List(t.Context(), ""); err != nil || slices.ContainsFunc(files, func(f File) bool { return f.Name == planName }) {
			t.Fatalf("step %d: the plan is still here (%v)", step, err)
		}
	}
}

// stopFS clones the disk as a power loss would leave it before the n-th
// change, and fails every one from then on.
type stopFS struct {
	vfs.FS
	mem   *vfs.MemFS
	left  int
	cut   int // how many unsynced bytes survive: -1 none, 0 some, 1 all
	rng   *rand.Rand
	clone *vfs.MemFS
	done  int
}

var errPower = errors.New("power lost")

func (s *stopFS) step() error {
	if s.clone != nil {
		return errPower
	}
	if s.left == 0 {
		s.clone = s.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 50, 100}[s.cut+1], RNG: s.rng})
		return errPower
	}
	s.left--
	return nil
}

func (s *stopFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	f, err := s.FS.Create(name, c)
	return &stopFile{f, s}, err
}

func (s *stopFS) Rename(from, to string) error {
	if err := s.step(); err != nil {
		return err
	}
	return s.FS.Rename(from, to)
}

func (s *stopFS) Remove(name string) error {
	if err := s.step(); err != nil {
		return err
	}
	return s.FS.Remove(name)
}

func (s *stopFS) OpenDir(name string) (vfs.File, error) {
	f, err := s.FS.OpenDir(name)
	return &stopFile{f, s}, err
}

type stopFile struct {
	vfs.File
	s *stopFS
}

func (f *stopFile) Write(b []byte) (int, error) {
	if err := f.s.step(); err != nil {
		return 0, err
	}
	return f.File.Write(b)
}

func (f *stopFile) Sync() error {
	if err := f.s.step(); err != nil {
		return err
	}
	return f.File.Sync()
}

// TestDamage flips, cuts and removes each file: verify names it, what is
// intact is still read, and the next pull brings again what is lost.
func TestDamage(t *testing.T) {
	ctx := t.Context()
	a, rng := newAuthority(t), rand.New(rand.NewPCG(5, 6))
	c := someContent(rng)
	c.bodies = append(c.bodies, noise(rng, packSize)) // a second pack
	fresh := func(t *testing.T) (string, []string) {
		dir := t.TempDir()
		w, err := NewWriter(ctx, NewDir(vfs.Default, dir), testCluster)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.store(ctx, w, c, time.UnixMilli(1700000000000)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var files []string
		for _, f := range []string{packFolder, indexFolder, snapshotFolder} {
			es, err := os.ReadDir(filepath.Join(dir, f))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range es {
				files = append(files, f+"/"+e.Name())
			}
		}
		return dir, files
	}
	_, files := fresh(t)
	if len(files) < 4 {
		t.Fatalf("only %v", files)
	}
	for n := range files {
		for _, how := range []string{"flip", "cut", "missing"} {
			dir, files := fresh(t)
			name := files[n]
			t.Run(strings.Split(name, "/")[0]+fmt.Sprint(n)+"/"+how, func(t *testing.T) {
				path := filepath.Join(dir, name)
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				switch how {
				case "flip":
					b[rng.IntN(len(b))] ^= 1 << rng.IntN(8)
					err = os.WriteFile(path, b, 0o600)
				case "cut":
					err = os.WriteFile(path, b[:rng.IntN(len(b))], 0o600)
				case "missing":
					err = os.Remove(path)
				}
				if err != nil {
					t.Fatal(err)
				}
				r, err := Open(ctx, NewDir(vfs.Default, dir))
				if err != nil {
					t.Fatal(err)
				}
				v := verify(t, r, true)
				named := slices.ContainsFunc(v.Problems, func(p Problem) bool { return p.File == name })
				// Nobody can miss an index file, or a snapshot that was taken
				// away whole: the packs say the same as the one, and nothing
				// else names the other.
				if may := how == "missing" && !strings.HasPrefix(name, packFolder); named == may {
					t.Fatalf("named %t: %+v", named, v)
				}
				pack := strings.HasPrefix(name, packFolder)
				if (len(v.Hurt) > 0) != (pack && len(b) > 100 || strings.HasPrefix(name, snapshotFolder) && how != "missing") {
					// A flip in a pack's end hurts nothing that the index knows.
					if !(pack && how == "flip" && len(v.Hurt) == 0) {
						t.Fatalf("hurt: %+v", v)
					}
				}
				got := 0
				for _, b := range c.bodies {
					d, err := r.Get(ctx, KindBody, sha256.Sum256(b))
					if err == nil {
						got++
						if !bytes.Equal(d, b) {
							t.Fatal("wrong bytes")
						}
					} else if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrMissing) {
						t.Fatal(err)
					}
				}
				if got == 0 || how == "flip" && got < len(c.bodies)-1 {
					t.Fatalf("%d bodies of %d", got, len(c.bodies))
				}
				// The next pull: what the index knows to be lost comes again.
				w, err := NewWriter(ctx, NewDir(vfs.Default, dir), testCluster)
				if err != nil {
					t.Fatal(err)
				}
				defer w.Close()
				if how == "flip" && pack {
					if err := w.Forget(ctx, v); err != nil {
						t.Fatal(err)
					}
				}
				s, err := a.store(ctx, w, c, time.UnixMilli(1700000009000))
				if err != nil {
					t.Fatal(err)
				}
				if r, err = Open(ctx, NewDir(vfs.Default, dir)); err != nil {
					t.Fatal(err)
				}
				whole(t, r, s, c)
			})
		}
	}
}

func TestKeep(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	var all []*Snapshot
	for h := 24 * 60; h >= 0; h -= 6 {
		s := &Snapshot{}
		s.Core.Time = now.Add(-time.Duration(h) * time.Hour).UnixMilli()
		s.ID[0], s.ID[1] = byte(h), byte(h>>8)
		all = append(all, s)
	}
	dates := func(k Keep) (out []string) {
		stay, leave := k.Choose(all, now)
		if len(stay)+len(leave) != len(all) {
			t.Fatal("some are neither kept nor removed")
		}
		for _, s := range stay {
			out = append(out, s.Time().Format("01-02T15"))
		}
		return out
	}
	for _, c := range []struct {
		keep Keep
		want []string
	}{
		{Keep{}, []string{"03-31T12"}},
		{Keep{Daily: 3}, []string{"03-29T18", "03-30T18", "03-31T12"}},
		{Keep{Weekly: 3}, []string{"03-22T18", "03-29T18", "03-31T12"}},
		{Keep{Within: 13 * time.Hour}, []string{"03-31T00", "03-31T06", "03-31T12"}},
	} {
		if got := dates(c.keep); !slices.Equal(got, c.want) {
			t.Errorf("%+v: kept %v, want %v", c.keep, got, c.want)
		}
	}
}

// TestGolden pins the bytes.
func TestGolden(t *testing.T) {
	sealed := ID(bytes.Repeat([]byte{2}, 32))
	body := []byte("a sealed body")
	es := []entry{
		{KindBody, sha256.Sum256(body), 8, uint32(len(body)), sha256.Sum256(body)},
		{KindSealed, sealed, 21, 4, sha256.Sum256([]byte("meta"))},
		{KindList, sha256.Sum256(nil), 25, 0, sha256.Sum256(nil)},
	}
	pack := append(append(append([]byte(packMagic), body...), "meta"...), packTail(es)...)
	s := &Snapshot{CoreBytes: []byte(`{"version":1,"cluster":"00.1","node":"n","time":1700000000000,"head":"` + sealed.String() + `","groups":[]}`), Signature: []byte{1}, NodeCert: []byte{2}, CACert: []byte{3}, Parts: []Parts{}}
	snap, err := encodeSnapshot(s)
	if err != nil {
		t.Fatal(err)
	}
	index := encodeIndex([]packIndex{{sha256.Sum256(pack), es}})
	list := EncodeBodies([]Body{{ID{1}, 5}, {ID{2}, 70000}})
	var b strings.Builder
	for _, g := range []struct {
		name  string
		bytes []byte
	}{{"pack", pack}, {"index", index}, {"list", list}, {"snapshot", snap}} {
		fmt.Fprintf(&b, "%s\n%s", g.name, hex.Dump(g.bytes))
	}
	path := filepath.Join("testdata", "formats.txt")
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the bytes have changed:\n%s", b.String())
	}
	if got, err := parseTail(packTail(es), int64(len(pack))); err != nil || !slices.Equal(got, es) {
		t.Errorf("pack: %v, %v", got, err)
	}
	if got, err := decodeIndex(sha256.Sum256(index), index); err != nil || len(got) != 1 || !slices.Equal(got[0].entries, es) {
		t.Errorf("index: %v, %v", got, err)
	}
	if _, err := decodeSnapshot(snap); err != nil {
		t.Error(err)
	}
}

func FuzzPack(f *testing.F) {
	f.Add(packTail([]entry{{KindBody, ID{1}, 8, 3, ID{1}}, {KindSealed, ID{2}, 11, 3, ID{3}}}), int64(200))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		es, err := parseTail(b, size)
		if err == nil && !bytes.Equal(packTail(es), b) {
			t.Fatal("read something else than what is there")
		}
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(encodeIndex([]packIndex{{ID{9}, []entry{{KindBody, ID{1}, 8, 3, ID{1}}, {KindSealed, ID{2}, 11, 3, ID{3}}}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		ps, err := decodeIndex(sha256.Sum256(b), b)
		if err == nil && !bytes.Equal(encodeIndex(ps), b) {
			t.Fatal("read something else than what is there")
		}
	})
}

func FuzzSnapshot(f *testing.F) {
	b, err := encodeSnapshot(&Snapshot{CoreBytes: []byte(`{"version":1,"groups":[{"chunks":1}]}`), Parts: []Parts{{Chunks: make([]byte, 32)}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[len(snapshotMagic) : len(b)-32])
	f.Fuzz(func(t *testing.T, j []byte) {
		b := append([]byte(snapshotMagic), j...)
		sum := sha256.Sum256(b)
		s, err := decodeSnapshot(append(b, sum[:]...))
		if err == nil {
			if _, err := s.Check(); err == nil {
				t.Fatal("a signature came from nowhere")
			}
		}
	})
}

func TestSignature(t *testing.T) {
	ctx, a := t.Context(), newAuthority(t)
	w, err := NewWriter(ctx, NewDir(vfs.NewMem(), "r"), testCluster)
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.store(ctx, w, someContent(rand.New(rand.NewPCG(7, 8))), time.UnixMilli(1700000000000))
	if err != nil {
		t.Fatal(err)
	}
	if fp, err := s.Check(); err != nil || fp != pki.Fingerprint(a.ca.Cert().Raw) {
		t.Fatal(err)
	}
	other := newAuthority(t)
	for what, change := range map[string]func(*Snapshot){
		"core":      func(s *Snapshot) { s.CoreBytes[len(s.CoreBytes)-3]++ },
		"signature": func(s *Snapshot) { s.Signature[0]++ },
		"node":      func(s *Snapshot) { s.NodeCert = other.cert },
		"ca":        func(s *Snapshot) { s.CACert = other.ca.Cert().Raw },
	} {
		bad := *s
		bad.CoreBytes, bad.Signature = bytes.Clone(s.CoreBytes), bytes.Clone(s.Signature)
		change(&bad)
		if _, err := bad.Check(); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestFewFiles: many small objects, pulled day by day, are few files.
func TestFewFiles(t *testing.T) {
	ctx, fs := t.Context(), vfs.NewMem()
	a, rng := newAuthority(t), rand.New(rand.NewPCG(10, 11))
	for day := range 40 {
		w, err := NewWriter(ctx, NewDir(fs, "r"), testCluster)
		if err != nil {
			t.Fatal(err)
		}
		c := someContent(rng)
		for range 200 {
			c.bodies = append(c.bodies, noise(rng, 64))
		}
		if _, err := a.store(ctx, w, c, time.UnixMilli(1700000000000).AddDate(0, 0, day)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	count := map[string]int{}
	for _, f := range folders {
		files, err := NewDir(fs, "r").List(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		count[f] = len(files)
	}
	want := map[string]int{packFolder: 40, snapshotFolder: 40, tempFolder: 0, indexFolder: 8}
	if !maps.Equal(count, want) {
		t.Errorf("files: %v, want %v", count, want)
	}
}
