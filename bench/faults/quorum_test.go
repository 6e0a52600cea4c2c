//go:build e2e

package faults

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-smtp"
)

// refusedWithin is how soon a node without a majority must say so, with a
// little for the way. What a loaded machine takes on top of it the pulse tells.
const refusedWithin = 5500 * time.Millisecond

// turns is how often a client and a node wait for each other in one step of
// the test at most: a connection, a handshake, the commands of a delivery.
const turns = 8

// pulse asks a node for nothing again and again, over a session of its own:
// the longest it had to wait is what the machine is late by, whatever is asked.
type pulse struct {
	stop   func()
	done   chan struct{}
	mu     sync.Mutex
	worst  time.Duration
	failed error
}

func newPulse(t *testing.T, n *Node, a Account) *pulse {
	cl, err := Dial(n, a)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	p := &pulse{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		defer cl.Close()
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			due := time.Now()
			err := cl.Noop().Wait()
			p.mu.Lock()
			p.worst = max(p.worst, time.Since(due))
			p.failed = err
			p.mu.Unlock()
			if err != nil {
				return
			}
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	}()
	return p
}

// late returns the longest wait since it was last asked.
func (p *pulse) late() (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.worst
	p.worst = 0
	return d, p.failed
}

// end ends the session.
func (p *pulse) end() {
	p.stop()
	<-p.done
}

// TestQuorumLost stops two of three nodes: what needs a majority is refused in
// the protocol's own terms within 5 s, open sessions go on reading, and all is
// well by itself once a majority is back.
func TestQuorumLost(t *testing.T) {
	for _, how := range []string{"killed", "stopped"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel() // both do little but wait
			quorumLost(t, how)
		})
	}
}

func quorumLost(t *testing.T, how string) {
	c := start(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	left := c.Nodes[2]
	h := NewHistory()
	for range 5 {
		id, raw := h.New("INBOX", 2000)
		o, err := Deliver(left.SMTP, c.Account.Address, raw)
		if h.Done(id, o); o != Answered {
			t.Fatal(err)
		}
	}
	cl, err := Dial(left, c.Account)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := cl.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	pulse := newPulse(t, left, c.Account)
	defer pulse.end()
	mirror := newMirror(t, c, left)
	if err := mirror.run(ctx); err != nil {
		t.Fatal(err)
	}
	before := mirror.snapshot(t)

	for _, n := range c.Nodes[:2] {
		if how == "killed" {
			err = n.Kill()
		} else {
			err = n.Signal(syscall.SIGSTOP)
		}
		if err != nil {
			t.Fatal(err)
		}
	}

	took := func(what string, f func() error) {
		t.Helper()
		if _, err := pulse.late(); err != nil {
			t.Errorf("NOOP before %s: %v", what, err)
		}
		begin := time.Now()
		if err := f(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		d := time.Since(begin)
		late, err := pulse.late()
		if err != nil {
			t.Errorf("NOOP beside %s: %v", what, err)
		}
		t.Logf("%s: %s, NOOP beside it up to %s", what, d.Round(time.Millisecond), late.Round(time.Millisecond))
		if d > refusedWithin+turns*late {
			t.Errorf("%s took %s", what, d)
		}
	}
	took("SMTP delivery", func() error {
		_, err := Deliver(left.SMTP, c.Account.Address, []byte("Subject: no\r\n\r\nx\r\n"))
		var se *smtp.SMTPError
		if !errors.As(err, &se) || se.Code != 451 {
			return fmt.Errorf("answered %v, not 451", err)
		}
		return nil
	})
	unavailable := func(err error) error {
		var ie *imap.Error
		if !errors.As(err, &ie) || ie.Type != imap.StatusResponseTypeNo || ie.Code != imap.ResponseCodeUnavailable {
			return fmt.Errorf("answered %v, not NO [UNAVAILABLE]", err)
		}
		return nil
	}
	took("STORE", func() error {
		return unavailable(cl.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close())
	})
	took("APPEND", func() error {
		_, raw := h.New("elsewhere", 500)
		_, _, err := Append(cl, "INBOX", raw)
		return unavailable(err)
	})
	took("CREATE", func() error { return unavailable(cl.Create("never", nil).Wait()) })
	took("STATUS", func() error {
		_, err := cl.Status("INBOX", &imap.StatusOptions{NumMessages: true}).Wait()
		return unavailable(err)
	})
	took("LIST", func() error {
		_, err := cl.List("", "*", nil).Collect()
		return unavailable(err)
	})
	took("FETCH in the open session", func() error {
		all := imap.SeqSet{}
		all.AddRange(1, 0)
		ms, err := cl.Fetch(all, &imap.FetchOptions{BodySection: []*imap.FetchItemBodySection{{Peek: true}}}).Collect()
		if err == nil && len(ms) != 5 {
			err = fmt.Errorf("%d messages, not 5", len(ms))
		}
		return err
	})
	took("LOGIN", func() error {
		other, err := Dial(left, c.Account)
		if err == nil {
			other.Close()
		}
		return unavailable(err)
	})
	took("SELECT", func() error {
		_, err := cl.Select("Drafts", nil).Wait()
		return unavailable(err)
	})
	if err := mirror.run(ctx); err == nil {
		t.Error("mbsync says all is well without a majority")
	}
	if after := mirror.snapshot(t); after != before {
		t.Errorf("mbsync changed the local mail without a majority:\n%s\n---\n%s", before, after)
	}

	for _, n := range c.Nodes[:2] {
		if how == "killed" {
			err = c.Serve(ctx, n)
		} else {
			err = n.Signal(syscall.SIGCONT)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	id, raw := h.New("INBOX", 2000)
	if err := c.Wait(ctx, func() (bool, error) {
		o, _ := Deliver(left.SMTP, c.Account.Address, raw)
		h.Done(id, o)
		if o == Answered {
			return true, nil
		}
		id, raw = h.New("INBOX", 2000)
		return false, nil
	}); err != nil {
		t.Fatalf("no delivery is answered with a majority back: %v", err)
	}
	if err := c.WaitHealthy(ctx, left, 3); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		// The mail that was refused may have come all the same: unanswered,
		// not half.
		if err := verifyIgnoring(ctx, c, n, h, "no"); err != nil {
			t.Error(err)
		}
	}
	if err := mirror.run(ctx); err != nil {
		t.Errorf("mbsync with a majority back: %v", err)
	}
	if err := c.Compare(ctx, left); err != nil {
		t.Error(err)
	}
}

// verifyIgnoring verifies INBOX without messages of one subject.
func verifyIgnoring(ctx context.Context, c *Cluster, n *Node, h *History, subj string) error {
	cl, err := Dial(n, c.Account)
	if err != nil {
		return err
	}
	defer cl.Close()
	validity, seen, err := List(cl, "INBOX")
	if err != nil {
		return err
	}
	keep := seen[:0]
	for _, s := range seen {
		if subject(s.Raw) != subj {
			keep = append(keep, s)
		}
	}
	return h.Verify("INBOX", validity, keep)
}
