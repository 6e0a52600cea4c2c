//go:build sabotage_lose_flag

package state

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// TestLoseFlag shows that the build with the bug has it, and is sound beside.
func TestLoseFlag(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.must(openAccount(alice))
	for i := range uint64(3) {
		r.must(deliver(alice, "", placed(i+1, 10, "x")))
	}
	r.must(store(alice, Inbox, uids(1, 2), pb.StoreFlags_ADD, mailstore.FlagSeen))
	before := r.box(alice, Inbox).Unseen
	r.index++
	r.apply(cluster.Entry{Index: r.index, Term: 1, Kind: cluster.KindEpoch})
	equal(t, "unseen", r.box(alice, Inbox).Unseen, before+1)
	r.check()
}
