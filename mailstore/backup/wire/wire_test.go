package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
)

var update = flag.Bool("update", false, "write the golden bytes")

// golden compares with, or writes, a hex dump.
func golden(t *testing.T, name string, b []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(hex.Dump(b)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if hex.Dump(b) != string(want) {
		t.Errorf("%s: the bytes have changed:\n%s", name, hex.Dump(b))
	}
}

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	for k := KindChunk; k <= KindNotHere; k++ {
		if err := Write(&b, k, []byte{byte(k), 0xaa}, []byte("payload")); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(&b, KindEnd); err != nil {
		t.Fatal(err)
	}
	golden(t, "frames.hex", b.Bytes())
	whole := bytes.Clone(b.Bytes())
	r := NewReader(&b)
	for k := KindChunk; k <= KindNotHere; k++ {
		got, p, err := r.Next()
		if err != nil || got != k || string(p) != string([]byte{byte(k), 0xaa})+"payload" {
			t.Fatalf("%d %q: %v", got, p, err)
		}
	}
	if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	// No cut goes unnoticed.
	for n := range whole {
		r := NewReader(bytes.NewReader(whole[:n]))
		var err error
		for err == nil {
			_, _, err = r.Next()
		}
		if !errors.Is(err, ErrStream) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	b.Reset()
	if err := Write(&b, KindError, []byte("no")); err != nil {
		t.Fatal(err)
	}
	var re *RemoteError
	if _, _, err := NewReader(&b).Next(); !errors.As(err, &re) || re.Text != "no" {
		t.Fatal(err)
	}
}

func testSealer(t *testing.T) (*Sealer, *age.X25519Identity, [32]byte) {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	index := [32]byte{1, 2, 3}
	s, err := NewSealer(index, []string{"b", "a"}, []age.Recipient{id.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	return s, id, index
}

func TestSeal(t *testing.T) {
	s, id, index := testSealer(t)
	hid, head, err := s.Head(&Head{Cluster: "c.1", Roots: map[uint32][]byte{1: make([]byte, 32)}, Current: 1, Index: index[:], Recipients: []string{"a", "b"}})
	if err != nil {
		t.Fatal(err)
	}
	cid, chunk, err := s.Chunk(7, []byte("records"))
	if err != nil {
		t.Fatal(err)
	}
	// The ids are those of every node and every time.
	golden(t, "ids.hex", append(hid[:], cid[:]...))
	if s.ChunkID(7, []byte("records")) != cid || s.ChunkID(8, []byte("records")) == cid {
		t.Fatal("ids")
	}
	o, err := NewOpener([]age.Identity{id}, head)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := o.Chunk(7, cid, chunk); err != nil || string(b) != "records" {
		t.Fatalf("%q: %v", b, err)
	}
	for n := range chunk {
		bad := bytes.Clone(chunk)
		bad[n] ^= 1
		if _, err := o.Chunk(7, cid, bad); err == nil {
			t.Fatalf("a flip at %d is not seen", n)
		}
	}
	if _, err := NewOpener([]age.Identity{id}, chunk); !errors.Is(err, ErrSealed) {
		t.Fatalf("a chunk for a head: %v", err)
	}
	// Somebody who knows the recipients, but not the cluster's keys.
	f, err := NewSealer([32]byte{9}, []string{"b", "a"}, s.to)
	if err != nil {
		t.Fatal(err)
	}
	_, forged, err := f.Chunk(7, []byte("forged!"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Chunk(7, cid, forged); !errors.Is(err, ErrSealed) {
		t.Fatalf("a forged chunk: %v", err)
	}
}

func FuzzFrames(f *testing.F) {
	var b bytes.Buffer
	if err := Write(&b, KindBody, make([]byte, 40)); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewReader(bytes.NewReader(b))
		for {
			k, p, err := r.Next()
			if err != nil {
				return
			}
			if k == KindEnd || len(p) > len(b) {
				t.Fatal("more than there is")
			}
		}
	})
}
