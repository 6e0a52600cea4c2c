package keyring

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

var update = flag.Bool("update", false, "write the golden files")

// keySource is a fixed key.
type keySource [KeySize]byte

func (keySource) Method() Method                            { return MethodKey }
func (k keySource) UnlockKey(Params) ([KeySize]byte, error) { return k, nil }

// wrongPassphrase gives what another passphrase would, without the work.
type wrongPassphrase struct{}

func (wrongPassphrase) Method() Method                          { return MethodArgon2id }
func (wrongPassphrase) UnlockKey(Params) ([KeySize]byte, error) { return fixed(77), nil }

func fixed(b byte) (k [KeySize]byte) {
	for i := range k {
		k[i] = b + byte(i)
	}
	return k
}

func newRing(t testing.TB) (*Ring, string, Source) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keyring")
	src := keySource(fixed(1))
	r, err := Create(path, src)
	if err != nil {
		t.Fatal(err)
	}
	return r, path, src
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantErr(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func TestRingKeepsEverything(t *testing.T) {
	r, path, src := newRing(t)
	if e := r.CurrentRoot(); e != 0 {
		t.Fatalf("new ring has root %d", e)
	}
	if _, err := r.SealRoot(KindCAKey, nil, nil); !errors.Is(err, ErrNoRoot) {
		t.Fatal(err)
	}
	if _, err := r.DirectoryHash(KindAddress, nil); !errors.Is(err, ErrNoRoot) {
		t.Fatal(err)
	}
	if e := must(r.NewRoot())(t); e != 1 || r.CurrentRoot() != 1 {
		t.Fatalf("first root is %d, current %d", e, r.CurrentRoot())
	}
	sealed := must(r.SealRoot(KindCAKey, []byte("ca"), []byte("private")))(t)
	hash := must(r.DirectoryHash(KindAddress, []byte("a@b")))(t)
	if e := must(r.NewRoot())(t); e != 2 || r.CurrentRoot() != 1 {
		t.Fatalf("second root is %d, current %d: it must wait for UseRoot", e, r.CurrentRoot())
	}
	if err := r.UseRoot(2); err != nil {
		t.Fatal(err)
	}
	wantErr(t, r.UseRoot(3), ErrNoEpoch)
	wantErr(t, r.DropRoot(2), ErrEpochInUse)
	if e := must(r.NewLogKey())(t); e != 2 {
		t.Fatal(e)
	}
	must(r.NewLogKey())(t)
	if e := must(r.NewFileKey())(t); e != 2 {
		t.Fatal(e)
	}
	if err := r.DropLogKey(1); err != nil {
		t.Fatal(err)
	}
	wantErr(t, r.DropLogKey(3), ErrEpochInUse)
	wantErr(t, r.DropLogKey(1), ErrNoEpoch)
	wantErr(t, r.DropFileKey(2), ErrEpochInUse)
	if err := r.SetIdentity([]byte("key"), []byte("cert")); err != nil {
		t.Fatal(err)
	}
	for _, f := range [][2]string{{"node", "x"}, {"empty", ""}, {"gone", "y"}, {"node", "z"}} {
		if err := r.Put(f[0], []byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Put("gone", nil); err != nil {
		t.Fatal(err)
	}

	check := func(q *Ring) {
		t.Helper()
		if q.CurrentRoot() != 2 || len(q.Roots()) != 2 {
			t.Fatalf("current root %d of %d", q.CurrentRoot(), len(q.Roots()))
		}
		if got := must(q.OpenRoot(KindCAKey, []byte("ca"), sealed))(t); string(got) != "private" {
			t.Fatalf("opened %q", got)
		}
		if got := must(q.DirectoryHash(KindAddress, []byte("a@b")))(t); got != hash {
			t.Fatal("directory hash changed with the root")
		}
		if got := q.LogKeyEpochs(); !slices.Equal(got, []Epoch{2, 3}) {
			t.Fatalf("log key epochs %v", got)
		}
		e, k := q.LogKey()
		if k2 := must(q.LogKeyAt(3))(t); e != 3 || *k != *k2 {
			t.Fatalf("log key epoch %d", e)
		}
		_, err := q.LogKeyAt(1)
		wantErr(t, err, ErrNoEpoch)
		if e, k := q.FileKey(); e != 2 || *k == *must(q.FileKeyAt(1))(t) {
			t.Fatalf("file key epoch %d", e)
		}
		if k, c, ok := q.Identity(); string(k) != "key" || string(c) != "cert" || !ok {
			t.Fatalf("identity %q %q %v", k, c, ok)
		}
		if v, ok := q.Get("node"); string(v) != "z" || !ok {
			t.Fatalf("fact %q %v", v, ok)
		}
		if v, ok := q.Get("empty"); len(v) != 0 || !ok {
			t.Fatalf("empty fact %q %v", v, ok)
		}
		if _, ok := q.Get("gone"); ok {
			t.Fatal("removed fact is there")
		}
	}
	check(r)
	q := must(Open(path, src))(t)
	check(q)
	if *r.view.Load().logKeys[2] != *q.view.Load().logKeys[2] || r.Roots()[1] != q.Roots()[1] {
		t.Fatal("keys changed over the disk")
	}

	// Another node of the cluster.
	other, _, _ := newRing(t)
	for e, k := range r.Roots() {
		if err := other.AddRoot(e, k); err != nil {
			t.Fatal(err)
		}
	}
	index, ok := r.IndexKey()
	if !ok {
		t.Fatal("no index key")
	}
	if err := other.SetIndexKey(index); err != nil {
		t.Fatal(err)
	}
	wantErr(t, other.SetIndexKey(fixed(9)), ErrConflict)
	wantErr(t, other.AddRoot(1, fixed(9)), ErrConflict)
	wantErr(t, other.AddRoot(0, fixed(9)), ErrNoEpoch)
	if got := must(other.OpenRoot(KindCAKey, []byte("ca"), sealed))(t); string(got) != "private" {
		t.Fatalf("other node opened %q", got)
	}
	if got := must(other.DirectoryHash(KindAddress, []byte("a@b")))(t); got != hash {
		t.Fatal("directory hash differs between nodes")
	}

	if err := r.DropRoot(1); err != nil {
		t.Fatal(err)
	}
	_, err := r.OpenRoot(KindCAKey, []byte("ca"), sealed)
	wantErr(t, err, ErrNoEpoch)
}

func TestPutOfTheSameWritesNothing(t *testing.T) {
	r, path, _ := newRing(t)
	if err := r.Put("a", []byte("b")); err != nil {
		t.Fatal(err)
	}
	before := must(os.ReadFile(path))(t)
	if err := r.Put("a", []byte("b")); err != nil {
		t.Fatal(err)
	}
	if err := r.Put("absent", nil); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, must(os.ReadFile(path))(t)) {
		t.Fatal("the file was written again")
	}
}

func TestLimits(t *testing.T) {
	r, _, _ := newRing(t)
	wantErr(t, r.Put("", nil), ErrTooLarge)
	wantErr(t, r.Put(string(make([]byte, MaxFactName+1)), nil), ErrTooLarge)
	wantErr(t, r.Put("a", make([]byte, MaxFact+1)), ErrTooLarge)
	wantErr(t, r.SetIdentity(make([]byte, maxIdentity+1), nil), ErrTooLarge)
	if err := r.SetIdentity(nil, []byte("x")); err == nil {
		t.Fatal("identity without a key taken")
	}
}

func TestCreateReplacesNothing(t *testing.T) {
	_, path, src := newRing(t)
	_, err := Create(path, src)
	wantErr(t, err, ErrExists)
	_, err = Open(path+"x", src)
	wantErr(t, err, ErrNoKeyring)
	info := must(os.Stat(path))(t)
	if info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %04o", info.Mode().Perm())
	}
}

func TestClosedRingGivesNothing(t *testing.T) {
	r, _, _ := newRing(t)
	must(r.NewRoot())(t)
	r.Close()
	wantErr(t, r.Put("a", []byte("b")), ErrClosed)
	wantErr(t, r.Reseal(keySource(fixed(2))), ErrClosed)
	if _, k := r.LogKey(); k != nil {
		t.Fatal("log key after Close")
	}
	_, err := r.SealRoot(KindCAKey, nil, nil)
	wantErr(t, err, ErrNoRoot)
}

func TestReseal(t *testing.T) {
	r, path, src := newRing(t)
	must(r.NewRoot())(t)
	pass := PassphraseSource{Read: func() ([]byte, error) { return []byte("open sesame"), nil }}
	if err := r.Reseal(pass); err != nil {
		t.Fatal(err)
	}
	if err := r.Put("after", []byte("1")); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, src)
	wantErr(t, err, ErrWrongKey)
	if !IsUnlockError(err) {
		t.Fatal("not an unlock error")
	}
	_, err = Open(path, wrongPassphrase{})
	wantErr(t, err, ErrWrongKey)
	_, err = Open(path, PassphraseSource{Read: func() ([]byte, error) { return nil, nil }})
	wantErr(t, err, ErrKeySource)
	q := must(Open(path, pass))(t)
	if _, ok := q.Get("after"); !ok || q.Roots()[1] != r.Roots()[1] {
		t.Fatal("contents lost by Reseal")
	}
}

