package state

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

func setACL(a mailstore.AccountID, box mailstore.MailboxID, user string, mode pb.SetACL_Mode, r mailstore.Rights) *pb.Command {
	return &pb.Command{Op: &pb.Command_SetAcl{SetAcl: &pb.SetACL{
		Account: uint64(a), Mailbox: uint32(box), Hash: hash(user), Sealed: []byte(user), Mode: mode, Rights: uint32(r),
	}}}
}

// as makes a command another user's, who needs rights on a mailbox.
func as(user string, c *pb.Command, box mailstore.MailboxID, r mailstore.Rights) *pb.Command {
	if c.As == nil {
		c.As = &pb.Actor{Hash: hash(user)}
	}
	c.As.Needs = append(c.As.Needs, &pb.Actor_Need{Mailbox: uint32(box), Rights: uint32(r)})
	return c
}

func (t *twin) permitted(c *pb.Command) bool {
	a := t.accounts[actedOn(c)]
	for _, n := range c.As.Needs {
		if a == nil || a.acl[n.Mailbox][string(c.As.Hash)]&n.Rights != n.Rights {
			return false
		}
	}
	return true
}

func (a *twinAccount) grant(box uint32, h string, r uint32) {
	if a.acl == nil {
		a.acl = make(map[uint32]map[string]uint32)
	}
	if a.acl[box] == nil {
		a.acl[box] = make(map[string]uint32)
	}
	if delete(a.acl[box], h); r != 0 {
		a.acl[box][h] = r
	}
}

func (t *twin) setACL(o *pb.SetACL) string {
	h := string(o.Hash)
	if o.Mailbox == 0 {
		a := t.accounts[o.Account]
		if a == nil {
			return "NO_ACCOUNT"
		}
		if a.closed {
			return "GONE"
		}
		changes := false
		for box := range a.acl {
			changes = changes || a.acl[box][h] != 0
			a.grant(box, h, 0)
		}
		if changes {
			a.modseq++
		}
		return "OK"
	}
	a, _, cd := t.find(o.Account, o.Mailbox)
	if cd != pb.Code_OK {
		return cd.String()
	}
	old := a.acl[o.Mailbox][h]
	r := o.Rights
	switch o.Mode {
	case pb.SetACL_ADD:
		r |= old
	case pb.SetACL_REMOVE:
		r = old &^ o.Rights
	}
	if r != old {
		a.modseq++
		a.grant(o.Mailbox, h, r)
	}
	return "OK"
}

func (r *rig) acl(box mailstore.MailboxID) string {
	r.tb.Helper()
	var out []string
	r.read(func(rd *Reader) {
		rows, err := rd.ACL(alice, box)
		if err != nil {
			r.tb.Fatal(err)
		}
		for i := range rows {
			got, err := rd.Rights(alice, box, rows[i].Hash)
			if err != nil || got != rows[i].Rights {
				r.tb.Errorf("rights %x, in the list %x, %v", got, rows[i].Rights, err)
			}
			out = append(out, fmt.Sprintf("%s:%x", rows[i].Sealed, rows[i].Rights))
		}
	})
	return strings.Join(out, " ")
}

