package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// pretender is a worker whose operations take as long as it likes.
type pretender struct {
	takes  func(at time.Duration) (time.Duration, error)
	began  time.Time
	opened int
	opens  func() error
}

func (p *pretender) open(context.Context) error {
	p.opened++
	if p.opens != nil {
		return p.opens()
	}
	return nil
}
func (p *pretender) close() {}
func (p *pretender) do(ctx context.Context, _ int64) (done, error) {
	d, err := p.takes(time.Since(p.began))
	if !sleep(ctx, d) {
		return done{}, ctx.Err()
	}
	return done{bytes: 100}, err
}

func pretend(n int, takes func(time.Duration) (time.Duration, error)) []worker {
	out := make([]worker, n)
	for i := range out {
		out[i] = &pretender{takes: takes, began: time.Now()}
	}
	return out
}

// TestOmission: a server that stands still for four of ten seconds is seen to
// in rate mode, where one answer late makes all those late that were due.
func TestOmission(t *testing.T) {
	stall := func(at time.Duration) (time.Duration, error) {
		if at >= 3*time.Second && at < 7*time.Second {
			return 7*time.Second - at, nil
		}
		return time.Millisecond, nil
	}
	synctest.Test(t, func(t *testing.T) {
		r, err := measure(t.Context(), "x", &Target{}, Options{Connections: 1, Duration: 10 * time.Second, Rate: 100}, pretend(1, stall))
		if err != nil {
			t.Fatal(err)
		}
		// 400 of 1000 were due in the stall, the first waited 4 s.
		if r.Latency.Count != 1000 || r.Ops != 1000 || r.Failed() > 0 {
			t.Errorf("%d operations, %d latencies, errors %v", r.Ops, r.Latency.Count, r.Errors)
		}
		if r.Latency.P99 < 3800 || r.Latency.P99 > 4100 || r.Latency.P90 < 2500 || r.Latency.P50 > 2 {
			t.Errorf("the stall of 4 s shows as %+v", r.Latency)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r, err := measure(t.Context(), "x", &Target{}, Options{Connections: 1, Duration: 10 * time.Second}, pretend(1, stall))
		if err != nil {
			t.Fatal(err)
		}
		// The closed loop knows of one slow answer only; that is what rate mode
		// is for.
		if r.Latency.P999 > 2 || r.Latency.Max < 3900 {
			t.Errorf("closed loop: %+v", r.Latency)
		}
	})
}

// TestNeverAnswered: what was due and never begun counts too.
func TestNeverAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := func(at time.Duration) (time.Duration, error) {
			if at >= 5*time.Second {
				return time.Hour, nil
			}
			return time.Millisecond, nil
		}
		r, err := measure(t.Context(), "x", &Target{}, Options{Connections: 2, Duration: 10 * time.Second, Rate: 10}, pretend(2, dead))
		if err != nil {
			t.Fatal(err)
		}
		if r.Ops != 50 || r.Failed() != 50 || r.Errors["not begun in time"] != 48 || r.Errors["timeout"] != 2 {
			t.Errorf("%d answered, errors %v", r.Ops, r.Errors)
		}
		if r.Latency.P90 < 15_000 {
			t.Errorf("%+v", r.Latency)
		}
	})
}

func TestWarmupAndWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slowStart := func(at time.Duration) (time.Duration, error) {
			if at < 2*time.Second {
				return 500 * time.Millisecond, errors.New("cold")
			}
			return 100 * time.Millisecond, nil
		}
		r, err := measure(t.Context(), "x", &Target{}, Options{Connections: 4, Warmup: 3 * time.Second, Duration: 5 * time.Second}, pretend(4, slowStart))
		if err != nil {
			t.Fatal(err)
		}
		if r.Failed() > 0 || r.Latency.Max > 101 || math.Abs(r.Rate-40) > 1 || math.Abs(float64(r.Bytes)-20_000) > 400 || r.Seconds != 5 {
			t.Errorf("%+v", r)
		}
	})
}