// TestDamage flips every bit of a small ring's file and cuts it at every
// length: each must be seen, and none taken for another key.
func TestDamage(t *testing.T) {
	r, path, src := newRing(t)
	must(r.NewRoot())(t)
	whole := must(os.ReadFile(path))(t)
	for i := range whole {
		for bit := range 8 {
			b := slices.Clone(whole)
			b[i] ^= 1 << bit
			_, _, err := decodeFile(b, src)
			want := ErrDamaged
			if i == offVersion {
				want = ErrVersion
			}
			wantErr(t, err, want)
		}
		_, _, err := decodeFile(whole[:i], src)
		wantErr(t, err, ErrDamaged)
	}
	_, _, err := decodeFile(append(slices.Clone(whole), 0), src)
	wantErr(t, err, ErrDamaged)

	// The same with a right checksum, as a malicious writer makes it: the
	// seal and the key check see it.
	for i := range whole[:len(whole)-crcSize] {
		b := slices.Clone(whole)
		b[i] ^= 0x40
		resum(b)
		if _, _, err := decodeFile(b, src); err == nil {
			t.Fatalf("byte %d altered and not seen", i)
		}
	}
	_, _, err = decodeFile(whole, keySource(fixed(2)))
	wantErr(t, err, ErrWrongKey)
	huge := slices.Clone(whole)
	huge[offMethod] = byte(MethodArgon2id)
	binary.BigEndian.PutUint32(huge[offMemory:], 1<<31)
	resum(huge)
	_, _, err = decodeFile(huge, PassphraseSource{Read: func() ([]byte, error) {
		t.Error("asked for a passphrase")
		return nil, nil
	}})
	wantErr(t, err, ErrDamaged)
}