func TestACL(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	var events []mailstore.Event
	r.m.OnEvents = func(evs []mailstore.Event) { events = append(events, evs...) }
	r.must(openAccount(alice, "a", "a/b"))
	wants := func(box mailstore.MailboxID, want string) {
		t.Helper()
		if got := r.acl(box); got != want {
			t.Errorf("mailbox %d: %q, want %q", box, got, want)
		}
	}
	events = nil
	r.must(setACL(alice, 2, "u", pb.SetACL_SET, 3))
	if !slices.ContainsFunc(events, func(e mailstore.Event) bool { return e.Mailbox == 2 && e.ModSeq == 2 }) {
		t.Errorf("%+v", events)
	}
	r.must(setACL(alice, 2, "u", pb.SetACL_ADD, 4))
	r.must(setACL(alice, 2, "v", pb.SetACL_SET, 1))
	wants(2, "u:7 v:1")
	before := r.acct(alice).ModSeq
	r.must(setACL(alice, 2, "u", pb.SetACL_ADD, 1)) // has it already
	r.must(setACL(alice, 2, "w", pb.SetACL_REMOVE, 1))
	if now := r.acct(alice).ModSeq; now != before {
		t.Errorf("nothing changed, and the modification sequence went from %d to %d", before, now)
	}
	r.must(setACL(alice, 2, "v", pb.SetACL_REMOVE, 3)) // nothing is left
	wants(2, "u:7")
	r.wants(pb.Code_NO_MAILBOX, setACL(alice, 9, "u", pb.SetACL_SET, 1))
	r.wants(pb.Code_NO_ACCOUNT, setACL(77, 1, "u", pb.SetACL_SET, 1))
	r.wants(pb.Code_NO_ACCOUNT, setACL(77, 0, "u", pb.SetACL_SET, 0))

	// What another may do is decided when it is done.
	do := func() *pb.Command {
		return as("u", store(alice, 2, uids(1, 9), pb.StoreFlags_ADD, mailstore.FlagSeen), 2, mailstore.RightSeen)
	}
	r.must(do())
	r.must(setACL(alice, 2, "u", pb.SetACL_REMOVE, mailstore.RightSeen))
	r.wants(pb.Code_NOT_PERMITTED, do())
	r.wants(pb.Code_NOT_PERMITTED, as("v", expunge(alice, 2, uids(1, 9), false), 2, mailstore.RightLookup))
	r.wants(pb.Code_NOT_PERMITTED, as("u", copyTo(alice, 2, uids(1, 9), 3, false), 3, mailstore.RightLookup))
	r.wants(pb.Code_NOT_PERMITTED, as("u", as("u", copyTo(alice, 2, uids(1, 9), 3, false), 2, mailstore.RightLookup), 3, mailstore.RightLookup))

	// A new mailbox inherits, a renamed one keeps its own.
	create := func(name string, from uint32) *pb.Command {
		return &pb.Command{Op: &pb.Command_CreateMailbox{CreateMailbox: &pb.CreateMailbox{Account: uint64(alice), Name: nameOf(name), Inherit: from}}}
	}
	made := mailstore.MailboxID(r.must(create("a/new", 2)).Mailbox)
	wants(made, "u:3")
	wants(mailstore.MailboxID(r.must(create("plain", 0)).Mailbox), "")
	wants(mailstore.MailboxID(r.must(create("of none", 99)).Mailbox), "")
	r.check()

	// In every mailbox at once, also in a frozen account.
	r.must(setACL(alice, made, "v", pb.SetACL_SET, 1))
	r.must(&pb.Command{Op: &pb.Command_UpdateAccount{UpdateAccount: &pb.UpdateAccount{Account: uint64(alice), Frozen: new(true)}}})
	r.wants(pb.Code_NOT_PERMITTED, setACL(alice, 2, "v", pb.SetACL_SET, 1))
	r.must(setACL(alice, 0, "u", pb.SetACL_SET, 0))
	r.must(&pb.Command{Op: &pb.Command_UpdateAccount{UpdateAccount: &pb.UpdateAccount{Account: uint64(alice), Frozen: new(false)}}})
	wants(2, "")
	wants(made, "v:1")
	r.check()

	// With the mailbox goes its list.
	r.must(&pb.Command{Op: &pb.Command_DeleteMailbox{DeleteMailbox: &pb.DeleteMailbox{Account: uint64(alice), Mailbox: uint32(made)}}})
	wants(made, "")
	r.check()

	// One identifier too many.
	for n := range MaxACLPerBox {
		r.must(setACL(alice, 2, fmt.Sprint("n", n), pb.SetACL_SET, 1))
	}
	r.wants(pb.Code_LIMIT, setACL(alice, 2, "more", pb.SetACL_SET, 1))
	r.must(setACL(alice, 2, "n7", pb.SetACL_SET, 2))
	// And a mailbox too many for the account.
	for n := 2; n <= MaxACL/MaxACLPerBox; n++ {
		r.must(create(fmt.Sprint("box", n), 2))
	}
	r.wants(pb.Code_LIMIT, create("one more", 2))
	r.wants(pb.Code_LIMIT, setACL(alice, 1, "u", pb.SetACL_SET, 1))
	r.check()

	// With the account the rest.
	r.must(&pb.Command{Op: &pb.Command_CloseAccount{CloseAccount: &pb.CloseAccount{Account: uint64(alice)}}})
	r.wants(pb.Code_GONE, setACL(alice, 1, "u", pb.SetACL_SET, 1))
	r.wants(pb.Code_GONE, setACL(alice, 0, "u", pb.SetACL_SET, 0))
	for more := true; more; {
		more = r.must(&pb.Command{Op: &pb.Command_Purge{Purge: &pb.Purge{Limit: 10_000}}}).More
	}
	r.read(func(rd *Reader) {
		if err := rd.Granted(alice, func(mailstore.MailboxID, mailstore.Hash) error { return fmt.Errorf("an entry is left") }); err != nil {
			t.Error(err)
		}
	})
}

