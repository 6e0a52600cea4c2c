package state

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// dump writes all a twin's account shows.
func (a *twinAccount) dump(since uint64) string {
	var b bytes.Buffer
	if a.closed {
		fmt.Fprintf(&b, "closed %d", a.modseq)
		return b.String()
	}
	ub, um := a.used()
	fmt.Fprintf(&b, "used %d/%d modseq %d list %d frozen %v\n", ub, um, a.modseq, a.list, a.frozen)
	fmt.Fprintf(&b, "subs %q\nkeywords %q\n", slices.Sorted(maps.Keys(a.subs)), a.keywords)
	for box := uint32(0); box < 10; box++ {
		for _, h := range slices.Sorted(maps.Keys(a.metadata[box])) {
			e := a.metadata[box][h]
			fmt.Fprintf(&b, "metadata %d %q %d %q\n", box, h, e.modseq, e.sealed)
		}
		for _, h := range slices.Sorted(maps.Keys(a.acl[box])) {
			fmt.Fprintf(&b, "acl %d %q %x\n", box, h, a.acl[box][h])
		}
		if i := a.imported[box]; i != nil {
			fmt.Fprintf(&b, "imported %d %d %t\n", box, i.last, i.kept)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(a.boxes)) {
		box := a.boxes[id]
		unseen, deleted := 0, 0
		var size uint64
		for _, m := range box.messages {
			size += uint64(m.size)
			if m.flags&1 == 0 {
				unseen++
			}
			if m.flags&8 != 0 {
				deleted++
			}
		}
		fmt.Fprintf(&b, "box %d %q %d %d %d %d: %d %d %d %d\n", id, box.name, box.validity, box.next, box.high, box.recent, len(box.messages), unseen, deleted, size)
		var changed []string
		for _, u := range slices.Sorted(maps.Keys(box.messages)) {
			m := box.messages[u]
			fmt.Fprintf(&b, " %d %d %x %q %d %d %d %d %x %x\n", u, m.modseq, m.flags, m.keywords, m.date, m.zone, m.save, m.size, m.content, a.thread[m.content])
			if m.modseq > since {
				changed = append(changed, fmt.Sprintf("%d/%d", m.modseq, u))
			}
		}
		slices.Sort(changed)
		var vanished []uint32
		for _, u := range slices.Sorted(maps.Keys(box.vanished)) {
			if box.vanished[u] > since {
				vanished = append(vanished, u)
			}
		}
		fmt.Fprintf(&b, " changed %v\n vanished %v\n", changed, vanished)
	}
	return b.String()
}

// dumpAccount writes the same from a reader.
func dumpAccount(r *Reader, id mailstore.AccountID, since uint64) (string, error) {
	var b bytes.Buffer
	a, found, err := r.Account(id)
	if err != nil || !found {
		return "none", err
	}
	if a.Closed {
		return fmt.Sprintf("closed %d", a.ModSeq), nil
	}
	subs, err := r.Subscriptions(id)
	if err != nil {
		return "", err
	}
	var names []string
	for _, s := range subs {
		names = append(names, string(s.Hash[:]))
	}
	kws, err := r.Keywords(id)
	if err != nil {
		return "", err
	}
	var words []string
	for _, k := range kws {
		words = append(words, string(k.Hash[:]))
	}
	fmt.Fprintf(&b, "used %d/%d modseq %d list %d frozen %v\n", a.UsedBytes, a.UsedMessages, a.ModSeq, a.List, a.Frozen)
	fmt.Fprintf(&b, "subs %q\nkeywords %q\n", names, words)
	for box := mailstore.MailboxID(0); box < 10; box++ {
		rows, err := r.Metadata(id, box)
		if err != nil {
			return "", err
		}
		for i := range rows {
			fmt.Fprintf(&b, "metadata %d %q %d %q\n", box, rows[i].Hash[:], rows[i].ModSeq, rows[i].Sealed)
		}
		list, err := r.ACL(id, box)
		if err != nil {
			return "", err
		}
		for i := range list {
			fmt.Fprintf(&b, "acl %d %q %x\n", box, list[i].Hash[:], uint16(list[i].Rights))
		}
		if box == 0 {
			continue
		}
		last, kept, ok, err := r.Imported(id, box)
		if err != nil {
			return "", err
		}
		if ok {
			fmt.Fprintf(&b, "imported %d %d %t\n", box, last, kept)
		}
	}
	boxes, err := r.Mailboxes(id)
	if err != nil {
		return "", err
	}
	for _, m := range boxes {
		fmt.Fprintf(&b, "box %d %q %d %d %d %d: %d %d %d %d\n", m.ID, m.Hash[:], m.UIDValidity, m.UIDNext, m.HighestModSeq, m.RecentFrom, m.Exists, m.Unseen, m.Deleted, m.Size)
		var ids []mailstore.ContentID
		if err := r.Messages(id, m.ID, []mailstore.Range{{First: 1, Last: maxUID}}, func(w *MessageRow) error {
			var kw []string
			for _, k := range w.Keywords {
				kw = append(kw, words[k])
			}
			fmt.Fprintf(&b, " %d %d %x %q %d %d %d %d %x %x\n", w.UID, w.ModSeq, w.Flags, kw, w.InternalDate, w.Zone, w.SaveDate, w.Size, w.Content[:], w.Thread[:])
			ids = append(ids, w.Content)
			return nil
		}); err != nil {
			return "", err
		}
		n := 0
		slices.Reverse(ids) // any order will do
		if err := r.Contents(id, ids, func(i int, c *ContentRow) error {
			if c.ID != ids[i] {
				return fmt.Errorf("content %x in the place of %x", c.ID, ids[i])
			}
			n++
			return nil
		}); err != nil || n != len(ids) {
			return "", fmt.Errorf("contents: %d of %d: %w", n, len(ids), err)
		}
		var changed []string
		if err := r.Changed(id, m.ID, mailstore.ModSeq(since), func(w *MessageRow) error {
			changed = append(changed, fmt.Sprintf("%d/%d", w.ModSeq, w.UID))
			return nil
		}); err != nil {
			return "", err
		}
		slices.Sort(changed)
		ranges, err := r.Vanished(id, m.ID, mailstore.ModSeq(since))
		if err != nil {
			return "", err
		}
		var vanished []uint32
		for _, g := range ranges {
			for u := g.First; u <= g.Last; u++ {
				vanished = append(vanished, uint32(u))
			}
		}
		fmt.Fprintf(&b, " changed %v\n vanished %v\n", changed, vanished)
	}
	return b.String(), nil
}

// gen draws commands that mostly make sense.
type gen struct {
	*rapid.T
	n uint64
}

var genUsers = []string{"u", "v", "w"}

var genNames = []string{"INBOX", "a", "b", "c", "d/e"}

func (g *gen) int(label string, lo, hi int) int { return rapid.IntRange(lo, hi).Draw(g.T, label) }

func (g *gen) account() mailstore.AccountID { return mailstore.AccountID(g.int("account", 1, 3)) }

func (g *gen) box() mailstore.MailboxID { return mailstore.MailboxID(g.int("mailbox", 1, 5)) }

func (g *gen) name() *pb.Name {
	return nameOf(rapid.SampledFrom(genNames).Draw(g.T, "name"))
}

func (g *gen) words() []*pb.Keyword {
	return kw(rapid.SliceOfN(rapid.SampledFrom([]string{"k1", "k2", "k3", "k4"}), 0, 3).Draw(g.T, "keywords")...)
}

func (g *gen) ranges() []*pb.UIDRange {
	first := uint32(g.int("first", 1, 12))
	last := first + uint32(g.int("span", 0, 4))
	out := uids(first, last)
	if g.int("more", 0, 2) == 0 {
		out = append(out, uids(last+2, last+uint32(g.int("span", 2, 30)))...)
	}
	return out
}

func (g *gen) placed() *pb.Placed {
	g.n++
	id := g.n
	if g.int("repeat", 0, 15) == 0 {
		id = uint64(g.int("id", 1, int(g.n)))
	}
	var threads []string
	for range g.int("threads", 0, 4) {
		threads = append(threads, fmt.Sprint(g.int("hash", 0, 9)))
	}
	p := placed(id, uint32(g.int("size", 1, 50)), threads...)
	p.Content.Body = bodyID(uint64(g.int("body", 1, 20)))
	p.Flags = uint32(g.int("flags", 0, 31))
	p.Keywords = g.words()
	return p
}

// command draws one, which another than the owner may give.
func (g *gen) command() *pb.Command {
	c := g.owners()
	if actedOn(c) == 0 || len(c.GetAppend().GetSourceUids()) > 0 || g.int("another", 0, 3) != 0 {
		return c
	}
	c.As = &pb.Actor{Hash: hash(rapid.SampledFrom(genUsers).Draw(g.T, "actor"))}
	for range g.int("needs", 1, 2) {
		c.As.Needs = append(c.As.Needs, &pb.Actor_Need{Mailbox: uint32(g.box()), Rights: uint32(1 << g.int("right", 0, 2))})
	}
	return c
}

func (g *gen) owners() *pb.Command {
	a := g.account()
	switch g.int("command", 0, 26) {
	case 23, 24, 25, 26:
		return g.importing(a)
	case 0:
		return openAccount(a, "a", "b")
	case 1:
		u := &pb.UpdateAccount{Account: uint64(a), Frozen: new(g.int("frozen", 0, 3) == 0)}
		if g.int("quota", 0, 1) == 0 {
			u.QuotaBytes, u.QuotaMessages = new(uint64(g.int("bytes", 0, 300))), new(uint64(g.int("messages", 0, 12)))
		}
		return &pb.Command{Op: &pb.Command_UpdateAccount{UpdateAccount: u}}
	case 2, 3, 4, 5:
		c := deliver(a, rapid.SampledFrom(genNames).Draw(g.T, "to"), g.placed())
		for range g.int("recipients", 0, 2) {
			d := c.GetDeliver()
			d.To = append(d.To, deliver(g.account(), "a", g.placed()).GetDeliver().To...)
		}
		return c
	case 6, 7:
		c := appendTo(a, g.box())
		for range g.int("messages", 1, 3) {
			c.GetAppend().Messages = append(c.GetAppend().Messages, g.placed())
		}
		if g.int("replace", 0, 3) == 0 {
			c.GetAppend().Replace = uint32(g.int("uid", 1, 9))
			c.GetAppend().ReplaceMailbox = uint32(g.int("from", 0, 4))
		}
		return c
	case 8, 9, 10, 11:
		c := store(a, g.box(), g.ranges(), pb.StoreFlags_Mode(g.int("mode", 0, 2)), mailstore.Flags(g.int("flags", 0, 31)), g.words()...)
		if g.int("condition", 0, 2) == 0 {
			c.GetStoreFlags().UnchangedSince = new(uint64(g.int("modseq", 0, 60)))
		}
		if g.int("some", 0, 2) == 0 {
			c.GetStoreFlags().Keep, c.GetStoreFlags().KeepKeywords = uint32(g.int("keep", 0, 31)), g.int("keep", 0, 1) == 0
		}
		return c
	case 12, 13:
		return expunge(a, g.box(), g.ranges(), g.int("any", 0, 3) == 0)
	case 14, 15:
		c := copyTo(a, g.box(), g.ranges(), g.box(), g.int("move", 0, 1) == 0)
		if g.int("some", 0, 2) == 0 {
			c.GetCopy().Drop, c.GetCopy().DropKeywords = uint32(g.int("drop", 0, 31)), g.int("drop", 0, 1) == 0
		}
		return c
	case 16:
		return &pb.Command{Op: &pb.Command_CreateMailbox{CreateMailbox: &pb.CreateMailbox{
			Account: uint64(a), Name: g.name(), Subscribe: g.int("sub", 0, 1) == 0, Inherit: uint32(g.int("inherit", 0, 4)),
		}}}
	case 17:
		return &pb.Command{Op: &pb.Command_DeleteMailbox{DeleteMailbox: &pb.DeleteMailbox{Account: uint64(a), Mailbox: uint32(g.box())}}}
	case 18:
		r := &pb.RenameMailboxes{Account: uint64(a)}
		for i, n := range rapid.Permutation(genNames[1:]).Draw(g.T, "names")[:g.int("items", 1, 2)] {
			r.Items = append(r.Items, &pb.RenameMailboxes_Item{Mailbox: uint32(g.int("box", 2, 3) + 2*i), Name: nameOf(n)})
		}
		return &pb.Command{Op: &pb.Command_RenameMailboxes{RenameMailboxes: r}}
	case 19:
		var pairs []string
		for _, e := range rapid.Permutation([]string{"e", "f", "g"}).Draw(g.T, "entries")[:g.int("entries", 1, 3)] {
			pairs = append(pairs, e, rapid.SampledFrom([]string{"", "x", "longer"}).Draw(g.T, "value"))
		}
		return setMetadata(a, mailstore.MailboxID(g.int("mailbox", 0, 4)), pairs...)
	case 20, 21:
		box := mailstore.MailboxID(g.int("mailbox", 0, 4))
		c := setACL(a, box, rapid.SampledFrom(genUsers).Draw(g.T, "user"), pb.SetACL_SET, 0)
		if box != 0 {
			c.GetSetAcl().Mode, c.GetSetAcl().Rights = pb.SetACL_Mode(g.int("mode", 0, 2)), uint32(g.int("rights", 0, 7))
		}
		return c
	default:
		switch g.int("rare", 0, 5) {
		case 0:
			return &pb.Command{Op: &pb.Command_CloseAccount{CloseAccount: &pb.CloseAccount{Account: uint64(a)}}}
		case 1, 2:
			return &pb.Command{Op: &pb.Command_TouchRecent{TouchRecent: &pb.TouchRecent{Account: uint64(a), Mailbox: uint32(g.box()), Uid: uint32(g.int("uid", 1, 20))}}}
		default:
			return &pb.Command{Op: &pb.Command_Subscribe{Subscribe: &pb.Subscribe{Account: uint64(a), Name: g.name(), Remove: g.int("remove", 0, 1) == 0}}}
		}
	}
}

// The machine answers as the twin does and shows what the twin shows, whatever
// is done to it; and a second machine that is given the same entries in other
// batches, with repetitions, ends with the same digest.
func TestTwin(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		one, two := newRig(t, vfs.NewMem()), newRig(t, vfs.NewMem())
		defer one.close()
		defer two.close()
		tw := newTwin()
		g := &gen{T: rt}
		var pending, done []cluster.Entry
		var answers [][]byte
		step := func(c *pb.Command) {
			e := one.entry(c)
			one.now += uint64(g.int("ms", 0, 3000))
			want := tw.apply(c, e.Time)
			got := one.apply(e)[0].Value
			if d := describe(c, got); d != want {
				rt.Fatalf("%T answered %q, the twin %q", c.Op, d, want)
			}
			pending, done, answers = append(pending, e), append(done, e), append(answers, got)
		}
		for i := range mailstore.AccountID(2) {
			step(openAccount(i+1, "a"))
		}
		for range g.int("steps", 5, 60) {
			// The twin frees what deleted mailboxes held at once.
			c := g.command()
			step(c)
			for more := true; more; {
				p := &pb.Command{Op: &pb.Command_Purge{Purge: &pb.Purge{Limit: uint32(g.int("limit", 1, 20))}}}
				step(p)
				more = one.result(cluster.Result{Value: answers[len(answers)-1]}).More
			}
			if g.int("again", 0, 9) == 0 {
				i := g.int("which", 0, len(done)-1)
				e := done[i]
				one.index++
				e.Index = one.index
				if got := one.apply(e)[0].Value; !bytes.Equal(got, answers[i]) {
					rt.Fatalf("a repeated %x was answered otherwise", e.Op)
				}
				pending = append(pending, e)
			}
			if g.int("look", 0, 3) == 0 {
				compare(rt, one, tw, g)
			}
			if g.int("flush", 0, 9) == 0 {
				two.apply(pending...)
				pending = pending[max(0, len(pending)-2):] // the rest again: skipped
				sameDigest(rt, one, two)
				// Nothing may hang on what a machine keeps decoded.
				if err := two.m.Close(); err != nil {
					rt.Fatal(err)
				}
				var err error
				if two.m, err = two.db.Mail(1); err != nil {
					rt.Fatal(err)
				}
			}
		}
		compare(rt, one, tw, g)
		two.apply(pending...)
		sameDigest(rt, one, two)
		for _, r := range []*rig{one, two} {
			if ps, err := r.m.Check(context.Background()); err != nil || len(ps) > 0 {
				rt.Fatalf("check: %v %v", ps, err)
			}
		}
	})
}

