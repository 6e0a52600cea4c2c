package lookup_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/storetest"
)

// What is remembered of a mailbox's UIDs against the mailbox, by views as old
// as they come.
func TestUIDsTwin(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	inbox := fill(t, s, a, 50)
	other, err := s.Commit.Create(ctx, a, "other", 0)
	if err != nil {
		t.Fatal(err)
	}
	boxes := []mailstore.MailboxID{inbox, other}
	rapid.Check(t, func(t *rapid.T) {
		var views []*lookup.View
		defer func() {
			for _, v := range views {
				v.Close()
			}
		}()
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			box := rapid.SampledFrom(boxes).Draw(t, "box")
			first := mailstore.UID(rapid.IntRange(1, 80).Draw(t, "first"))
			some := []mailstore.Range{{First: first, Last: first + mailstore.UID(rapid.IntRange(0, 12).Draw(t, "n"))}}
			var err error
			switch rapid.IntRange(0, 5).Draw(t, "op") {
			case 0:
				_, err = s.Commit.Append(ctx, a, box, []commit.AppendMessage{message(1), message(2)}, 0)
			case 1:
				if _, err = s.Commit.Store(ctx, a, box, some, commit.FlagChange{Mode: commit.Add, Flags: mailstore.FlagDeleted}); err == nil {
					_, _, err = s.Commit.Expunge(ctx, a, box, some)
				}
			case 2:
				_, err = s.Commit.Store(ctx, a, box, some, commit.FlagChange{Mode: commit.Add, Flags: mailstore.FlagSeen})
			case 3:
				_, err = s.Commit.Copy(ctx, a, box, some, boxes[0], true)
			case 4:
				views = append(views, a.Read())
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range append(views, a.Read()) {
				var want []mailstore.UID
				if err := v.Messages(box, everything, func(m *mailstore.Message) error { want = append(want, m.UID); return nil }); err != nil {
					t.Fatal(err)
				}
				if got, err := v.UIDs(box); err != nil || !slices.Equal(got, want) {
					t.Fatalf("%v, want %v (%v)", got, want, err)
				}
				if !slices.Contains(views, v) {
					v.Close()
				}
			}
		}
	})
}

// More than one Gathered may hold is read when it is opened.
func TestGatherMuch(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	m, err := a.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	var msgs []commit.AppendMessage
	for i := range 80 {
		msg := message(i)
		msg.Summary = append(make([]byte, 32<<10), byte(i))
		msgs = append(msgs, msg)
	}
	for part := range slices.Chunk(msgs, 10) {
		if _, err := s.Commit.Append(ctx, a, m.ID, part, 0); err != nil {
			t.Fatal(err)
		}
	}
	var ids []mailstore.ContentID
	v := a.Read()
	if err := v.Messages(m.ID, everything, func(m *mailstore.Message) error { ids = append(ids, m.Content); return nil }); err != nil {
		t.Fatal(err)
	}
	var g lookup.Gathered
	err = v.Gather(&g, ids)
	v.Close()
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Commit.Expunge(ctx, a, m.ID, everything); err != nil {
		t.Fatal(err)
	}
	open := func(i int) bool {
		var c lookup.Content
		ok, err := g.Open(i, &c)
		if err != nil {
			t.Fatal(err)
		}
		if ok && (len(c.Summary) != 32<<10+1 || c.Summary[32<<10] != byte(i) || c.ID() != ids[i]) {
			t.Errorf("summary %d: %d octets", i, len(c.Summary))
		}
		return ok
	}
	// What was gathered can be opened still; those that were left to be read
	// later, the last ones, are gone if they had \Deleted.
	for i := range 60 {
		if !open(i) {
			t.Errorf("content %d is gone", i)
		}
	}
	for i := 70; i < 80; i++ {
		if gone := mailstore.Flags(i)&mailstore.FlagDeleted != 0; open(i) == gone {
			t.Errorf("content %d: %v", i, !gone)
		}
	}
}
