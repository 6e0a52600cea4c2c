package main

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/cryptfs"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/state"
)

// TestRotate changes keys again and again: what is stored stays readable
// through a restart, and keys that nothing uses are destroyed, but none that
// something still does.
func TestRotate(t *testing.T) {
	dir := t.TempDir()
	ring := newRing(t)
	defer ring.Close()
	states := filepath.Join(dir, "state")
	open := func() (*state.DB, *state.Directory) {
		db, err := state.Open(cryptfs.New(vfs.Default, ring.Files()), states, state.Options{})
		if err != nil {
			t.Fatal(err)
		}
		d, err := db.Directory()
		if err != nil {
			t.Fatal(err)
		}
		return db, d
	}
	db, d := open()
	put := func(i uint64) {
		b, err := command.Encode(&pb.Command{Op: &pb.Command_PutGroup{PutGroup: &pb.PutGroup{Group: uint32(i)}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Apply([]cluster.Entry{{Index: i, Term: 1, Kind: cluster.KindCommand, Time: i, Op: cluster.OpID{byte(i)}, Command: b}}); err != nil {
			t.Fatal(err)
		}
	}
	oldest := keyring.Epoch(1)
	for i := uint64(1); i <= 6; i++ {
		put(i)
		if err := rotate(t.Context(), ring, []rewritten{{states, db.Compact}}, func() (keyring.Epoch, error) { return oldest, nil }); err != nil {
			t.Fatal(err)
		}
		used, err := cryptfs.EpochsInUse(vfs.Default, states)
		if err != nil {
			t.Fatal(err)
		}
		for e := range used {
			if !slices.Contains(ring.FileKeyEpochs(), keyring.Epoch(e)) {
				t.Fatalf("round %d: a file uses key %d, which is destroyed", i, e)
			}
		}
		if i == 3 {
			if got := ring.LogKeyEpochs(); !slices.Contains(got, 1) {
				t.Fatalf("log keys %v: the first is still needed", got)
			}
			oldest = 4
		}
	}
	if got := ring.LogKeyEpochs(); got[0] < 4 || len(got) > 4 {
		t.Errorf("log keys %v are left, those from 4 on are needed", got)
	}
	// Pebble's manifest and options lie under the first key until the database
	// is opened anew; they name files and key ranges, nothing of mail.
	if got := ring.FileKeyEpochs(); len(got) != 3 {
		t.Errorf("file keys %v are left, want the first and the last two", got)
	}
	failed := errors.New("no log")
	if err := rotate(t.Context(), ring, []rewritten{{states, db.Compact}}, func() (keyring.Epoch, error) { return 0, failed }); !errors.Is(err, failed) {
		t.Errorf("an error is lost: %v", err)
	}
	if err := errors.Join(d.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
	db, d = open()
	r := d.Read()
	groups, err := r.Groups()
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	if len(groups) != 6 {
		t.Errorf("%d groups after a restart, not 6", len(groups))
	}
	for i := uint64(7); i <= 8; i++ {
		put(i)
		if err := rotate(t.Context(), ring, []rewritten{{states, db.Compact}}, func() (keyring.Epoch, error) { return 6, nil }); err != nil {
			t.Fatal(err)
		}
	}
	names, err := vfs.Default.List(states)
	if err != nil {
		t.Fatal(err)
	}
	tables := 0
	for _, n := range names {
		if !strings.HasSuffix(n, ".sst") {
			continue
		}
		tables++
		e, ok, err := cryptfs.Epoch(vfs.Default, filepath.Join(states, n))
		// One that was just replaced may not have been unlinked yet.
		newest, _ := ring.FileKey()
		if err != nil || !ok || keyring.Epoch(e)+1 < newest {
			t.Errorf("%s lies under key %d, the newest is %d: it was not rewritten (%v)", n, e, newest, err)
		}
	}
	if tables == 0 {
		t.Error("no table: the test proves nothing")
	}
	if err := errors.Join(d.Close(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// newRing makes a keyring of its own.
func newRing(t *testing.T) *keyring.Ring {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := keyring.CreateFileKey(key); err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Create(filepath.Join(dir, "keyring"), keyring.FileSource{Path: key})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}
