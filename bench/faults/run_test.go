//go:build e2e

package faults

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"
)

var (
	duration = flag.Duration("duration", 12*time.Second, "of the faults of each kind, and a fifth of all kinds mixed")
	only     = flag.String("faults", "", "kinds to run together, with commas; none is each for itself")
	sabotage = flag.String("sabotage", "", "only this deliberate bug")
)

// play runs faults in a scratch directory, which is kept when they broke
// something.
func play(t *testing.T, o Options) *Result {
	t.Helper()
	dir, err := os.MkdirTemp("", "altmail-faults-")
	if err != nil {
		t.Fatal(err)
	}
	o.Dir, o.Progress = dir, t.Output()
	res, err := Run(t.Context(), o)
	for _, l := range res.Left {
		t.Log("left out:", l)
	}
	if errors.Is(err, os.ErrPermission) {
		t.Fatalf("this needs root: %v", err)
	}
	if err != nil {
		t.Fatalf("seed %d: %v (in %s)", o.Seed, err, dir)
	}
	if res.Held() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
	return res
}

// TestRun plays each kind of fault against a cluster of its own, and then all
// kinds mixed, on wires of Nordic length and with five nodes.
func TestRun(t *testing.T) {
	t.Logf("seed %d", *seed)
	// With the tag faults clocks can be put wrong; nothing else is different.
	bin, err := Build(t.Context(), t.TempDir(), "faults")
	if err != nil {
		t.Fatal(err)
	}
	each := func(name string, o Options) {
		t.Run(name, func(t *testing.T) {
			o.Bin, o.Seed = bin, *seed
			if res := play(t, o); !res.Held() {
				t.Errorf("seed %d: everything is kept in %s\n%s%v", *seed, res.Dir, res.Failure, res.Violations)
			}
		})
	}
	if *only != "" {
		each("chosen", Options{Duration: *duration, Round: min(*duration, 20*time.Second), Faults: strings.Split(*only, ",")})
		return
	}
	for _, name := range KindNames() {
		round := *duration
		if name == "lostdisk" {
			round = 3 * time.Second // once
		}
		each(name, Options{Duration: time.Millisecond, Round: round, Faults: []string{name}})
	}
	each("mixed", Options{Duration: *duration * 5, Round: 20 * time.Second, Nordic: true})
	each("five", Options{Duration: *duration * 2, Round: 20 * time.Second, Nodes: 5, Nordic: true})
	each("plain", Options{Duration: *duration, Round: *duration, Plain: true, NoDisks: true})
}

// TestSabotage shows that the harness is not blind: a build with a deliberate
// bug is caught each time, within five minutes. The missing syncs of a new
// segment's name and of the state under a marker are seen by TestNoSyncIsSeen
// of package disk: here other syncs of a running cluster soon make up for them.
func TestSabotage(t *testing.T) {
	t.Logf("seed %d", *seed)
	for _, c := range []struct {
		tag    string
		faults string
		rules  string // one of which must see it
		log    int    // entries a log keeps
		round  time.Duration
	}{
		{"sabotage_answer_early", "isolate,kill,majority", "presence silence order uids", 64, 10 * time.Second},
		{"sabotage_body_gate", "lostdisk", "presence octets check", 64, 3 * time.Second},
		{"sabotage_reuse_uid", "transfer", "uids order counters presence", 64, 10 * time.Second},
		{"sabotage_lose_flag", "transfer,kill", "flags modseqs caught up", 64, 10 * time.Second},
		{"sabotage_vanished", "transfer", "caught up", 64, 10 * time.Second},
		{"sabotage_nosync_segment", "powerall", "presence octets check", 100_000, 10 * time.Second},
		{"sabotage_nosync_raftdb", "powerall", "presence flags uids order counters halves", 100_000, 10 * time.Second},
	} {
		t.Run(strings.TrimPrefix(c.tag, "sabotage_"), func(t *testing.T) {
			if *sabotage != "" && c.tag != "sabotage_"+*sabotage {
				t.Skip("not asked for")
			}
			bin, err := Build(t.Context(), t.TempDir(), c.tag)
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			res := play(t, Options{
				Bin: bin, Seed: *seed, Duration: 4 * time.Minute, Round: c.round, Think: 60 * time.Millisecond,
				Faults: strings.Split(c.faults, ","), LogEntries: c.log, Erase: 7 * 24 * time.Hour, Heal: 40 * time.Second, Rules: "posix",
			})
			if res.Held() {
				t.Fatalf("seed %d: not caught in %s", *seed, time.Since(begin))
			}
			t.Logf("caught in %s, round %d: %s%v", time.Since(begin).Round(time.Second), res.Rounds, res.Failure, res.Violations[:min(3, len(res.Violations))])
			// What a bug does to the store may also end a node or leave the
			// cluster ill; a violation must be of a rule that fits.
			fits := res.Failure != ""
			for _, v := range res.Violations {
				fits = fits || strings.Contains(c.rules, v.Rule)
			}
			if !fits {
				t.Errorf("no rule of %q sees it", c.rules)
			}
			if err := os.RemoveAll(res.Dir); err != nil {
				t.Error(err)
			}
		})
	}
}
