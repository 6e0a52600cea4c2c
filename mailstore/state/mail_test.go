package state

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

const alice, bob = mailstore.AccountID(0xa11ce), mailstore.AccountID(0xb0b)

func equal[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%v", got), fmt.Sprintf("%v", want); g != w {
		t.Errorf("%s: got %s, want %s", what, g, w)
	}
}

func TestDeliverStoreExpunge(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	var events []mailstore.Event
	var dead []mailstore.BodyID
	r.m.OnEvents = func(e []mailstore.Event) { events = append(events, e...) }
	r.m.OnDead = func(g cluster.GroupID, ids []mailstore.BodyID) { dead = append(dead, ids...) }

	r.must(openAccount(alice, "Archive"))
	for n := range uint64(4) {
		res := r.must(deliver(alice, "INBOX", placed(n+1, 100)))
		equal(t, "delivery", res.Stored[0].Code, pb.Code_OK)
		equal(t, "uid", res.Stored[0].Uid, uint32(n+1))
	}
	in := r.box(alice, Inbox)
	equal(t, "counts", []any{in.Exists, in.Unseen, in.Size, in.UIDNext}, []any{4, 4, 400, 5})

	res := r.must(store(alice, Inbox, uids(2, 3), pb.StoreFlags_ADD, mailstore.FlagDeleted|mailstore.FlagSeen, kw("x", "y")...))
	equal(t, "changed", len(res.Changed), 2)
	before := res.Modseq
	res = r.must(store(alice, Inbox, uids(2, 3), pb.StoreFlags_ADD, mailstore.FlagSeen, kw("y")...))
	equal(t, "a STORE that changes nothing", []any{len(res.Changed), res.Modseq}, []any{0, before})
	in = r.box(alice, Inbox)
	equal(t, "highest", uint64(in.HighestModSeq), before)
	equal(t, "list", r.list(alice, Inbox), []string{"1 f00 k[]", "2 f09 k[0 1]", "3 f09 k[0 1]", "4 f00 k[]"})

	cond := before - 1
	c := store(alice, Inbox, uids(1, 4), pb.StoreFlags_SET, mailstore.FlagFlagged)
	c.GetStoreFlags().UnchangedSince = &cond
	res = r.must(c)
	equal(t, "modified", res.Modified, []uint32{2, 3})
	equal(t, "list", r.list(alice, Inbox), []string{"1 f04 k[]", "2 f09 k[0 1]", "3 f09 k[0 1]", "4 f04 k[]"})

	since := r.acct(alice).ModSeq
	res = r.must(expunge(alice, Inbox, uids(1, 2), false))
	equal(t, "expunged", res.Expunged, []*pb.UIDRange{{First: 2, Last: 2}})
	equal(t, "dead", dead, []mailstore.BodyID{mailstore.BodyID(bodyID(2))})
	if ref, err := r.m.BodyReferenced(mailstore.BodyID(bodyID(2))); err != nil || !ref {
		t.Errorf("a body whose death is not durable must count as referenced: %v %v", ref, err)
	}
	if _, _, err := r.m.Sync(); err != nil {
		t.Fatal(err)
	}
	if ref, err := r.m.BodyReferenced(mailstore.BodyID(bodyID(2))); err != nil || ref {
		t.Errorf("a body durably dead: %v %v", ref, err)
	}
	r.must(expunge(alice, Inbox, uids(4, 4), true))
	r.read(func(rd *Reader) {
		v, err := rd.Vanished(alice, Inbox, since)
		equal(t, "vanished", v, []mailstore.Range{{First: 2, Last: 2}, {First: 4, Last: 4}})
		equal(t, "err", err, error(nil))
		v, _ = rd.Vanished(alice, Inbox, since+1)
		equal(t, "vanished later", v, []mailstore.Range{{First: 4, Last: 4}})
		u, err := rd.UIDs(alice, Inbox)
		equal(t, "uids", u, []mailstore.UID{1, 3})
		equal(t, "err", err, error(nil))
	})
	if !slices.ContainsFunc(events, func(e mailstore.Event) bool { return e.Mailbox == Inbox && e.Account == alice }) {
		t.Error("no event for INBOX")
	}
}

