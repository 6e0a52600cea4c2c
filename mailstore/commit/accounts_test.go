package commit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/state"
	"altmail.se/altmail/mailstore/storetest"
)

func TestAddAccountRefused(t *testing.T) {
	s := storetest.New(t)
	a := s.AddAccount("Anna@Example.org", "pw")
	b := s.AddAccount("berit@example.org", "pw")
	add := func(address string) error {
		_, err := s.Commit.AddAccount(ctx, commit.AddAccount{Address: address, Verifier: s.Verifier("pw")})
		return err
	}
	for address, want := range map[string]error{
		"anna@example.org": mailstore.ErrExists, "ANNA@EXAMPLE.ORG.": mailstore.ErrExists,
		"c@elsewhere.example": commit.ErrNoDomain, "nobody": mailstore.ErrNoAddress, "a b@example.org": mailstore.ErrNoAddress,
	} {
		if err := add(address); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", address, err, want)
		}
	}
	if _, err := s.Commit.AddAccount(ctx, commit.AddAccount{Address: "d@example.org", Verifier: "junk"}); err == nil {
		t.Error("a junk verifier is accepted")
	}
	if err := s.Commit.AddAddress(ctx, a, "post@example.org"); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit.AddAddress(ctx, b, "POST@example.org"); !errors.Is(err, mailstore.ErrExists) {
		t.Errorf("a taken address: %v", err)
	}
	if err := s.Commit.AddAddress(ctx, b, "x@elsewhere.example"); !errors.Is(err, commit.ErrNoDomain) {
		t.Errorf("no domain: %v", err)
	}
	if err := s.Commit.RemoveAddress(ctx, b, "post@example.org"); !errors.Is(err, mailstore.ErrNoAddress) {
		t.Errorf("another's address: %v", err)
	}
	if err := s.Commit.RemoveAddress(ctx, a, "post@example.org"); err != nil {
		t.Error(err)
	}
	if err := s.Commit.AddAddress(ctx, b, "post@example.org"); err != nil {
		t.Errorf("an address that was given up: %v", err)
	}
	if err := s.Commit.AddDomain(ctx, "Räksmörgås.example"); err != nil {
		t.Error(err)
	}
	if err := add("åsa@RÄKSMÖRGÅS.example"); err != nil {
		t.Error(err)
	}
	if err := s.Commit.AddDomain(ctx, "not a domain"); !errors.Is(err, mailstore.ErrNoAddress) {
		t.Error(err)
	}
	if err := s.Commit.RemoveDomain(ctx, "elsewhere.example"); !errors.Is(err, commit.ErrNoDomain) {
		t.Error(err)
	}
	const nobody = mailstore.AccountID(99)
	for what, err := range map[string]error{
		"password": s.Commit.SetPassword(ctx, nobody, []byte("pw")), "address": s.Commit.AddAddress(ctx, nobody, "n@example.org"),
		"quota": s.Commit.SetQuota(ctx, nobody, 1, 1), "suspend": s.Commit.SuspendAccount(ctx, nobody),
		"resume": s.Commit.ResumeAccount(ctx, nobody), "close": s.Commit.CloseAccount(ctx, nobody),
	} {
		if !errors.Is(err, mailstore.ErrNoAccount) {
			t.Errorf("%s of no account: %v", what, err)
		}
	}
}

func TestAccountsSpread(t *testing.T) {
	s := storetest.New(t)
	count := map[cluster.GroupID]int{}
	for i := range 12 {
		count[s.Account(fmt.Sprintf("a%d@example.org", i), "pw").Group()]++
	}
	for _, g := range s.Mail() {
		if count[g] != 4 {
			t.Errorf("group %v has %d accounts", g, count[g])
		}
	}
}

