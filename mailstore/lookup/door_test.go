package lookup_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/storetest"
)

var ctx = context.Background()

func short(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	t.Cleanup(cancel)
	return c
}

func TestRoute(t *testing.T) {
	s := storetest.New(t)
	id := s.AddAccount("Anna@Example.org", "pw")
	for _, local := range []string{"Anna", "ANNA", "anna"} {
		got, err := s.Lookup.Route(ctx, local, "EXAMPLE.org.")
		want := lookup.Target{Account: id, Group: s.Open(id).Group(), Status: lookup.Active, Address: "Anna@example.org"}
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", local, got, err)
		}
	}
	dir := s.Solo(cluster.Directory)
	_, before := dir.Counts()
	if _, err := s.Lookup.Route(ctx, "anna", "example.org"); err != nil {
		t.Error(err)
	}
	if _, after := dir.Counts(); after != before {
		t.Error("a positive answer took a read index")
	}
	if _, err := s.Lookup.Route(ctx, "nobody", "example.org"); !errors.Is(err, mailstore.ErrNoAddress) {
		t.Error(err)
	}
	if _, after := dir.Counts(); after != before+1 {
		t.Error("a negative answer took no read index (H8)")
	}
	dir.Unavailable(true)
	if _, err := s.Lookup.Route(short(t), "anna", "example.org"); err != nil {
		t.Errorf("a positive answer without a quorum: %v", err)
	}
	if _, err := s.Lookup.Route(short(t), "nobody", "example.org"); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("a negative answer without a quorum: %v", err)
	}
	dir.Unavailable(false)
	if err := s.Commit.SuspendAccount(ctx, id); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Lookup.Route(ctx, "anna", "example.org"); err != nil || got.Status != lookup.Suspended {
		t.Errorf("%+v, %v", got, err)
	}
}

// H8: what was answered on another node a moment ago counts here, though this
// node has not applied it yet.
func TestALaggingNodeCatchesUp(t *testing.T) {
	s := storetest.New(t)
	a := s.AddAccount("anna@example.org", "first")
	dir := s.Solo(cluster.Directory)
	late := func(fn func() error) {
		var once sync.Once
		dir.OnRead(func() (err error) {
			once.Do(func() { err = fn() })
			return err
		})
	}
	late(func() error { return s.Commit.AddAddress(ctx, a, "new@example.org") })
	if got, err := s.Lookup.Route(ctx, "new", "example.org"); err != nil || got.Account != a {
		t.Errorf("route: %+v, %v", got, err)
	}
	late(func() error { return s.Commit.AddAddress(ctx, a, "newer@example.org") })
	if l, err := s.Lookup.Login(ctx, "newer@example.org"); err != nil || l.Account != a {
		t.Errorf("login: %+v, %v", l, err)
	}
	late(func() error { return s.Commit.SetPassword(ctx, a, []byte("second")) })
	if l, err := s.Lookup.Login(ctx, "anna@example.org"); err != nil || !l.Verifiers[0].Check([]byte("second")) {
		t.Errorf("the old password counts: %v", err)
	}
	late(func() error { return s.Commit.AddDomain(ctx, "late.example") })
	if ok, err := s.Lookup.HasDomain(ctx, "late.example"); !ok || err != nil {
		t.Errorf("domain: %v, %v", ok, err)
	}
	var b mailstore.AccountID
	late(func() error {
		id, err := s.Commit.AddAccount(ctx, commit.AddAccount{Address: "b@example.org", Verifier: s.Verifier("first")})
		b = id
		return err
	})
	if _, err := s.Lookup.Open(ctx, 99); !errors.Is(err, mailstore.ErrNoAccount) {
		t.Errorf("open: %v", err)
	}
	// An address that changed hands.
	late(func() error {
		if err := s.Commit.RemoveAddress(ctx, a, "new@example.org"); err != nil {
			return err
		}
		return s.Commit.AddAddress(ctx, b, "new@example.org")
	})
	if owns, err := s.Lookup.Owns(ctx, b, "new@example.org"); err != nil || !owns {
		t.Errorf("owns: %v, %v", owns, err)
	}
}

