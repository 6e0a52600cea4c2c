package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-smtp"

	"altmail.se/altmail/frontend/admin/adminpb"
)

// story is demo --check: what the demo tells people to try, played by itself.
// Each step prints one line that says what it proved.
type story struct {
	d      *demo
	victim *demoNode // leads the account's group at first, then killed
	reader *demoNode // another one
	writer *demoNode // a third
}

func (d *demo) check() error {
	s := &story{d: d}
	steps := []struct {
		says string
		do   func(context.Context) error
	}{
		{"one node leads the account's group; it will be killed", s.cast},
		{"delivered at that node: answered 250 only when a majority has it on disk", s.deliver},
		{"killed it (kill -9)", s.kill},
		{"another node answers mail again and gives the message back byte for byte", s.read},
		{"flagged it and appended a second message there, with a node missing", s.change},
		{"a third node shows both at once", s.see},
		{"started the killed node again; it has caught up", s.restart},
		{"the restarted node itself gives both messages and the flag back", s.verify},
		{"every replica of every group has the same digest at one index", s.compare},
		{"every node's stores are consistent", s.consistent},
	}
	for i, st := range steps {
		ctx, cancel := context.WithTimeout(d.e.ctx, 60*time.Second)
		start := time.Now()
		err := st.do(ctx)
		cancel()
		if err != nil {
			return fmt.Errorf("step %d (%s): %w", i+1, st.says, err)
		}
		fmt.Fprintf(d.e.stdout, "%2d. %s (%s)\n", i+1, st.says, time.Since(start).Round(time.Millisecond))
	}
	fmt.Fprintln(d.e.stdout, "all held")
	return nil
}

const (
	storyOne = "From: you@example.org\r\nTo: demo@altmail.example\r\nSubject: first\r\nMessage-ID: <first@example.org>\r\nDate: Mon, 23 Nov 2026 20:00:00 +0100\r\n\r\nSurvives a kill. Överlever.\r\n"
	storyTwo = "From: you@example.org\r\nSubject: second\r\nMessage-ID: <second@example.org>\r\nDate: Mon, 23 Nov 2026 20:00:01 +0100\r\n\r\nAppended while a node was missing.\r\n"
)

func (s *story) cast(ctx context.Context) error {
	a, err := adminOf(s.d.info.Nodes[0])
	if err != nil {
		return err
	}
	acct, err := unary(ctx, a.ShowAccount, &adminpb.ShowAccountRequest{Address: s.d.info.Account.Address})
	if err != nil {
		return err
	}
	st, err := unary(ctx, a.ClusterStatus, &adminpb.ClusterStatusRequest{})
	if err != nil {
		return err
	}
	names := map[string]string{}
	for _, n := range st.Nodes {
		names[n.Id] = n.Name
	}
	var leader string
	for _, g := range st.Groups {
		if g.Group == acct.Group {
			leader = names[g.Leader]
		}
	}
	for _, n := range s.d.info.Nodes {
		switch {
		case n.Name == leader:
			s.victim = n
		case s.reader == nil:
			s.reader = n
		default:
			s.writer = n
		}
	}
	if s.victim == nil || s.reader == nil || s.writer == nil {
		return fmt.Errorf("group %d has no leader among the nodes", acct.Group)
	}
	return nil
}

func (s *story) deliver(context.Context) error {
	c, err := smtp.Dial(s.victim.SMTP)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SendMail("you@example.org", []string{s.d.info.Account.Address}, bytes.NewReader([]byte(storyOne))); err != nil {
		return err
	}
	return c.Quit()
}

