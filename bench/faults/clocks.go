package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"time"
)

// clockKinds put clocks wrong; they need a binary with the build tag faults,
// whose admin socket takes an offset and a drift.
var clockKinds = []kind{{name: "clock", tag: true, play: playClock}}

// clockURL is asked through the admin socket.
const clockURL = "http://node/faults/clock"

// askClock sends one request about a node's clock and returns its status.
func (n *Node) askClock(ctx context.Context, method string, q url.Values) (int, error) {
	socket := filepath.Join(filepath.Dir(n.Config), "admin.sock")
	c := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}, Timeout: 5 * time.Second}
	req, err := http.NewRequestWithContext(ctx, method, clockURL+"?"+q.Encode(), nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// clocks reports whether the binary lets its clock be put wrong.
func (c *Cluster) clocks(ctx context.Context) (bool, error) {
	code, err := c.Nodes[0].askClock(ctx, http.MethodGet, nil)
	return code == http.StatusOK, err
}

// playClock lets the clock of one node jump, either way, and run fast or slow.
func playClock(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	most := []time.Duration{time.Second, 20 * time.Second, time.Hour, 48 * time.Hour}[rng.IntN(4)]
	offset := between(rng, -most, most)
	drift := []float64{0, 0, 0.01, 1, -0.5}[rng.IntN(5)]
	over := f.rec.fault(fmt.Sprintf("the clock of %s jumps by %s and drifts by %g", n.Name, offset.Round(time.Millisecond), drift))
	defer over()
	set := func(q url.Values) error {
		sctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		code, err := n.askClock(sctx, http.MethodPost, q)
		if err == nil && code != http.StatusOK && code != http.StatusNoContent {
			err = fmt.Errorf("%s: its clock can not be set: status %d", n.Name, code)
		}
		return err
	}
	if err := set(url.Values{"offset": {offset.String()}, "drift": {fmt.Sprint(drift)}}); err != nil {
		return err
	}
	nap(ctx, between(rng, time.Second, 12*time.Second))
	return set(nil)
}
