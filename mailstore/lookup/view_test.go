package lookup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/body"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/storetest"
)

var everything = []mailstore.Range{{First: 1, Last: 1<<32 - 1}}

func message(i int) commit.AppendMessage {
	head := fmt.Sprintf("Subject: %d\r\n\r\n", i)
	return commit.AppendMessage{
		Message: commit.Message{
			Raw: []byte(head + "text\r\n"), HeaderLen: len(head), Summary: []byte(fmt.Sprint("summary ", i)),
			MessageID: fmt.Sprint(i),
		},
		Placement: commit.Placement{
			Flags: mailstore.Flags(i % 32), Keywords: [][]string{nil, {"a"}, {"b", "A"}}[i%3],
			InternalDate: time.Unix(int64(i)*1000, 0).In(time.FixedZone("", (i%5-2)*1800)),
		},
	}
}

// fill appends n messages and returns the mailbox.
func fill(t testing.TB, s *storetest.Stack, a *lookup.Account, n int) mailstore.MailboxID {
	t.Helper()
	m, err := a.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < n; {
		var msgs []commit.AppendMessage
		for ; i < n && len(msgs) < 500; i++ {
			msgs = append(msgs, message(i))
		}
		if _, err := s.Commit.Append(ctx, a, m.ID, msgs, 0); err != nil {
			t.Fatal(err)
		}
	}
	return m.ID
}