func TestDeliverRecipients(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.must(openAccount(alice))
	r.must(openAccount(bob, "Junk"))
	r.must(&pb.Command{Op: &pb.Command_UpdateAccount{UpdateAccount: &pb.UpdateAccount{
		Account: uint64(bob), QuotaBytes: new(uint64(1)), Frozen: new(true),
	}}})
	r.must(&pb.Command{Op: &pb.Command_CloseAccount{CloseAccount: &pb.CloseAccount{Account: 77}}})
	c := deliver(alice, "No such folder", placed(1, 10))
	d := c.GetDeliver()
	d.To = append(d.To,
		&pb.Deliver_To{Account: 99, Message: placed(2, 10)},
		&pb.Deliver_To{Account: 77, Message: placed(2, 10)},
		&pb.Deliver_To{Account: uint64(bob), Mailbox: hash("Junk"), Message: placed(1, 10)},
		&pb.Deliver_To{Account: uint64(bob), Message: placed(1, 10)})
	res := r.must(c)
	var got []string
	for _, s := range res.Stored {
		got = append(got, fmt.Sprintf("%s %d %d", s.Code, s.Mailbox, s.Uid))
	}
	equal(t, "stored", got, []string{"OK 1 1", "NO_ACCOUNT 0 0", "GONE 0 0", "OK 2 1", "EXISTS 0 0"})
	// Frozen and over quota: only deliveries pass.
	r.wants(pb.Code_NOT_PERMITTED, appendTo(bob, Inbox, placed(5, 1)))
	r.must(&pb.Command{Op: &pb.Command_UpdateAccount{UpdateAccount: &pb.UpdateAccount{Account: uint64(bob), Frozen: new(false)}}})
	r.wants(pb.Code_OVER_QUOTA, appendTo(bob, Inbox, placed(5, 1)))
	r.wants(pb.Code_OVER_QUOTA, copyTo(bob, 2, uids(1, 1), Inbox, false))
	r.must(copyTo(bob, 2, uids(1, 1), Inbox, true))
	r.wants(pb.Code_GONE, openAccount(77))
}

func TestRetryIsAnsweredOnce(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.must(openAccount(alice))
	e := r.entry(deliver(alice, "", placed(1, 10)))
	first := r.apply(e)[0]
	again := e
	r.index++
	again.Index = r.index
	second := r.apply(again, r.entry(deliver(alice, "", placed(2, 10))))[0]
	equal(t, "second answer", second.Value, first.Value)
	equal(t, "exists", r.box(alice, Inbox).Exists, 2)
	skipped := r.apply(e)[0]
	if !skipped.Skipped || skipped.Value != nil {
		t.Errorf("an entry at or below the applied index: %+v", skipped)
	}
	equal(t, "stats", r.m.Stats(), Stats{Batches: 3, Entries: 4, Skipped: 1, Commands: 3, Repeated: 1})
	old := r.entry(deliver(alice, "", placed(3, 10)))
	old.First = old.Time - opWindow/2 - 1
	equal(t, "old", r.result(r.apply(old)[0]).Code, pb.Code_EXPIRED)
	equal(t, "exists", r.box(alice, Inbox).Exists, 2)
}

func BenchmarkDeliver(b *testing.B) {
	r := newRig(b, vfs.NewMem())
	for a := range mailstore.AccountID(1000) {
		r.must(openAccount(a + 1))
	}
	summary := make([]byte, 1200)
	rng := rand.New(rand.NewPCG(1, 2)) // sealed bytes do not compress
	const batch = 64
	var es []cluster.Entry
	n := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		es = es[:0]
		for range batch {
			n++
			p := placed(n, 7000, fmt.Sprint("own", n), fmt.Sprint("own", n-1), fmt.Sprint("own", n-2))
			for i := 0; i < len(summary); i += 8 {
				binary.LittleEndian.PutUint64(summary[i:], rng.Uint64())
			}
			p.Content.Summary = summary
			es = append(es, r.entry(deliver(mailstore.AccountID(n*2654435761%1000+1), "INBOX", p)))
		}
		b.StartTimer()
		r.apply(es...)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/deliver")
}
