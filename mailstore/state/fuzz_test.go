package state

import (
	"errors"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// Whatever bytes are committed, the machine answers or stops as for a later
// version; it never panics and its rows always fit together (P9).
func FuzzApply(f *testing.F) {
	for _, c := range []*pb.Command{
		openAccount(3, "x"), deliver(alice, "a", placed(9, 10, "x", "y")), appendTo(alice, 2, placed(10, 5), placed(11, 6)),
		store(alice, Inbox, uids(1, 2), pb.StoreFlags_SET, 9, kw("a", "b")...), expunge(alice, Inbox, uids(1, 1, 3, 9), true),
		copyTo(alice, Inbox, uids(1, 5), 2, true),
		{Op: &pb.Command_CreateMailbox{CreateMailbox: &pb.CreateMailbox{Account: uint64(alice), Name: nameOf("new"), List: new(uint64(2))}}},
		{Op: &pb.Command_DeleteMailbox{DeleteMailbox: &pb.DeleteMailbox{Account: uint64(alice), Mailbox: 2}}},
		{Op: &pb.Command_RenameMailboxes{RenameMailboxes: &pb.RenameMailboxes{Account: uint64(alice), Items: []*pb.RenameMailboxes_Item{{Mailbox: 2, Name: nameOf("b")}}}}},
		{Op: &pb.Command_Subscribe{Subscribe: &pb.Subscribe{Account: uint64(alice), Name: nameOf("a"), Remove: true}}},
		{Op: &pb.Command_CloseAccount{CloseAccount: &pb.CloseAccount{Account: uint64(alice)}}},
		{Op: &pb.Command_Purge{Purge: &pb.Purge{Limit: 10}}}, {Op: &pb.Command_Jump{Jump: &pb.Jump{Uids: 1 << 28, Modseqs: 1 << 40}}},
		{Op: &pb.Command_BodyLost{BodyLost: &pb.BodyLost{Body: bodyID(1)}}}, {Op: &pb.Command_SetWhole{SetWhole: &pb.SetWhole{Node: id16(1), Whole: true}}},
		{Op: &pb.Command_OpenHandoff{OpenHandoff: &pb.OpenHandoff{Id: id16(1), Body: bodyID(1), BodySize: 1, Items: []*pb.OpenHandoff_Item{{Op: id16(2), Command: []byte{1}}}}}},
		setMetadata(alice, 1, "e", "value", "f", ""), setMetadata(alice, 0, "e", "value"),
		setACL(alice, 2, "u", pb.SetACL_ADD, mailstore.AllRights), setACL(alice, 0, "u", pb.SetACL_SET, 0),
		as("u", store(alice, Inbox, uids(1, 2), pb.StoreFlags_ADD, 9), 1, mailstore.RightSeen),
		beginImport(alice, "s", false), adopt(alice, 3, 77, 9, 1<<40), importTo(alice, 2, true, placed(10, 5)),
		{Op: &pb.Command_PutGroup{PutGroup: &pb.PutGroup{Group: 1}}},
	} {
		f.Add(encode(f, c))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r := newRig(t, vfs.NewMem())
		es := []cluster.Entry{r.entry(openAccount(alice, "a")), r.entry(openAccount(mailstore.AccountID(2)))}
		for i := range 4 {
			es = append(es, r.entry(deliver(alice, []string{"INBOX", "a"}[i%2], placed(uint64(i+1), 10, "m"))))
		}
		e := r.entry(openAccount(alice))
		e.Command = b
		r.apply(es...)
		if _, err := r.m.Apply([]cluster.Entry{e}); err != nil && !errors.Is(err, command.ErrLevel) {
			t.Fatal(err)
		}
	})
}
