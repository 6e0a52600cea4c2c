package keyring

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math/rand"
	"slices"
	"sync"
	"testing"
)

func testAccount(t testing.TB, id uint64) *Account {
	t.Helper()
	a, err := makeAccount(id, fixed(100), []slot{{1, fixed(110)}, {3, fixed(120)}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWrapAccount(t *testing.T) {
	r, _, _ := newRing(t)
	must(r.NewRoot())(t)
	a := must(NewAccount(7))(t)
	wrapped := must(r.WrapAccount(a))(t)
	if e := must(SealedEpoch(wrapped))(t); e != 1 {
		t.Fatalf("wrapped under root %d", e)
	}
	b := must(r.UnwrapAccount(7, wrapped))(t)
	sealed := a.Seal(nil, KindSummary, []byte("obj"), []byte("text"))
	if got := must(b.Open(nil, KindSummary, []byte("obj"), sealed))(t); string(got) != "text" {
		t.Fatalf("opened %q", got)
	}
	if a.Hash(KindThread, []byte("x")) != b.Hash(KindThread, []byte("x")) {
		t.Fatal("hash differs after unwrap")
	}
	_, err := r.UnwrapAccount(8, wrapped)
	wantErr(t, err, ErrDamaged)
	_, err = r.UnwrapAccount(7, wrapped[:20])
	wantErr(t, err, ErrDamaged)
	_, err = r.UnwrapAccount(7, nil)
	wantErr(t, err, ErrDamaged)

	// A rotation of the root leaves the old wrap readable until re-wrapped.
	must(r.NewRoot())(t)
	if err := r.UseRoot(2); err != nil {
		t.Fatal(err)
	}
	again := must(r.WrapAccount(must(r.UnwrapAccount(7, wrapped))(t)))(t)
	if e := must(SealedEpoch(again))(t); e != 2 {
		t.Fatalf("wrapped under root %d", e)
	}
	if err := r.DropRoot(1); err != nil {
		t.Fatal(err)
	}
	_, err = r.UnwrapAccount(7, wrapped)
	wantErr(t, err, ErrNoEpoch)
	must(r.UnwrapAccount(7, again))(t)
}

func TestAccountRotation(t *testing.T) {
	a := must(NewAccount(7))(t)
	old := a.Seal(nil, KindSummary, nil, []byte("old"))
	key := fixed(3)
	oldKey := a.WrapKey(nil, []byte("body"), &key)
	b := must(a.Rotate())(t)
	if b.Epoch() != 2 || a.Epoch() != 1 {
		t.Fatalf("epochs %d %d", a.Epoch(), b.Epoch())
	}
	if got := must(b.Open(nil, KindSummary, nil, old))(t); string(got) != "old" {
		t.Fatalf("opened %q", got)
	}
	if e := must(SealedEpoch(b.Seal(nil, KindSummary, nil, nil)))(t); e != 2 {
		t.Fatalf("sealed under %d", e)
	}
	if a.Hash(KindThread, []byte("x")) != b.Hash(KindThread, []byte("x")) {
		t.Fatal("hash changed with the rotation")
	}
	_, err := a.Open(nil, KindSummary, nil, b.Seal(nil, KindSummary, nil, nil))
	wantErr(t, err, ErrNoEpoch)
	_, err = b.Drop(2)
	wantErr(t, err, ErrEpochInUse)
	_, err = b.Drop(9)
	wantErr(t, err, ErrNoEpoch)
	c := must(b.Drop(1))(t)
	_, err = c.UnwrapKey([]byte("body"), oldKey)
	wantErr(t, err, ErrNoEpoch)
	if !slices.Equal(c.Epochs(), []Epoch{2}) || !slices.Equal(b.Epochs(), []Epoch{1, 2}) {
		t.Fatal("epochs", c.Epochs(), b.Epochs())
	}
	for range maxAccountEpochs - 1 {
		c = must(c.Rotate())(t)
	}
	_, err = c.Rotate()
	wantErr(t, err, ErrTooLarge)
	if d := must(decodeAccount(7, c.encode()))(t); d.Epoch() != c.Epoch() {
		t.Fatal("epochs lost")
	}
}

// TestBinding: a value opens only as what it was sealed as.
func TestBinding(t *testing.T) {
	a, b := testAccount(t, 7), testAccount(t, 8)
	sealed := a.Seal([]byte("before"), KindSummary, []byte("obj"), []byte("text"))
	if !bytes.HasPrefix(sealed, []byte("before")) || len(sealed) != 6+4+Overhead {
		t.Fatal("Seal does not append")
	}
	sealed = sealed[6:]
	if got := must(a.Open([]byte("x"), KindSummary, []byte("obj"), sealed))(t); string(got) != "xtext" {
		t.Fatalf("opened %q", got)
	}
	epoch := slices.Clone(sealed)
	binary.BigEndian.PutUint32(epoch[1:], 1)
	for name, open := range map[string]func() ([]byte, error){
		"account": func() ([]byte, error) { return b.Open([]byte("x"), KindSummary, []byte("obj"), sealed) },
		"kind":    func() ([]byte, error) { return a.Open([]byte("x"), KindThread, []byte("obj"), sealed) },
		"object":  func() ([]byte, error) { return a.Open([]byte("x"), KindSummary, []byte("obk"), sealed) },
		"epoch":   func() ([]byte, error) { return a.Open([]byte("x"), KindSummary, []byte("obj"), epoch) },
		"cut":     func() ([]byte, error) { return a.Open([]byte("x"), KindSummary, []byte("obj"), sealed[:Overhead+3]) },
		"longer": func() ([]byte, error) {
			return a.Open([]byte("x"), KindSummary, []byte("obj"), append(slices.Clone(sealed), 0))
		},
	} {
		got, err := open()
		wantErr(t, err, ErrDamaged)
		if string(got) != "x" {
			t.Fatalf("%s: dst changed to %q", name, got)
		}
	}
	for i := range sealed {
		c := slices.Clone(sealed)
		c[i] ^= 1
		if _, err := a.Open(nil, KindSummary, []byte("obj"), c); err == nil {
			t.Fatalf("byte %d altered and not seen", i)
		}
	}
	newer := append([]byte{2}, sealed[1:]...)
	_, err := a.Open(nil, KindSummary, []byte("obj"), newer)
	wantErr(t, err, ErrVersion)
	_, err = a.UnwrapKey([]byte("obj"), newer)
	wantErr(t, err, ErrVersion)
}

func TestWrapKey(t *testing.T) {
	a := testAccount(t, 7)
	key := fixed(3)
	w := a.WrapKey(nil, []byte("body"), &key)
	if len(w) != WrappedKeySize {
		t.Fatalf("%d bytes", len(w))
	}
	if got := must(a.UnwrapKey([]byte("body"), w))(t); got != key {
		t.Fatal("another key")
	}
	_, err := a.UnwrapKey([]byte("other"), w)
	wantErr(t, err, ErrDamaged)
	_, err = a.UnwrapKey([]byte("body"), w[:WrappedKeySize-1])
	wantErr(t, err, ErrDamaged)
	// A wrapped key is no value of another kind.
	_, err = a.Open(nil, KindSummary, []byte("body"), w)
	wantErr(t, err, ErrDamaged)
}

// TestSealSeed: same inputs, same bytes; any other input, another nonce.
func TestSealSeed(t *testing.T) {
	a := testAccount(t, 7)
	seed, other := fixed(1), fixed(2)
	one := a.SealSeed(nil, KindSummary, []byte("o"), []byte("text"), &seed)
	if !bytes.Equal(one, a.SealSeed(nil, KindSummary, []byte("o"), []byte("text"), &seed)) {
		t.Fatal("not deterministic")
	}
	nonces := map[string]bool{string(one[5:boxHeaderSize]): true}
	for _, b := range [][]byte{
		a.SealSeed(nil, KindSummary, []byte("o"), []byte("texu"), &seed),
		a.SealSeed(nil, KindSummary, []byte("p"), []byte("text"), &seed),
		a.SealSeed(nil, KindThread, []byte("o"), []byte("text"), &seed),
		a.SealSeed(nil, KindSummary, []byte("o"), []byte("text"), &other),
		// A byte moved from the plaintext to the object.
		a.SealSeed(nil, KindSummary, []byte("ot"), []byte("ext"), &seed),
		testAccount(t, 8).SealSeed(nil, KindSummary, []byte("o"), []byte("text"), &seed),
	} {
		n := string(b[5:boxHeaderSize])
		if n != string(one[5:boxHeaderSize]) && !nonces[n] {
			nonces[n] = true
			continue
		}
		t.Fatal("nonce used twice")
	}
	if got := must(a.Open(nil, KindSummary, []byte("o"), one))(t); string(got) != "text" {
		t.Fatalf("opened %q", got)
	}
}

// TestHashTwin compares with a plain HMAC.
func TestHashTwin(t *testing.T) {
	a := testAccount(t, 7)
	index := fixed(100)
	key := must(deriveKey(&index, "altmail account index 1"))(t)
	rnd := rand.New(rand.NewSource(1))
	for n := range 300 {
		data := make([]byte, n)
		rnd.Read(data)
		h := hmac.New(sha256.New, key[:])
		h.Write([]byte{byte(KindThread)})
		h.Write(data)
		if got := a.Hash(KindThread, data); !bytes.Equal(got[:], h.Sum(nil)[:16]) {
			t.Fatalf("%d bytes: hash differs from HMAC", n)
		}
	}
	if a.Hash(KindThread, []byte("x")) == a.Hash(KindAddress, []byte("x")) {
		t.Fatal("kind is not in the hash")
	}
}

func TestGoldenAccount(t *testing.T) {
	a := testAccount(t, 7)
	golden(t, "account.hex", a.encode())
	seed := fixed(1)
	golden(t, "sealed.hex", a.SealSeed(nil, KindSummary, []byte("object"), []byte("plaintext"), &seed))
	h := a.Hash(KindMailboxName, []byte("INBOX"))
	golden(t, "hash.hex", h[:])
}

func TestAccountSlots(t *testing.T) {
	b := testAccount(t, 7).encode()
	locked := slices.Clone(b)
	locked[2+KeySize] = slotX25519
	_, err := decodeAccount(7, locked)
	wantErr(t, err, ErrSlot)
	newer := slices.Clone(b)
	newer[0] = 2
	_, err = decodeAccount(7, newer)
	wantErr(t, err, ErrVersion)
	for i := range b {
		if _, err := decodeAccount(7, b[:i]); err == nil {
			t.Fatalf("cut at %d and not seen", i)
		}
	}
	swapped := slices.Clone(b)
	copy(swapped[2+KeySize:], b[2+KeySize+accountSlot:])
	copy(swapped[2+KeySize+accountSlot:], b[2+KeySize:])
	_, err = decodeAccount(7, swapped)
	wantErr(t, err, ErrDamaged)
}

func TestConcurrentUse(t *testing.T) {
	a := testAccount(t, 7)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			text := bytes.Repeat([]byte{byte(g)}, 100)
			key := fixed(byte(g))
			want := a.Hash(KindThread, text)
			for range 200 {
				got, err := a.Open(nil, KindSummary, text[:5], a.Seal(nil, KindSummary, text[:5], text))
				if err != nil || !bytes.Equal(got, text) {
					t.Errorf("opened %q, %v", got, err)
				}
				k, err := a.UnwrapKey(text, a.WrapKey(nil, text, &key))
				if err != nil || k != key {
					t.Errorf("key differs, %v", err)
				}
				if a.Hash(KindThread, text) != want {
					t.Error("hash differs")
				}
			}
		})
	}
	wg.Wait()
}

