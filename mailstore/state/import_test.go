package state

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

func beginImport(a mailstore.AccountID, source string, mix bool) *pb.Command {
	return &pb.Command{Op: &pb.Command_BeginImport{BeginImport: &pb.BeginImport{Account: uint64(a), Source: hash(source), Mix: mix}}}
}

func adopt(a mailstore.AccountID, box mailstore.MailboxID, validity, next uint32, seq uint64) *pb.Command {
	return &pb.Command{Op: &pb.Command_AdoptMailbox{AdoptMailbox: &pb.AdoptMailbox{
		Account: uint64(a), Mailbox: uint32(box), UidValidity: validity, UidNext: next, ModSeq: seq,
	}}}
}

// importTo is an Append of messages that had the UIDs 10, 20, 30 and so on.
func importTo(a mailstore.AccountID, box mailstore.MailboxID, keep bool, ps ...*pb.Placed) *pb.Command {
	c := appendTo(a, box, ps...)
	for i := range ps {
		c.GetAppend().SourceUids = append(c.GetAppend().SourceUids, uint32(i+1)*10)
	}
	c.GetAppend().KeepUids = keep
	return c
}

// genCounted are UIDVALIDITYs that accounts count themselves in TestTwin.
var genCounted = func() []uint32 {
	first := uint32(startTime / 1000)
	return []uint32{first, first + 1, first + 2, first + 3}
}()

// importing draws a command of an import.
func (g *gen) importing(a mailstore.AccountID) *pb.Command {
	switch g.int("import", 0, 5) {
	case 0:
		return beginImport(a, []string{"s", "t"}[g.int("source", 0, 1)], g.int("mix", 0, 1) == 0)
	case 1, 2:
		v := append([]uint32{0, 70, 71, 1<<31 + 5}, genCounted...)[g.int("validity", 0, 3+len(genCounted))]
		return adopt(a, g.box(), v, uint32(g.int("next", 0, 12)), uint64(g.int("modseq", 0, 70)))
	}
	c := appendTo(a, g.box())
	u := 0
	for range g.int("messages", 1, 3) {
		u += g.int("step", 1, 6)
		c.GetAppend().Messages = append(c.GetAppend().Messages, g.placed())
		c.GetAppend().SourceUids = append(c.GetAppend().SourceUids, uint32(u))
	}
	c.GetAppend().KeepUids = g.int("keep", 0, 2) > 0
	return c
}

func (t *twin) beginImport(o *pb.BeginImport) string {
	a, _, cd := t.find(o.Account, 0)
	if cd != pb.Code_OK {
		return cd.String()
	}
	if a.source == string(o.Source) {
		return "OK"
	}
	if _, n := a.used(); n > 0 && !o.Mix {
		return "EXISTS"
	}
	a.source, a.imported = string(o.Source), map[uint32]*twinImport{}
	return "OK"
}

func (t *twin) adopt(o *pb.AdoptMailbox) string {
	a, b, cd := t.find(o.Account, o.Mailbox)
	if cd != pb.Code_OK {
		return cd.String()
	}
	if a.source == "" {
		return "CONFLICT"
	}
	v, i := uint64(o.UidValidity), a.imported[o.Mailbox]
	changes := v != 0 && (i == nil || !i.kept || b.validity != v)
	if changes {
		if b.next != 1 || i != nil {
			return "CONFLICT"
		}
		if a.adopted[v] || v >= a.first && v < a.nextVal {
			var holder *twinBox
			for id, o := range a.boxes {
				if o.validity == v && o.next == 1 && (a.imported[id] == nil || !a.imported[id].kept) {
					holder = o
				}
			}
			if holder == nil {
				return "EXISTS"
			}
			if holder != b {
				holder.validity = a.nextVal
				a.nextVal++
			}
		}
		b.validity, a.adopted[v], a.imported[o.Mailbox] = v, true, &twinImport{kept: true}
		a.nextVal = max(a.nextVal, v+1)
	}
	if o.UidNext > b.next {
		if b.recent == b.next {
			b.recent = o.UidNext
		}
		b.next, changes = o.UidNext, true
	}
	if o.ModSeq > a.modseq {
		a.modseq, changes = o.ModSeq, true
	}
	if changes {
		a.modseq++
		b.high = a.modseq
	}
	return "OK"
}

func (a *twinAccount) mayImport(b *twinBox, o *pb.Append) pb.Code {
	if len(o.SourceUids) == 0 {
		return pb.Code_OK
	}
	i := a.imported[o.Mailbox]
	if i == nil {
		i = &twinImport{}
	}
	if a.source == "" || i.kept != o.KeepUids || o.SourceUids[0] <= i.last || o.KeepUids && o.SourceUids[0] < b.next {
		return pb.Code_CONFLICT
	}
	a.imported[o.Mailbox] = i
	return pb.Code_OK
}

