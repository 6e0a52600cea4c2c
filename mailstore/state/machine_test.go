package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"google.golang.org/protobuf/encoding/protowire"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// Whatever a power loss leaves is the exact state after some entry, not before
// the last one that was synced, and replaying the rest gives the same digest.
func TestPowerLoss(t *testing.T) {
	for seed := range uint64(12) {
		rng := rand.New(rand.NewPCG(seed, 7))
		fs := vfs.NewCrashableMem()
		r := newRig(t, fs)
		digests := map[uint64]cluster.Digest{}
		var log []cluster.Entry
		synced := uint64(0)
		note := func(c *pb.Command) {
			e := r.entry(c)
			r.apply(e)
			log = append(log, e)
			digests[e.Index], _ = r.m.Digest()
		}
		note(openAccount(alice, "Archive"))
		crashAt := 20 + rng.IntN(300)
		for i := range crashAt {
			switch rng.IntN(6) {
			case 0:
				note(store(alice, Inbox, uids(1, uint32(i+1)), pb.StoreFlags_ADD, mailstore.Flags(rng.IntN(32))))
			case 1:
				note(expunge(alice, Inbox, uids(uint32(rng.IntN(i+1)+1), uint32(i+2)), false))
			case 2:
				note(copyTo(alice, Inbox, uids(1, uint32(i+1)), 2, rng.IntN(2) == 0))
			default:
				p := placed(uint64(i+1), 10, fmt.Sprint(i), fmt.Sprint(rng.IntN(i+1)))
				p.Content.Summary = bytes.Repeat([]byte{byte(i)}, rng.IntN(3000))
				note(deliver(alice, "", p))
			}
			if rng.IntN(25) == 0 {
				at, _, err := r.m.Sync()
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "synced", at, r.index)
				synced = at
			}
			if rng.IntN(60) == 0 {
				if err := r.db.p.Flush(); err != nil {
					t.Fatal(err)
				}
			}
		}
		lost := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		after := newRig(t, lost)
		at, _ := after.m.Applied()
		if at < synced {
			t.Fatalf("seed %d: synced to %d, after the loss %d", seed, synced, at)
		}
		got, _ := after.m.Digest()
		if at > 0 && got != digests[at] {
			t.Fatalf("seed %d: at %d the digest is %s, was %s", seed, at, got, digests[at])
		}
		after.check()
		// What a machine calls durable when it opens survives the next loss.
		again := newRig(t, lost.CrashClone(vfs.CrashCloneCfg{}))
		if i, _ := again.m.Applied(); i < after.m.Durable() || after.m.Durable() != at {
			t.Fatalf("seed %d: opened at %d, called %d durable, %d was", seed, at, after.m.Durable(), i)
		}
		again.close()
		after.apply(log...)
		a, ai := after.m.Digest()
		b, bi := r.m.Digest()
		equal(t, "after the replay", []any{a, ai}, []any{b, bi})
		after.close()
		r.close()
	}
}

// A later version's command stops the machine; nothing of its batch is kept.
func TestLaterVersionStops(t *testing.T) {
	good := func(r *rig) cluster.Entry { return r.entry(deliver(alice, "", placed(50, 1))) }
	raw := func(b []byte) func(r *rig) cluster.Entry {
		return func(r *rig) cluster.Entry { e := good(r); e.Command = b; return e }
	}
	level := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), command.Level+1)
	unknown := protowire.AppendBytes(protowire.AppendTag([]byte{8, 1}, 999, protowire.BytesType), []byte("x"))
	rise := []byte{8, 1}
	rise = protowire.AppendBytes(protowire.AppendTag(rise, 40, protowire.BytesType), []byte{8, command.Level + 1})
	for name, bad := range map[string]func(*rig) cluster.Entry{
		"level": raw(level), "operation": raw(unknown), "set level": raw(rise),
		"kind": func(r *rig) cluster.Entry { e := good(r); e.Kind = 99; return e },
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewMem()
			r := newRig(t, fs)
			r.must(openAccount(alice))
			before, at := r.m.Digest()
			if _, err := r.m.Apply([]cluster.Entry{good(r), bad(r)}); !errors.Is(err, command.ErrLevel) {
				t.Fatalf("got %v", err)
			}
			if _, err := r.m.Apply([]cluster.Entry{good(r)}); !errors.Is(err, command.ErrLevel) {
				t.Fatalf("the machine went on: %v", err)
			}
			after, atAfter := r.m.Digest()
			equal(t, "state", []any{after, atAfter}, []any{before, at})
		})
	}
	t.Run("malformed", func(t *testing.T) {
		r := newRig(t, vfs.NewMem())
		for _, b := range [][]byte{{0xff}, {}, {8, 1}} {
			e := r.entry(openAccount(alice))
			e.Command = b
			equal(t, "code", r.result(r.apply(e)[0]).Code, pb.Code_INVALID)
		}
	})
}

