package change

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

func ev(a mailstore.AccountID, m mailstore.MailboxID, seq mailstore.ModSeq) mailstore.Event {
	return mailstore.Event{Group: 1, Account: a, Mailbox: m, ModSeq: seq}
}

func readable(s *Subscription) bool { return len(s.C()) == 1 }

func TestMerge(t *testing.T) {
	reset := mailstore.Event{Group: 1, Reset: true}
	other := mailstore.Event{Group: 2, Account: 7, Mailbox: 1, ModSeq: 3}
	for _, tc := range []struct {
		name string
		in   []mailstore.Event
		want []mailstore.Event
	}{
		{"none", nil, nil},
		{"highest wins", []mailstore.Event{ev(7, 1, 5), ev(7, 1, 9), ev(7, 1, 6)}, []mailstore.Event{ev(7, 1, 9)}},
		{"mailboxes apart", []mailstore.Event{ev(7, 1, 5), ev(7, 2, 6)}, []mailstore.Event{ev(7, 1, 5), ev(7, 2, 6)}},
		{"other account", []mailstore.Event{ev(8, 1, 5)}, nil},
		{"reset covers its group", []mailstore.Event{ev(7, 1, 5), other, reset, ev(7, 3, 6)}, []mailstore.Event{other, reset}},
		{"list and mailbox apart", []mailstore.Event{ev(7, 0, 5), ev(7, 1, 5)}, []mailstore.Event{ev(7, 0, 5), ev(7, 1, 5)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := New()
			s := f.Subscribe(7)
			defer s.Close()
			f.Publish(tc.in)
			if readable(s) != (len(tc.want) > 0) {
				t.Errorf("readable = %v", readable(s))
			}
			if got := s.Take(); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			if readable(s) || s.Take() != nil {
				t.Error("something is left after Take")
			}
		})
	}
}

func TestOverflowBecomesReset(t *testing.T) {
	f := New()
	s := f.Subscribe(7)
	for i := range maxPending + 1 {
		f.Publish([]mailstore.Event{ev(7, mailstore.MailboxID(i+1), 1)})
	}
	got := s.Take()
	if len(got) != 1 || !got[0].Reset || got[0].Group != 1 {
		t.Fatalf("got %d events, first %v", len(got), got[0])
	}
}

func TestSubscribeAll(t *testing.T) {
	f := New()
	s := f.Subscribe(0)
	f.Publish([]mailstore.Event{ev(7, 1, 5), ev(8, 1, 6)})
	if got := s.Take(); len(got) != 2 {
		t.Fatalf("got %v", got)
	}
	s.Close()
	f.Publish([]mailstore.Event{ev(7, 1, 7)})
	if got := s.Take(); got != nil {
		t.Fatalf("after Close: %v", got)
	}
}

// A reader that takes whenever it is told has seen, at the end, the last
// sequence of every mailbox.
func TestConcurrentReaderMissesNothing(t *testing.T) {
	f := New()
	s := f.Subscribe(7)
	const writers, each = 4, 2000
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 1; i <= each; i++ {
				f.Publish([]mailstore.Event{ev(7, mailstore.MailboxID(w+1), mailstore.ModSeq(i))})
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	seen := map[mailstore.MailboxID]mailstore.ModSeq{}
	take := func() {
		for _, e := range s.Take() {
			if e.ModSeq < seen[e.Mailbox] {
				t.Errorf("mailbox %d went back from %d to %d", e.Mailbox, seen[e.Mailbox], e.ModSeq)
			}
			seen[e.Mailbox] = e.ModSeq
		}
	}
	for running := true; running; {
		select {
		case <-s.C():
			take()
		case <-done:
			running = false
		}
	}
	take()
	for w := range writers {
		if seen[mailstore.MailboxID(w+1)] != each {
			t.Errorf("mailbox %d: saw %d", w+1, seen[mailstore.MailboxID(w+1)])
		}
	}
	s.Close()
	if n := len(f.shard(7).subs); n != 0 {
		t.Errorf("%d subscriptions left", n)
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("subs=%d", n), func(b *testing.B) {
			f := New()
			for i := range n {
				f.Subscribe(mailstore.AccountID(i + 1))
			}
			evs := []mailstore.Event{{Group: cluster.GroupID(1), Account: mailstore.AccountID(1 + rand.IntN(max(n, 1))), Mailbox: 1, ModSeq: 1}}
			b.ReportAllocs()
			for b.Loop() {
				f.Publish(evs)
			}
		})
	}
}