func resum(b []byte) {
	n := len(b) - crcSize
	binary.BigEndian.PutUint32(b[n:], crc32.Checksum(b[:n], crcTable))
}

func goldenRing() (*contents, *unlock, *[chacha20poly1305.NonceSizeX]byte) {
	c := newContents()
	key := func(b byte) *[KeySize]byte { k := fixed(b); return &k }
	c.roots[1], c.roots[2], c.currentRoot = key(10), key(20), 2
	c.index = key(30)
	c.logKeys[3], c.fileKeys[4], c.fileKeys[5] = key(40), key(50), key(60)
	c.identityKey, c.identityCert = []byte("private key"), []byte("certificate")
	c.facts["node"], c.facts["group"] = []byte("value"), []byte{}
	u := &unlock{method: MethodKey, params: Params{Salt: [16]byte{1, 2, 3}}, key: fixed(1)}
	return c, u, &[chacha20poly1305.NonceSizeX]byte{7, 8, 9}
}

// golden compares got with the bytes in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(hex.Dump(got)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := must(os.ReadFile(path))(t)
	if string(want) != hex.Dump(got) {
		t.Fatalf("%s: bytes differ from golden:\n%s", name, hex.Dump(got))
	}
}

func TestGoldenFile(t *testing.T) {
	c, u, nonce := goldenRing()
	b := must(encodeFile(c, u, nonce))(t)
	golden(t, "keyring.hex", b)
	golden(t, "contents.hex", c.encode())
	d, _, err := decodeFile(b, keySource(fixed(1)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(d.encode(), c.encode()) {
		t.Fatal("contents changed")
	}
}

func FuzzContents(f *testing.F) {
	c, _, _ := goldenRing()
	f.Add(c.encode())
	f.Add([]byte{})
	f.Add([]byte{recFact, 0, 0, 0, 3, 1, 'a', 'b'})
	f.Add([]byte{recIdentity, 0, 0, 0, 4, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := decodeContents(b)
		if err != nil {
			return
		}
		d, err := decodeContents(c.encode())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(c.encode(), d.encode()) {
			t.Fatal("contents change when written again")
		}
		if _, err := newView(c); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzOpenFile(f *testing.F) {
	c, u, nonce := goldenRing()
	b, err := encodeFile(c, u, nonce)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:90])
	f.Fuzz(func(t *testing.T, b []byte) {
		b = slices.Clone(b)
		if len(b) > crcSize {
			resum(b)
		}
		if _, _, err := decodeFile(b, keySource(fixed(1))); err != nil && !errors.Is(err, ErrDamaged) &&
			!errors.Is(err, ErrVersion) && !errors.Is(err, ErrWrongKey) {
			t.Fatalf("error without a class: %v", err)
		}
	})
}
