package mbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/frontend/migrate"
	"altmail.se/altmail/mailstore"
)

func readAll(r io.Reader) (out []*migrate.Message, err error) {
	m, err := NewReader(r)
	for err == nil {
		var x *migrate.Message
		if x, err = m.Next(); err == nil {
			out = append(out, x)
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return out, err
}

func TestRead(t *testing.T) {
	const text = "\nFrom a@b Sat May  4 03:02:01 2019\nSubject: one\nStatus: RO\nX-Status: AF\nX-Keywords: $Forwarded two\n\nbody\n>From here\n>>From there\nFrom not a beginning\n\n" +
		"From MAILER-DAEMON\nDate: Sun, 5 May 2019 10:00:00 +0200\nContent-Length: 4\n X-folded: y\nTo: x\n\n\n\nFrom c Sat May  4 03:02:02 2019\nA: b\n\nno end of line"
	got, err := readAll(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []*migrate.Message{
		{Flags: mailstore.FlagSeen | mailstore.FlagAnswered | mailstore.FlagFlagged, Keywords: []string{"$Forwarded", "two"},
			Date: time.Date(2019, 5, 4, 3, 2, 1, 0, time.UTC), Raw: []byte("Subject: one\r\n\r\nbody\r\nFrom here\r\n>From there\r\nFrom not a beginning\r\n")},
		{Date: time.Date(2019, 5, 5, 8, 0, 0, 0, time.UTC), Raw: []byte("Date: Sun, 5 May 2019 10:00:00 +0200\r\nTo: x\r\n\r\n\r\n")},
		{Date: time.Date(2019, 5, 4, 3, 2, 2, 0, time.UTC), Raw: []byte("A: b\r\n\r\nno end of line")},
	}
	for i := range got {
		got[i].Date = got[i].Date.UTC()
		if i >= len(want) || !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("%d: %+v\n%q", i, got[i], got[i].Raw)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d messages", len(got))
	}
	if n, err := count(strings.NewReader(text)); err != nil || n != 3 {
		t.Errorf("counted %d %v", n, err)
	}
	if _, err := readAll(strings.NewReader("no mbox")); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if got, err := readAll(strings.NewReader("")); err != nil || got != nil {
		t.Error(got, err)
	}
}

// What is written is read as it was, but for what the form cannot say.
func TestRoundTrip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	w, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2019, 5, 4, 3, 2, 1, 0, time.UTC)
	want := []*migrate.Message{
		{UID: 1, Flags: mailstore.AllFlags, Keywords: []string{"$Forwarded", "zwei"}, Date: at, Raw: []byte("A: b\r\n\r\nFrom x\r\n>From y\r\nbare\nline\r\n\r\n")},
		{UID: 2, Date: at.Add(time.Hour), Raw: []byte("A: c\r\n\r\n")},
	}
	for _, name := range []string{"INBOX", "a/..", "a/.b%c", "a"} {
		if err := w.Mailbox(migrate.Mailbox{Name: name}); err != nil {
			t.Fatal(err)
		}
		for _, m := range want {
			if _, _, err := w.Message(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(nil); err != nil {
		t.Fatal(err)
	}
	s, err := Open(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	boxes, err := s.Mailboxes(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, b := range boxes {
		names = append(names, b.Name)
		var got []*migrate.Message
		err := s.Messages(context.Background(), b, 0, func(m *migrate.Message) error { got = append(got, m); return nil }, func(uint32, string) { t.Error("left out") })
		if err != nil || b.Messages != 2 || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", b.Name, err)
			for _, m := range got {
				t.Logf("%+v %q", m, m.Raw)
			}
		}
	}
	if !reflect.DeepEqual(names, []string{"INBOX", "a", "a/..", "a/.b%c"}) {
		t.Errorf("mailboxes %q", names)
	}
	one, err := Open(filepath.Join(dir, "a.mbox"), "Other")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	if err := one.Messages(context.Background(), migrate.Mailbox{Name: "Other"}, 1, func(m *migrate.Message) error { n += int(m.UID); return nil }, nil); err != nil || n != 2 {
		t.Errorf("after the first: %d %v", n, err)
	}
	if _, err := Create(dir); err == nil {
		t.Error("a directory was written over")
	}
	if _, err := os.Stat(filepath.Join(dir, "..", "b%c.mbox")); err == nil {
		t.Error("a mailbox left its directory")
	}
}

// Whatever a file holds, reading ends, counts the same, and gives wire form.
func FuzzRead(f *testing.F) {
	f.Add([]byte("From a@b Sat May  4 03:02:01 2019\nSubject: one\nStatus: RO\n\nbody\n>From here\n\nFrom x\n\ny"))
	f.Add([]byte("From a\r\n\r\nFrom b\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := readAll(bytes.NewReader(b))
		if err != nil {
			return
		}
		n, err := count(bytes.NewReader(b))
		if err != nil || n != len(got) {
			t.Fatalf("%d messages, counted %d, %v", len(got), n, err)
		}
	})
}
