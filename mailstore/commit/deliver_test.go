package commit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/state"
	"altmail.se/altmail/mailstore/storetest"
)

func TestDeliver(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	sub := s.Feed.Subscribe(a.ID())
	defer sub.Close()
	if _, err := s.Commit.Create(ctx, a, "Lists/Go", 0); err != nil {
		t.Fatal(err)
	}
	sub.Take()
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 5400))
	m := message("one", 5000)
	r := to(a)
	r.Mailbox, r.Prefix = "Lists/Go", []byte("Return-Path: <x@example.org>\r\n")
	r.Placement = commit.Placement{Flags: mailstore.FlagSeen, Keywords: []string{"$Label1", "$label1", "Junk"}, InternalDate: date}
	missing := to(a)
	missing.Mailbox = "No/Such"
	for i, err := range s.Commit.Deliver(ctx, commit.NewOp(), m, []commit.Recipient{r, missing}) {
		if err != nil {
			t.Errorf("recipient %d: %v", i, err)
		}
	}
	wantList(t, a, "Lists/Go", "1 one 00001 [$Label1 Junk]")
	wantList(t, a, "INBOX", "1 one")
	msg := first(t, a, "Lists/Go")
	if !msg.InternalDate.Equal(date) || msg.InternalDate.Format(time.RFC3339) != date.Format(time.RFC3339) {
		t.Errorf("internal date %v, want %v", msg.InternalDate, date)
	}
	if got := octets(t, a, msg.Content); got != "Return-Path: <x@example.org>\r\n"+string(m.Raw) {
		t.Errorf("octets differ: %.80q…", got)
	}
	if got := octets(t, a, first(t, a, "INBOX").Content); got != string(m.Raw) {
		t.Errorf("octets differ: %.80q…", got)
	}
	if int(msg.Size) != len(m.Raw)+len(r.Prefix) {
		t.Errorf("size %d", msg.Size)
	}
	if evs := sub.Take(); len(evs) != 2 {
		t.Errorf("events %v", evs)
	}
	q := must[any](t)
	quota, err := a.Quota()
	q(nil, err)
	if quota.UsedMessages != 2 || quota.UsedBytes != uint64(2*len(m.Raw)+len(r.Prefix)) {
		t.Errorf("quota %+v", quota)
	}
}

func TestDeliverBadRecipients(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	gone := s.Account("gone@example.org", "pw")
	if err := s.Commit.CloseAccount(ctx, gone.ID()); err != nil {
		t.Fatal(err)
	}
	bad := to(a)
	bad.Keywords = []string{"not an atom"}
	errs := s.Commit.Deliver(ctx, commit.NewOp(), message("m", 10), []commit.Recipient{
		{Account: 12345}, to(a), {Account: gone.ID(), Group: gone.Group()}, bad,
	})
	for i, want := range []error{mailstore.ErrNoAccount, nil, mailstore.ErrNoAccount, mailstore.ErrBadName} {
		if !errors.Is(errs[i], want) {
			t.Errorf("recipient %d: %v, want %v", i, errs[i], want)
		}
	}
	wantList(t, a, "INBOX", "1 m")
	m := message("m", 10)
	m.HeaderLen = len(m.Raw) + 1
	if err := s.Commit.Deliver(ctx, commit.NewOp(), m, []commit.Recipient{to(a)})[0]; err == nil {
		t.Error("a header longer than its message is stored")
	}
}

// An account closed between RCPT and DATA is told for that recipient alone
// (H14), also when the directory here does not know yet.
func TestDeliverClosedInGroup(t *testing.T) {
	s := storetest.New(t)
	a, b := s.Account("anna@example.org", "pw"), s.Account("berit@example.org", "pw")
	// The mail group has closed it; the directory has not come to it.
	s.Solo(cluster.Directory).After(func(cluster.Proposal) error { return nil })
	boom := errors.New("cut")
	n := 0
	s.Solo(cluster.Directory).Before(func(cluster.Proposal) error {
		if n++; n > 1 {
			return boom
		}
		return nil
	})
	if err := s.Commit.CloseAccount(ctx, b.ID()); !errors.Is(err, boom) {
		t.Fatal(err)
	}
	errs := s.Commit.Deliver(ctx, commit.NewOp(), message("m", 10), []commit.Recipient{to(a), to(b)})
	if errs[0] != nil || !errors.Is(errs[1], mailstore.ErrNoAccount) {
		t.Errorf("got %v", errs)
	}
}

