package commit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/storetest"
)

var ctx = context.Background()

// message makes a message whose text is all its own.
func message(subject string, size int) *commit.Message {
	head := "From: a@example.org\r\nSubject: " + subject + "\r\nMessage-ID: <" + subject + "@example.org>\r\n\r\n"
	return &commit.Message{
		Raw: []byte(head + strings.Repeat("line of text\r\n", size/14+1)), HeaderLen: len(head),
		Summary: []byte("summary of " + subject), MessageID: subject + "@example.org", Subject: subject,
	}
}

func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func to(a *lookup.Account) commit.Recipient {
	return commit.Recipient{Account: a.ID(), Group: a.Group()}
}

func deliver(t testing.TB, s *storetest.Stack, a *lookup.Account, subject string) {
	t.Helper()
	if err := s.Commit.Deliver(ctx, commit.NewOp(), message(subject, 100), []commit.Recipient{to(a)})[0]; err != nil {
		t.Fatal(err)
	}
}

func appendTo(t testing.TB, s *storetest.Stack, a *lookup.Account, box mailstore.MailboxID, subject string, flags mailstore.Flags, words ...string) mailstore.UID {
	t.Helper()
	res, err := s.Commit.Append(ctx, a, box, []commit.AppendMessage{{
		Message: *message(subject, 100), Placement: commit.Placement{Flags: flags, Keywords: words},
	}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return res.UIDs[0]
}

func mailbox(t testing.TB, a *lookup.Account, name string) mailstore.Mailbox {
	t.Helper()
	m, err := a.Mailbox(name)
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	return m
}

// everything is the range of all UIDs.
var everything = []mailstore.Range{{First: 1, Last: 1<<32 - 1}}

// subjects returns a line for each message of a mailbox: its UID, what its
// summary says, flags and keywords.
func listing(t testing.TB, a *lookup.Account, name string) []string {
	t.Helper()
	v := a.Read()
	defer v.Close()
	m, err := v.MailboxByName(name)
	if err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	var out []string
	err = v.Messages(m.ID, everything, func(msg *mailstore.Message) error {
		c, err := v.Content(msg.Content)
		if err != nil {
			return err
		}
		line := fmt.Sprintf("%d %s", msg.UID, strings.TrimPrefix(string(c.Summary), "summary of "))
		if msg.Flags != 0 || len(msg.Keywords) > 0 {
			line += fmt.Sprintf(" %05b %v", msg.Flags, msg.Keywords)
		}
		out = append(out, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantList(t testing.TB, a *lookup.Account, name string, want ...string) {
	t.Helper()
	if got := listing(t, a, name); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: got %q, want %q", name, got, want)
	}
}

// octets reads a message whole.
func octets(t testing.TB, a *lookup.Account, id mailstore.ContentID) string {
	t.Helper()
	v := a.Read()
	defer v.Close()
	c, err := v.Content(id)
	if err != nil {
		t.Fatal(err)
	}
	b, err := v.OpenBody(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var sb strings.Builder
	if err := b.WriteRange(&sb, 0, b.Size()); err != nil {
		t.Fatal(err)
	}
	if int64(sb.Len()) != b.Size() || uint32(sb.Len()) != c.Size {
		t.Fatalf("%d octets read, size %d, RFC822.SIZE %d", sb.Len(), b.Size(), c.Size)
	}
	return sb.String()
}

// first returns the first message of a mailbox.
func first(t testing.TB, a *lookup.Account, name string) mailstore.Message {
	t.Helper()
	v := a.Read()
	defer v.Close()
	m, err := v.MailboxByName(name)
	if err != nil {
		t.Fatal(err)
	}
	var out mailstore.Message
	stop := errors.New("stop")
	err = v.Messages(m.ID, everything, func(msg *mailstore.Message) error { out = *msg; return stop })
	if !errors.Is(err, stop) {
		t.Fatalf("no message in %s: %v", name, err)
	}
	return out
}

func short(t testing.TB) context.Context {
	c, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
	t.Cleanup(cancel)
	return c
}

// apart returns two accounts in different mail groups.
func apart(t testing.TB, s *storetest.Stack) (*lookup.Account, *lookup.Account) {
	a := s.Account("anna@example.org", "pw")
	for i := range 10 {
		b := s.Account(fmt.Sprintf("berit%d@example.org", i), "pw")
		if b.Group() != a.Group() {
			return a, b
		}
	}
	t.Fatal("all accounts are in one group")
	return nil, nil
}

// waitFor polls until fn holds.
func waitFor(t testing.TB, what string, fn func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !fn(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
