package lookup_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/storetest"
)

// TestSince compares Since with Changes, and what it says of a future that
// never was with what is there.
func TestSince(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		id, err := s.Commit.Create(ctx, a, fmt.Sprintf("since%d", n), 0)
		if err != nil {
			rt.Fatal(err)
		}
		marks := []mailstore.ModSeq{0}
		for range rapid.IntRange(0, 12).Draw(rt, "steps") {
			lo, hi := rapid.Uint32Range(1, 12).Draw(rt, "lo"), rapid.Uint32Range(1, 12).Draw(rt, "hi")
			r := []mailstore.Range{{First: mailstore.UID(min(lo, hi)), Last: mailstore.UID(max(lo, hi))}}
			switch rapid.IntRange(0, 2).Draw(rt, "command") {
			case 0:
				_, err = s.Commit.Append(ctx, a, id, []commit.AppendMessage{message(int(lo)), message(int(hi))}, 0)
			case 1:
				_, err = s.Commit.Store(ctx, a, id, r, commit.FlagChange{Mode: commit.Mode(lo % 3), Flags: mailstore.FlagDeleted})
			case 2:
				_, _, err = s.Commit.Expunge(ctx, a, id, r)
			}
			if err != nil {
				rt.Fatal(err)
			}
			v := a.Read()
			box, err := v.Mailbox(id)
			v.Close()
			if err != nil {
				rt.Fatal(err)
			}
			marks = append(marks, box.HighestModSeq)
		}
		v := a.Read()
		defer v.Close()
		uids := func(rs []mailstore.Range) (out []mailstore.UID) {
			for _, r := range rs {
				for u := r.First; u <= r.Last; u++ {
					out = append(out, u)
				}
			}
			return out
		}
		for _, since := range marks {
			got, err := v.Since(id, since)
			if err != nil {
				rt.Fatal(err)
			}
			want, err := v.Changes(id, since)
			if err != nil {
				rt.Fatal(err)
			}
			var changed []mailstore.UID
			for i := range want.Messages {
				changed = append(changed, want.Messages[i].UID)
			}
			if !slices.Equal(uids(got.Changed), changed) || !slices.Equal(got.Vanished, want.Vanished) || got.Reset ||
				got.HighestModSeq != want.HighestModSeq || got.UIDNext != want.UIDNext {
				rt.Fatalf("since %d: %+v, want %+v", since, got, want)
			}
		}
		got, err := v.Since(id, marks[len(marks)-1]+1<<40)
		if err != nil {
			rt.Fatal(err)
		}
		all, err := v.UIDs(id)
		if err != nil {
			rt.Fatal(err)
		}
		both := append(uids(got.Changed), uids(got.Vanished)...)
		slices.Sort(both)
		if !got.Reset || !slices.Equal(uids(got.Changed), all) || len(both) != int(got.UIDNext)-1 || len(slices.Compact(both)) != len(both) {
			rt.Fatalf("since a future that never was: %+v, there are %d", got, all)
		}
	})
}

func TestKeywords(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	box, err := a.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit.Append(ctx, a, box.ID, []commit.AppendMessage{message(1)}, 0); err != nil {
		t.Fatal(err)
	}
	want := []string{}
	for _, k := range []string{"zulu", "$Forwarded", "ZULU", "alpha"} {
		if _, err := s.Commit.Store(ctx, a, box.ID, everything, commit.FlagChange{Mode: commit.Add, Keywords: []string{k}}); err != nil {
			t.Fatal(err)
		}
		if k != "ZULU" {
			want = append(want, k)
		}
		for range 2 { // opened now, and from memory
			v := a.Read()
			got, err := v.Keywords()
			v.Close()
			if err != nil || !slices.Contains(got, k) && k != "ZULU" {
				t.Fatalf("%q, %v", got, err)
			}
			// message(1) may have keywords of its own.
			got = slices.DeleteFunc(got, func(g string) bool { return !slices.Contains(want, g) })
			if !slices.Equal(got, want) {
				t.Fatalf("%q, want %q", got, want)
			}
		}
		s.Lookup.Reset()
	}
}
