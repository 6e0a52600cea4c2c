package commit_test

import (
	"errors"
	"fmt"
	"testing"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/storetest"
)

func imports(from, n int) []commit.ImportMessage {
	var out []commit.ImportMessage
	for i := range n {
		uid := from + 3*i
		out = append(out, commit.ImportMessage{
			AppendMessage: commit.AppendMessage{Message: *message(fmt.Sprint("m", uid), 100), Placement: commit.Placement{Flags: mailstore.FlagSeen, Keywords: []string{"old"}}},
			Source:        mailstore.UID(uid),
		})
	}
	return out
}

// An import goes on where it was interrupted, keeps UIDs and UIDVALIDITY, and
// stores nothing twice.
func TestImport(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("alice@example.org", "x")
	inbox, sent := mailbox(t, a, "INBOX").ID, mailbox(t, a, "Sent").ID
	if err := s.Commit.BeginImport(ctx, a, "somewhere", false); err != nil {
		t.Fatal(err)
	}
	if v, err := s.Commit.Adopt(ctx, a, inbox, commit.Adoption{UIDValidity: 1234, ModSeq: 1 << 20}); err != nil || v != 1234 {
		t.Fatal(v, err)
	}
	if _, err := s.Commit.Adopt(ctx, a, sent, commit.Adoption{UIDValidity: 1234}); !errors.Is(err, mailstore.ErrExists) {
		t.Errorf("one UIDVALIDITY twice: %v", err)
	}
	if n, err := s.Commit.Import(ctx, a, inbox, imports(5, 450), true); n != 450 || err != nil {
		t.Fatal(n, err)
	}
	if last, kept, err := a.Imported(inbox); last != 5+3*449 || !kept || err != nil {
		t.Errorf("imported up to %d %v %v", last, kept, err)
	}
	if n, err := s.Commit.Import(ctx, a, inbox, imports(5, 2), true); n != 0 || !errors.Is(err, mailstore.ErrConflict) {
		t.Errorf("again: %d %v", n, err)
	}
	if _, err := s.Commit.Adopt(ctx, a, inbox, commit.Adoption{UIDValidity: 1234, UIDNext: 5000}); err != nil {
		t.Fatal(err)
	}
	got := listing(t, a, "INBOX")
	if len(got) != 450 || got[0] != "5 m5 00001 [old]" || got[449] != "1352 m1352 00001 [old]" {
		t.Errorf("%d messages, %q … %q", len(got), got[0], got[len(got)-1])
	}
	if m := mailbox(t, a, "INBOX"); m.UIDNext != 5000 || m.UIDValidity != 1234 || m.HighestModSeq <= 1<<20 || m.RecentFrom != 5000 {
		t.Errorf("%+v", m)
	}
	if n, err := s.Commit.Import(ctx, a, sent, imports(1, 2), false); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	wantList(t, a, "Sent", "1 m1 00001 [old]", "2 m4 00001 [old]")
	if err := s.Commit.BeginImport(ctx, a, "elsewhere", false); !errors.Is(err, mailstore.ErrExists) {
		t.Errorf("mixed in: %v", err)
	}
	if err := s.Commit.BeginImport(ctx, a, "elsewhere", true); err != nil {
		t.Error(err)
	}
	if n, err := s.Commit.Import(ctx, a, sent, imports(1, 1), false); n != 1 || err != nil {
		t.Error(n, err)
	}
}
