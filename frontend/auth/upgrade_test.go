package auth

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"

	"altmail.se/altmail/crypto/passwd"
	"altmail.se/altmail/frontend/sasl"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/storetest"
)

// A password that came from elsewhere is taken, and from its first login on
// SCRAM works with it.
func TestUpgrade(t *testing.T) {
	s := storetest.New(t)
	a, err := New(s.Lookup, 2, s.Commit.UpgradeCredential, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	id := s.AddAccount("anna@example.org", "other")
	const hash = "{SHA256-CRYPT}$5$5VS2veVVzZZSo0Tg$z4uDjQX3wWQkgw2dAfxsHR6oOUrvG4Xraz5CfplW/I9"
	if err := s.Commit.SetVerifier(ctx, id, hash); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Scram(ctx, "anna@example.org"); !errors.Is(err, sasl.ErrCredentials) {
		t.Errorf("SCRAM with a foreign hash: %v", err)
	}
	if _, err := a.Plain(ctx, "anna@example.org", "pencil"); !errors.Is(err, sasl.ErrCredentials) {
		t.Errorf("wrong password: %v", err)
	}
	old, err := s.Lookup.Login(ctx, "anna@example.org")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := a.Plain(ctx, "anna@example.org", "pencil å"); err != nil {
			t.Fatal(err)
		}
	}
	l, err := s.Lookup.Login(ctx, "anna@example.org")
	if err != nil || len(l.Verifiers) != 1 || len(l.Checkers) != 1 || l.Credentials[0] != old.Credentials[0] {
		t.Fatalf("after the login: %+v %v", l, err)
	}
	v, _, err := a.Scram(ctx, "anna@example.org")
	if err != nil || !v.Check([]byte("pencil å")) {
		t.Errorf("SCRAM after the login: %v", err)
	}
	// A password that was changed meanwhile does not come back.
	if err := s.Commit.SetVerifier(ctx, id, hash); err != nil {
		t.Fatal(err)
	}
	if l, err = s.Lookup.Login(ctx, "anna@example.org"); err != nil {
		t.Fatal(err)
	}
	stale := l.Credentials[0]
	if err := s.Commit.SetPassword(ctx, id, []byte("changed password")); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit.UpgradeCredential(ctx, id, stale, []byte("pencil å")); !errors.Is(err, commit.ErrNoSuch) {
		t.Errorf("an exchange after a change: %v", err)
	}
	if _, err := a.Plain(ctx, "anna@example.org", "pencil å"); !errors.Is(err, sasl.ErrCredentials) {
		t.Errorf("the old password: %v", err)
	}
	if err := s.Commit.SetVerifier(ctx, id, "{PLAIN}secret"); !errors.Is(err, passwd.ErrCleartext) {
		t.Errorf("a password in the clear: %v", err)
	}
}