func TestCount(t *testing.T) {
	for _, warm := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			r, err := measure(t.Context(), "x", &Target{}, Options{Connections: 7, Count: 100, Warmup: warm},
				pretend(7, func(time.Duration) (time.Duration, error) { return 10 * time.Millisecond, nil }))
			if err != nil {
				t.Fatal(err)
			}
			if r.Ops != 100 || r.Latency.Count != 100 || r.Bytes != 10_000 || r.Seconds < 0.13 || r.Seconds > 0.17 {
				t.Errorf("warm-up %s: %+v", warm, r)
			}
		})
	}
}

// TestReconnect: refusals keep a connection, other errors end it, and a server
// that is down is asked ever more slowly.
func TestReconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		w := &pretender{began: time.Now(), takes: func(time.Duration) (time.Duration, error) {
			if n++; n%2 == 0 {
				return time.Millisecond, &refusal{step: "RCPT", code: "550"}
			}
			return time.Millisecond, nil
		}}
		r, err := measure(t.Context(), "x", &Target{}, Options{Connections: 1, Count: 10}, []worker{w})
		if err != nil || w.opened != 1 || r.Ops != 5 || r.Errors["RCPT: 550"] != 5 {
			t.Errorf("%d opened, %+v, %v", w.opened, r, err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := &pretender{began: time.Now(), takes: func(at time.Duration) (time.Duration, error) {
			if at > time.Second {
				return 0, &failure{"message", io.EOF}
			}
			return time.Millisecond, nil
		}}
		w.opens = func() error {
			if w.opened > 1 {
				return &failure{"connect", fmt.Errorf("%w: refused", ErrUnreachable)}
			}
			return nil
		}
		r, err := measure(t.Context(), "x", &Target{}, Options{Connections: 1, Duration: 11 * time.Second}, []worker{w})
		if err != nil {
			t.Fatal(err)
		}
		if w.opened < 40 || w.opened > 60 || r.Failed() != int64(w.opened) {
			t.Errorf("%d attempts in ten seconds, errors %v", w.opened, r.Errors)
		}
	})
}

func TestErrorKindsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r, err := measure(t.Context(), "x", &Target{}, Options{Connections: 1, Count: 1000}, pretend(1, func(time.Duration) (time.Duration, error) {
			n++
			return time.Millisecond, &refusal{step: fmt.Sprint(n), code: "550"}
		}))
		if err != nil || len(r.Errors) != maxErrorKinds+1 || r.Failed() != 1000 {
			t.Errorf("%d kinds, %d failed, %v", len(r.Errors), r.Failed(), err)
		}
	})
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls, warming atomic.Int64
		o := Options{Connections: 1, Warmup: 2 * time.Second, Duration: 3 * time.Second, Progress: func(p Progress) {
			calls.Add(1)
			if p.Warming {
				warming.Add(1)
			}
		}}
		if _, err := measure(t.Context(), "x", &Target{}, o, pretend(1, func(time.Duration) (time.Duration, error) { return time.Millisecond, nil })); err != nil {
			t.Fatal(err)
		}
		if calls.Load() < 8 || warming.Load() < 3 || warming.Load() > 4 {
			t.Errorf("%d calls, %d while warming up", calls.Load(), warming.Load())
		}
	})
}

func TestResultJSON(t *testing.T) {
	h := newHistogram()
	for i := range 1000 {
		record(h, time.Duration(i)*time.Millisecond)
	}
	record(h, -time.Second)
	record(h, 24*time.Hour)
	first := 1.5
	r := &Result{
		Work: "deliver", Target: "t", Start: time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC), Connections: 2, Seconds: 1, Ops: 3, Bytes: 4, Rate: 5, MBps: 6,
		Latency: latencyOf(h), Answer: &Latency{Count: 1}, Errors: map[string]int64{"x": 1}, First: &first, Warm: &first, Runs: []float64{1.5},
		CPU: &CPU{Processes: 1}, Disk: &Disk{Dirs: 1}, Memory: &Memory{}, Kills: []Kill{{Survivors: []float64{1}}},
	}
	back, err := r.Latency.Values()
	if err != nil || back.TotalCount() != 1002 || back.ValueAtQuantile(50) != h.ValueAtQuantile(50) {
		t.Errorf("the histogram does not come back: %v", err)
	}
	if l := r.Latency; math.Abs(l.P50-500) > 2 || math.Abs(l.P99-990) > 2 || l.Min != 0.001 || l.Max < 599_000 {
		t.Errorf("%+v", l)
	}
	r.Latency.Histogram = ""
	var b bytes.Buffer
	if err := WriteJSON(&b, r); err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	// Reports and scripts read these names.
	want := "answer bytes connections cpu disk errors first_ms kills latency mbps memory ops rate runs_ms seconds start target warm_ms work"
	if got := strings.Join(keys(m), " "); got != want {
		t.Errorf("fields %q, want %q", got, want)
	}
	if got := strings.Join(keys(m["latency"].(map[string]any)), " "); got != "count max_ms mean_ms min_ms p50_ms p90_ms p999_ms p99_ms" {
		t.Errorf("latency: %q", got)
	}
	b.Reset()
	if err := WriteTable(&b, r); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "deliver") || !strings.Contains(b.String(), "1 × x") {
		t.Errorf("%s", b.String())
	}
}