// An account that is imported goes on as what it was, and nothing comes twice.
func TestImport(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	do := func(c *pb.Command, want pb.Code) *pb.Result {
		t.Helper()
		res := r.result(r.apply(r.entry(c))[0])
		if res.Code != want {
			t.Fatalf("%v: %v, want %v", c, res.Code, want)
		}
		return res
	}
	do(openAccount(alice, "a", "b"), pb.Code_OK)
	do(adopt(alice, 2, 77, 0, 0), pb.Code_CONFLICT) // no import is under way
	do(importTo(alice, 2, false, placed(1, 5)), pb.Code_CONFLICT)
	do(beginImport(alice, "s", false), pb.Code_OK)
	do(importTo(alice, 2, true, placed(1, 5)), pb.Code_CONFLICT) // not adopted
	if got := do(adopt(alice, 2, 77, 0, 1<<32), pb.Code_OK); got.UidValidity != 77 || got.Modseq <= 1<<32 {
		t.Errorf("adopted: %v", got)
	}
	do(adopt(alice, 3, 77, 0, 0), pb.Code_EXISTS)
	do(adopt(alice, Inbox, 78, 0, 0), pb.Code_OK)
	got := do(importTo(alice, 2, true, placed(1, 5), placed(2, 5)), pb.Code_OK)
	if got.UidValidity != 77 || got.Stored[0].Uid != 10 || got.Stored[1].Uid != 20 {
		t.Errorf("imported: %v", got)
	}
	do(importTo(alice, 2, true, placed(3, 5), placed(4, 5), placed(5, 5)), pb.Code_CONFLICT) // the same again
	do(adopt(alice, 2, 79, 0, 0), pb.Code_CONFLICT)                                          // it has mail
	do(adopt(alice, 2, 77, 40, 0), pb.Code_OK)
	if got := do(appendTo(alice, 2, placed(6, 5)), pb.Code_OK); got.Stored[0].Uid != 40 {
		t.Errorf("after the import: %v", got)
	}
	// Mail that came meanwhile has taken a UID: what is missing cannot have it.
	late := importTo(alice, 2, true, placed(7, 5), placed(8, 5), placed(9, 5), placed(10, 5))
	late.GetAppend().Messages, late.GetAppend().SourceUids = late.GetAppend().Messages[3:], late.GetAppend().SourceUids[3:]
	do(late, pb.Code_CONFLICT)
	// Another source is not mixed in, unless asked for; then it is renumbered.
	do(beginImport(alice, "t", false), pb.Code_EXISTS)
	do(beginImport(alice, "s", false), pb.Code_OK)
	do(beginImport(alice, "t", true), pb.Code_OK)
	do(adopt(alice, 2, 77, 0, 0), pb.Code_CONFLICT)
	if got := do(importTo(alice, 2, false, placed(11, 5)), pb.Code_OK); got.Stored[0].Uid != 41 {
		t.Errorf("renumbered: %v", got)
	}
	// A UIDVALIDITY is given once, whatever became of the mailbox.
	do(&pb.Command{Op: &pb.Command_DeleteMailbox{DeleteMailbox: &pb.DeleteMailbox{Account: uint64(alice), Mailbox: 2}}}, pb.Code_OK)
	do(adopt(alice, 3, 77, 0, 0), pb.Code_EXISTS)
	rd := r.m.Read()
	first, err := rd.Mailboxes(alice)
	if cerr := rd.Close(); err != nil || cerr != nil {
		t.Fatal(err, cerr)
	}
	for _, b := range first {
		if b.ID == 3 {
			// One that was counted is another's if it was used, and free if not.
			do(adopt(alice, 3, b.UIDValidity-1, 0, 0), pb.Code_EXISTS)
			do(adopt(alice, 3, b.UIDValidity, 0, 0), pb.Code_OK)
		}
	}
	if ps, err := r.m.Check(context.Background()); err != nil || len(ps) > 0 {
		t.Fatal(ps, err)
	}
	do(&pb.Command{Op: &pb.Command_CloseAccount{CloseAccount: &pb.CloseAccount{Account: uint64(alice)}}}, pb.Code_OK)
	for do(&pb.Command{Op: &pb.Command_Purge{Purge: &pb.Purge{Limit: 100}}}, pb.Code_OK).More {
	}
	if ps, err := r.m.Check(context.Background()); err != nil || len(ps) > 0 {
		t.Fatal(ps, err)
	}
}
