package peers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/bench/report"
)

// measuredOf lists the works of a round at a peer.
func measuredOf(o *Options, round int, peer string) []string {
	p := All(Config{})[peer]
	var out []string
	for _, j := range jobs(o.Messages) {
		if j.once && round > 1 || p.DeliveryOnly() && !j.delivery {
			continue
		}
		for _, w := range o.works(round, peer, j) {
			out = append(out, w.Name)
		}
	}
	return out
}

// TestScope: each figure that a target compares is measured in every round,
// and every figure once, but for those that take too long.
func TestScope(t *testing.T) {
	o := &Options{Rounds: 5, Messages: 10_000}
	once := map[string]bool{}
	for _, j := range jobs(o.Messages) {
		for _, w := range j.works {
			if j.once {
				once[w.Name] = true
			}
		}
	}
	for _, x := range report.Targets() {
		for _, peer := range []string{x.Peer, x.Against} {
			if peer == "" || peer == report.BestPeer {
				continue
			}
			for round := 1; round <= 2; round++ {
				if got := measuredOf(o, round, peer); !slices.Contains(got, x.Work) && !(round > 1 && once[x.Work]) {
					t.Errorf("%s: %s is not measured at %s in round %d", x.Text, x.Work, peer, round)
				}
			}
		}
	}
	for _, c := range []struct {
		peer        string
		first, next int
		without     string
	}{
		{"altmail-3", 24, 18, ""},
		{"dovecot-sdbox-zstd", 24, 0, ""},
		{"dovecot-sdbox-zstd-crypt", 13, 4, "read."},
		{"dovecot-maildir", 23, 5, ""},
		{"cyrus", 23, 6, ""},
		{"postfix-dovecot", 6, 0, ""},
	} {
		first, next := measuredOf(o, 1, c.peer), measuredOf(o, 2, c.peer)
		if len(first) != c.first || c.next > 0 && len(next) != c.next || c.without != "" && strings.Contains(strings.Join(first, " "), c.without) {
			t.Errorf("%s: %d first: %v\n%d later: %v", c.peer, len(first), first, len(next), next)
		}
	}
	full := &Options{Rounds: 5, Messages: 10_000, Full: true}
	chosen := &Options{Rounds: 5, Messages: 10_000, Works: []string{"read"}}
	if n := len(measuredOf(full, 3, "dovecot-sdbox-zstd-crypt")); n != 22 {
		t.Errorf("full: %d works in a later round", n)
	}
	if n := len(measuredOf(chosen, 3, "dovecot-sdbox-zstd-crypt")); n != len(reads) {
		t.Errorf("chosen: %d works", n)
	}
}

// TestEstimate: a whole comparison is said to fit into three quarters of an hour or little more, what has been
// seen corrects it, and what is done counts no more.
func TestEstimate(t *testing.T) {
	o := Options{Rounds: 5, Duration: 4 * time.Second, Messages: 10_000, Idle: 500, Repeat: 5, Peers: Names}
	c := &Comparison{dir: t.TempDir(), opts: o, jobs: jobs(o.Messages)}
	for _, n := range Names {
		c.peers = append(c.peers, All(Config{})[n])
	}
	whole, err := c.left(1, progressed{})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(whole)
	if whole < 25*time.Minute || whole > 50*time.Minute {
		t.Errorf("%s", whole)
	}
	if slow, err := c.left(1, progressed{time.Minute, 2 * time.Minute}); err != nil || slow != 2*whole {
		t.Errorf("twice as slow: %s, %v", slow, err)
	}
	c.opts.Full = true
	if full, err := c.left(1, progressed{}); err != nil || full < 2*whole {
		t.Errorf("full: %s, %v", full, err)
	}
	c.opts.Full = false
	if later, err := c.left(2, progressed{}); err != nil || later >= whole || later < whole/2 {
		t.Errorf("after the first round: %s, %v", later, err)
	}
}

// TestEstimateSaid: it is said at first and in each round.
func TestEstimateSaid(t *testing.T) {
	var diary, said []string
	c := fakes(t, t.TempDir(), &diary, good, &fakePeer{name: "a"})
	c.opts.Log = func(s string) { said = append(said, s) }
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := fmt.Sprint(said); !strings.Contains(all, "2 rounds") || strings.Count(all, "about") != 2 {
		t.Errorf("%s", all)
	}
	said = nil
	if err := c.Run(t.Context()); err != nil || strings.Contains(fmt.Sprint(said), "about") {
		t.Errorf("%v: nothing is left, but: %v", err, said)
	}
}
