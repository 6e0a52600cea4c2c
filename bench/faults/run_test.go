//go:build e2e

package faults

import (
	"errors"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	duration = flag.Duration("duration", 40*time.Second, "of the faults of each set of kinds")
	each     = flag.Bool("each", false, "a cluster of its own for every kind")
	only     = flag.String("faults", "", "kinds to run together, with commas; none is all, in sets")
	sabotage = flag.String("sabotage", "", "only this deliberate bug")
	patient  = flag.Bool("patient", false, "the deliberate bugs too that take more than a minute to catch")
)

// sets are kinds that hurt the same thing, played together.
var sets = map[string]string{
	"processes": "kill stop restart transfer majority killall",
	"wires":     "isolate oneway pair flap slownet",
	"disks":     "power powerall diskfull slowfsync failfsync failread",
	"members":   "lostdisk joinleave wipe",
	"clocks":    "clock",
}

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

// TestRun plays kinds of faults against clusters of their own, set by set or
// each alone; then all kinds mixed on wires of Nordic length; then with five
// nodes; then on loopback without a network or disks of our own.
func TestRun(t *testing.T) {
	t.Logf("seed %d", *seed)
	// With the tag faults clocks can be put wrong; nothing else is different.
	bin, err := Build(t.Context(), t.TempDir(), "faults")
	if err != nil {
		t.Fatal(err)
	}
	run := func(name string, o Options) {
		t.Run(name, func(t *testing.T) {
			o.Bin, o.Seed = bin, *seed
			if o.Round == 0 {
				o.Round = min(o.Duration, 20*time.Second)
			}
			res := play(t, o)
			t.Logf("%d rounds in %.0f s, %d answered, %d refused, %d unknown; %v", res.Rounds, res.Seconds, res.Answered, res.Refused, res.Unknown, res.Faults)
			if !res.Held() {
				t.Errorf("seed %d: everything is kept in %s\n%s%v", *seed, res.Dir, res.Failure, res.Violations)
			}
			if res.Answered == 0 {
				t.Error("nothing was answered: this proves nothing")
			}
		})
	}
	if *only != "" {
		run("chosen", Options{Duration: *duration, Faults: strings.Split(*only, ",")})
		return
	}
	if *each {
		for _, name := range KindNames() {
			run(name, Options{Duration: *duration, Faults: []string{name}})
		}
	} else {
		for _, name := range slices.Sorted(maps.Keys(sets)) {
			run(name, Options{Duration: *duration, Faults: strings.Fields(sets[name])})
		}
	}
	run("mixed", Options{Duration: *duration * 2, Nordic: true})
	run("five", Options{Duration: *duration, Nodes: 5, Nordic: true})
	run("plain", Options{Duration: *duration / 2, Plain: true, NoDisks: true})
}

// TestSets: no kind is left out of the sets, and none is in two.
func TestSets(t *testing.T) {
	var in []string
	for _, s := range sets {
		in = append(in, strings.Fields(s)...)
	}
	all := KindNames()
	slices.Sort(in)
	slices.Sort(all)
	if !slices.Equal(in, all) {
		t.Errorf("in sets: %v\nthere are: %v", in, all)
	}
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
		slow   bool // to catch: more than a minute, as a rule
	}{
		{"sabotage_answer_early", "isolate,kill,majority", "presence silence order uids", 64, 10 * time.Second, false},
		{"sabotage_body_gate", "lostdisk", "presence octets check", 64, 3 * time.Second, true},
		{"sabotage_reuse_uid", "transfer", "uids order counters presence", 64, 10 * time.Second, false},
		{"sabotage_lose_flag", "transfer,kill", "flags modseqs caught up", 64, 10 * time.Second, false},
		{"sabotage_vanished", "transfer", "caught up", 64, 10 * time.Second, false},
		{"sabotage_nosync_segment", "powerall", "presence octets check", 100_000, 10 * time.Second, true},
		{"sabotage_nosync_raftdb", "powerall", "presence flags uids order counters halves", 100_000, 10 * time.Second, false},
	} {
		t.Run(strings.TrimPrefix(c.tag, "sabotage_"), func(t *testing.T) {
			if *sabotage != "" && c.tag != "sabotage_"+*sabotage {
				t.Skip("not asked for")
			}
			if c.slow && !*patient && *sabotage == "" {
				t.Skip("takes long: -patient")
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