func TestOwns(t *testing.T) {
	s := storetest.New(t)
	a, b := s.AddAccount("anna@example.org", "pw"), s.AddAccount("berit@example.org", "pw")
	for _, tc := range []struct {
		id   mailstore.AccountID
		addr string
		want bool
	}{
		{a, "ANNA@example.org", true}, {b, "anna@example.org", false}, {a, "nobody@example.org", false}, {a, "", false}, {a, "x y@example.org", false},
	} {
		if got, err := s.Lookup.Owns(ctx, tc.id, tc.addr); err != nil || got != tc.want {
			t.Errorf("%q: %v, %v", tc.addr, got, err)
		}
	}
	s.Solo(cluster.Directory).Unavailable(true)
	if _, err := s.Lookup.Owns(short(t), b, "anna@example.org"); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("another's address without a quorum: %v", err)
	}
}

func TestOpenIsCached(t *testing.T) {
	s := storetest.NewWith(t, storetest.Options{Accounts: 2})
	var ids []mailstore.AccountID
	for i := range 3 {
		ids = append(ids, s.AddAccount(fmt.Sprintf("a%d@example.org", i), "pw"))
	}
	if n := s.Lookup.Stats().Open; n != 2 {
		t.Errorf("%d accounts are open", n)
	}
	a := s.Open(ids[2])
	if s.Open(ids[2]) != a {
		t.Error("opened twice")
	}
	s.Open(ids[0])
	s.Open(ids[1])
	if s.Open(ids[2]) == a {
		t.Error("the one used last is kept beyond the bound")
	}
	if a.ID() != ids[2] || a.Address() != "a2@example.org" {
		t.Errorf("%v %v", a.ID(), a.Address())
	}
}

func TestSync(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	if err := a.Sync(ctx); err != nil {
		t.Error(err)
	}
	s.Solo(a.Group()).Unavailable(true)
	if err := a.Sync(short(t)); !errors.Is(err, cluster.ErrUnavailable) {
		t.Error(err)
	}
	// H7: sessions that are open keep reading.
	if _, _, err := a.Mailboxes(); err != nil {
		t.Error(err)
	}
}

func TestTimeoutOfItsOwn(t *testing.T) {
	s := storetest.NewWith(t, storetest.Options{Timeout: 20 * time.Millisecond})
	a := s.Account("anna@example.org", "pw")
	s.Unavailable(true)
	if err := a.Sync(ctx); !errors.Is(err, cluster.ErrUnavailable) {
		t.Error(err)
	}
}

func TestStaleReads(t *testing.T) {
	s := storetest.NewWith(t, storetest.Options{Stale: true})
	a := s.Account("anna@example.org", "pw")
	s.Unavailable(true)
	// Users get in by what this node knows; everything else stays certain, and
	// sessions decide by this error.
	if _, err := s.Lookup.Login(short(t), "anna@example.org"); err != nil {
		t.Error(err)
	}
	if err := a.Sync(short(t)); !errors.Is(err, cluster.ErrUnavailable) {
		t.Error(err)
	}
	if _, err := s.Lookup.Login(short(t), "nobody@example.org"); !errors.Is(err, cluster.ErrUnavailable) {
		t.Error(err)
	}
	if _, err := s.Lookup.Route(short(t), "nobody", "example.org"); !errors.Is(err, cluster.ErrUnavailable) {
		t.Error(err)
	}
}

func TestConcurrentOpen(t *testing.T) {
	s := storetest.NewWith(t, storetest.Options{Accounts: 1})
	a, b := s.AddAccount("a@example.org", "pw"), s.AddAccount("b@example.org", "pw")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				id := a
				if i%2 == 0 {
					id = b
				}
				acc, err := s.Lookup.Open(ctx, id)
				if err != nil || acc.ID() != id {
					t.Errorf("%v", err)
					return
				}
				if _, _, err := acc.Mailboxes(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