// TestFeed: repeated messages are new ones to a server.
func TestFeed(t *testing.T) {
	src := script{"A: b\r\nMessage-Id: <x@y>\r\n\r\n.\r\n", "A: b\r\n\r\n.x\r\n"}
	f, err := newFeed(src, 0, 0)
	if err != nil || len(f.msgs) != 2 {
		t.Fatalf("%d messages, %v", len(f.msgs), err)
	}
	seen := map[string]bool{}
	for i := range int64(6) {
		s := f.get(i)
		raw, dots := s.parts(false), s.parts(true)
		m := string(bytes.Join(raw[:], nil))
		if seen[m] || len(m) != s.size() {
			t.Errorf("message %d was sent before, or has not %d octets: %q", i, s.size(), m)
		}
		seen[m] = true
		if got := strings.ReplaceAll(string(bytes.Join(dots[:], nil)), "\r\n..", "\r\n."); got != m {
			t.Errorf("stuffed: %q of %q", got, m)
		}
		if i >= 2 && i%2 == 0 && !strings.Contains(m, "Message-Id: <"+f.tag+".") {
			t.Errorf("%q", m)
		}
	}
	if _, err := newFeed(script{""}, 1, 0); !errors.Is(err, errSource) {
		t.Errorf("an empty message: %v", err)
	}
	if f, err := newFeed(text, 0, 100_000); err != nil || len(f.msgs) < 8 || len(f.msgs) > 40 {
		t.Errorf("100 kB are %d messages, %v", len(f.msgs), err)
	}
	if f, err := newFeed(text, 5, 0); err != nil || len(f.msgs) != 5 {
		t.Errorf("%d messages, %v", len(f.msgs), err)
	}
}

func TestParseStat(t *testing.T) {
	s, err := parseStat([]byte("12 (a) b (c)) S 7 12 12 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 5 6 7\n"))
	if err != nil || s.parent != 7 || s.ticks != 110 {
		t.Errorf("%+v, %v", s, err)
	}
	for _, bad := range []string{"", "12 (a", "12 (a) S 1 2", "12 (a) S x 12 12 0 -1 4194304 100 0 0 0 11 22 33 44 20"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	if pss, rss := parseRollup([]byte("5500-7fff ---p 0 00:00 0 [rollup]\nRss:  2048 kB\nPss:   1024 kB\nPss_Dirty: 5 kB\n")); pss != 1<<20 || rss != 2<<20 {
		t.Errorf("%d %d", pss, rss)
	}
}

// TestProcessTree: a server's children are the server's.
func TestProcessTree(t *testing.T) {
	sh := exec.Command("/bin/sh", "-c", "echo; cat; exit")
	in, err := sh.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := sh.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := sh.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := sh.Wait(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for len(ProcessTree([]int{sh.Process.Pid})) != 2 && time.Now().Before(deadline) {
		<-time.After(time.Millisecond)
	}
	if tree := ProcessTree([]int{sh.Process.Pid}); len(tree) != 2 || tree[0] != sh.Process.Pid {
		t.Errorf("a shell with a child: %v", tree)
	}
	if tree := ProcessTree([]int{1 << 29}); len(tree) != 0 {
		t.Errorf("nobody: %v", tree)
	}
	if tree := ProcessTree([]int{os.Getpid()}); len(tree) < 3 {
		t.Errorf("ourselves and the shell's two: %v", tree)
	}
}

func TestCPU(t *testing.T) {
	target := &Target{PIDs: func() []int { return []int{os.Getpid()} }}
	mark := markCPU(target)
	x := uint64(1)
	for deadline := time.Now().Add(20 * time.Second); selfCPU()-mark.self < 200*time.Millisecond && time.Now().Before(deadline); {
		for range 100_000 {
			x = x*6364136223846793005 + 1
		}
	}
	c := mark.since(target)
	c.per(10, 1)
	if c.Client < 0.2 || c.Server < 0.1 || c.ServerPerOp != c.Server/10 || c.ClientShare <= 0 || c.ClientShare >= 1 || c.Processes < 1 || c.Busy <= 0 {
		t.Errorf("%+v (%d)", c, x)
	}
}

func TestDiskUse(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, n int) {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, n), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	target := &Target{DataDirs: []string{dir}}
	before, err := diskBefore(target)
	if err != nil {
		t.Fatal(err)
	}
	write("a", 10_000)
	write("d/b", 1)
	if err := os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "d", "again")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/proc", filepath.Join(dir, "d", "elsewhere")); err != nil {
		t.Fatal(err)
	}
	d, err := before.growth(target, 5000)
	if err != nil {
		t.Fatal(err)
	}
	if d.Apparent != 10_001 || d.Files != 2 || d.ApparentPerRaw != 10_001.0/5000 || d.Allocated < 0 || d.Dirs != 1 {
		t.Errorf("%+v", d)
	}
	if _, _, _, err := DiskUse([]string{filepath.Join(dir, "none")}); err == nil {
		t.Error("a directory that is not there has no use")
	}
}