func TestNoAllocations(t *testing.T) {
	a := testAccount(t, 7)
	object, text, key := make([]byte, 16), make([]byte, 400), fixed(1)
	buf, out := make([]byte, 0, 1024), make([]byte, 0, 1024)
	sealed := a.Seal(nil, KindSummary, object, text)
	wrapped := a.WrapKey(nil, object, &key)
	for name, f := range map[string]func(){
		"Seal":     func() { buf = a.Seal(buf[:0], KindSummary, object, text) },
		"SealSeed": func() { buf = a.SealSeed(buf[:0], KindSummary, object, text, &key) },
		"Open": func() {
			if _, err := a.Open(out[:0], KindSummary, object, sealed); err != nil {
				t.Fatal(err)
			}
		},
		"UnwrapKey": func() {
			if _, err := a.UnwrapKey(object, wrapped); err != nil {
				t.Fatal(err)
			}
		},
		"Hash": func() { a.Hash(KindThread, text) },
	} {
		if n := testing.AllocsPerRun(200, f); n > 0.5 && !raceEnabled {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func FuzzAccountKeys(f *testing.F) {
	f.Add(testAccount(f, 7).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := decodeAccount(7, b)
		if err == nil && !bytes.Equal(a.encode(), b) {
			t.Fatal("account keys change when written again")
		}
	})
}

func FuzzOpenValue(f *testing.F) {
	a := testAccount(f, 7)
	seed := fixed(1)
	f.Add(a.SealSeed(nil, KindSummary, []byte("o"), []byte("text"), &seed))
	f.Add(make([]byte, Overhead))
	valid := map[string]bool{string(a.SealSeed(nil, KindSummary, []byte("o"), []byte("text"), &seed)): true}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := a.Open(nil, KindSummary, []byte("o"), b); (err == nil) != valid[string(b)] {
			t.Fatalf("opened forged bytes: %v", err)
		}
		if _, err := a.UnwrapKey([]byte("o"), b); err == nil {
			t.Fatal("unwrapped forged bytes")
		}
	})
}

