package commit_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/storetest"
)

func TestMask(t *testing.T) {
	s := storetest.NewWith(t, storetest.Options{Timeout: 200 * time.Millisecond})
	ctx := t.Context()
	a, b := s.Account("a@example.org", "password"), s.Account("b@example.org", "password")
	mask := func(a *lookup.Account, want ...string) {
		t.Helper()
		if got, err := s.Lookup.Mask(a); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
	mask(a)
	if err := s.Commit.SetMask(ctx, a.ID(), []string{"move", "QRESYNC", "Move", "THREAD=REFS"}); err != nil {
		t.Fatal(err)
	}
	mask(a, "MOVE", "QRESYNC", "THREAD=REFS")
	mask(b)
	if err := s.Commit.SetMask(ctx, a.ID(), nil); err != nil {
		t.Fatal(err)
	}
	mask(a)
	var many []string
	for i := range lookup.MaxMasked + 1 {
		many = append(many, fmt.Sprint("C", i))
	}
	for want, caps := range map[error][]string{
		mailstore.ErrLimit: many, mailstore.ErrBadName: {"MOVE", "A B"},
	} {
		if err := s.Commit.SetMask(ctx, a.ID(), caps); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if err := s.Commit.SetMask(ctx, a.ID(), []string{"+uidonly", "MOVE", "+MESSAGELIMIT=1000"}); err != nil {
		t.Fatal(err)
	}
	mask(a, "+UIDONLY", "MOVE", "+MESSAGELIMIT=1000")
	if hidden, on := lookup.SplitMask([]string{"+UIDONLY", "MOVE"}); !slices.Equal(hidden, []string{"MOVE"}) || !slices.Equal(on, []string{"UIDONLY"}) {
		t.Errorf("%q %q", hidden, on)
	}
	if err := s.Commit.SetMask(ctx, a.ID(), nil); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"+", "+MOVE", "++UIDONLY", "+MESSAGELIMIT", "+MESSAGELIMIT=", "+MESSAGELIMIT=0", "+MESSAGELIMIT=07", "+MESSAGELIMIT=x", "+MESSAGELIMIT=4294967296", "", "å", "a\r\nb", "(x)", strings.Repeat("x", lookup.MaxCapability+1)} {
		if _, err := lookup.CleanMask([]string{bad}); !errors.Is(err, mailstore.ErrBadName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := s.Commit.SetMask(ctx, 12345, nil); !errors.Is(err, mailstore.ErrNoAccount) {
		t.Error(err)
	}
	s.Solo(cluster.Directory).Unavailable(true)
	if err := s.Commit.SetMask(ctx, a.ID(), []string{"MOVE"}); !errors.Is(err, cluster.ErrUnavailable) {
		t.Error(err)
	}
	mask(a)
}
