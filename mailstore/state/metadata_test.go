package state

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// setMetadata sets entries, given as names and values in turn; "" removes one.
func setMetadata(a mailstore.AccountID, box mailstore.MailboxID, pairs ...string) *pb.Command {
	c := &pb.SetMetadata{Account: uint64(a), Mailbox: uint32(box)}
	for i := 0; i < len(pairs); i += 2 {
		c.Entries = append(c.Entries, &pb.SetMetadata_Entry{Hash: nameOf(pairs[i]).Hash, Sealed: []byte(pairs[i+1])})
	}
	return &pb.Command{Op: &pb.Command_SetMetadata{SetMetadata: c}}
}

func (t *twin) setMetadata(o *pb.SetMetadata) string {
	a, _, cd := t.find(o.Account, o.Mailbox)
	if cd != pb.Code_OK {
		return cd.String()
	}
	entries := a.metadata[o.Mailbox]
	changes := false
	for _, e := range o.Entries {
		_, had := entries[string(e.Hash)]
		changes = changes || had || len(e.Sealed) > 0
	}
	if !changes {
		return "OK"
	}
	a.modseq++
	if a.metadata == nil {
		a.metadata = make(map[uint32]map[string]twinEntry)
	}
	if entries == nil {
		entries = make(map[string]twinEntry)
		a.metadata[o.Mailbox] = entries
	}
	for _, e := range o.Entries {
		if delete(entries, string(e.Hash)); len(e.Sealed) > 0 {
			entries[string(e.Hash)] = twinEntry{a.modseq, string(e.Sealed)}
		}
	}
	return "OK"
}

func (r *rig) metadata(box mailstore.MailboxID) string {
	r.tb.Helper()
	rd := r.m.Read()
	defer func() {
		if err := rd.Close(); err != nil {
			r.tb.Error(err)
		}
	}()
	rows, err := rd.Metadata(alice, box)
	if err != nil {
		r.tb.Fatal(err)
	}
	var out []string
	for i := range rows {
		out = append(out, fmt.Sprintf("%.9s@%d", rows[i].Sealed, rows[i].ModSeq))
	}
	return strings.Join(out, " ")
}

func TestMetadata(t *testing.T) {
	r := newRig(t, vfs.NewMem())
	var events []mailstore.Event
	r.m.OnEvents = func(evs []mailstore.Event) { events = append(events, evs...) }
	do := func(want pb.Code, c *pb.Command) {
		t.Helper()
		if res := r.result(r.apply(r.entry(c))[0]); res.Code != want {
			t.Errorf("%v, want %v", res.Code, want)
		}
	}
	do(pb.Code_OK, openAccount(alice, "a"))
	events = nil
	do(pb.Code_OK, setMetadata(alice, 2, "e", "one", "f", "two"))
	if len(events) != 1 || events[0].Mailbox != 2 || events[0].ModSeq != 2 {
		t.Errorf("%+v", events)
	}
	do(pb.Code_OK, setMetadata(alice, 0, "e", "server"))
	do(pb.Code_OK, setMetadata(alice, 2, "f", "", "g", ""))
	do(pb.Code_OK, setMetadata(alice, 2, "none", "")) // nothing to remove, nothing changed
	if a, b := r.metadata(2), r.metadata(0); a != "one@2" || b != "server@3" {
		t.Error(a, b)
	}
	do(pb.Code_NO_MAILBOX, setMetadata(alice, 9, "e", "x"))
	do(pb.Code_NO_ACCOUNT, setMetadata(77, 0, "e", "x"))

	// All or none: one too many.
	for n := 1; n < MaxMetadataPerBox; n++ {
		do(pb.Code_OK, setMetadata(alice, 2, fmt.Sprint("n", n), "x"))
	}
	do(pb.Code_LIMIT, setMetadata(alice, 2, "e", "changed", "more", "x"))
	do(pb.Code_OK, setMetadata(alice, 2, "e", "", "more", "x"))
	do(pb.Code_LIMIT, setMetadata(alice, 2, "e", "x"))
	do(pb.Code_OK, setMetadata(alice, 2, "more", "y"))

	// And too much altogether.
	big := strings.Repeat("x", command.MaxMetadata)
	for n := range (MaxMetadataBytes - 1000) / len(big) {
		do(pb.Code_OK, setMetadata(alice, mailstore.MailboxID(n%2), fmt.Sprint("b", n), big))
	}
	do(pb.Code_OVER_QUOTA, setMetadata(alice, 1, "big", big))
	do(pb.Code_OK, setMetadata(alice, 1, "b1", ""))
	do(pb.Code_OK, setMetadata(alice, 1, "big", big))
	r.check()

	// With the mailbox goes what belongs to it.
	do(pb.Code_OK, &pb.Command{Op: &pb.Command_DeleteMailbox{DeleteMailbox: &pb.DeleteMailbox{Account: uint64(alice), Mailbox: 2}}})
	if s := r.metadata(2); s != "" {
		t.Error(s)
	}
	r.check()
	// With the account the rest.
	do(pb.Code_OK, &pb.Command{Op: &pb.Command_CloseAccount{CloseAccount: &pb.CloseAccount{Account: uint64(alice)}}})
	do(pb.Code_GONE, setMetadata(alice, 0, "e", "x"))
	for more := true; more; {
		more = r.result(r.apply(r.entry(&pb.Command{Op: &pb.Command_Purge{Purge: &pb.Purge{Limit: 50}}}))[0]).More
	}
	if s := r.metadata(0) + r.metadata(1); s != "" {
		t.Error(s)
	}
}
