package state

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/cryptfs"
)

type oneKey struct{}

func (oneKey) FileKey() (uint32, *[32]byte)              { return 1, &[32]byte{1, 2, 3} }
func (oneKey) FileKeyAt(epoch uint32) (*[32]byte, error) { return &[32]byte{1, 2, 3}, nil }

// The database lives, installs and is reopened on the encrypting file system,
// and nothing that was in clear is in its files, staged ones included (P5).
func TestOnCryptfs(t *testing.T) {
	under := vfs.NewCrashableMem()
	fs := cryptfs.New(under, oneKey{})
	src, dst := newRig(t, vfs.NewMem()), newRig(t, fs)
	src.must(openAccount(alice))
	canary := []byte("known plaintext in a summary, well known")
	for i := range 200 {
		p := placed(uint64(i+1), 10, fmt.Sprint(i))
		p.Content.Summary = bytes.Repeat(canary, 20)
		src.must(deliver(alice, "", p))
	}
	v, err := src.m.View()
	if err != nil {
		t.Fatal(err)
	}
	st, err := dst.m.Stage(v.Index())
	if err != nil {
		t.Fatal(err)
	}
	stream(t, v, st)
	want := v.Digest()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	if err := st.Verify(want); err != nil {
		t.Fatal(err)
	}
	scan := func(when string, dir string) (files int) {
		names, err := under.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range names {
			path := under.PathJoin(dir, n)
			info, err := under.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if info.IsDir() {
				continue
			}
			f, err := under.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, info.Size())
			if n, err := f.ReadAt(b, 0); n != len(b) {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(b, canary[:20]) {
				t.Errorf("%s: %s holds plaintext", when, path)
			}
			files++
		}
		return files
	}
	if n := scan("staged", "state/stage/1"); n == 0 {
		t.Error("nothing was staged where it is looked for")
	}
	if err := st.Install(); err != nil {
		t.Fatal(err)
	}
	dst.index = src.index
	next := src.entry(deliver(alice, "", placed(1000, 5)))
	src.apply(next)
	dst.apply(next)
	dst.index = src.index
	scan("installed", "state")
	// A power loss right after an install leaves what was installed.
	lost := cryptfs.New(under.CrashClone(vfs.CrashCloneCfg{}), oneKey{})
	after := newRig(t, lost)
	at, _ := after.m.Applied()
	d, _ := after.m.Digest()
	if at < next.Index-1 || at == next.Index-1 && d != want {
		t.Errorf("after a loss at %d with digest %s, %s was installed", at, d, want)
	}
	dst.close()
	dst = newRig(t, fs)
	a, ai := src.m.Digest()
	b, bi := dst.m.Digest()
	equal(t, "reopened", []any{b, bi}, []any{a, ai})
}

// A power loss at any moment of an install leaves the old state or the new
// one, whole.
func TestPowerLossDuringInstall(t *testing.T) {
	src := newRig(t, vfs.NewMem())
	fill(src, 100)
	v, err := src.m.View()
	if err != nil {
		t.Fatal(err)
	}
	want := v.Digest()
	var blocks [][]byte
	for after, done := []byte(nil), false; !done; {
		var b []byte
		if b, after, done, err = v.Read(after, minBlock); err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	index, term := v.Index()
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	states := map[cluster.Digest]int{}
	// clone is called at every write below; it keeps the power loss of one.
	for k := 0; k < 200; k += 3 {
		mem := vfs.NewCrashableMem()
		lossy := &lossFS{FS: mem, left: -1}
		dst := newRig(t, lossy)
		dst.must(openAccount(bob))
		if _, _, err := dst.m.Sync(); err != nil {
			t.Fatal(err)
		}
		old, _ := dst.m.Digest()
		lossy.arm(k, func() *vfs.MemFS { return mem.CrashClone(vfs.CrashCloneCfg{}) })
		st, err := dst.m.Stage(index, term)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			if err := st.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := st.Verify(want); err != nil {
			t.Fatal(err)
		}
		if err := st.Install(); err != nil {
			t.Fatal(err)
		}
		lost := lossy.taken()
		installed := lost == nil
		if installed { // fewer writes than k: the loss is after the install
			lost = mem.CrashClone(vfs.CrashCloneCfg{})
		}
		after := newRig(t, lost)
		d, _ := after.m.Digest()
		if d != old && d != want || installed && d != want {
			t.Fatalf("loss at write %d: digest %s, neither %s nor %s", k, d, old, want)
		}
		states[d]++
		after.close()
		dst.close()
		if installed {
			break
		}
	}
	if len(states) != 2 {
		t.Errorf("the losses met only %d of the two states", len(states))
	}
}
