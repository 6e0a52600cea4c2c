package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/bench/load"
	"altmail.se/altmail/bench/report"
)

// fakePeer is a server that does nothing but note what happens to it.
type fakePeer struct {
	name    string
	diary   *[]string
	only    bool
	failing error
	running bool
}

func (f *fakePeer) Name() string                            { return f.name }
func (f *fakePeer) Note() string                            { return "" }
func (f *fakePeer) DeliveryOnly() bool                      { return f.only }
func (f *fakePeer) Version(context.Context) (string, error) { return "1", nil }
func (f *fakePeer) Settle(context.Context) error            { return nil }
func (f *fakePeer) note(what string)                        { *f.diary = append(*f.diary, f.name+" "+what) }

func (f *fakePeer) Start(_ context.Context, dir string) (*load.Target, error) {
	f.note("start " + filepath.Base(dir))
	if f.failing != nil {
		return nil, f.failing
	}
	f.running = true
	return &load.Target{Name: f.name}, os.MkdirAll(dir, 0o755)
}

func (f *fakePeer) Stop(context.Context) error {
	f.note("stop")
	f.running = false
	return nil
}

// fakes makes a comparison of fake peers with one work.
func fakes(t *testing.T, dir string, diary *[]string, work func(ctx context.Context, s *server) error, peers ...*fakePeer) *Comparison {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "runs"), 0o755); err != nil {
		t.Fatal(err)
	}
	w := report.Work{Name: "work", Metrics: []report.Metric{report.Rate}}
	c := &Comparison{dir: dir, opts: Options{Rounds: 2, Duration: time.Second, Full: true, Scratch: filepath.Join(dir, "s")}}
	c.jobs = []job{{name: "work", stage: empty, works: []report.Work{w}, delivery: true, run: func(ctx context.Context, s *server) ([]report.Run, error) {
		f := s.peer.(*fakePeer)
		if !f.running {
			t.Errorf("%s is measured and does not run", f.name)
		}
		for _, p := range peers {
			if p != f && p.running {
				t.Errorf("%s runs while %s is measured", p.name, f.name)
			}
		}
		f.note("work")
		if err := work(ctx, s); err != nil {
			return nil, err
		}
		return []report.Run{{Work: "work", Values: map[string]float64{"rate": 5}}}, nil
	}}}
	for _, p := range peers {
		p.diary = diary
		c.peers = append(c.peers, p)
		c.kept.Peers = append(c.kept.Peers, report.Peer{Name: p.name})
	}
	return c
}

func good(context.Context, *server) error { return nil }

