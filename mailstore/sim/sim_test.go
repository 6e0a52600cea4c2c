package sim

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/crypto/seal"
)

var (
	flagSeed      = flag.Uint64("sim.seed", 0, "the first seed; 0: a fixed one in short runs, the clock in longer ones")
	flagSchedules = flag.Int("sim.schedules", 0, "how many schedules to run; 0: as many as a unit test may take")
	flagSteps     = flag.Int("sim.steps", 80, "the most operations of one schedule, beyond 20")
	flagTrace     = flag.Bool("sim.trace", false, "name each seed before it runs")
	flagLog       = flag.Bool("sim.log", false, "show what the nodes log")
)

// lab is what all schedules of a run share.
type lab struct {
	t    *testing.T
	ring *keyring.Ring
	img  *image
	dir  string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t}
	// A schedule makes much and keeps little.
	former := debug.SetGCPercent(400)
	t.Cleanup(func() { debug.SetGCPercent(former) })
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	var err error
	if err = keyring.CreateFileKey(key); err != nil {
		t.Fatal(err)
	}
	if l.ring, err = keyring.Create(filepath.Join(dir, "keyring"), keyring.FileSource{Path: key}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.ring.Close)
	if _, err = l.ring.NewRoot(); err != nil {
		t.Fatal(err)
	}
	warm(t)
	// raft.db lies in memory where the machine has such a place.
	base := ""
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		base = "/dev/shm"
	}
	if l.dir, err = os.MkdirTemp(base, "altmail-sim-"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(l.dir); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		l.img, err = makeImage(l.ring, filepath.Join(l.dir, "image"))
	})
	if err != nil {
		t.Fatalf("the image: %v", err)
	}
	return l
}

// warm makes what is made once and shared outside of every bubble: a channel
// belongs to the bubble that made it. An encoder is made when as many callers as
// there are cores seal at once, so many do, for both sizes.
func warm(t *testing.T) {
	t.Helper()
	large := make([]byte, 4<<20)
	for i := range large {
		large[i] = "mail of all kinds "[i%18] + byte(i>>12)
	}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 60 {
				raw := text(int64(i*60 + j))
				if j == 0 {
					raw = large
				}
				var key [32]byte
				b, err := seal.Seal(nil, &key, raw, 10)
				if err == nil {
					var r *seal.Reader
					if r, err = seal.NewReader(&key, bytes.NewReader(b), int64(len(b))); err == nil {
						_, err = io.ReadAll(io.NewSectionReader(r, 0, r.Size()))
					}
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// run runs one schedule and returns what it violated, with the trail.
func (l *lab) run(t *testing.T, p *plan) (w *world, err error) {
	dir, err := os.MkdirTemp(l.dir, "run-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	w = newWorld(p, l.img, l.ring, dir)
	defer func() {
		// The bubble ends with goroutines that wait for ever.
		if r := recover(); r != nil {
			w.violation("the bubble: %v", r)
		}
		if err == nil && w.failed() {
			err = errors.New(strings.Join(w.violations, "\n"))
		}
	}()
	synctest.Test(t, func(*testing.T) { w.run() })
	return w, nil
}

// TestSchedules runs seeded schedules of faults.
func TestSchedules(t *testing.T) {
	l := newLab(t)
	n, seed := 40, uint64(1)
	if *flagSchedules > 0 {
		n, seed = *flagSchedules, uint64(time.Now().UnixNano())
	}
	if *flagSeed != 0 {
		seed = *flagSeed
	}
	var next, entries, ops, installs atomic.Int64
	begun := time.Now()
	t.Run("run", func(t *testing.T) {
		for i := range 2 {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				for !t.Failed() {
					k := next.Add(1) - 1
					if k >= int64(n) {
						return
					}
					p := newPlan(seed+uint64(k), *flagSteps)
					if *flagTrace {
						fmt.Fprintf(os.Stderr, "seed %d\n", p.seed)
					}
					w, err := l.run(t, p)
					if err != nil {
						t.Errorf("%v\n%s\n%v", err, p, w.trailText())
						l.shrink(t, p)
						return
					}
					entries.Add(int64(w.hist.at() - l.img.base))
					ops.Add(int64(len(w.ops)))
					installs.Add(int64(w.installs))
				}
			})
		}
	})
	took := time.Since(begun)
	t.Logf("%d schedules in %v: %d changes asked for, %d entries, %d installs", next.Load()-2, took.Round(time.Millisecond), ops.Load(), entries.Load(), installs.Load())
}

// shrink takes events away as long as the schedule still fails, and says what
// is left.
func (l *lab) shrink(t *testing.T, p *plan) {
	fails := func(p *plan) (err error) {
		for range 4 {
			if _, err = l.run(t, p); err != nil {
				return err
			}
		}
		return nil
	}
	deadline := time.Now().Add(30 * time.Second)
	small := *p
	last := fails(&small)
	for i := 0; i < len(small.events) && time.Now().Before(deadline); {
		less := small
		less.events = append(append([]event(nil), small.events[:i]...), small.events[i+1:]...)
		if err := fails(&less); err != nil {
			small, last = less, err
		} else {
			i++
		}
	}
	if last == nil {
		t.Logf("it does not fail again every time: -sim.seed %d -sim.schedules 20", p.seed)
		return
	}
	t.Logf("still fails with: %s\n%v", &small, last)
}
