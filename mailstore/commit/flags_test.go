package commit_test

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/storetest"
)

func TestAppend(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	drafts := mailbox(t, a, "Drafts")
	msgs := []commit.AppendMessage{
		{Message: *message("one", 10), Placement: commit.Placement{Flags: mailstore.FlagDraft}},
		{Message: *message("two", 300<<10)},
		{Message: commit.Message{}}, // an empty message is one
	}
	res, err := s.Commit.Append(ctx, a, drafts.ID, msgs, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(res.UIDs, []mailstore.UID{1, 2, 3}) || res.UIDValidity != drafts.UIDValidity || res.ModSeq <= drafts.HighestModSeq {
		t.Errorf("%+v", res)
	}
	wantList(t, a, "Drafts", "1 one 10000 []", "2 two", "3 ")
	// RFC 8508: the draft is replaced in the same step.
	res, err = s.Commit.Append(ctx, a, drafts.ID, []commit.AppendMessage{{Message: *message("new", 10)}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	wantList(t, a, "Drafts", "2 two", "3 ", "4 new")
	if v := a.Read(); true {
		ch, err := v.Changes(drafts.ID, res.ModSeq-1)
		v.Close()
		if err != nil || len(ch.Messages) != 1 || !slices.Equal(ch.Vanished, []mailstore.Range{{First: 1, Last: 1}}) {
			t.Errorf("%+v, %v", ch, err)
		}
	}
	if _, err := s.Commit.Append(ctx, a, 999, msgs, 0); !errors.Is(err, mailstore.ErrNoMailbox) {
		t.Errorf("to no mailbox: %v", err)
	}
	if _, err := s.Commit.Append(ctx, a, drafts.ID, nil, 0); !errors.Is(err, mailstore.ErrLimit) {
		t.Errorf("of nothing: %v", err)
	}
	large := make([]commit.AppendMessage, 10)
	for i := range large {
		large[i].Message = *message(fmt.Sprint("large", i), 10)
		large[i].Summary = make([]byte, 100<<10)
	}
	if _, err := s.Commit.Append(ctx, a, drafts.ID, large, 0); !errors.Is(err, mailstore.ErrLimit) {
		t.Errorf("of more than one entry holds: %v", err)
	}
	large[0].Summary = make([]byte, commit.MaxSummary+1)
	if _, err := s.Commit.Append(ctx, a, drafts.ID, large[:1], 0); !errors.Is(err, mailstore.ErrTooBig) {
		t.Errorf("with too large a summary: %v", err)
	}
	if err := s.Commit.SetQuota(ctx, a.ID(), 1000, 0); err != nil {
		t.Fatal(err)
	}
	before := mailbox(t, a, "Drafts")
	if _, err := s.Commit.Append(ctx, a, drafts.ID, msgs, 0); !errors.Is(err, mailstore.ErrOverQuota) {
		t.Errorf("over quota: %v", err)
	}
	deliver(t, s, a, "delivered") // never refused for quota (H14)
	if after := mailbox(t, a, "Drafts"); after != before {
		t.Errorf("refused, but %+v became %+v", before, after)
	}
}

func TestStore(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	inbox := mailbox(t, a, "INBOX").ID
	for i := range 3 {
		deliver(t, s, a, fmt.Sprint("m", i+1))
	}
	store := func(ch commit.FlagChange, ranges ...mailstore.Range) commit.StoreResult {
		t.Helper()
		res, err := s.Commit.Store(ctx, a, inbox, ranges, ch)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	r := store(commit.FlagChange{Mode: commit.Add, Flags: mailstore.FlagSeen, Keywords: []string{"Work"}}, mailstore.Range{First: 2, Last: 99}, mailstore.Range{First: 1, Last: 1})
	if !slices.Equal(r.Changed, []mailstore.UID{1, 2, 3}) {
		t.Errorf("%+v", r)
	}
	seq := r.ModSeq
	if r = store(commit.FlagChange{Mode: commit.Add, Flags: mailstore.FlagSeen}, everything...); len(r.Changed) != 0 || r.ModSeq != seq {
		t.Errorf("a change of nothing: %+v", r)
	}
	store(commit.FlagChange{Mode: commit.Remove, Keywords: []string{"work"}}, mailstore.Range{First: 2, Last: 2})
	store(commit.FlagChange{Mode: commit.Set, Keywords: []string{"WORK", "$Junk"}}, mailstore.Range{First: 3, Last: 3})
	wantList(t, a, "INBOX", "1 m1 00001 [Work]", "2 m2 00001 []", "3 m3 00000 [$Junk Work]")
	r = store(commit.FlagChange{Mode: commit.Add, Flags: mailstore.FlagFlagged, UnchangedSince: &seq}, everything...)
	if !slices.Equal(r.Changed, []mailstore.UID{1}) || !slices.Equal(r.Modified, []mailstore.UID{2, 3}) {
		t.Errorf("unchanged since: %+v", r)
	}
	if r = store(commit.FlagChange{Flags: mailstore.FlagSeen}, mailstore.Range{First: 50, Last: 60}); len(r.Changed)+len(r.Modified) != 0 {
		t.Errorf("of nothing: %+v", r)
	}
	for name, ch := range map[string]commit.FlagChange{"mode": {Mode: 9}, "keyword": {Keywords: []string{`\Nope`}}} {
		if _, err := s.Commit.Store(ctx, a, inbox, everything, ch); err == nil {
			t.Errorf("a bad %s is accepted", name)
		}
	}
	for name, rs := range map[string][]mailstore.Range{"all": everything, "one": {{First: 1, Last: 1}}} {
		if _, err := s.Commit.Store(ctx, a, 999, rs, commit.FlagChange{}); !errors.Is(err, mailstore.ErrNoMailbox) {
			t.Errorf("%s in no mailbox: %v", name, err)
		}
	}
}

// fill appends n small messages.
func fill(t testing.TB, s *storetest.Stack, name string, n int) *lookup.Account {
	a := s.Account("fill@example.org", "pw")
	box := mailbox(t, a, name).ID
	for n > 0 {
		k := min(n, 500)
		msgs := make([]commit.AppendMessage, k)
		for i := range msgs {
			msgs[i].Message = *message(fmt.Sprint(n-i), 10)
		}
		if _, err := s.Commit.Append(ctx, a, box, msgs, 0); err != nil {
			t.Fatal(err)
		}
		n -= k
	}
	return a
}

// H16: a change of many messages goes in pieces of at most 1000, each under
// its own operation id; when one fails, what was done before is told.
func TestPieces(t *testing.T) {
	s := storetest.New(t)
	a := fill(t, s, "INBOX", 2500)
	inbox := mailbox(t, a, "INBOX").ID
	g := s.Solo(a.Group())
	ops := map[cluster.OpID]int{}
	count := func(p cluster.Proposal) error {
		c, err := command.Decode(p.Command)
		if err != nil {
			return err
		}
		n := 0
		for _, r := range append(c.GetStoreFlags().GetUids(), c.GetExpunge().GetUids()...) {
			n += int(r.Last - r.First + 1)
		}
		ops[p.Op] = n
		return nil
	}
	check := func(what string, pieces, total int) {
		t.Helper()
		sum := 0
		for _, n := range ops {
			if sum += n; n > 1000 {
				t.Errorf("%s: a piece of %d messages", what, n)
			}
		}
		if len(ops) != pieces || sum != total {
			t.Errorf("%s: %d messages in %d pieces", what, sum, len(ops))
		}
		clear(ops)
	}
	g.Before(count)
	r, err := s.Commit.Store(ctx, a, inbox, everything, commit.FlagChange{Mode: commit.Add, Flags: mailstore.FlagDeleted})
	if err != nil || len(r.Changed) != 2500 {
		t.Fatalf("%d changed, %v", len(r.Changed), err)
	}
	check("store", 3, 2500)
	var n atomic.Int32
	g.Before(func(p cluster.Proposal) error {
		if n.Add(1) == 2 {
			return cluster.ErrUnavailable
		}
		return count(p)
	})
	gone, _, err := s.Commit.Expunge(ctx, a, inbox, everything)
	if !errors.Is(err, cluster.ErrUnavailable) || !slices.Equal(gone, []mailstore.Range{{First: 1, Last: 1000}}) {
		t.Errorf("%v, %v", gone, err)
	}
	gone, seq, err := s.Commit.Expunge(ctx, a, inbox, everything)
	m := mailbox(t, a, "INBOX")
	if err != nil || !slices.Equal(gone, []mailstore.Range{{First: 1001, Last: 2500}}) || seq != m.HighestModSeq || m.Exists != 0 {
		t.Errorf("%v, %d, %v; %+v", gone, seq, err, m)
	}
	check("expunge", 3, 2500)
}

func TestExpunge(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	inbox := mailbox(t, a, "INBOX").ID
	var ids []mailstore.ContentID
	for i := range 5 {
		appendTo(t, s, a, inbox, fmt.Sprint("m", i+1), mailstore.FlagDeleted*mailstore.Flags(i%2))
	}
	v := a.Read()
	if err := v.Messages(inbox, everything, func(m *mailstore.Message) error { ids = append(ids, m.Content); return nil }); err != nil {
		t.Fatal(err)
	}
	c, err := v.Content(ids[1])
	if err != nil {
		t.Fatal(err)
	}
	streaming, err := v.OpenBody(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	v.Close()
	// Only what the session has seen goes.
	gone, _, err := s.Commit.Expunge(ctx, a, inbox, []mailstore.Range{{First: 1, Last: 3}})
	if err != nil || !slices.Equal(gone, []mailstore.Range{{First: 2, Last: 2}}) {
		t.Fatalf("%v, %v", gone, err)
	}
	wantList(t, a, "INBOX", "1 m1", "3 m3", "4 m4 01000 []", "5 m5")
	// H23: a FETCH that is streaming may finish; a new one finds it expunged.
	if b := make([]byte, streaming.Size()); true {
		if _, err := streaming.ReadAt(b, 0); err != nil {
			t.Errorf("streaming: %v", err)
		}
	}
	if err := streaming.Close(); err != nil {
		t.Error(err)
	}
	v = a.Read()
	defer v.Close()
	if _, err := v.Content(ids[1]); !errors.Is(err, mailstore.ErrExpunged) {
		t.Errorf("an expunged content: %v", err)
	}
	before, _ := s.Solo(a.Group()).Counts()
	if gone, _, err := s.Commit.Expunge(ctx, a, inbox, []mailstore.Range{{First: 1, Last: 3}}); err != nil || len(gone) != 0 {
		t.Errorf("of nothing: %v, %v", gone, err)
	}
	if after, _ := s.Solo(a.Group()).Counts(); after != before {
		t.Error("nothing is deleted, yet a command was proposed")
	}
	s.Solo(a.Group()).Unavailable(true)
	if _, _, err := s.Commit.Expunge(short(t), a, inbox, everything); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("cut off: %v", err)
	}
}

func TestCopyAndMove(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	inbox, trash := mailbox(t, a, "INBOX"), mailbox(t, a, "Trash")
	for i := range 4 {
		appendTo(t, s, a, inbox.ID, fmt.Sprint("m", i+1), mailstore.FlagSeen, "k")
	}
	c, err := s.Commit.Copy(ctx, a, inbox.ID, []mailstore.Range{{First: 3, Last: 9}, {First: 1, Last: 1}}, trash.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.Source, []mailstore.UID{1, 3, 4}) || !slices.Equal(c.Dest, []mailstore.UID{1, 2, 3}) || c.UIDValidity != trash.UIDValidity || c.Expunged != nil {
		t.Errorf("%+v", c)
	}
	wantList(t, a, "Trash", "1 m1 00001 [k]", "2 m3 00001 [k]", "3 m4 00001 [k]")
	if first(t, a, "Trash").Content != first(t, a, "INBOX").Content {
		t.Error("a copy has another content")
	}
	c, err = s.Commit.Copy(ctx, a, inbox.ID, []mailstore.Range{{First: 2, Last: 3}}, trash.ID, true)
	if err != nil || !slices.Equal(c.Dest, []mailstore.UID{4, 5}) || !slices.Equal(c.Expunged, []mailstore.Range{{First: 2, Last: 3}}) {
		t.Errorf("%+v, %v", c, err)
	}
	wantList(t, a, "INBOX", "1 m1 00001 [k]", "4 m4 00001 [k]")
	if c, err = s.Commit.Copy(ctx, a, inbox.ID, []mailstore.Range{{First: 2, Last: 3}}, trash.ID, false); err != nil || len(c.Source) != 0 || c.UIDValidity != trash.UIDValidity {
		t.Errorf("of nothing: %+v, %v", c, err)
	}
	for _, uid := range []mailstore.UID{1, 2} { // one that is there, one that is not
		if _, err := s.Commit.Copy(ctx, a, inbox.ID, []mailstore.Range{{First: uid, Last: uid}}, 999, false); !errors.Is(err, mailstore.ErrNoMailbox) {
			t.Errorf("to no mailbox: %v", err)
		}
	}
	if err := s.Commit.SetQuota(ctx, a.ID(), 0, 7); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit.Copy(ctx, a, trash.ID, everything, inbox.ID, false); !errors.Is(err, mailstore.ErrOverQuota) {
		t.Errorf("over quota: %v", err)
	}
	if got := mailbox(t, a, "INBOX").Exists; got != 2 {
		t.Errorf("a refused copy left %d messages", got)
	}
}

func TestCopyLimit(t *testing.T) {
	s := storetest.New(t)
	a := fill(t, s, "INBOX", 2000)
	inbox, trash := mailbox(t, a, "INBOX"), mailbox(t, a, "Trash")
	for i := range 5 {
		c, err := s.Commit.Copy(ctx, a, inbox.ID, everything, trash.ID, false)
		if err != nil || len(c.Dest) != 2000 {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if _, err := s.Commit.Copy(ctx, a, trash.ID, everything, inbox.ID, false); err != nil {
		t.Errorf("of 10,000: %v", err)
	}
	appendTo(t, s, a, inbox.ID, "one more", 0)
	if _, err := s.Commit.Copy(ctx, a, inbox.ID, everything, trash.ID, false); !errors.Is(err, mailstore.ErrLimit) {
		t.Errorf("of 12,001: %v", err)
	}
}

func TestTouchRecent(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	deliver(t, s, a, "m")
	m := mailbox(t, a, "INBOX")
	if m.RecentFrom != 1 {
		t.Errorf("%+v", m)
	}
	// Cut off, it neither waits nor grows without bound.
	s.Solo(a.Group()).Before(func(cluster.Proposal) error { return cluster.ErrUnavailable })
	for i := range 5000 {
		s.Commit.TouchRecent(a, mailstore.MailboxID(i), 1)
	}
	waitFor(t, "the lost marks", func() bool { return s.Commit.Stats().LostTouches > 0 })
	s.Solo(a.Group()).Before(nil)
	waitFor(t, "the mark", func() bool {
		s.Commit.TouchRecent(a, m.ID, 2)
		return mailbox(t, a, "INBOX").RecentFrom == 2
	})
	s.Commit.TouchRecent(a, m.ID, 1)
	s.Commit.Close()
	s.Commit.TouchRecent(a, m.ID, 1)
	if got := mailbox(t, a, "INBOX").RecentFrom; got != 2 {
		t.Errorf("the mark went back to %d", got)
	}
}