func sameDigest(rt *rapid.T, one, two *rig) {
	a, ai := one.m.Digest()
	b, bi := two.m.Digest()
	if a != b || ai != bi {
		rt.Fatalf("digests differ: %s at %d, %s at %d", a, ai, b, bi)
	}
}

func compare(rt *rapid.T, r *rig, tw *twin, g *gen) {
	rd := r.m.Read()
	defer func() {
		if err := rd.Close(); err != nil {
			rt.Fatal(err)
		}
	}()
	since := uint64(g.int("since", 0, 80))
	for id, a := range tw.accounts {
		got, err := dumpAccount(rd, mailstore.AccountID(id), since)
		if err != nil {
			rt.Fatal(err)
		}
		if want := a.dump(since); got != want {
			rt.Fatalf("account %d:\n%s\nthe twin:\n%s", id, got, want)
		}
	}
	bodies := make(map[string]bool)
	for _, a := range tw.accounts {
		for _, c := range a.contents {
			bodies[string(c.Body)] = true
		}
	}
	n := 0
	if err := r.m.LiveBodies(func(b cluster.BodyRef) error {
		if n++; !bodies[string(b.ID[:])] {
			return fmt.Errorf("body %s is live", b.ID)
		}
		return nil
	}); err != nil || n != len(bodies) {
		rt.Fatalf("%d live bodies, the twin has %d: %v", n, len(bodies), err)
	}
}
