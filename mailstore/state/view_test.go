package state

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

// stream copies a view into a stage in small blocks.
func stream(tb testing.TB, v cluster.View, s cluster.Stage) {
	tb.Helper()
	for {
		block, next, done, err := v.Read(s.Next(), minBlock)
		if err != nil {
			tb.Fatal(err)
		}
		if err := s.Write(block); err != nil {
			tb.Fatal(err)
		}
		if string(s.Next()) != string(next) {
			tb.Fatalf("stage continues at %x, view at %x", s.Next(), next)
		}
		if done {
			return
		}
	}
}

func fill(r *rig, n int) {
	r.must(openAccount(alice, "Archive"))
	for i := range n {
		r.must(deliver(alice, "INBOX", placed(uint64(i+1), 500, fmt.Sprint(i))))
	}
}

// A state streamed while its source goes on applying is the state at the
// view's index, and the receiver goes on from there to the same digest.
func TestInstallUnderLoad(t *testing.T) {
	src := newRig(t, vfs.NewMem())
	fill(src, 300)
	v, err := src.m.View()
	if err != nil {
		t.Fatal(err)
	}
	at, term := v.Index()

	dst := newRig(t, vfs.NewMem())
	dst.must(openAccount(bob)) // to be replaced
	events := 0
	dst.m.OnEvents = func(es []mailstore.Event) {
		for _, e := range es {
			if e.Reset {
				events++
			}
		}
	}
	before := dst.m.Read()
	stage, err := dst.m.Stage(at, term)
	if err != nil {
		t.Fatal(err)
	}
	var more []cluster.Entry
	for i := range 50 {
		more = append(more, src.entry(deliver(alice, "Archive", placed(uint64(1000+i), 10))))
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, e := range more {
			if _, err := src.m.Apply([]cluster.Entry{e}); err != nil {
				t.Error(err)
			}
		}
	})
	stream(t, v, stage)
	wg.Wait()
	want := v.Digest()
	if err := stage.Install(); !errors.Is(err, ErrStage) {
		t.Fatalf("an install without a proof of the digest: %v", err)
	}
	if err := stage.Verify(cluster.Digest{1}); !errors.Is(err, ErrBadBlock) {
		t.Fatalf("a wrong digest was accepted: %v", err)
	}
	if err := stage.Verify(want); err != nil {
		t.Fatal(err)
	}
	if err := stage.Install(); err != nil {
		t.Fatal(err)
	}
	if err := stage.Abort(); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	got, idx := dst.m.Digest()
	equal(t, "installed", []any{got, idx, dst.m.Durable()}, []any{want, at, at})
	equal(t, "reset events", events, 1)
	if _, found, err := before.Account(bob); err != nil || !found {
		t.Errorf("a reader from before the install lost its view: %v %v", found, err)
	}
	if _, found, _ := before.Account(alice); found {
		t.Error("a reader from before the install sees what came after")
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	dst.apply(more...)
	a, ai := src.m.Digest()
	b, bi := dst.m.Digest()
	equal(t, "after the same entries", []any{b, bi}, []any{a, ai})
	dst.index = src.index
}

func TestStageRefuses(t *testing.T) {
	src := newRig(t, vfs.NewMem())
	fill(src, 60)
	v, err := src.m.View()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}()
	block, next, done, err := v.Read(nil, minBlock)
	if err != nil || done {
		t.Fatalf("want more than one block: %v %v", done, err)
	}
	second, _, _, err := v.Read(next, minBlock)
	if err != nil {
		t.Fatal(err)
	}
	dst := newRig(t, vfs.NewMem())
	s, err := dst.m.Stage(v.Index())
	if err != nil {
		t.Fatal(err)
	}
	for i := range block {
		bad := append([]byte{}, block...)
		bad[i] ^= 0x10
		if err := s.Write(bad); !errors.Is(err, ErrBadBlock) {
			t.Fatalf("a block with byte %d flipped: %v", i, err)
		}
	}
	if s.Next() != nil {
		t.Fatal("a refused block moved the stage")
	}
	if err := s.Write(second); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(block); !errors.Is(err, ErrBadBlock) {
		t.Errorf("an older block: %v", err)
	}
	// A second stage discards the first.
	s2, err := dst.m.Stage(v.Index())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(second); !errors.Is(err, ErrStage) {
		t.Errorf("a discarded stage: %v", err)
	}
	stream(t, v, s2)
	if err := s2.Verify(v.Digest()); err != nil {
		t.Fatal(err)
	}
	for range 200 { // the machine overtakes the stage
		dst.index++
		dst.apply(cluster.Entry{Index: dst.index, Term: 1, Kind: cluster.KindConfig})
	}
	if err := s2.Install(); !errors.Is(err, ErrStage) {
		t.Errorf("an install that lowers the applied index: %v", err)
	}
}