func TestView(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	box := fill(t, s, a, 40)
	v := a.Read()
	defer v.Close()
	if v.Index() == 0 {
		t.Error("no index")
	}
	uids, err := v.UIDs(box)
	if err != nil || len(uids) != 40 {
		t.Fatalf("%v, %v", uids, err)
	}
	var ids []mailstore.ContentID
	err = v.Messages(box, []mailstore.Range{{First: 3, Last: 4}, {First: 20, Last: 90}}, func(m *mailstore.Message) error {
		i := int(m.UID) - 1
		want := message(i)
		if m.Flags != want.Flags&mailstore.AllFlags || !m.InternalDate.Equal(want.InternalDate) ||
			m.InternalDate.Format(time.RFC1123Z) != want.InternalDate.Format(time.RFC1123Z) ||
			int(m.Size) != len(want.Raw) || m.Thread != m.Content || m.SaveDate.Location() != time.UTC {
			t.Errorf("message %d: %+v", m.UID, m)
		}
		wantWords := [][]string{nil, {"a"}, {"a", "b"}}[i%3]
		if !slices.Equal(m.Keywords, wantWords) {
			t.Errorf("message %d: keywords %q, want %q", m.UID, m.Keywords, wantWords)
		}
		ids = append(ids, m.Content)
		return nil
	})
	if err != nil || len(ids) != 2+21 {
		t.Fatalf("%d messages, %v", len(ids), err)
	}
	// In order, in another order, and with one that is not there.
	ids[5], ids[9] = ids[9], ids[5]
	n := 0
	var g lookup.Gathered
	if err := v.Gather(&g, append(ids, mailstore.ContentID{1}, ids[0])); err != nil {
		t.Fatal(err)
	}
	var c lookup.Content
	for i, id := range append(ids, mailstore.ContentID{1}, ids[0]) {
		ok, err := g.Open(i, &c)
		if err != nil {
			t.Fatal(err)
		}
		if id == (mailstore.ContentID{1}) {
			if ok {
				t.Error("a content that is not there")
			}
			continue
		}
		single, err := v.Content(id)
		if err != nil {
			t.Fatal(err)
		}
		if !ok || c.ID() != id || !bytes.Equal(single.Summary, c.Summary) || !strings.HasPrefix(string(c.Summary), "summary ") || single.Size != c.Size || len(c.Prefix) != 0 {
			t.Errorf("content %d: %q and %q", i, single.Summary, c.Summary)
		}
		n++
	}
	if n != len(ids)+1 {
		t.Errorf("%d contents", n)
	}
	stop := errors.New("stop")
	if err := v.Messages(box, everything, func(*mailstore.Message) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
	if _, err := v.Content(mailstore.ContentID{1}); !errors.Is(err, mailstore.ErrExpunged) {
		t.Error(err)
	}
	if _, err := v.Mailbox(99); !errors.Is(err, mailstore.ErrNoMailbox) {
		t.Error(err)
	}
	if _, err := v.Changes(99, 0); !errors.Is(err, mailstore.ErrNoMailbox) {
		t.Error(err)
	}
	if _, err := v.UIDs(99); !errors.Is(err, mailstore.ErrNoMailbox) {
		t.Error(err)
	}
	if err := v.Messages(99, everything, func(*mailstore.Message) error { return stop }); !errors.Is(err, mailstore.ErrNoMailbox) {
		t.Error(err)
	}
	for _, name := range []string{"nope", "a//b", ""} {
		if _, err := a.Mailbox(name); !errors.Is(err, mailstore.ErrNoMailbox) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A view shows one state, whatever is applied meanwhile.
func TestViewIsConsistent(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	box := fill(t, s, a, 10)
	v := a.Read()
	defer v.Close()
	before, err := v.Mailbox(box)
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, a, 5)
	if _, err := s.Commit.Store(ctx, a, box, everything, commit.FlagChange{Flags: mailstore.FlagDeleted}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Commit.Expunge(ctx, a, box, everything); err != nil {
		t.Fatal(err)
	}
	after, err := v.Mailbox(box)
	if err != nil || after != before {
		t.Errorf("%+v became %+v, %v", before, after, err)
	}
	if uids, err := v.UIDs(box); err != nil || len(uids) != 10 {
		t.Errorf("%v, %v", uids, err)
	}
}

// H2: what was deleted or closed is not served while it waits to be purged.
func TestNothingIsServedAfterItsEnd(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	box, err := s.Commit.Create(ctx, a, "Gone", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Commit.Append(ctx, a, box, []commit.AppendMessage{message(1)}, 0); err != nil {
		t.Fatal(err)
	}
	var id mailstore.ContentID
	read := func() error {
		v := a.Read()
		defer v.Close()
		return v.Messages(box, everything, func(m *mailstore.Message) error { id = m.Content; return nil })
	}
	if err := read(); err != nil || id == (mailstore.ContentID{}) {
		t.Fatalf("%x, %v", id, err)
	}
	if err := s.Commit.Delete(ctx, a, "Gone"); err != nil {
		t.Fatal(err)
	}
	if err := read(); !errors.Is(err, mailstore.ErrNoMailbox) {
		t.Errorf("a deleted mailbox: %v", err)
	}
	if err := s.Commit.CloseAccount(ctx, a.ID()); err != nil {
		t.Fatal(err)
	}
	v := a.Read()
	defer v.Close()
	for what, err := range map[string]error{
		"messages": read(),
		"content":  func() error { _, err := v.Content(id); return err }(),
		"contents": v.Gather(new(lookup.Gathered), []mailstore.ContentID{id}),
		"changes":  func() error { _, err := v.Changes(1, 0); return err }(),
		"uids":     func() error { _, err := v.UIDs(1); return err }(),
	} {
		if !errors.Is(err, mailstore.ErrNoAccount) {
			t.Errorf("%s of a closed account: %v", what, err)
		}
	}
}

// A session that only ever asks for changes knows, after any sequence of
// commands, what one that reads everything anew knows.
func TestChangesAgainstTwin(t *testing.T) {
	s := storetest.New(t)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		a := s.Account(fmt.Sprintf("c%d@example.org", n), "pw")
		m, err := a.Mailbox("INBOX")
		if err != nil {
			rt.Fatal(err)
		}
		known := map[mailstore.UID]string{}
		since := mailstore.ModSeq(0)
		line := func(m *mailstore.Message) string { return fmt.Sprint(m.Flags, m.Keywords, m.ModSeq, m.Content) }
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			for range rapid.IntRange(1, 3).Draw(rt, "commands") {
				lo, hi := rapid.Uint32Range(1, 12).Draw(rt, "lo"), rapid.Uint32Range(1, 12).Draw(rt, "hi")
				r := []mailstore.Range{{First: mailstore.UID(min(lo, hi)), Last: mailstore.UID(max(lo, hi))}}
				switch rapid.IntRange(0, 3).Draw(rt, "command") {
				case 0:
					_, err = s.Commit.Append(ctx, a, m.ID, []commit.AppendMessage{message(int(lo)), message(int(hi))}, 0)
				case 1:
					_, err = s.Commit.Store(ctx, a, m.ID, r, commit.FlagChange{Mode: commit.Mode(lo % 3), Flags: mailstore.FlagDeleted, Keywords: []string{"k"}})
				case 2:
					_, _, err = s.Commit.Expunge(ctx, a, m.ID, r)
				case 3:
					_, err = s.Commit.Copy(ctx, a, m.ID, r, m.ID, lo%2 == 0)
				}
				if err != nil {
					rt.Fatal(err)
				}
			}
			v := a.Read()
			ch, err := v.Changes(m.ID, since)
			if err != nil {
				rt.Fatal(err)
			}
			if !slices.IsSortedFunc(ch.Messages, func(a, b mailstore.Message) int { return int(a.UID) - int(b.UID) }) {
				rt.Fatal("changes are not in the order of UIDs")
			}
			for _, r := range ch.Vanished {
				for u := range known {
					if u >= r.First && u <= r.Last {
						delete(known, u)
					}
				}
			}
			for i := range ch.Messages {
				known[ch.Messages[i].UID] = line(&ch.Messages[i])
			}
			since = ch.HighestModSeq
			want := map[mailstore.UID]string{}
			if err := v.Messages(m.ID, everything, func(m *mailstore.Message) error { want[m.UID] = line(m); return nil }); err != nil {
				rt.Fatal(err)
			}
			v.Close()
			if fmt.Sprint(known) != fmt.Sprint(want) {
				rt.Fatalf("known %v, want %v", known, want)
			}
		}
		v := a.Read()
		defer v.Close()
		if ch, err := v.Changes(m.ID, since+5); err != nil || !ch.Reset {
			rt.Fatalf("a session that knows more than there is: %+v, %v", ch, err)
		}
	})
}

// twoCopies reads from a first store that may hold damaged bytes, and fetches
// from a second, as from a member.
type twoCopies struct {
	t       testing.TB
	here    *body.Store
	members *body.Store
	fetched int
	gone    bool
}

func (c *twoCopies) Open(g cluster.GroupID, id cluster.BodyID) (*body.Handle, error) {
	return c.here.Open(g, id)
}

func (c *twoCopies) Fetch(_ context.Context, g cluster.GroupID, ref cluster.BodyRef) (*body.Handle, error) {
	c.fetched++
	if c.gone {
		return nil, cluster.ErrGone
	}
	return c.members.Open(g, ref.ID)
}

func (c *twoCopies) Verify(ctx context.Context, g cluster.GroupID, id cluster.BodyID) error {
	return c.here.Verify(ctx, g, id)
}

type never struct{}

func (never) Referenced(cluster.GroupID, cluster.BodyID) (bool, error) { return true, nil }
func (never) Applied(cluster.GroupID) uint64                           { return 0 }
func (never) DurableApplied(cluster.GroupID) uint64                    { return 0 }

func bodies(t testing.TB) *body.Store {
	s, err := body.Open(vfs.NewMem(), "b", body.Options{Fatal: func(err error) { t.Error(err) }, Live: never{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestBody(t *testing.T) {
	copies := &twoCopies{t: t, members: bodies(t)}
	var real lookup.Bodies
	s := storetest.NewWith(t, storetest.Options{Bodies: func(b lookup.Bodies) lookup.Bodies { real = b; return copies }})
	copies.here = bodies(t)
	a := s.Account("anna@example.org", "pw")
	text := strings.Repeat("0123456789abcdef\r\n", 40000)
	head := "Subject: x\r\n\r\n"
	rcpt := commit.Recipient{Account: a.ID(), Group: a.Group(), Prefix: []byte("Return-Path: <>\r\n")}
	m := &commit.Message{Raw: []byte(head + text), HeaderLen: len(head)}
	if err := s.Commit.Deliver(ctx, commit.NewOp(), m, []commit.Recipient{rcpt})[0]; err != nil {
		t.Fatal(err)
	}
	whole := string(rcpt.Prefix) + string(m.Raw)
	box, err := a.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	v := a.Read()
	defer v.Close()
	var c *lookup.Content
	if err := v.Messages(box.ID, everything, func(msg *mailstore.Message) (err error) { c, err = v.Content(msg.Content); return err }); err != nil {
		t.Fatal(err)
	}
	// What the stack stored, as bytes, to be put whole or damaged.
	sealed := func() (cluster.BodyID, []byte) {
		for g := range 3 {
			st, _ := s.MailState(cluster.GroupID(g + 1))
			var ref cluster.BodyRef
			if err := st.LiveBodies(func(r cluster.BodyRef) error { ref = r; return nil }); err != nil {
				t.Fatal(err)
			}
			if ref.Size == 0 {
				continue
			}
			h, err := real.Open(cluster.GroupID(g+1), ref.ID)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(io.NewSectionReader(h, 0, h.Size()))
			if err := errors.Join(err, h.Close()); err != nil {
				t.Fatal(err)
			}
			return ref.ID, b
		}
		t.Fatal("no body")
		return cluster.BodyID{}, nil
	}
	id, good := sealed()
	if err := copies.members.Put(ctx, a.Group(), id, good); err != nil {
		t.Fatal(err)
	}
	read := func(what string) {
		t.Helper()
		b, err := v.OpenBody(ctx, c)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			return
		}
		defer b.Close()
		if b.Size() != int64(len(whole)) || b.HeaderSize() != int64(len(rcpt.Prefix)+len(head)) {
			t.Errorf("%s: size %d, header %d", what, b.Size(), b.HeaderSize())
		}
		for _, r := range [][2]int64{{0, 1 << 40}, {0, 5}, {3, 40}, {17, 3}, {16, 2}, {int64(len(whole)) - 3, 10}, {int64(len(whole)), 1}, {300000, 200000}, {5, 0}} {
			lo, hi := min(r[0], int64(len(whole))), min(r[0]+r[1], int64(len(whole)))
			var sb strings.Builder
			if got, err := b.AppendRange([]byte("x"), r[0], r[1]); err != nil || string(got) != "x"+whole[lo:hi] {
				t.Errorf("append %v: %d octets, %v", r, len(got)-1, err)
			}
			if err := b.WriteRange(&sb, r[0], r[1]); err != nil || sb.String() != whole[lo:hi] {
				t.Errorf("%s: range %v: %d octets, %v", what, r, sb.Len(), err)
			}
			p := make([]byte, min(r[1], 1<<20))
			n, err := b.ReadAt(p, r[0])
			if string(p[:n]) != whole[lo:min(hi, lo+int64(len(p)))] || err != nil && !errors.Is(err, io.EOF) || (n < len(p)) != errors.Is(err, io.EOF) && len(p) > 0 {
				t.Errorf("%s: ReadAt %v: %d octets, %v", what, r, n, err)
			}
		}
		if err := b.WriteRange(failing{}, 0, 100); !errors.Is(err, errFull) {
			t.Errorf("%s: a writer that fails: %v", what, err)
		}
		if err := b.WriteRange(io.Discard, -1, 1); err == nil {
			t.Error("a negative offset is accepted")
		}
	}
	read("not here")
	if copies.fetched == 0 {
		t.Error("nothing was fetched")
	}
	for _, spoil := range []int{0, 30, len(good) / 3, len(good) - 200} {
		copies.here, copies.fetched = bodies(t), 0
		bad := bytes.Clone(good)
		bad[spoil] ^= 1
		if err := copies.here.Put(ctx, a.Group(), id, bad); err != nil {
			t.Fatal(err)
		}
		read(fmt.Sprint("damaged at ", spoil))
		if copies.fetched != 1 {
			t.Errorf("damaged at %d: fetched %d times", spoil, copies.fetched)
		}
	}
	// Damaged here and nowhere else to be had.
	copies.here, copies.gone = bodies(t), true
	if _, err := v.OpenBody(ctx, c); !errors.Is(err, mailstore.ErrExpunged) {
		t.Errorf("gone everywhere: %v", err)
	}
	copies.here = bodies(t)
	bad := bytes.Clone(good)
	bad[0] ^= 1
	if err := copies.here.Put(ctx, a.Group(), id, bad); err != nil {
		t.Fatal(err)
	}
	if _, err := v.OpenBody(ctx, c); !errors.Is(err, mailstore.ErrDamaged) {
		t.Errorf("damaged everywhere: %v", err)
	}
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Write(p []byte) (int, error) { return 0, errFull }

func BenchmarkMessages(b *testing.B) {
	s := storetest.New(b)
	a := s.Account("anna@example.org", "pw")
	const n = 10000
	box := fill(b, s, a, n)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		v := a.Read()
		got := 0
		if err := v.Messages(box, everything, func(*mailstore.Message) error { got++; return nil }); err != nil || got != n {
			b.Fatal(got, err)
		}
		v.Close()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/message")
}

func BenchmarkContents(b *testing.B) {
	s := storetest.New(b)
	a := s.Account("anna@example.org", "pw")
	const n = 10000
	m, err := a.Mailbox("INBOX")
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; i < n; {
		var msgs []commit.AppendMessage
		for ; i < n && len(msgs) < 500; i++ {
			msg := message(i)
			msg.Summary = make([]byte, 450)
			msgs = append(msgs, msg)
		}
		if _, err := s.Commit.Append(ctx, a, m.ID, msgs, 0); err != nil {
			b.Fatal(err)
		}
	}
	var ids []mailstore.ContentID
	v := a.Read()
	if err := v.Messages(m.ID, everything, func(m *mailstore.Message) error { ids = append(ids, m.Content); return nil }); err != nil {
		b.Fatal(err)
	}
	v.Close()
	var g lookup.Gathered
	var c lookup.Content
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		for part := range slices.Chunk(ids, 250) {
			v := a.Read()
			err := v.Gather(&g, part)
			v.Close()
			if err != nil {
				b.Fatal(err)
			}
			for i := range part {
				if ok, err := g.Open(i, &c); !ok || err != nil {
					b.Fatal(i, err)
				}
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/content")
}

func BenchmarkOpenBody(b *testing.B) {
	s := storetest.New(b)
	a := s.Account("anna@example.org", "pw")
	box := fill(b, s, a, 1)
	v := a.Read()
	defer v.Close()
	var c *lookup.Content
	if err := v.Messages(box, everything, func(m *mailstore.Message) (err error) { c, err = v.Content(m.Content); return err }); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		body, err := v.OpenBody(ctx, c)
		if err != nil {
			b.Fatal(err)
		}
		if err := body.WriteRange(io.Discard, 0, body.Size()); err != nil {
			b.Fatal(err)
		}
		if err := body.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenAccount(b *testing.B) {
	s := storetest.New(b)
	id := s.AddAccount("anna@example.org", "pw")
	b.ReportAllocs()
	for b.Loop() {
		s.Open(id)
	}
}

func BenchmarkRoute(b *testing.B) {
	s := storetest.New(b)
	s.AddAccount("anna@example.org", "pw")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Lookup.Route(ctx, "anna", "example.org"); err != nil {
			b.Fatal(err)
		}
	}
}