func (s *story) kill(ctx context.Context) error {
	if err := syscall.Kill(s.victim.PID, syscall.SIGKILL); err != nil {
		return err
	}
	s.d.mu.Lock()
	p := s.d.procs[s.victim.Name]
	s.d.mu.Unlock()
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// session logs in at a node and selects INBOX, again and again while the
// answer is that no majority answers yet.
func (s *story) session(ctx context.Context, n *demoNode) (*imapclient.Client, *imap.SelectData, error) {
	for {
		c, sel, err := s.open(n)
		if err == nil {
			return c, sel, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("%s: %w", n.Name, errors.Join(ctx.Err(), err))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (s *story) open(n *demoNode) (*imapclient.Client, *imap.SelectData, error) {
	// The demo's certificate is self-signed and the connection is loopback.
	c, err := imapclient.DialTLS(n.IMAPS, &imapclient.Options{TLSConfig: &tls.Config{InsecureSkipVerify: true}})
	if err != nil {
		return nil, nil, err
	}
	if err := c.Login(s.d.info.Account.Address, s.d.info.Account.Password).Wait(); err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	sel, err := c.Select("INBOX", nil).Wait()
	if err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return c, sel, nil
}

// messages are bodies and flags of INBOX by UID order.
func messages(c *imapclient.Client) ([]*imapclient.FetchMessageBuffer, error) {
	all := imap.SeqSet{}
	all.AddRange(1, 0)
	return c.Fetch(all, &imap.FetchOptions{
		UID: true, Flags: true,
		BodySection: []*imap.FetchItemBodySection{{Peek: true}},
	}).Collect()
}

func (s *story) read(ctx context.Context) error {
	c, _, err := s.session(ctx, s.reader)
	if err != nil {
		return err
	}
	defer c.Close()
	ms, err := messages(c)
	if err != nil {
		return err
	}
	return expect(ms, []string{storyOne}, nil)
}

// expect compares messages with what was sent; a delivered one has trace
// headers before its own.
func expect(ms []*imapclient.FetchMessageBuffer, want []string, flagged []bool) error {
	if len(ms) != len(want) {
		return fmt.Errorf("%d messages, not %d", len(ms), len(want))
	}
	for i, m := range ms {
		if len(m.BodySection) != 1 || !bytes.HasSuffix(m.BodySection[0].Bytes, []byte(want[i])) {
			return fmt.Errorf("message %d differs from what was sent", i+1)
		}
		if flagged != nil {
			has := false
			for _, f := range m.Flags {
				has = has || f == imap.FlagFlagged
			}
			if has != flagged[i] {
				return fmt.Errorf("message %d: \\Flagged is %v", i+1, has)
			}
		}
		if i > 0 && m.UID <= ms[i-1].UID {
			return fmt.Errorf("UIDs do not ascend")
		}
	}
	return nil
}

func (s *story) change(ctx context.Context) error {
	c, _, err := s.session(ctx, s.reader)
	if err != nil {
		return err
	}
	defer c.Close()
	err = c.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagFlagged}}, nil).Close()
	if err != nil {
		return err
	}
	app := c.Append("INBOX", int64(len(storyTwo)), nil)
	if _, err := io.WriteString(app, storyTwo); err != nil {
		return err
	}
	if err := app.Close(); err != nil {
		return err
	}
	_, err = app.Wait()
	return err
}

func (s *story) look(ctx context.Context, n *demoNode) error {
	c, _, err := s.session(ctx, n)
	if err != nil {
		return err
	}
	defer c.Close()
	ms, err := messages(c)
	if err != nil {
		return err
	}
	return expect(ms, []string{storyOne, storyTwo}, []bool{true, false})
}

func (s *story) see(ctx context.Context) error { return s.look(ctx, s.writer) }

func (s *story) restart(context.Context) error {
	if err := s.d.serve(s.victim); err != nil {
		return err
	}
	return s.d.waitHealthy(len(s.d.info.Nodes), 50*time.Second)
}

func (s *story) verify(ctx context.Context) error { return s.look(ctx, s.victim) }

func (s *story) compare(ctx context.Context) error {
	a, err := adminOf(s.reader)
	if err != nil {
		return err
	}
	r, err := unary(ctx, a.CompareReplicas, &adminpb.CompareReplicasRequest{})
	if err != nil {
		return err
	}
	if !r.Equal {
		return fmt.Errorf("the replicas differ: %v", r.Groups)
	}
	return nil
}

func (s *story) consistent(ctx context.Context) error {
	for _, n := range s.d.info.Nodes {
		a, err := adminOf(n)
		if err != nil {
			return err
		}
		r, err := unary(ctx, a.Check, &adminpb.CheckRequest{Bodies: true})
		if err != nil {
			return err
		}
		if len(r.Problems) > 0 {
			return fmt.Errorf("%s: %v", n.Name, r.Problems)
		}
		if r.Messages != 2 {
			return fmt.Errorf("%s holds %d messages, not 2", n.Name, r.Messages)
		}
	}
	return nil
}