func TestCheckEntry(t *testing.T) {
	one, two := newRig(t, vfs.NewMem()), newRig(t, vfs.NewMem())
	var es []cluster.Entry
	es = append(es, one.entry(openAccount(alice)), one.entry(deliver(alice, "", placed(1, 10))))
	one.index++
	check := one.index
	es = append(es, cluster.Entry{Index: check, Term: 3, Kind: cluster.KindCheck, Time: one.now + 5000})
	es = append(es, one.entry(deliver(alice, "", placed(2, 10))))
	all := one.apply(es...)
	var single [][]byte
	for _, e := range es {
		single = append(single, two.apply(e)[0].Value)
	}
	equal(t, "digest at the check", all[2].Value, single[2])
	d, ok, err := one.m.CheckDigest(check)
	equal(t, "kept", []any{d[:], ok, err}, []any{all[2].Value, true, nil})
	if now, _ := one.m.Digest(); bytes.Equal(now[:], all[2].Value) {
		t.Error("the digest did not change after the check")
	}
	equal(t, "time", one.m.Time(), one.now+5000-10)
	for range keptChecks {
		one.index++
		one.apply(cluster.Entry{Index: one.index, Term: 3, Kind: cluster.KindCheck})
	}
	_, ok, err = one.m.CheckDigest(check)
	equal(t, "forgotten", []any{ok, err}, []any{false, nil})
}