func TestPasswordAndSuspension(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "first")
	login := func(user string) (*lookup.Login, error) { return s.Lookup.Login(ctx, user) }
	l, err := login("ANNA@example.org")
	if err != nil || l.Account != a.ID() || l.Group != a.Group() || l.Address != "anna@example.org" || len(l.Verifiers) != 1 || !l.Verifiers[0].Check([]byte("first")) {
		t.Fatalf("%+v, %v", l, err)
	}
	if again, err := login("anna@example.org"); err != nil || again.Version != l.Version {
		t.Errorf("the version changed by itself: %v", err)
	}
	if err := s.Commit.SetPassword(ctx, a.ID(), []byte("second")); err != nil {
		t.Fatal(err)
	}
	l2, err := login("anna@example.org")
	if err != nil || l2.Version == l.Version || len(l2.Verifiers) != 1 || l2.Verifiers[0].Check([]byte("first")) || !l2.Verifiers[0].Check([]byte("second")) {
		t.Fatalf("%+v, %v", l2, err)
	}
	for _, user := range []string{"", "anna", "nobody@example.org", "anna@elsewhere.example", "\x00@example.org"} {
		if _, err := login(user); !errors.Is(err, mailstore.ErrNoAccount) {
			t.Errorf("%q: %v", user, err)
		}
	}
	for range 2 {
		if err := s.Commit.SuspendAccount(ctx, a.ID()); err != nil {
			t.Fatal(err)
		}
	}
	l3, err := login("anna@example.org")
	if !errors.Is(err, mailstore.ErrSuspended) || l3 == nil || l3.Version == l2.Version {
		t.Errorf("%+v, %v", l3, err)
	}
	deliver(t, s, a, "m")
	if _, err := s.Commit.Create(ctx, a, "New", 0); !errors.Is(err, mailstore.ErrNotPermitted) {
		t.Errorf("a suspended account changes: %v", err)
	}
	for range 2 {
		if err := s.Commit.ResumeAccount(ctx, a.ID()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Commit.Create(ctx, a, "New", 0); err != nil {
		t.Error(err)
	}
	s.Solo(cluster.Directory).Unavailable(true)
	if _, err := s.Lookup.Login(short(t), "anna@example.org"); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("login without a quorum: %v", err)
	}
}

func TestCloseAccount(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	deliver(t, s, a, "m")
	for range 2 {
		err := s.Commit.CloseAccount(ctx, a.ID())
		if err != nil && !errors.Is(err, mailstore.ErrNoAccount) {
			t.Fatal(err)
		}
	}
	if _, err := s.Lookup.Open(ctx, a.ID()); !errors.Is(err, mailstore.ErrNoAccount) {
		t.Errorf("open: %v", err)
	}
	if _, err := s.Lookup.Route(ctx, "anna", "example.org"); !errors.Is(err, mailstore.ErrNoAddress) {
		t.Errorf("route: %v", err)
	}
	if _, err := a.Mailbox("INBOX"); !errors.Is(err, mailstore.ErrNoAccount) {
		t.Errorf("a session that still holds it: %v", err)
	}
	if _, err := s.Commit.Append(ctx, a, 1, []commit.AppendMessage{{Message: *message("m", 1)}}, 0); !errors.Is(err, mailstore.ErrNoAccount) {
		t.Errorf("append: %v", err)
	}
	if n := s.Lookup.Stats().Open; n != 0 {
		t.Errorf("%d accounts are kept open", n)
	}
	d := s.Commit.NewDriver()
	for d.Step(ctx) {
	}
	b := s.Account("anna@example.org", "pw") // the address is free again
	if b.ID() == a.ID() {
		t.Error("an account id is given twice")
	}
}

