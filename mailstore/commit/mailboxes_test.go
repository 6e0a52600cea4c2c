package commit_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/storetest"
)

func names(t testing.TB, a *lookup.Account) []string {
	t.Helper()
	boxes, _, err := a.Mailboxes()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, m := range boxes {
		out = append(out, m.Name)
	}
	return out
}

func TestFirstMailboxes(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	boxes, _, err := a.Mailboxes()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range boxes {
		got = append(got, fmt.Sprintf("%s %07b %v", m.Name, m.SpecialUse, m.Subscribed))
	}
	want := []string{
		"INBOX 0000000 true", "Archive 0000010 true", "Drafts 0000100 true",
		"Junk 0010000 true", "Sent 0100000 true", "Trash 1000000 true",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	subs, err := a.Subscriptions()
	if err != nil || !slices.Equal(subs, names(t, a)) {
		t.Errorf("subscriptions %q, %v", subs, err)
	}
}

func TestCreateDeleteSubscribe(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	id, err := s.Commit.Create(ctx, a, "Work/Projects/Alt/", mailstore.UseArchive)
	if err != nil {
		t.Fatal(err)
	}
	m := mailbox(t, a, "Work/Projects/Alt")
	if m.ID != id || m.SpecialUse != mailstore.UseArchive || m.Subscribed {
		t.Errorf("%+v", m)
	}
	for _, up := range []string{"Work", "Work/Projects"} {
		mailbox(t, a, up)
	}
	for name, want := range map[string]error{
		"inbox": mailstore.ErrMailboxExists, "Work": mailstore.ErrMailboxExists, "a//b": mailstore.ErrBadName,
		"": mailstore.ErrBadName, "\x01": mailstore.ErrBadName, "INBOX/Sub": nil, "Work/Projects/Alt/x": nil, "wOrk": nil,
	} {
		if _, err := s.Commit.Create(ctx, a, name, 0); !errors.Is(err, want) {
			t.Errorf("create %q: %v", name, err)
		}
	}
	for name, want := range map[string]error{
		"INBOX": mailstore.ErrNotPermitted, "no": mailstore.ErrNoMailbox, "a//b": mailstore.ErrNoMailbox, "Work": nil,
	} {
		if err := s.Commit.Delete(ctx, a, name); !errors.Is(err, want) {
			t.Errorf("delete %q: %v", name, err)
		}
	}
	mailbox(t, a, "Work/Projects") // inferiors stay
	if err := s.Commit.Delete(ctx, a, "Work/Projects/Alt"); err != nil {
		t.Fatal(err)
	}
	again, err := s.Commit.Create(ctx, a, "Work/Projects/Alt", 0)
	if err != nil || again <= id {
		t.Errorf("made again: %d after %d, %v", again, id, err)
	}
	if now := mailbox(t, a, "Work/Projects/Alt"); now.UIDValidity <= m.UIDValidity {
		t.Errorf("UIDVALIDITY %d after %d", now.UIDValidity, m.UIDValidity)
	}
	// A subscription needs no mailbox, and may come and go twice.
	for _, on := range []bool{true, true, false, false, true} {
		if err := s.Commit.Subscribe(ctx, a, "No/Such", on); err != nil {
			t.Errorf("subscribe %v: %v", on, err)
		}
	}
	subs, err := a.Subscriptions()
	if err != nil || !slices.Contains(subs, "No/Such") {
		t.Errorf("%q, %v", subs, err)
	}
	if err := s.Commit.Subscribe(ctx, a, "inbox", false); err != nil || mailbox(t, a, "INBOX").Subscribed {
		t.Errorf("INBOX is still subscribed, %v", err)
	}
	if err := s.Commit.Subscribe(ctx, a, "a//b", true); !errors.Is(err, mailstore.ErrBadName) {
		t.Error(err)
	}
}

func TestDeletedMailboxIsPurged(t *testing.T) {
	s := storetest.New(t)
	a := fill(t, s, "Trash", 100)
	if err := s.Commit.Delete(ctx, a, "Trash"); err != nil {
		t.Fatal(err)
	}
	d := s.Commit.NewDriver()
	for d.Step(ctx) {
	}
	m, _ := s.MailState(a.Group())
	r := m.Read()
	defer func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}()
	if left, err := r.NeedsPurge(); err != nil || left {
		t.Errorf("left: %v, %v", left, err)
	}
	n, _ := s.Solo(a.Group()).Counts()
	d.Step(ctx)
	if after, _ := s.Solo(a.Group()).Counts(); after != n {
		t.Error("a purge is proposed with nothing to purge")
	}
}