// An operation is forgotten only when it is old by time and by count, and then
// never executed again.
func TestForgetOperations(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.must(openAccount(alice))
	first := r.entry(deliver(alice, "", placed(1, 10)))
	r.apply(first)
	// Pretend that many commands came between.
	r.m.clock.commands += opCommands
	r.must(deliver(alice, "", placed(2, 10)))
	again := func() pb.Code {
		r.index++
		e := first
		e.Index, e.Time = r.index, r.now
		return r.result(r.apply(e)[0]).Code
	}
	equal(t, "old by count only", again(), pb.Code_OK)
	r.now += opWindow + 1000
	r.must(deliver(alice, "", placed(3, 10)))
	equal(t, "old by both", again(), pb.Code_EXPIRED)
	equal(t, "exists", r.box(alice, Inbox).Exists, 3)
	// First at zero is a proposer that knows no time: fine until something
	// was forgotten, refused from then on.
	e := r.entry(deliver(alice, "", placed(4, 10)))
	e.First = 0
	equal(t, "first zero", r.result(r.apply(e)[0]).Code, pb.Code_EXPIRED)
	r.read(func(rd *Reader) { // pass over the gap that the pretence left
		p, first := rd.table(nil, tabOpAge), uint64(0)
		if err := rd.scan(p, func(k, _ []byte) error {
			if first == 0 {
				first = binary.BigEndian.Uint64(k)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		r.m.clock.firstOp = first
	})
	r.m.clock.commands += opCommands
	r.now += opWindow + 1000
	for i := range 20 {
		r.must(deliver(alice, "", placed(uint64(10+i), 10)))
	}
	n := 0
	r.read(func(rd *Reader) {
		if err := rd.scan(rd.table(nil, tabOp), func(_, _ []byte) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
	})
	equal(t, "remembered", n, 20)
}

func TestVanishedMerges(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.must(openAccount(alice))
	for i := range 30 {
		r.must(deliver(alice, "", placed(uint64(i+1), 10)))
	}
	rows := func() (n int) {
		r.read(func(rd *Reader) {
			if err := rd.scan(rd.account(nil, tabVanished, alice), func(_, _ []byte) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
		})
		return n
	}
	for i := range uint32(10) {
		r.must(expunge(alice, Inbox, uids(2*i+1, 2*i+1), true))
	}
	equal(t, "young rows", rows(), 10)
	r.now += (vanishedAge + 60) * 1000
	since := r.acct(alice).ModSeq
	for i := range uint32(9) {
		r.must(expunge(alice, Inbox, uids(2*i+2, 2*i+2), true))
	}
	equal(t, "old ones merged", rows(), 10)
	r.read(func(rd *Reader) {
		v, err := rd.Vanished(alice, Inbox, 0)
		equal(t, "all", []any{v, err}, []any{[]mailstore.Range{{First: 1, Last: 19}}, nil})
		v, err = rd.Vanished(alice, Inbox, since)
		equal(t, "late ones", []any{len(v), err}, []any{9, nil})
	})
	// A merged row that is full is left alone.
	b := r.m.boxes[boxKey{alice, Inbox}]
	full := vanishedRow{time: 1}
	for i := range mailstore.UID(30_000) {
		full.ranges = append(full.ranges, mailstore.Range{First: 100_000 + i*1000, Last: 100_000 + i*1000})
	}
	tt := &r.m.t
	tt.batch = r.db.p.NewIndexedBatch()
	key := r.m.mailboxModSeq(nil, tabVanished, alice, Inbox, 1)
	if _, err := tt.put(key, absent, full.encode(nil)); err != nil {
		t.Fatal(err)
	}
	if more, err := r.m.mergeVanished(tt, b); err != nil || !more || b.full <= 1 {
		t.Errorf("a full row: %v %v, %d", more, err, b.full)
	}
	if err := tt.del(key, tt.row(key, full.encode(nil))); err != nil {
		t.Fatal(err)
	}
	if err := tt.batch.Close(); err != nil {
		t.Fatal(err)
	}
	r.must(deliver(alice, "", placed(100, 1))) // writes the mailbox
}

func TestJump(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.must(openAccount(alice, "a"))
	r.must(deliver(alice, "", placed(1, 10)))
	before, acc := r.box(alice, Inbox), r.acct(alice)
	r.must(&pb.Command{Op: &pb.Command_Jump{Jump: &pb.Jump{Uids: 1 << 20, Modseqs: 1 << 32}}})
	b := r.box(alice, Inbox)
	if b.UIDNext != before.UIDNext+1<<20 || b.HighestModSeq <= before.HighestModSeq+1<<32 || b.UIDValidity != before.UIDValidity {
		t.Errorf("jumped from %+v to %+v", before.Mailbox, b.Mailbox)
	}
	res := r.must(&pb.Command{Op: &pb.Command_CreateMailbox{CreateMailbox: &pb.CreateMailbox{Account: uint64(alice), Name: nameOf("x")}}})
	if res.UidValidity < acc.NextValidity+validityJump || res.Mailbox < acc.NextMailbox+1<<20 {
		t.Errorf("a new mailbox has id %d and UIDVALIDITY %d", res.Mailbox, res.UidValidity)
	}
	for range 16 {
		r.must(&pb.Command{Op: &pb.Command_Jump{Jump: &pb.Jump{Uids: 1 << 28}}})
	}
	equal(t, "a delivery to a full INBOX", r.must(deliver(alice, "", placed(2, 10))).Stored[0].Code, pb.Code_LIMIT)
	r.wants(pb.Code_LIMIT, appendTo(alice, Inbox, placed(2, 10)))
}

func TestHandoffHoldsItsBody(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	var dead []mailstore.BodyID
	r.m.OnDead = func(_ cluster.GroupID, ids []mailstore.BodyID) { dead = append(dead, ids...) }
	r.must(openAccount(alice))
	r.must(deliver(alice, "", placed(1, 10)))
	h := &pb.OpenHandoff{Id: id16(5), Body: bodyID(1), BodySize: 6, Items: []*pb.OpenHandoff_Item{{Group: 2, Op: id16(6), Command: []byte("command")}}}
	open := &pb.Command{Op: &pb.Command_OpenHandoff{OpenHandoff: h}}
	r.must(open)
	r.wants(pb.Code_EXISTS, open)
	r.must(expunge(alice, Inbox, uids(1, 1), true))
	equal(t, "dead while handed off", len(dead), 0)
	r.read(func(rd *Reader) {
		got, found, err := rd.Handoff([16]byte(id16(5)))
		equal(t, "handoff", []any{got.Items, found, err}, []any{[]HandoffItem{{2, cluster.OpID(id16(6)), []byte("command")}}, true, nil})
		n := 0
		if err := rd.Handoffs(func(*HandoffRow) error { n++; return nil }); err != nil || n != 1 {
			t.Errorf("handoffs: %d %v", n, err)
		}
	})
	lost := &pb.Command{Op: &pb.Command_BodyLost{BodyLost: &pb.BodyLost{Body: bodyID(1)}}}
	r.must(lost)
	for b, err := range r.m.BodiesAfter(cluster.BodyID{}) {
		t.Errorf("a lost body is live: %s %v", b.ID, err)
	}
	shut := &pb.Command{Op: &pb.Command_CloseHandoff{CloseHandoff: &pb.CloseHandoff{Id: id16(5)}}}
	r.must(shut)
	r.wants(pb.Code_NO_SUCH, shut)
	r.wants(pb.Code_NO_SUCH, lost)
	equal(t, "dead", len(dead), 1)
}

func TestWholeAndLevel(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	for _, whole := range []bool{true, false, true} {
		r.must(&pb.Command{Op: &pb.Command_SetWhole{SetWhole: &pb.SetWhole{Node: id16(3), Whole: whole}}})
		r.read(func(rd *Reader) {
			w, err := rd.Wholes()
			equal(t, "wholes", []any{w, err}, []any{map[cluster.NodeID]bool{cluster.NodeID(id16(3)): whole}, nil})
		})
	}
	r.must(&pb.Command{Op: &pb.Command_SetLevel{SetLevel: &pb.SetLevel{Level: 1}}})
	equal(t, "level", r.m.Level(), 1)
}

// A mailbox or account that is closed is gone for readers at once and from the
// disk once purged, in as many steps as that takes.
func TestPurgeInSteps(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.must(openAccount(alice, "a"))
	r.must(openAccount(bob, "a"))
	for i := range 20 {
		r.must(deliver(alice, []string{"INBOX", "a"}[i%2], placed(uint64(i+1), 10, fmt.Sprint(i%3))))
	}
	r.must(copyTo(alice, 2, uids(1, 5), Inbox, false))
	r.must(expunge(alice, 2, uids(3, 4), true))
	r.must(&pb.Command{Op: &pb.Command_DeleteMailbox{DeleteMailbox: &pb.DeleteMailbox{Account: uint64(alice), Mailbox: 2}}})
	equal(t, "used", r.acct(alice).UsedMessages, 15)
	r.check()
	steps := func() (n int) {
		for {
			n++
			res := r.must(&pb.Command{Op: &pb.Command_Purge{Purge: &pb.Purge{Limit: 3}}})
			r.check()
			if !res.More {
				return n
			}
		}
	}
	if n := steps(); n < 3 {
		t.Errorf("a mailbox of 8 messages was purged in %d steps of 3", n)
	}
	r.must(&pb.Command{Op: &pb.Command_DeleteMailbox{DeleteMailbox: &pb.DeleteMailbox{Account: uint64(bob), Mailbox: 2}}})
	r.must(&pb.Command{Op: &pb.Command_CloseAccount{CloseAccount: &pb.CloseAccount{Account: uint64(alice)}}})
	r.must(&pb.Command{Op: &pb.Command_CloseAccount{CloseAccount: &pb.CloseAccount{Account: uint64(bob)}}})
	steps()
	r.read(func(rd *Reader) {
		needs, err := rd.NeedsPurge()
		equal(t, "needs purge", []any{needs, err}, []any{false, nil})
		left := map[byte]int{}
		if err := rd.scan(rd.prefix[:], func(k, _ []byte) error { left[k[0]]++; return nil }); err != nil {
			t.Fatal(err)
		}
		delete(left, tabOp)
		delete(left, tabOpAge)
		equal(t, "rows left", left, map[byte]int{tabApplied: 1, tabClock: 1, tabAccount: 2})
	})
	r.wants(pb.Code_GONE, store(alice, Inbox, uids(1, 1), pb.StoreFlags_ADD, 1))
	equal(t, "deliver", r.must(deliver(alice, "", placed(99, 1))).Stored[0].Code, pb.Code_GONE)
	// What is gone from the rows is gone from the files after a compaction.
	if err := r.db.p.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := r.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Check sees what it is for: a row changed behind the machine's back.
func TestCheckSeesDamage(t *testing.T) {
	key := func(k keys, tab byte) []byte { return k.table(nil, tab) }
	for name, damage := range map[string]func(r *rig, b *pebble.Batch) error{
		"a row removed": func(r *rig, b *pebble.Batch) error {
			return b.Delete(r.m.message(nil, alice, Inbox, 1), nil)
		},
		"a row in no table": func(r *rig, b *pebble.Batch) error {
			return b.Set(append(key(r.m.keys, 0x77), 1), nil, nil)
		},
		"a count": func(r *rig, b *pebble.Batch) error {
			row := r.box(alice, Inbox)
			row.Exists++
			return b.Set(r.m.mailbox(nil, tabMailbox, alice, Inbox), row.encode(nil), nil)
		},
		"a body without reference": func(r *rig, b *pebble.Batch) error {
			return b.Set(r.m.bytes(nil, tabBody, bodyID(77)), (&bodyRow{refs: 1}).encode(nil), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, vfs.NewMem())
			r.must(openAccount(alice))
			r.must(deliver(alice, "", placed(1, 10)))
			b := r.db.p.NewBatch()
			if err := damage(r, b); err != nil {
				t.Fatal(err)
			}
			if err := b.Commit(pebble.NoSync); err != nil {
				t.Fatal(err)
			}
			ps, err := r.m.Check(t.Context())
			if err != nil || len(ps) == 0 {
				t.Errorf("found %v, %v", ps, err)
			}
			digest := false
			for _, p := range ps {
				digest = digest || p.Rule == 2
			}
			if !digest {
				t.Error("the digest did not see it")
			}
			// Do not let the check at the end fail.
			if err := r.m.Close(); err != nil {
				t.Fatal(err)
			}
			if err := r.db.Close(); err != nil {
				t.Fatal(err)
			}
			r.db = nil
		})
	}
}

func TestReopenAndDrop(t *testing.T) {
	fs := vfs.NewMem()
	r := newRig(t, fs)
	fill(r, 20)
	want, at := r.m.Digest()
	time := r.m.Time()
	r.close()
	r = newRig(t, fs)
	got, gotAt := r.m.Digest()
	equal(t, "reopened", []any{got, gotAt, r.m.Time(), r.m.Durable()}, []any{want, at, time, at})
	if _, err := r.db.Mail(1); err == nil {
		t.Error("a group was opened twice")
	}
	if err := r.db.Drop(1); err == nil {
		t.Error("an open group was dropped")
	}
	if err := r.m.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.m.Apply(nil); err == nil {
		t.Error("a closed machine applied")
	}
	if err := r.db.Drop(1); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.m, err = r.db.Mail(1); err != nil {
		t.Fatal(err)
	}
	empty, i := r.m.Digest()
	equal(t, "dropped", []any{empty, i}, []any{cluster.Digest{}, 0})
	r.index = 0
	fill(r, 3)
}
