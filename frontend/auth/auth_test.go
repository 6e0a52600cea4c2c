package auth_test

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/frontend/auth"
	"altmail.se/altmail/frontend/sasl"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/storetest"
)

// A right password is derived once; whatever changes the account's credentials
// is in force at once all the same.
func TestRemembered(t *testing.T) {
	s := storetest.NewWith(t, storetest.Options{Timeout: 200 * time.Millisecond})
	id := s.AddAccount("a@example.org", "secret")
	s.AddAccount("b@example.org", "secret")
	a, err := auth.New(s.Lookup, 2, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	derived := uint64(0)
	plain := func(user, password string, want error, derives uint64) {
		t.Helper()
		got, err := a.Plain(t.Context(), user, password)
		if !errors.Is(err, want) || err == nil && (got.Account == 0 || got.Address != user) {
			t.Errorf("%s %s: %+v, %v; want %v", user, password, got, err, want)
		}
		now := a.CacheStats().Misses
		if n := now - derived; (n > 0) != (derives > 0) {
			t.Errorf("%s %s: %d derivations", user, password, n)
		}
		derived = now
	}
	plain("a@example.org", "secret", nil, 1)
	for range 10 {
		plain("a@example.org", "secret", nil, 0)
	}
	// It is the account's: what is right for one is not for another, and a
	// wrong one is never remembered.
	plain("b@example.org", "secret", nil, 1)
	plain("a@example.org", "wrong", sasl.ErrCredentials, 1)
	plain("a@example.org", "wrong", sasl.ErrCredentials, 1)
	plain("a@example.org", "secret", nil, 0)
	plain("nobody@example.org", "secret", sasl.ErrCredentials, 0)

	if err := s.Commit.SetPassword(t.Context(), id, []byte("other")); err != nil {
		t.Fatal(err)
	}
	plain("a@example.org", "secret", sasl.ErrCredentials, 1)
	plain("a@example.org", "other", nil, 1)
	plain("a@example.org", "other", nil, 0)
	if err := s.Commit.SuspendAccount(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Plain(t.Context(), "a@example.org", "other"); !errors.Is(err, mailstore.ErrSuspended) {
		t.Errorf("suspended: %v", err)
	}
	if err := s.Commit.ResumeAccount(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Plain(t.Context(), "a@example.org", "other"); err != nil {
		t.Errorf("resumed: %v", err)
	}
	// Without a quorum even what is remembered is not an answer (H8).
	s.Unavailable(true)
	if _, err := a.Plain(t.Context(), "a@example.org", "other"); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("without a quorum: %v", err)
	}
	s.Unavailable(false)
	if err := s.Commit.CloseAccount(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Plain(t.Context(), "a@example.org", "other"); !errors.Is(err, sasl.ErrCredentials) {
		t.Errorf("closed: %v", err)
	}
}

// All connections of a client that starts derive its password once.
func TestDerivedTogether(t *testing.T) {
	s := storetest.NewWith(t, storetest.Options{})
	s.AddAccount("a@example.org", "secret")
	a, err := auth.New(s.Lookup, 1, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	begin := time.Now()
	for range 50 {
		wg.Go(func() {
			if _, err := a.Plain(t.Context(), "a@example.org", "secret"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if st := a.CacheStats(); st.Entries != 1 {
		t.Errorf("%+v", st)
	}
	t.Log("50 logins at once took", time.Since(begin))
}