func TestRename(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	for _, n := range []string{"a", "a/b/c", "ab", "x", "x/b"} {
		if _, err := s.Commit.Create(ctx, a, n, 0); err != nil {
			t.Fatal(err)
		}
	}
	before := mailbox(t, a, "a/b/c")
	for _, tc := range []struct {
		from, to string
		want     error
	}{
		{"a", "a/d", mailstore.ErrNotPermitted}, {"a", "x", mailstore.ErrMailboxExists}, {"no", "y/z", mailstore.ErrNoMailbox},
		{"a", "a", mailstore.ErrMailboxExists}, {"a", "INBOX", mailstore.ErrMailboxExists}, {"a", "b//c", mailstore.ErrBadName},
		{"a", strings.Repeat("y", 255) + "/" + strings.Repeat("y", 256), mailstore.ErrBadName},
	} {
		if err := s.Commit.Rename(ctx, a, tc.from, tc.to); !errors.Is(err, tc.want) {
			t.Errorf("%s to %s: %v", tc.from, tc.to, err)
		}
	}
	if slices.Contains(names(t, a), "y") {
		t.Error("a rename that failed left a superior")
	}
	if err := s.Commit.Rename(ctx, a, "a", "new/place"); err != nil {
		t.Fatal(err)
	}
	want := []string{"INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash", "ab", "new", "new/place", "new/place/b", "new/place/b/c", "x", "x/b"}
	if got := names(t, a); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	after := mailbox(t, a, "new/place/b/c")
	if after.ID != before.ID || after.UIDValidity != before.UIDValidity {
		t.Errorf("%+v became %+v", before, after)
	}
	// A name that another's inferior has taken stops the whole.
	if err := s.Commit.Rename(ctx, a, "new/place", "x2"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit.Create(ctx, a, "x3/b", 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit.Delete(ctx, a, "x3"); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit.Rename(ctx, a, "x2", "x3"); !errors.Is(err, mailstore.ErrMailboxExists) {
		t.Errorf("onto a taken inferior: %v", err)
	}
	mailbox(t, a, "x2/b/c")
}

// RFC 9051 section 6.3.6: INBOX is emptied and stays.
func TestRenameInbox(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	deliver(t, s, a, "one")
	deliver(t, s, a, "two")
	if _, err := s.Commit.Create(ctx, a, "INBOX/Sub", 0); err != nil {
		t.Fatal(err)
	}
	old := mailbox(t, a, "INBOX")
	if err := s.Commit.Rename(ctx, a, "Inbox", "Old/Mail"); err != nil {
		t.Fatal(err)
	}
	wantList(t, a, "Old/Mail", "1 one", "2 two")
	wantList(t, a, "INBOX")
	now := mailbox(t, a, "INBOX")
	if now.ID != old.ID || now.UIDValidity != old.UIDValidity || now.UIDNext != old.UIDNext {
		t.Errorf("%+v became %+v", old, now)
	}
	mailbox(t, a, "INBOX/Sub")
	deliver(t, s, a, "three")
	wantList(t, a, "INBOX", "3 three")
	if err := s.Commit.Rename(ctx, a, "INBOX", "Trash"); !errors.Is(err, mailstore.ErrMailboxExists) {
		t.Error(err)
	}
	if err := s.Commit.Rename(ctx, a, "INBOX", "INBOX/Kept"); err != nil {
		t.Error(err)
	}
	wantList(t, a, "INBOX/Kept", "1 three")
}

// A list changed between reading it and the command is read again (H16).
func TestRenameConflict(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	if _, err := s.Commit.Create(ctx, a, "a/b", 0); err != nil {
		t.Fatal(err)
	}
	n := 0
	s.Solo(a.Group()).Before(func(p cluster.Proposal) error {
		if n++; n == 1 {
			_, err := s.Commit.Create(ctx, a, "a/late", 0)
			return err
		}
		return nil
	})
	if err := s.Commit.Rename(ctx, a, "a", "z"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"z", "z/b", "z/late"} {
		mailbox(t, a, name)
	}
}

func TestMailboxesConcurrently(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 8 {
				name := fmt.Sprintf("shared/w%d/%d", w, i)
				if _, err := s.Commit.Create(ctx, a, name, 0); err != nil {
					t.Errorf("create: %v", err)
				}
				if err := s.Commit.Rename(ctx, a, name, name+"-new"); err != nil {
					t.Errorf("rename: %v", err)
				}
				if i%2 == 0 {
					if err := s.Commit.Delete(ctx, a, name+"-new"); err != nil {
						t.Errorf("delete: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	if got := len(names(t, a)); got != 6+1+4+4*4 {
		t.Errorf("%d mailboxes: %q", got, names(t, a))
	}
}

// TestRenameInboxToTaken: a rename that fails leaves no superiors behind.
func TestRenameInboxToTaken(t *testing.T) {
	ctx := t.Context()
	s := storetest.New(t)
	a := s.Account("inbox@example.org", "pw")
	if _, err := s.Commit.Create(ctx, a, "a/a", 0); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit.Delete(ctx, a, "a"); err != nil {
		t.Fatal(err)
	}
	before := names(t, a)
	if err := s.Commit.Rename(ctx, a, "INBOX", "a/a"); !errors.Is(err, mailstore.ErrMailboxExists) {
		t.Errorf("renamed to a name that is taken: %v", err)
	}
	if after := names(t, a); !slices.Equal(before, after) {
		t.Errorf("%q before, %q after", before, after)
	}
}

// The naive twin: a map of names and a set of subscriptions.
type twin struct {
	boxes map[string]int // name → number that stays with the mailbox
	subs  map[string]bool
	next  int
}

func (w *twin) superiors(name string) {
	for i, c := range name {
		if c == '/' {
			if _, ok := w.boxes[name[:i]]; !ok {
				w.make(name[:i])
			}
		}
	}
}

func (w *twin) make(name string) {
	w.next++
	w.boxes[name] = w.next
}

func (w *twin) create(name string) error {
	if name == "INBOX" {
		return mailstore.ErrMailboxExists
	}
	w.superiors(name)
	if _, ok := w.boxes[name]; ok {
		return mailstore.ErrMailboxExists
	}
	w.make(name)
	return nil
}

func (w *twin) delete(name string) error {
	if name == "INBOX" {
		return mailstore.ErrNotPermitted
	}
	if _, ok := w.boxes[name]; !ok {
		return mailstore.ErrNoMailbox
	}
	delete(w.boxes, name)
	return nil
}

func (w *twin) rename(from, to string) error {
	_, has := w.boxes[from]
	_, taken := w.boxes[to]
	switch {
	case from == to || to == "INBOX":
		return mailstore.ErrMailboxExists
	case strings.HasPrefix(to, from+"/") && from != "INBOX":
		return mailstore.ErrNotPermitted
	case taken:
		return mailstore.ErrMailboxExists
	case !has:
		return mailstore.ErrNoMailbox
	case from == "INBOX":
		w.superiors(to)
		w.make(to)
		return nil
	}
	w.superiors(to)
	next := map[string]int{}
	for n, id := range w.boxes {
		if n == from || strings.HasPrefix(n, from+"/") {
			n = to + n[len(from):]
			if _, stays := w.boxes[n]; stays && !strings.HasPrefix(n, from+"/") {
				return mailstore.ErrMailboxExists
			}
		}
		next[n] = id
	}
	w.boxes = next
	return nil
}

func TestMailboxesAgainstTwin(t *testing.T) {
	s := storetest.New(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		a := s.Account(fmt.Sprintf("r%d@example.org", n), "pw")
		w := &twin{boxes: map[string]int{}, subs: map[string]bool{}}
		ids := map[mailstore.MailboxID]int{}
		for _, name := range []string{"INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"} {
			w.make(name)
			w.subs[name] = true
		}
		name := rapid.SampledFrom([]string{"INBOX", "a", "b", "a/a", "a/b", "b/a", "a/a/a", "a/b/a", "b/b/b", "INBOX/a", "Sent"})
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			var got, want error
			what := rapid.IntRange(0, 4).Draw(rt, "what")
			x, y := name.Draw(rt, "x"), name.Draw(rt, "y")
			switch what {
			case 0, 1:
				want = w.create(x)
				_, got = s.Commit.Create(ctx, a, x, 0)
			case 2:
				want = w.delete(x)
				got = s.Commit.Delete(ctx, a, x)
			case 3:
				want = w.rename(x, y)
				got = s.Commit.Rename(ctx, a, x, y)
			case 4:
				w.subs[x] = y < x
				if !w.subs[x] {
					delete(w.subs, x)
				}
				got = s.Commit.Subscribe(ctx, a, x, y < x)
			}
			if !errors.Is(got, want) || (got == nil) != (want == nil) {
				rt.Fatalf("%d %q %q: %v, want %v", what, x, y, got, want)
			}
			boxes, _, err := a.Mailboxes()
			if err != nil {
				rt.Fatal(err)
			}
			seen := map[string]int{}
			for _, m := range boxes {
				if ids[m.ID] == 0 {
					ids[m.ID] = w.boxes[m.Name]
				}
				seen[m.Name] = ids[m.ID]
				if m.Subscribed != w.subs[m.Name] {
					rt.Fatalf("%q is subscribed: %v", m.Name, m.Subscribed)
				}
			}
			if !maps.Equal(seen, w.boxes) {
				rt.Fatalf("%d %q %q: got %v, want %v", what, x, y, seen, w.boxes)
			}
			subs, err := a.Subscriptions()
			if err != nil || len(subs) != len(w.subs) {
				rt.Fatalf("subscriptions %q, want %v, %v", subs, w.subs, err)
			}
		}
	})
}
