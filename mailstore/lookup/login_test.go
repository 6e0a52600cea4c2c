package lookup_test

import (
	"errors"
	"testing"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/storetest"
)

// A Login is remembered while the directory stays as it is, and no longer.
func TestLoginRemembered(t *testing.T) {
	s := storetest.New(t)
	a := s.AddAccount("anna@example.org", "first")
	login := func() *lookup.Login {
		t.Helper()
		l, err := s.Lookup.Login(ctx, "Anna@example.org")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	l := login()
	if login() != l {
		t.Error("read again, though nothing has changed")
	}
	if err := s.Commit.AddDomain(ctx, "other.example"); err != nil {
		t.Fatal(err)
	}
	if again := login(); again == l || again.Version != l.Version {
		t.Errorf("after a change elsewhere: %+v", again)
	}
	if err := s.Commit.SetPassword(ctx, a, []byte("second")); err != nil {
		t.Fatal(err)
	}
	if l = login(); l.Verifiers[0].Check([]byte("first")) || !l.Verifiers[0].Check([]byte("second")) {
		t.Error("the old password counts")
	}
	login()
	if err := s.Commit.SuspendAccount(ctx, a); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := s.Lookup.Login(ctx, "anna@example.org"); !errors.Is(err, mailstore.ErrSuspended) {
			t.Errorf("suspended: %v", err)
		}
	}
	if err := s.Commit.ResumeAccount(ctx, a); err != nil {
		t.Fatal(err)
	}
	l = login()
	// An exchanged state may have other contents at the same index.
	s.Lookup.Reset()
	if login() == l {
		t.Error("remembered over an exchange of the state")
	}
	// What is remembered does not stand in for a quorum.
	s.Solo(cluster.Directory).OnRead(func() error { return cluster.ErrUnavailable })
	if _, err := s.Lookup.Login(ctx, "anna@example.org"); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("cut off: %v", err)
	}
}

func BenchmarkLogin(b *testing.B) {
	s := storetest.New(b)
	s.AddAccount("anna@example.org", "pw")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Lookup.Login(ctx, "anna@example.org"); err != nil {
			b.Fatal(err)
		}
	}
}
