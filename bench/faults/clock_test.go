//go:build e2e

package faults

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// setClock puts a node's clock wrong, in the build with the tag faults.
func setClock(ctx context.Context, n *Node, offset time.Duration, drift float64) error {
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(n.DataDir, "admin.sock"))
		},
	}}
	url := fmt.Sprintf("http://node/faults/clock?offset=%s&drift=%g", offset, drift)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s: %s %w", resp.Status, b, err)
	}
	return nil
}

// TestClocks: a leader whose clock is wrong by a day, either way, hands over;
// a clock that runs twice as fast is as good as right until it is far; wrong
// clocks of others do no harm. Mail flows at every node all the time, and
// nothing is lost or doubled.
func TestClocks(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	bin, err := Build(ctx, t.TempDir(), "faults")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Start(ctx, bin, t.TempDir(), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range c.Nodes {
				t.Logf("--- %s\n%s", n.Name, n.Log(30))
			}
		}
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	h := NewHistory()
	group, err := c.AccountGroup(ctx, c.Nodes[0], c.Account.Address)
	if err != nil {
		t.Fatal(err)
	}
	deliver := func(when string) {
		t.Helper()
		within, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		for _, n := range c.Nodes {
			var last error
			err := c.Wait(within, func() (bool, error) {
				id, raw := h.New("INBOX", 1000)
				o, err := Deliver(n.SMTP, c.Account.Address, raw)
				h.Done(id, o)
				last = err
				return o == Answered, nil
			})
			if err != nil {
				t.Fatalf("%s: %s: %v: %v", when, n.Name, err, last)
			}
		}
	}
	leader := func() *Node {
		t.Helper()
		var l *Node
		if err := c.Wait(ctx, func() (bool, error) {
			var err error
			l, err = c.Leader(ctx, c.Nodes[0], group)
			return err == nil, nil
		}); err != nil {
			t.Fatal(err)
		}
		return l
	}
	set := func(n *Node, offset time.Duration, drift float64) {
		t.Helper()
		if err := setClock(ctx, n, offset, drift); err != nil {
			t.Fatal(err)
		}
	}

	deliver("at first")
	for _, offset := range []time.Duration{26 * time.Hour, -26 * time.Hour} {
		n := leader()
		set(n, offset, 0)
		within, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := c.Wait(within, func() (bool, error) { return leader() != n, nil })
		cancel()
		if err != nil {
			t.Fatalf("%s is %s off and goes on leading", n.Name, offset)
		}
		deliver(fmt.Sprintf("%s is %s off", n.Name, offset))
		set(n, 0, 0)
		deliver("all are right again")
	}
	set(leader(), 0, 1)
	deliver("the leader's clock is fast")
	set(leader(), 0, 0)
	for _, n := range c.Nodes {
		if n != leader() {
			set(n, 26*time.Hour, 0)
			deliver(n.Name + " does not lead and is off")
			break
		}
	}
	for _, n := range c.Nodes {
		set(n, 0, 0)
	}
	if err := c.WaitHealthy(ctx, c.Nodes[0], 3); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.Nodes {
		if err := c.VerifyAt(ctx, n, h, []string{"INBOX"}); err != nil {
			t.Error(err)
		}
	}
	if err := c.Compare(ctx, c.Nodes[0]); err != nil {
		t.Error(err)
	}
	if err := c.Check(ctx); err != nil {
		t.Error(err)
	}
}