func BenchmarkSeal400(b *testing.B) {
	a := testAccount(b, 7)
	object, text, buf := make([]byte, 16), make([]byte, 400), make([]byte, 0, 1024)
	b.ReportAllocs()
	b.SetBytes(400)
	for b.Loop() {
		buf = a.Seal(buf[:0], KindSummary, object, text)
	}
}

func BenchmarkSealSeed400(b *testing.B) {
	a, seed := testAccount(b, 7), fixed(1)
	object, text, buf := make([]byte, 16), make([]byte, 400), make([]byte, 0, 1024)
	b.ReportAllocs()
	b.SetBytes(400)
	for b.Loop() {
		buf = a.SealSeed(buf[:0], KindSummary, object, text, &seed)
	}
}

func BenchmarkOpen400(b *testing.B) {
	a := testAccount(b, 7)
	object, buf := make([]byte, 16), make([]byte, 0, 1024)
	sealed := a.Seal(nil, KindSummary, object, make([]byte, 400))
	b.ReportAllocs()
	b.SetBytes(400)
	for b.Loop() {
		if _, err := a.Open(buf[:0], KindSummary, object, sealed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUnwrapKey(b *testing.B) {
	a, key := testAccount(b, 7), fixed(1)
	object := make([]byte, 16)
	wrapped := a.WrapKey(nil, object, &key)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := a.UnwrapKey(object, wrapped); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	a := testAccount(b, 7)
	data := make([]byte, 60)
	b.ReportAllocs()
	for b.Loop() {
		a.Hash(KindThread, data)
	}
}