func keys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

// TestFailover: the survivors' silence is measured, whichever node leads.
func TestFailover(t *testing.T) {
	silence := 150 * time.Millisecond
	n := &killable{t: t, silence: silence}
	target := &Target{Accounts: accounts(2), Nodes: n}
	for range 3 {
		f, _ := newFakes()
		f.answer = n.answer
		n.fakes = append(n.fakes, f)
		target.Delivery.Addrs = append(target.Delivery.Addrs, f.listen(t, false, nil, false))
	}
	r, err := Failover(t.Context(), target, FailoverOptions{Kills: 3, Source: text, Pause: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Kills) != 3 || r.Ops != 3 || r.Failed() > 0 || r.Latency.Count != 3 || n.restarts != 3 {
		t.Fatalf("%+v, %d restarts", r, n.restarts)
	}
	for i, k := range r.Kills {
		if k.Node != i || len(k.Survivors) != 2 || k.Worst < ms(silence) || k.Worst > 10_000 {
			t.Errorf("%+v", k)
		}
		for _, s := range k.Survivors {
			if s < ms(silence) || s > k.Worst {
				t.Errorf("%+v", k)
			}
		}
	}
	// A node that does not come back leaves what was measured before.
	n.broken, n.restarts = errors.New("won't start"), 0
	r, err = Failover(t.Context(), target, FailoverOptions{Kills: 3, Source: text, Pause: time.Millisecond})
	if !errors.Is(err, n.broken) || r == nil || len(r.Kills) != 1 || r.Latency.Count != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	n.broken = nil
	// A cluster that never comes back is a failure, not a hang.
	n.silence = time.Hour
	r, err = Failover(t.Context(), target, FailoverOptions{Kills: 1, Source: text, Pause: time.Millisecond, Timeout: 100 * time.Millisecond})
	if err != nil || r.Errors["no answer in time"] != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// killable is a cluster whose nodes say 451 for a while after a kill.
type killable struct {
	t        *testing.T
	silence  time.Duration
	fakes    []*fakes
	mu       sync.Mutex
	until    time.Time
	turn     int
	restarts int
	broken   error // of every start but the first
}

func (k *killable) Leader(context.Context, Account) (int, error) {
	k.turn++
	return (k.turn - 1) % len(k.fakes), nil
}

func (k *killable) Kill(int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.until = time.Now().Add(k.silence)
	return nil
}

func (k *killable) Restart(context.Context, int) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.until = time.Time{}
	if k.restarts++; k.restarts > 1 {
		return k.broken
	}
	return nil
}

func (k *killable) answer() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Now().Before(k.until) {
		return errors.New("no leader")
	}
	return nil
}