func TestDeliverTwiceWithOneOp(t *testing.T) {
	s := storetest.New(t)
	a, b := apart(t, s)
	op := commit.NewOp()
	for range 3 {
		for _, err := range s.Commit.Deliver(ctx, op, message("m", 10), []commit.Recipient{to(a), to(b)}) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	wantList(t, a, "INBOX", "1 m")
	wantList(t, b, "INBOX", "1 m")
}

func TestDeliverUnavailable(t *testing.T) {
	s := storetest.New(t)
	a, b := apart(t, s)
	s.Unavailable(true)
	for _, err := range s.Commit.Deliver(short(t), commit.NewOp(), message("m", 10), []commit.Recipient{to(a), to(b)}) {
		if !errors.Is(err, cluster.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	s.Unavailable(false)
	wantList(t, a, "INBOX")
	wantList(t, b, "INBOX")
}

// unanswered is what a group without a majority makes of a proposal.
func unanswered(cluster.Proposal) error { return cluster.ErrUnavailable }

// H1: one group's majority is cut off between RCPT and DATA.
func TestHandoff(t *testing.T) {
	for _, large := range []bool{false, true} {
		t.Run(fmt.Sprintf("large=%v", large), func(t *testing.T) {
			s := storetest.New(t)
			a, b := apart(t, s)
			s.Solo(b.Group()).Before(unanswered)
			m := message("m", 10)
			if large {
				m.Raw = append(m.Raw, noise(600<<10)...)
			}
			r := to(b)
			r.Prefix = []byte("Delivered-To: b\r\n")
			for i, err := range s.Commit.Deliver(ctx, commit.NewOp(), m, []commit.Recipient{to(a), r}) {
				if err != nil {
					t.Errorf("recipient %d: %v", i, err)
				}
			}
			wantList(t, a, "INBOX", "1 m")
			driver := s.Commit.NewDriver()
			driver.Step(ctx)
			s.Solo(b.Group()).Before(nil)
			wantList(t, b, "INBOX")
			driver.Step(ctx)
			driver.Step(ctx)
			wantList(t, b, "INBOX", "1 m")
			if got := octets(t, b, first(t, b, "INBOX").Content); got != string(r.Prefix)+string(m.Raw) {
				t.Errorf("octets differ: %.80q…", got)
			}
			if st := s.Commit.Stats(); st.Handoffs != 1 || st.HandoffsClosed != 1 || st.HandoffsLost != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	return b
}

// The answer of one group is lost after it stored its part: the handoff then
// repeats it under the same operation id, and nobody has it twice.
func TestHandoffOfALostAnswer(t *testing.T) {
	s := storetest.New(t)
	a, b := apart(t, s)
	s.Solo(b.Group()).After(func(cluster.Proposal) error { return cluster.ErrUnavailable })
	for _, err := range s.Commit.Deliver(ctx, commit.NewOp(), message("m", 10), []commit.Recipient{to(a), to(b)}) {
		if err != nil {
			t.Error(err)
		}
	}
	s.Solo(b.Group()).After(nil)
	s.Commit.NewDriver().Step(ctx)
	wantList(t, a, "INBOX", "1 m")
	wantList(t, b, "INBOX", "1 m")
	if st := s.Commit.Stats(); st.HandoffsClosed != 1 {
		t.Errorf("stats %+v", st)
	}
}

// The group that answered goes away before it can keep the handoff: Deliver
// outlives its caller's deadline until the other group is back.
func TestHandoffWithoutAHome(t *testing.T) {
	s := storetest.New(t)
	a, b := apart(t, s)
	ga, gb := s.Solo(a.Group()), s.Solo(b.Group())
	gb.Before(unanswered)
	var tries atomic.Int32
	ga.Before(func(p cluster.Proposal) error {
		c, err := command.Decode(p.Command)
		if err != nil {
			return err
		}
		if c.GetOpenHandoff() == nil {
			return nil
		}
		if tries.Add(1) == 3 {
			gb.Before(nil)
		}
		return cluster.ErrUnavailable
	})
	// The caller's own deadline has passed by then.
	c, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	s.Solo(a.Group()).After(func(cluster.Proposal) error { <-c.Done(); return nil })
	for _, err := range s.Commit.Deliver(c, commit.NewOp(), message("m", 10), []commit.Recipient{to(a), to(b)}) {
		if err != nil {
			t.Error(err)
		}
	}
	ga.Before(nil)
	wantList(t, a, "INBOX", "1 m")
	wantList(t, b, "INBOX", "1 m")
	if tries.Load() < 3 {
		t.Errorf("%d tries", tries.Load())
	}
}

func TestHandoffGivesUp(t *testing.T) {
	s := storetest.NewWith(t, storetest.Options{HandoffTimeout: 100 * time.Millisecond})
	a, b := apart(t, s)
	s.Solo(b.Group()).Before(unanswered)
	s.Solo(a.Group()).Before(func(p cluster.Proposal) error {
		if c, err := command.Decode(p.Command); err != nil || c.GetOpenHandoff() != nil {
			return cluster.ErrUnavailable
		}
		return nil
	})
	errs := s.Commit.Deliver(ctx, commit.NewOp(), message("m", 10), []commit.Recipient{to(a), to(b)})
	if errs[0] != nil || !errors.Is(errs[1], cluster.ErrUnavailable) {
		t.Errorf("got %v", errs)
	}
}

// A server that is stopped waits for no handoff: its clients are gone, or the
// door is closed.
func TestHandoffEndsAtShutdown(t *testing.T) {
	for _, how := range []string{"caller", "door"} {
		t.Run(how, func(t *testing.T) {
			s := storetest.New(t)
			a, b := apart(t, s)
			s.Solo(b.Group()).Before(unanswered)
			c, cancel := context.WithCancel(ctx)
			defer cancel()
			s.Solo(a.Group()).Before(func(p cluster.Proposal) error {
				cmd, err := command.Decode(p.Command)
				if err != nil || cmd.GetOpenHandoff() == nil {
					return err
				}
				if how == "door" {
					s.Commit.Close()
				} else {
					cancel()
				}
				return cluster.ErrUnavailable
			})
			done := make(chan []error, 1)
			go func() {
				done <- s.Commit.Deliver(c, commit.NewOp(), message("m", 10), []commit.Recipient{to(a), to(b)})
			}()
			select {
			case errs := <-done:
				if errs[0] != nil || !errors.Is(errs[1], cluster.ErrUnavailable) {
					t.Errorf("got %v", errs)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("still trying")
			}
		})
	}
}

// One part was handed off at the first offer, another could not be; at the
// second offer it is the other one's turn. It is kept for itself, not taken for
// the first.
func TestHandoffAtTheSecondOffer(t *testing.T) {
	s := storetest.NewWith(t, storetest.Options{HandoffTimeout: 200 * time.Millisecond})
	a, b := apart(t, s)
	c := s.Account("cilla@example.org", "pw")
	for i := 0; c.Group() == a.Group() || c.Group() == b.Group(); i++ {
		c = s.Account(fmt.Sprintf("cilla%d@example.org", i), "pw")
	}
	var refuse atomic.Uint32
	refuse.Store(uint32(c.Group()))
	s.Solo(a.Group()).Before(func(p cluster.Proposal) error {
		cmd, err := command.Decode(p.Command)
		if err != nil {
			return err
		}
		if h := cmd.GetOpenHandoff(); h != nil && h.Items[0].Group == refuse.Load() {
			return cluster.ErrUnavailable
		}
		return nil
	})
	s.Solo(b.Group()).Before(unanswered)
	s.Solo(c.Group()).Before(unanswered)
	op, r := commit.NewOp(), []commit.Recipient{to(a), to(b), to(c)}
	errs := s.Commit.Deliver(ctx, op, message("m", 10), r)
	if errs[0] != nil || errs[1] != nil || !errors.Is(errs[2], cluster.ErrUnavailable) {
		t.Fatalf("first offer: %v", errs)
	}
	refuse.Store(0)
	s.Solo(b.Group()).Before(nil)
	for i, err := range s.Commit.Deliver(ctx, op, message("m", 10), r) {
		if err != nil {
			t.Errorf("second offer, recipient %d: %v", i, err)
		}
	}
	s.Solo(c.Group()).Before(nil)
	driver := s.Commit.NewDriver()
	for driver.Step(ctx) {
	}
	for _, x := range []*lookup.Account{a, b, c} {
		wantList(t, x, "INBOX", "1 m")
	}
}

// A handoff whose account was closed meanwhile ends, and is counted.
func TestHandoffToAClosedAccount(t *testing.T) {
	s := storetest.New(t)
	a, b := apart(t, s)
	s.Solo(b.Group()).Before(unanswered)
	if errs := s.Commit.Deliver(ctx, commit.NewOp(), message("m", 10), []commit.Recipient{to(a), to(b)}); errs[1] != nil {
		t.Fatal(errs)
	}
	s.Solo(b.Group()).Before(nil)
	if err := s.Commit.CloseAccount(ctx, b.ID()); err != nil {
		t.Fatal(err)
	}
	d := s.Commit.NewDriver()
	for d.Step(ctx) {
	}
	if st := s.Commit.Stats(); st.HandoffsClosed != 1 || st.HandoffsLost != 1 {
		t.Errorf("stats %+v", st)
	}
}

// A group that is behind in a rolling upgrade refuses a command it does not know
// yet. The sender was told that the message is stored, so the handoff stays until
// the group has caught up.
func TestHandoffOutlivesAnUpgrade(t *testing.T) {
	s := storetest.New(t)
	a, b := apart(t, s)
	s.Solo(b.Group()).Before(unanswered)
	if errs := s.Commit.Deliver(ctx, commit.NewOp(), message("m", 10), []commit.Recipient{to(a), to(b)}); errs[1] != nil {
		t.Fatal(errs)
	}
	s.Solo(b.Group()).Before(func(cluster.Proposal) error { return commit.ErrUnsupported })
	d := s.Commit.NewDriver()
	d.Step(ctx)
	d.Step(ctx)
	if st := s.Commit.Stats(); st.HandoffsClosed != 0 || st.HandoffsLost != 0 {
		t.Errorf("given up: %+v", st)
	}
	s.Solo(b.Group()).Before(nil)
	for d.Step(ctx) {
	}
	wantList(t, b, "INBOX", "1 m")
	if st := s.Commit.Stats(); st.HandoffsClosed != 1 || st.HandoffsLost != 0 {
		t.Errorf("stats %+v", st)
	}
}

// The driver is killed between its steps, at each of them in turn.
func TestHandoffDriverInterrupted(t *testing.T) {
	for cut := 1; ; cut++ {
		s := storetest.New(t)
		a, b := apart(t, s)
		s.Solo(b.Group()).Before(unanswered)
		if errs := s.Commit.Deliver(ctx, commit.NewOp(), message("m", 10), []commit.Recipient{to(a), to(b)}); errs[1] != nil {
			t.Fatal(errs)
		}
		s.Solo(b.Group()).Before(nil)
		var n atomic.Int32
		for _, g := range s.Mail() {
			s.Solo(g).After(func(cluster.Proposal) error {
				if int(n.Add(1)) == cut {
					return cluster.ErrStopped
				}
				return nil
			})
		}
		d := s.Commit.NewDriver()
		for range 3 {
			d.Step(ctx)
		}
		wantList(t, a, "INBOX", "1 m")
		wantList(t, b, "INBOX", "1 m")
		left := 0
		for _, g := range s.Mail() {
			m, _ := s.MailState(g)
			r := m.Read()
			ids := 0
			if err := r.Handoffs(func(*state.HandoffRow) error { ids++; return nil }); err != nil {
				t.Fatal(err)
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			left += ids
		}
		if left != 0 {
			t.Errorf("cut at %d: %d handoffs are left", cut, left)
		}
		if int(n.Load()) < cut {
			return
		}
	}
}

func TestDeliverToMany(t *testing.T) {
	s := storetest.New(t)
	var rcpts []commit.Recipient
	for i := range 12 {
		rcpts = append(rcpts, to(s.Account(fmt.Sprintf("a%d@example.org", i), "pw")))
	}
	m := message("big summary", 100)
	m.Summary = noise(100 << 10) // so that a part holds two recipients
	var all []commit.Recipient
	for range 5 {
		all = append(all, rcpts...)
	}
	for i, err := range s.Commit.Deliver(ctx, commit.NewOp(), m, all) {
		if err != nil {
			t.Errorf("recipient %d: %v", i, err)
		}
	}
	for i := range rcpts {
		if got := mailbox(t, s.Open(rcpts[i].Account), "INBOX"); got.Exists != 5 {
			t.Errorf("account %d has %d messages", i, got.Exists)
		}
	}
}

func TestDeliverConcurrently(t *testing.T) {
	s := storetest.New(t)
	a, b := apart(t, s)
	const writers, each = 4, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				m := message(fmt.Sprintf("w%d-%d", w, i), 200)
				for _, err := range s.Commit.Deliver(ctx, commit.NewOp(), m, []commit.Recipient{to(a), to(b)}) {
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	// A session watches meanwhile: what it is told must add up to the mailbox.
	known := map[mailstore.UID]bool{}
	var since mailstore.ModSeq
	sub := s.Feed.Subscribe(a.ID())
	defer sub.Close()
	inbox := mailbox(t, a, "INBOX").ID
	look := func() {
		v := a.Read()
		defer v.Close()
		ch, err := v.Changes(inbox, since)
		if err != nil {
			t.Error(err)
			return
		}
		for _, m := range ch.Messages {
			known[m.UID] = true
		}
		since = ch.HighestModSeq
	}
	for running := true; running; {
		select {
		case <-sub.C():
			sub.Take()
			look()
		case <-done:
			running = false
		}
	}
	look()
	if len(known) != writers*each {
		t.Errorf("the session knows %d messages", len(known))
	}
	for _, acc := range []mailstore.AccountID{a.ID(), b.ID()} {
		l := listing(t, s.Open(acc), "INBOX")
		var names []string
		for _, line := range l {
			_, name, _ := strings.Cut(line, " ")
			names = append(names, name)
		}
		slices.Sort(names)
		if len(slices.Compact(names)) != writers*each {
			t.Errorf("%d different messages", len(names))
		}
	}
}

// A cancelled caller gets an answer at once.
func TestDeliverCancelled(t *testing.T) {
	s := storetest.New(t)
	a := s.Account("anna@example.org", "pw")
	c, cancel := context.WithCancel(ctx)
	s.Solo(a.Group()).Unavailable(true)
	done := make(chan error, 1)
	go func() { done <- s.Commit.Deliver(c, commit.NewOp(), message("m", 10), []commit.Recipient{to(a)})[0] }()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, cluster.ErrUnavailable) {
			t.Error(err)
		}
	case <-time.After(2 * time.Second):
		t.Fatal("no answer")
	}
}

func BenchmarkDeliver(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("7KB/writers=%d", writers), func(b *testing.B) {
			s := storetest.New(b)
			a := s.Account("anna@example.org", "pw")
			m := message("subject", 7<<10)
			m.Summary = make([]byte, 450)
			rcpt := []commit.Recipient{to(a)}
			b.ReportAllocs()
			b.SetBytes(int64(len(m.Raw)))
			b.SetParallelism(writers)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := s.Commit.Deliver(ctx, commit.NewOp(), m, rcpt)[0]; err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
