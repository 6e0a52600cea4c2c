package commit_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/storetest"
)

func metadataOf(t *testing.T, a *lookup.Account, box mailstore.MailboxID) map[string]string {
	t.Helper()
	all, err := a.Metadata(box)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, m := range all {
		out[m.Name] = string(m.Value)
	}
	return out
}

func TestSetMetadata(t *testing.T) {
	s := storetest.New(t)
	ctx := t.Context()
	a := s.Account("a@example.org", "password")
	inbox, err := a.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	set := func(box mailstore.MailboxID, want error, changes ...commit.MetadataChange) {
		t.Helper()
		if _, err := s.Commit.SetMetadata(ctx, a, box, changes); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	big := bytes.Repeat([]byte("x"), lookup.MaxMetadataValue)
	set(inbox.ID, nil, commit.MetadataChange{Name: "/Shared/Comment", Value: []byte("first")}, commit.MetadataChange{Name: "/shared/comment", Value: []byte("last")},
		commit.MetadataChange{Name: "/private/empty", Value: []byte{}}, commit.MetadataChange{Name: "/private/big", Value: big})
	if got := metadataOf(t, a, inbox.ID); len(got) != 3 || got["/shared/comment"] != "last" || got["/private/big"] != string(big) {
		t.Error(len(got), got["/shared/comment"])
	}
	set(inbox.ID, mailstore.ErrTooBig, commit.MetadataChange{Name: "/private/big", Value: append(big, 'x')})
	set(inbox.ID, mailstore.ErrBadName, commit.MetadataChange{Name: "/shared/x"}, commit.MetadataChange{Name: "comment"})
	set(inbox.ID, mailstore.ErrLimit)
	set(99, mailstore.ErrNoMailbox, commit.MetadataChange{Name: "/shared/x", Value: []byte("y")})
	if _, err := a.Metadata(99); !errors.Is(err, mailstore.ErrNoMailbox) {
		t.Error(err)
	}
	set(0, nil, commit.MetadataChange{Name: "/shared/x", Value: []byte("of the account")})
	if got := metadataOf(t, a, 0); len(got) != 1 {
		t.Error(got)
	}

	// INBOX that is renamed keeps its own (RFC 5464 section 4.1).
	var more []commit.MetadataChange
	for i := range 25 {
		more = append(more, commit.MetadataChange{Name: fmt.Sprint("/private/n", i), Value: []byte("v")})
	}
	set(inbox.ID, nil, more...)
	if err := s.Commit.Rename(ctx, a, "INBOX", "old"); err != nil {
		t.Fatal(err)
	}
	old, err := a.Mailbox("old")
	if err != nil {
		t.Fatal(err)
	}
	x, y := metadataOf(t, a, inbox.ID), metadataOf(t, a, old.ID)
	if len(x) != 28 || len(x) != len(y) {
		t.Error(len(x), len(y))
	}
	for name, v := range x {
		if y[name] != v {
			t.Error(name)
		}
	}
	// Nobody else's keys open them.
	b := s.Account("b@example.org", "password")
	if slices.Equal(a.Keys().SealMetadata("/shared/x", nil).Sealed, b.Keys().SealMetadata("/shared/x", nil).Sealed) || a.Keys().EntryHash("/shared/x") == b.Keys().EntryHash("/shared/x") {
		t.Error("two accounts seal alike")
	}
}