// Flags that may not be changed stay, those that may not be copied are lost.
func TestKeptFlags(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	r.must(openAccount(alice, "a"))
	p := placed(1, 10)
	p.Flags, p.Keywords = uint32(mailstore.FlagSeen|mailstore.FlagDeleted|mailstore.FlagDraft), kw("x")
	r.must(appendTo(alice, 2, p))
	c := store(alice, 2, uids(1, 1), pb.StoreFlags_SET, mailstore.FlagFlagged, kw("y")...)
	c.GetStoreFlags().Keep, c.GetStoreFlags().KeepKeywords = uint32(mailstore.FlagSeen|mailstore.FlagDeleted), true
	r.must(c)
	if got := fmt.Sprint(r.list(alice, 2)); got != "[1 f0d k[0]]" {
		t.Error(got)
	}
	if n := r.acct(alice).Keywords; n != 1 {
		t.Errorf("%d keywords", n)
	}
	c = copyTo(alice, 2, uids(1, 1), 1, false)
	c.GetCopy().Drop, c.GetCopy().DropKeywords = uint32(mailstore.FlagSeen), true
	r.must(c)
	if got := fmt.Sprint(r.list(alice, 1)); got != "[1 f0c k[]]" {
		t.Error(got)
	}
}

func TestShares(t *testing.T) {
	r := newDirRig(t)
	for id := uint64(1); id <= 3; id++ {
		r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_AddAccount{AddAccount: &pb.AddAccount{
			Id: id, Group: 1, WrappedKeys: []byte("keys"), Address: nameOf(fmt.Sprint("address", id)), Credential: cred(1),
		}}})
	}
	put := func(owner, grantee uint64) *pb.Command {
		return &pb.Command{Op: &pb.Command_PutShare{PutShare: &pb.PutShare{Owner: owner, Grantee: grantee}}}
	}
	remove := func(owner, grantee, version uint64) *pb.Command {
		return &pb.Command{Op: &pb.Command_RemoveShare{RemoveShare: &pb.RemoveShare{Owner: owner, Grantee: grantee, Version: version}}}
	}
	wants := func(id mailstore.AccountID, with, of string) {
		t.Helper()
		rd := r.d.Read()
		defer func() {
			if err := rd.Close(); err != nil {
				t.Error(err)
			}
		}()
		a, err := rd.SharedWith(id)
		if err != nil {
			t.Error(err)
		}
		b, err := rd.SharesOf(id)
		if err != nil {
			t.Error(err)
		}
		var x, y []mailstore.AccountID
		for i := range a {
			x = append(x, a[i].Owner)
		}
		for i := range b {
			y = append(y, b[i].Grantee)
		}
		if fmt.Sprint(x) != with || fmt.Sprint(y) != of {
			t.Errorf("with %v it is %v, of it %v", id, x, y)
		}
	}
	v := r.do(pb.Code_OK, put(1, 2)).Version
	r.do(pb.Code_OK, put(1, 3))
	r.do(pb.Code_OK, put(2, 1))
	wants(1, "[2]", "[2 3]")
	wants(2, "[1]", "[1]")
	if again := r.do(pb.Code_OK, put(1, 2)).Version; again <= v {
		t.Errorf("version %d after %d", again, v)
	} else {
		r.do(pb.Code_CONFLICT, remove(1, 2, v))
		r.do(pb.Code_OK, remove(1, 2, again))
	}
	r.do(pb.Code_NO_SUCH, remove(1, 2, v))
	wants(2, "[]", "[1]")
	r.do(pb.Code_NO_ACCOUNT, put(1, 9))
	r.do(pb.Code_NO_ACCOUNT, put(9, 1))

	// What closes neither shares nor is shared with.
	r.do(pb.Code_OK, put(1, 2))
	r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_SetAccountStatus{SetAccountStatus: &pb.SetAccountStatus{Id: 1, Status: pb.AccountStatus_CLOSING}}})
	r.do(pb.Code_GONE, put(1, 2))
	r.do(pb.Code_GONE, put(2, 1))
	wants(1, "[2]", "[2 3]")
	r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_ShredAccount{ShredAccount: &pb.ShredAccount{Id: 1}}})
	wants(1, "[]", "[]")
	wants(2, "[]", "[]")
	wants(3, "[]", "[]")
}