// Every account command is cut off before, and after, each of its steps in
// turn; the driver then brings it to its end, however often that is cut too.
func TestPlansInterrupted(t *testing.T) {
	status := func(t *testing.T, s *storetest.Stack, id mailstore.AccountID) lookup.Status {
		t.Helper()
		r := s.Directory().Read()
		row, ok, err := r.Account(id)
		if err := errors.Join(err, r.Close()); err != nil {
			t.Fatal(err)
		}
		if !ok {
			return 0
		}
		return lookup.Status(row.Status)
	}
	for name, plan := range map[string]struct {
		run  func(s *storetest.Stack, id mailstore.AccountID) error
		done func(t *testing.T, s *storetest.Stack, id mailstore.AccountID)
	}{
		"open": {
			func(s *storetest.Stack, _ mailstore.AccountID) error {
				_, err := s.Commit.AddAccount(ctx, commit.AddAccount{Address: "new@example.org", Verifier: s.Verifier("pw"), QuotaBytes: 5000})
				return err
			},
			func(t *testing.T, s *storetest.Stack, _ mailstore.AccountID) {
				target, err := s.Lookup.Route(ctx, "new", "example.org")
				if errors.Is(err, mailstore.ErrNoAddress) {
					return // cut before the first step
				}
				if err != nil || target.Status != lookup.Active {
					t.Errorf("%+v, %v", target, err)
					return
				}
				a := s.Open(target.Account)
				if got := names(t, a); len(got) != 6 {
					t.Errorf("mailboxes %q", got)
				}
				if q, err := a.Quota(); err != nil || q.LimitBytes != 5000 {
					t.Errorf("%+v, %v", q, err)
				}
			},
		},
		"close": {
			func(s *storetest.Stack, id mailstore.AccountID) error { return s.Commit.CloseAccount(ctx, id) },
			func(t *testing.T, s *storetest.Stack, id mailstore.AccountID) {
				if st := status(t, s, id); st != lookup.Active && st != lookup.Closed {
					t.Errorf("status %v", st)
				} else if _, err := s.Lookup.Open(ctx, id); (err == nil) != (st == lookup.Active) {
					t.Errorf("status %v, open: %v", st, err)
				}
			},
		},
		"suspend": {
			func(s *storetest.Stack, id mailstore.AccountID) error { return s.Commit.SuspendAccount(ctx, id) },
			func(t *testing.T, s *storetest.Stack, id mailstore.AccountID) {
				err := s.Commit.Subscribe(ctx, s.Open(id), "x", true)
				if suspended := status(t, s, id) == lookup.Suspended; suspended != errors.Is(err, mailstore.ErrNotPermitted) {
					t.Errorf("suspended: %v, a change: %v", suspended, err)
				}
			},
		},
		"quota": {
			func(s *storetest.Stack, id mailstore.AccountID) error { return s.Commit.SetQuota(ctx, id, 77, 7) },
			func(t *testing.T, s *storetest.Stack, id mailstore.AccountID) {
				r := s.Directory().Read()
				row, _, err := r.Account(id)
				if err := errors.Join(err, r.Close()); err != nil {
					t.Fatal(err)
				}
				if q, err := s.Open(id).Quota(); err != nil || q.LimitBytes != row.QuotaBytes || q.LimitMessages != row.QuotaMessages {
					t.Errorf("%+v beside %d, %d; %v", q, row.QuotaBytes, row.QuotaMessages, err)
				}
			},
		},
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/after=%v", name, after), func(t *testing.T) {
				s := storetest.New(t)
				groups := append(s.Mail(), cluster.Directory)
				for cut := 1; ; cut++ {
					id := s.AddAccount(fmt.Sprintf("a%d@example.org", cut), "pw")
					var n atomic.Int32
					hook := func(cluster.Proposal) error {
						if int(n.Add(1)) >= cut {
							return cluster.ErrUnavailable
						}
						return nil
					}
					for _, g := range groups {
						if after {
							s.Solo(g).After(hook)
						} else {
							s.Solo(g).Before(hook)
						}
					}
					err := plan.run(s, id)
					cutOff := n.Load()
					s.Commit.NewDriver().Step(ctx)
					for _, g := range groups {
						s.Solo(g).After(nil)
						s.Solo(g).Before(nil)
					}
					d := s.Commit.NewDriver()
					for d.Step(ctx) {
					}
					plan.done(t, s, id)
					if int(cutOff) < cut {
						if err != nil {
							t.Errorf("uncut: %v", err)
						}
						return
					}
					if err == nil {
						t.Errorf("cut at %d, and no error", cut)
					}
					if name == "open" {
						if target, err := s.Lookup.Route(ctx, "new", "example.org"); err == nil {
							if err := s.Commit.CloseAccount(ctx, target.Account); err != nil {
								t.Fatal(err)
							}
						}
					}
				}
			})
		}
	}
}

// Two changes of one account's limits at the same time leave directory and
// mail group alike.
func TestQuotaRace(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := s.Commit.SetQuota(ctx, a.ID(), uint64(1000+i), 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	r := s.Directory().Read()
	row, _, err := r.Account(a.ID())
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	if q, err := a.Quota(); err != nil || q.LimitBytes != row.QuotaBytes {
		t.Errorf("%+v beside %d, %v", q, row.QuotaBytes, err)
	}
}

func TestDriverRuns(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	stop := runDriver(s)
	defer stop()
	if err := s.Commit.CloseAccount(ctx, a.ID()); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the purge", func() bool {
		m, _ := s.MailState(a.Group())
		return !needsPurge(t, m)
	})
}

func needsPurge(t testing.TB, m *state.Mail) bool {
	t.Helper()
	r := m.Read()
	needs, err := r.NeedsPurge()
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return needs
}

// runDriver runs a driver until the returned function is called.
func runDriver(s *storetest.Stack) (stop func()) {
	c, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	d := s.Commit.NewDriver()
	d.Every, d.PurgePause = time.Hour, time.Millisecond // by Wake alone
	go func() { d.Run(c); close(done) }()
	return func() { cancel(); <-done }
}