// TestTurns: every peer in turn in every round, one at a time, each on a
// directory of its own that is gone afterwards.
func TestTurns(t *testing.T) {
	var diary []string
	c := fakes(t, t.TempDir(), &diary, good, &fakePeer{name: "a"}, &fakePeer{name: "b"})
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	once := []string{"a start f", "a work", "a stop", "b start f", "b work", "b stop"}
	if want := append(slices.Clone(once), once...); !slices.Equal(diary, want) {
		t.Errorf("%q", diary)
	}
	r, err := c.Report()
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Stat("b", "work", "rate"); s.N != 2 || s.Median != 5 {
		t.Errorf("%+v", s)
	}
	if left, err := filepath.Glob(filepath.Join(c.opts.Scratch, "*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// TestResume: what was done is not done again, what failed is tried again, and
// what was cut off leaves no run.
func TestResume(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var diary []string
	n := 0
	c := fakes(t, dir, &diary, func(context.Context, *server) error {
		switch n++; n {
		case 2: // the second peer's first time
			return errors.New("broken")
		case 4: // cut off in the second peer's second round
			cancel()
			return ctx.Err()
		}
		return nil
	}, &fakePeer{name: "a"}, &fakePeer{name: "b"})
	if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if last := diary[len(diary)-1]; last != "b stop" {
		t.Errorf("%s comes last", last)
	}
	r, err := c.Report()
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Runs) != 3 || len(r.Failures().Rows) != 1 {
		t.Errorf("%+v", r.Runs)
	}
	diary = nil
	again := fakes(t, dir, &diary, good, &fakePeer{name: "a"}, &fakePeer{name: "b"})
	if err := again.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := []string{"b start f", "b work", "b stop", "b start f", "b work", "b stop"}; !slices.Equal(diary, want) {
		t.Errorf("%q", diary)
	}
	if r, err = again.Report(); err != nil || len(r.Runs) != 4 || len(r.Failures().Rows) != 0 {
		t.Errorf("%v %+v", err, r.Runs)
	}
}

// TestFailingPeer: a peer that does not start is in the report and stops
// nobody else.
func TestFailingPeer(t *testing.T) {
	var diary []string
	c := fakes(t, t.TempDir(), &diary, good, &fakePeer{name: "a", failing: errors.New("no port")}, &fakePeer{name: "b"})
	if err := c.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := c.Report()
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Stat("b", "work", "rate"); s.N != 2 {
		t.Errorf("b: %+v", s)
	}
	if f := fmt.Sprint(r.Failures().Rows); strings.Count(f, "no port") != 2 {
		t.Error(f)
	}
}

// TestWipe: what still runs in a scratch directory ends before it goes, and a
// server's own directory called pid is no pid file.
func TestWipe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	for _, sub := range []string{"node2", "queue/pid"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p, err := run(t.Context(), filepath.Join(dir, "node2", "pid"), filepath.Join(dir, "log"), exec.Command("sleep", "600"))
	if err != nil {
		t.Fatal(err)
	}
	if err := wipe(t.Context(), dir); err != nil {
		t.Error(err)
	}
	<-p.done
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestJobs: every target can be measured, and nothing is called the same.
func TestJobs(t *testing.T) {
	known := map[string]report.Work{}
	for _, j := range jobs(10000) {
		for _, w := range j.works {
			if _, ok := known[w.Name]; ok {
				t.Errorf("%s is there twice", w.Name)
			}
			known[w.Name] = w
		}
	}
	for _, x := range report.Targets() {
		w, ok := known[x.Work]
		if !ok || !slices.Contains(w.Metrics, x.Metric) {
			t.Errorf("%s: no job gives %s of %s", x.Text, x.Metric.Name, x.Work)
		}
		if x.AgainstMetric.Name != "" && !slices.Contains(w.Metrics, x.AgainstMetric) {
			t.Errorf("%s: no job gives %s of %s", x.Text, x.AgainstMetric.Name, x.Work)
		}
	}
	all := All(Config{})
	for _, n := range Names {
		if all[n] == nil {
			t.Errorf("no peer %s", n)
		}
	}
	for _, x := range report.Targets() {
		if all[x.Peer] == nil || x.Against != "" && x.Against != report.BestPeer && all[x.Against] == nil {
			t.Errorf("%s: no peer %s or %s", x.Text, x.Peer, x.Against)
		}
	}
}

func TestOptions(t *testing.T) {
	ok := Options{Peers: []string{"cyrus"}, Works: []string{"deliver.text", "read", "store.c1"}, Rounds: 1, Duration: time.Second, Messages: 1, Idle: 1, Repeat: 1}
	if err := ok.check(); err != nil {
		t.Error(err)
	}
	for work, want := range map[string]bool{"deliver.text.c16": true, "deliver.mixed.c16": false, "read.flags": true, "store.c1": true, "store.c16": false} {
		if ok.wants(work) != want {
			t.Errorf("%s: %v", work, !want)
		}
	}
	for _, change := range []func(*Options){
		func(o *Options) { o.Peers = nil }, func(o *Options) { o.Peers = []string{"exim"} }, func(o *Options) { o.Works = []string{"deliver.tex"} },
		func(o *Options) { o.Rounds = 0 }, func(o *Options) { o.Duration = 0 }, func(o *Options) { o.Idle = -1 },
	} {
		bad := ok
		change(&bad)
		if err := bad.check(); !errors.Is(err, load.ErrTarget) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

// TestMachine: the probe answers, and leaves nothing.
func TestMachine(t *testing.T) {
	dir := t.TempDir()
	m, err := machine(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if m.Cores < 1 || m.Syncs <= 0 || m.Syncs16 <= 0 || m.FileSystem == "" {
		t.Errorf("%+v", m)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
