package commit_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/storetest"
)

// grant gives another account rights on a mailbox.
func grant(t testing.TB, s *storetest.Stack, owner *lookup.Account, name string, to *lookup.Account, rights string) {
	t.Helper()
	r, ok := lookup.ParseRights(rights)
	if !ok {
		t.Fatal(rights)
	}
	if err := s.Commit.SetACL(ctx, owner, mailbox(t, owner, name).ID, to.ID(), commit.Set, r); err != nil {
		t.Fatal(err)
	}
}

// granted describes what an account may do with another's mailboxes.
func granted(t testing.TB, owner, by *lookup.Account) string {
	t.Helper()
	all, err := owner.As(by.ID()).Granted()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, g := range all {
		out = append(out, g.Name+":"+lookup.FormatRights(g.Rights))
	}
	return strings.Join(out, " ")
}

func owners(t testing.TB, s *storetest.Stack, a *lookup.Account) []mailstore.AccountID {
	t.Helper()
	ids, err := s.Lookup.SharedWith(a.ID())
	if err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestSetACL(t *testing.T) {
	s := storetest.New(t)
	alice, bob, carol := s.Account("alice@example.org", "x"), s.Account("bob@example.org", "x"), s.Account("carol@example.org", "x")
	must[mailstore.MailboxID](t)(s.Commit.Create(ctx, alice, "Team", 0))
	must[mailstore.MailboxID](t)(s.Commit.Create(ctx, alice, "Other", 0))
	grant(t, s, alice, "Team", bob, "lrs")
	grant(t, s, alice, "INBOX", bob, "p")
	grant(t, s, alice, "Team", carol, "lra")
	if got := granted(t, alice, bob); got != "INBOX:p Team:lrs" {
		t.Error(got)
	}
	if got := owners(t, s, bob); !slices.Equal(got, []mailstore.AccountID{alice.ID()}) {
		t.Error(got)
	}
	team := mailbox(t, alice, "Team").ID
	acl, err := alice.ACL(team)
	if err != nil || len(acl) != 2 {
		t.Fatal(acl, err)
	}
	for _, e := range acl {
		if e.Account != bob.ID() && e.Account != carol.ID() {
			t.Error(e)
		}
	}
	if r, err := alice.Rights(team); err != nil || r != mailstore.AllRights {
		t.Error(r, err)
	}
	if _, err := alice.As(bob.ID()).Rights(99); !errors.Is(err, mailstore.ErrNoMailbox) {
		t.Error(err)
	}

	set := func(want error, a *lookup.Account, box mailstore.MailboxID, who mailstore.AccountID, mode commit.Mode, r mailstore.Rights) {
		t.Helper()
		if err := s.Commit.SetACL(ctx, a, box, who, mode, r); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	set(mailstore.ErrNotPermitted, alice, team, alice.ID(), commit.Set, 1)
	set(mailstore.ErrNoAccount, alice, team, 12345, commit.Set, 1)
	set(mailstore.ErrNoMailbox, alice, 99, bob.ID(), commit.Set, 1)
	// Who may administer may do so, others may not.
	set(nil, alice.As(carol.ID()), team, bob.ID(), commit.Add, mailstore.RightWrite)
	set(mailstore.ErrNotPermitted, alice.As(bob.ID()), team, bob.ID(), commit.Add, mailstore.RightAdminister)
	if got := granted(t, alice, bob); got != "INBOX:p Team:lrsw" {
		t.Error(got)
	}

	// The last right gone, it is not found any more.
	set(nil, alice, team, bob.ID(), commit.Remove, mailstore.AllRights)
	if got := owners(t, s, bob); len(got) != 1 {
		t.Error(got)
	}
	set(nil, alice, mailbox(t, alice, "INBOX").ID, bob.ID(), commit.Set, 0)
	if got := owners(t, s, bob); len(got) != 0 {
		t.Error(got)
	}
	// Nor when its mailbox is deleted.
	if err := s.Commit.Delete(ctx, alice, "Team"); err != nil {
		t.Fatal(err)
	}
	if got := owners(t, s, carol); len(got) != 0 {
		t.Error(got)
	}
}

// What a user who is not the owner does is done as far as its rights go, and
// refused beyond.
func TestActor(t *testing.T) {
	s := storetest.New(t)
	alice, bob := s.Account("alice@example.org", "x"), s.Account("bob@example.org", "x")
	team := must[mailstore.MailboxID](t)(s.Commit.Create(ctx, alice, "Team", 0))
	other := must[mailstore.MailboxID](t)(s.Commit.Create(ctx, alice, "Other", 0))
	shared := alice.As(bob.ID())
	appendTo(t, s, alice, team, "one", mailstore.FlagSeen|mailstore.FlagDeleted, "kept")
	refused := func(err error) {
		t.Helper()
		if !errors.Is(err, mailstore.ErrNotPermitted) {
			t.Errorf("%v", err)
		}
	}
	is := func(name string, want ...string) {
		t.Helper()
		if got := listing(t, alice, name); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	before := listing(t, alice, "Team")
	msg := commit.AppendMessage{Message: *message("two", 100), Placement: commit.Placement{Flags: mailstore.FlagSeen | mailstore.FlagDraft, Keywords: []string{"word"}}}
	everyRefusal := func() {
		t.Helper()
		_, err := s.Commit.Store(ctx, shared, team, everything, commit.FlagChange{Mode: commit.Add, Flags: mailstore.FlagDraft})
		refused(err)
		_, err = s.Commit.Store(ctx, shared, team, everything, commit.FlagChange{Mode: commit.Set})
		refused(err)
		_, _, err = s.Commit.Expunge(ctx, shared, team, everything)
		refused(err)
		_, err = s.Commit.Append(ctx, shared, team, []commit.AppendMessage{msg}, 0)
		refused(err)
		_, err = s.Commit.Copy(ctx, shared, team, everything, team, false)
		refused(err)
		_, err = s.Commit.Copy(ctx, shared, team, everything, team, true)
		refused(err)
		_, err = s.Commit.SetMetadata(ctx, shared, team, []commit.MetadataChange{{Name: "/shared/comment", Value: []byte("x")}})
		refused(err)
		_, err = s.Commit.Create(ctx, shared, "Team/Sub", 0)
		refused(err)
		_, err = s.Commit.Create(ctx, shared, "New", 0)
		refused(err)
		refused(s.Commit.Delete(ctx, shared, "Team"))
		refused(s.Commit.Rename(ctx, shared, "Team", "Other/Team"))
		refused(s.Commit.Rename(ctx, shared, "INBOX", "Other/Team"))
		is("Team", before...)
	}
	everyRefusal()
	grant(t, s, alice, "Team", bob, "lr")
	everyRefusal()

	grant(t, s, alice, "Team", bob, "lrits")
	must[commit.Appended](t)(s.Commit.Append(ctx, shared, team, []commit.AppendMessage{msg}, 0)) // \Draft and the keyword are lost
	must[commit.StoreResult](t)(s.Commit.Store(ctx, shared, team, everything, commit.FlagChange{Mode: commit.Remove, Flags: mailstore.FlagSeen | mailstore.FlagDraft}))
	must[commit.StoreResult](t)(s.Commit.Store(ctx, shared, team, everything, commit.FlagChange{Mode: commit.Set, Flags: mailstore.FlagFlagged}))
	v := alice.Read()
	var got []string
	if err := v.Messages(team, everything, func(m *mailstore.Message) error {
		got = append(got, fmt.Sprint(m.UID, " ", m.Flags, m.Keywords))
		return nil
	}); err != nil {
		t.Error(err)
	}
	v.Close()
	if want := []string{"1 0 [kept]", "2 0 []"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	_, err := s.Commit.Store(ctx, shared, team, everything, commit.FlagChange{Mode: commit.Add, Keywords: []string{"word"}})
	refused(err)
	_, err = s.Commit.Copy(ctx, shared, team, everything, other, false)
	refused(err)

	// All of it.
	grant(t, s, alice, "Team", bob, "lrswipkxtea")
	grant(t, s, alice, "Other", bob, "lrik")
	must[commit.StoreResult](t)(s.Commit.Store(ctx, shared, team, everything, commit.FlagChange{Mode: commit.Set, Flags: mailstore.FlagSeen, Keywords: []string{"word"}}))
	done := must[commit.Copied](t)(s.Commit.Copy(ctx, shared, team, everything, other, true))
	if len(done.Dest) != 2 || len(done.Expunged) != 1 {
		t.Errorf("%+v", done)
	}
	is("Team")
	v = alice.Read()
	got = nil
	if err := v.Messages(other, everything, func(m *mailstore.Message) error {
		got = append(got, fmt.Sprint(m.Flags, m.Keywords))
		return nil
	}); err != nil {
		t.Error(err)
	}
	v.Close()
	if want := []string{"0 []", "0 []"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	must[mailstore.ModSeq](t)(s.Commit.SetMetadata(ctx, shared, team, []commit.MetadataChange{{Name: "/shared/comment", Value: []byte("x")}}))
	_, err = s.Commit.SetMetadata(ctx, shared, team, []commit.MetadataChange{{Name: "/private/comment", Value: []byte("x")}})
	refused(err)
	_, err = s.Commit.SetMetadata(ctx, shared, 0, []commit.MetadataChange{{Name: "/shared/comment", Value: []byte("x")}})
	refused(err)
	must[mailstore.ModSeq](t)(s.Commit.SetMetadata(ctx, alice, team, []commit.MetadataChange{{Name: "/private/comment", Value: []byte("own")}}))
	if got := metadataOf(t, shared, team); len(got) != 1 || got["/shared/comment"] != "x" {
		t.Error(got)
	}
	// New mailboxes inherit, so that who made them may use them.
	must[mailstore.MailboxID](t)(s.Commit.Create(ctx, shared, "Team/a/b", 0))
	if err := s.Commit.Rename(ctx, shared, "Team/a", "Other/moved"); err != nil {
		t.Error(err)
	}
	if err := s.Commit.Delete(ctx, shared, "Team"); err != nil {
		t.Error(err)
	}
	if got, want := granted(t, alice, bob), "Other:lrikc Other/moved:lrswipkxteacd Other/moved/b:lrswipkxteacd"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// Whatever is granted and taken at the same time, what is granted in the end is
// found, and what is not is not looked for.
func TestSharesRace(t *testing.T) {
	s := storetest.New(t)
	alice, bob := s.Account("alice@example.org", "x"), s.Account("bob@example.org", "x")
	for round := range 30 {
		var work sync.WaitGroup
		for i, name := range []string{"INBOX", "Drafts", "Sent"} {
			box := mailbox(t, alice, name).ID
			work.Go(func() {
				r := mailstore.RightLookup
				if (round+i)%3 != 0 {
					r = 0
				}
				if err := s.Commit.SetACL(ctx, alice, box, bob.ID(), commit.Set, r); err != nil {
					t.Error(err)
				}
			})
		}
		work.Wait()
		if granted(t, alice, bob) != "" && len(owners(t, s, bob)) == 0 {
			t.Fatalf("round %d: a grant that is not found", round)
		}
	}
}

// Closing an account ends what it shares and what is shared with it.
func TestCloseSharing(t *testing.T) {
	s := storetest.New(t)
	alice, bob, carol := s.Account("alice@example.org", "x"), s.Account("bob@example.org", "x"), s.Account("carol@example.org", "x")
	grant(t, s, alice, "INBOX", bob, "lr")
	grant(t, s, alice, "Sent", bob, "lr")
	grant(t, s, alice, "INBOX", carol, "lr")
	grant(t, s, bob, "INBOX", alice, "lr")
	if err := s.Commit.CloseAccount(ctx, bob.ID()); err != nil {
		t.Fatal(err)
	}
	if acl := must[[]lookup.ACLEntry](t)(alice.ACL(mailbox(t, alice, "INBOX").ID)); len(acl) != 1 || acl[0].Account != carol.ID() {
		t.Error(acl)
	}
	if acl := must[[]lookup.ACLEntry](t)(alice.ACL(mailbox(t, alice, "Sent").ID)); len(acl) != 0 {
		t.Error(acl)
	}
	if a, b := owners(t, s, alice), owners(t, s, bob); len(a)+len(b) != 0 {
		t.Error(a, b)
	}
	if _, err := bob.As(alice.ID()).Granted(); !errors.Is(err, mailstore.ErrNoAccount) {
		t.Error(err)
	}
	if err := s.Commit.SetACL(ctx, alice, mailbox(t, alice, "INBOX").ID, bob.ID(), commit.Set, 1); !errors.Is(err, mailstore.ErrNoAccount) {
		t.Error(err)
	}
	if err := s.Commit.CloseAccount(ctx, alice.ID()); err != nil {
		t.Fatal(err)
	}
	if got := owners(t, s, carol); len(got) != 0 {
		t.Error(got)
	}
}

// A record that was left goes at the driver's next look at everything.
func TestLeftShares(t *testing.T) {
	s := storetest.NewWith(t, storetest.Options{Timeout: 150 * time.Millisecond})
	alice, bob := s.Account("alice@example.org", "x"), s.Account("bob@example.org", "x")
	grant(t, s, alice, "INBOX", bob, "lr")
	grant(t, s, alice, "Sent", bob, "lr")
	s.Solo(cluster.Directory).Unavailable(true)
	for _, name := range []string{"INBOX", "Sent"} {
		if err := s.Commit.SetACL(ctx, alice, mailbox(t, alice, name).ID, bob.ID(), commit.Set, 0); err != nil {
			t.Fatal(err)
		}
		// And a grant that cannot be found is not made.
		if err := s.Commit.SetACL(ctx, alice, mailbox(t, alice, name).ID, bob.ID(), commit.Set, 1); !errors.Is(err, cluster.ErrUnavailable) {
			t.Error(err)
		}
	}
	s.Solo(cluster.Directory).Unavailable(false)
	if got := owners(t, s, bob); len(got) != 1 || granted(t, alice, bob) != "" {
		t.Fatal(got, granted(t, alice, bob))
	}
	s.Commit.NewDriver().Step(ctx)
	if got := owners(t, s, bob); len(got) != 0 {
		t.Error(got)
	}
}
