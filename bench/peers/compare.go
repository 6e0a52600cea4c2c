package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"altmail.se/altmail/bench/corpus"
	"altmail.se/altmail/bench/load"
	"altmail.se/altmail/bench/report"
)

// Options are those of a comparison. They are kept with its runs, so that an
// interrupted one is continued as it began.
type Options struct {
	Peers    []string      `json:"peers"`    // in the order of each round
	Works    []string      `json:"works"`    // none: all
	Rounds   int           `json:"rounds"`   // each peer once in each
	Duration time.Duration `json:"duration"` // of one work
	Messages int           `json:"messages"` // of the large mailbox
	Idle     int           `json:"idle"`     // connections of idle.memory
	Repeat   int           `json:"repeat"`   // of each read in a round
	Seed     uint64        `json:"seed"`
	Baseline string        `json:"baseline"` // peer that ratios are against
	// Full: every work at every peer in every round. Else figures that no
	// target compares are taken in the first round only.
	Full    bool   `json:"full"`
	Command string `json:"command"` // as the report names it

	// Scratch is where the servers keep their mail; empty: in the directory of
	// the comparison.
	Scratch string `json:"scratch"`

	Peer     Config              `json:"-"`
	Log      func(string)        `json:"-"` // a line for each run
	Progress func(load.Progress) `json:"-"`
}

// wants tells whether a work was asked for, by its name or by the part of it
// before a dot.
func (o *Options) wants(work string) bool {
	if len(o.Works) == 0 {
		return true
	}
	return slices.ContainsFunc(o.Works, func(w string) bool {
		return w == work || len(work) > len(w) && work[:len(w)] == w && work[len(w)] == '.'
	})
}

func (o *Options) check() error {
	if o.Rounds < 1 || o.Rounds > 100 || o.Duration < 100*time.Millisecond || o.Messages < 1 || o.Messages > 1_000_000 ||
		o.Idle < 1 || o.Idle > 20_000 || o.Repeat < 1 || o.Repeat > 100 {
		return fmt.Errorf("%w: %d rounds, %s, %d messages, %d idle connections, %d repeats", load.ErrTarget, o.Rounds, o.Duration, o.Messages, o.Idle, o.Repeat)
	}
	all := All(o.Peer)
	for _, p := range o.Peers {
		if all[p] == nil {
			return fmt.Errorf("%w: no peer is called %q", load.ErrTarget, p)
		}
	}
	if len(o.Peers) == 0 {
		return fmt.Errorf("%w: no peers", load.ErrTarget)
	}
	names := Works()
	for _, w := range o.Works {
		one := Options{Works: []string{w}}
		if !slices.ContainsFunc(names, one.wants) {
			return fmt.Errorf("%w: no work is called %q", load.ErrTarget, w)
		}
	}
	return nil
}

// Comparison is one that runs or that has run, in a directory of its own:
// compare.json, the binary that is compared, and a file a finished job.
type Comparison struct {
	dir   string
	opts  Options
	kept  kept
	peers []Peer // those that are installed
	jobs  []job
}

// kept is what compare.json holds.
type kept struct {
	Options Options        `json:"options"`
	Date    time.Time      `json:"date"`
	Machine report.Machine `json:"machine"`
	Peers   []report.Peer  `json:"peers"`
}

// New begins a comparison in a directory that has none.
func New(ctx context.Context, dir string, o Options) (*Comparison, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	for _, sub := range []string{dir, filepath.Join(dir, "runs")} {
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return nil, err
		}
	}
	path := filepath.Join(dir, "compare.json")
	if _, err := os.Stat(path); err == nil {
		return nil, fmt.Errorf("%w: %s holds a comparison already", load.ErrTarget, dir)
	}
	if o.Scratch == "" {
		o.Scratch = filepath.Join(dir, "s")
	}
	// The binary may be built anew meanwhile; all rounds have to be of one.
	if o.Peer.Altmail != "" {
		own := filepath.Join(dir, "altmail")
		if err := copyFile(own, o.Peer.Altmail); err != nil {
			return nil, err
		}
		o.Peer.Altmail = own
	}
	c := &Comparison{dir: dir, opts: o, kept: kept{Options: o, Date: time.Now().UTC()}, jobs: jobs(o.Messages)}
	if err := os.MkdirAll(o.Scratch, 0o755); err != nil {
		return nil, err
	}
	var err error
	if c.kept.Machine, err = machine(ctx, o.Scratch); err != nil {
		return nil, err
	}
	all := All(o.Peer)
	for _, name := range o.Peers {
		p := all[name]
		info := report.Peer{Name: name, Note: p.Note()}
		info.Version, err = p.Version(ctx)
		switch {
		case errors.Is(err, ErrNotInstalled):
			info.Skipped = err.Error()
			c.say("%s is skipped: %v", name, err)
		case err != nil:
			return nil, err
		default:
			c.peers = append(c.peers, p)
		}
		c.kept.Peers = append(c.kept.Peers, info)
	}
	if len(c.peers) == 0 {
		return nil, fmt.Errorf("%w: none of the peers", ErrNotInstalled)
	}
	return c, writeJSON(path, c.kept)
}

// Resume opens a comparison that was cut off, or that is to be reported again.
// Of the options only Peer.Roots, Log and Progress are taken.
func Resume(dir string, o Options) (*Comparison, error) {
	b, err := os.ReadFile(filepath.Join(dir, "compare.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s holds no comparison", load.ErrTarget, dir)
	}
	if err != nil {
		return nil, err
	}
	c := &Comparison{dir: dir}
	if err := json.Unmarshal(b, &c.kept); err != nil {
		return nil, fmt.Errorf("%s: compare.json: %w", dir, err)
	}
	c.opts = c.kept.Options
	c.opts.Peer = Config{Altmail: filepath.Join(dir, "altmail"), Roots: o.Peer.Roots}
	c.opts.Log, c.opts.Progress = o.Log, o.Progress
	if err := c.opts.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	c.jobs = jobs(c.opts.Messages)
	all := All(c.opts.Peer)
	for _, p := range c.kept.Peers {
		if p.Skipped == "" && all[p.Name] != nil {
			c.peers = append(c.peers, all[p.Name])
		}
	}
	return c, nil
}

func (c *Comparison) say(format string, a ...any) {
	if c.opts.Log != nil {
		c.opts.Log(fmt.Sprintf(format, a...))
	}
}

// Run does what is not done yet: in each round every peer in turn, one server
// at a time. What fails is kept as a run without figures and tried again by a
// later Run; the error is only of what stops everything, ctx included.
func (c *Comparison) Run(ctx context.Context) error {
	c.say("%s", c.opts.scope())
	var seen progressed
	for round := 1; round <= c.opts.Rounds; round++ {
		if err := c.round(ctx, round, &seen); err != nil {
			return err
		}
	}
	for _, p := range c.peers {
		if err := wipe(ctx, filepath.Join(c.opts.Scratch, p.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (c *Comparison) path(round int, peer, job string) string {
	return filepath.Join(c.dir, "runs", fmt.Sprintf("r%02d-%s-%s.json", round, peer, job))
}

// todo returns the jobs of a stage that were asked for and have no figures.
func (c *Comparison) todo(round int, p Peer, st stage) ([]job, error) {
	var out []job
	for _, j := range c.jobs {
		if j.stage != st || j.once && round > 1 || p.DeliveryOnly() && !j.delivery {
			continue
		}
		if j.works = c.opts.works(round, p.Name(), j); len(j.works) == 0 {
			continue
		}
		runs, err := readRuns(c.path(round, p.Name(), j.name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		if len(runs) == 0 || slices.ContainsFunc(runs, func(r report.Run) bool { return r.Error != "" }) {
			out = append(out, j)
		}
	}
	return out, nil
}

// jobTime bounds one job over its duration: filling and reading take as long
// as they take, but not for ever.
const jobTime = 20 * time.Minute

// stage starts a peer, does jobs and stops it.
func (c *Comparison) stage(ctx context.Context, round int, p Peer, st stage, todo []job) (err error) {
	base := filepath.Join(c.opts.Scratch, p.Name())
	dir := filepath.Join(base, "f")
	if st == filled {
		if dir, err = c.pristine(ctx, round, p, todo); err != nil || ctx.Err() != nil {
			return err
		}
		todo = slices.DeleteFunc(todo, func(j job) bool { return j.name != "read" })
		if dir == "" || len(todo) == 0 {
			return nil // why is in the runs
		}
	} else if err := wipe(ctx, dir); err != nil {
		return err
	}
	s, err := c.start(ctx, round, p, dir)
	if err == nil && st == fresh {
		err = s.warm(ctx)
	}
	if err != nil {
		err = fmt.Errorf("start: %w", err)
		for _, j := range todo {
			if kerr := c.keep(ctx, round, p, j, nil, err, time.Now()); kerr != nil {
				c.stop(ctx, s)
				return kerr
			}
		}
		c.stop(ctx, s)
		return nil
	}
	for _, j := range todo {
		if kerr := c.do(ctx, s, round, j); kerr != nil {
			c.stop(ctx, s)
			return kerr
		}
	}
	c.stop(ctx, s)
	return wipe(context.WithoutCancel(ctx), dir)
}

// do does one job and keeps what it gave.
func (c *Comparison) do(ctx context.Context, s *server, round int, j job) error {
	began, before := time.Now(), busyNow(s.target)
	s.works = j.works
	jctx, cancel := context.WithTimeout(ctx, c.opts.Duration+jobTime)
	defer cancel()
	runs, err := j.run(jctx, s)
	others := before.others(s.target, time.Since(began))
	for i := range runs {
		runs[i].Others = others
	}
	return c.keep(ctx, round, s.peer, j, runs, err, began)
}

// keep writes the runs of a job, or why there are none. What was cut off by us
// is not kept.
func (c *Comparison) keep(ctx context.Context, round int, p Peer, j job, runs []report.Run, err error, began time.Time) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	took := time.Since(began).Seconds()
	if err != nil {
		runs = nil
		for _, w := range j.works {
			runs = append(runs, report.Run{Work: w.Name, Start: began, Error: err.Error()})
		}
		c.say("round %d, %s, %s: failed: %v", round, p.Name(), j.name, err)
	}
	for i := range runs {
		r := &runs[i]
		r.Round, r.Peer = round, p.Name()
		if err != nil || len(runs) == 1 {
			r.Took = took
		}
		if err != nil {
			continue
		}
		for _, w := range j.works {
			if w.Name == r.Work {
				c.say("round %d, %s, %s: %s", round, p.Name(), r.Work, w.Line(*r))
			}
		}
	}
	return writeJSON(c.path(round, p.Name(), j.name), runs)
}

// start starts a peer. The server is never nil, so that it can be stopped.
func (c *Comparison) start(ctx context.Context, round int, p Peer, dir string) (*server, error) {
	s := &server{peer: p, opts: &c.opts, round: round}
	sctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	t, err := p.Start(sctx, dir)
	if err != nil {
		return s, err
	}
	s.target, s.tls = t, WithTLS(t, IMAPS(p))
	return s, nil
}

// stop stops a peer, also one that did not come up. How it ended tells nothing
// of what was measured, so it is only said.
func (c *Comparison) stop(ctx context.Context, s *server) {
	if err := s.peer.Stop(context.WithoutCancel(ctx)); err != nil {
		c.say("round %d, %s: stop: %v", s.round, s.peer.Name(), err)
	}
}

// warm puts mail into every mailbox, so that nobody is measured while it makes
// its first files.
func (s *server) warm(ctx context.Context) error {
	n := 20 * len(s.target.Accounts)
	r, err := load.Deliver(ctx, s.target, load.DeliverOptions{
		Options: load.Options{Connections: 8, Count: n, Progress: s.opts.Progress},
		Source:  s.mail(corpus.Text, "warm"),
	})
	if err != nil {
		return err
	}
	if f := r.Failed(); f > 0 {
		return fmt.Errorf("%d of %d first messages were refused: %v", f, n, r.Errors)
	}
	return s.peer.Settle(ctx)
}

// pristine makes the large mailbox, once for all rounds, and returns a copy of
// it that no client has read yet; an empty name when that failed and was kept.
func (c *Comparison) pristine(ctx context.Context, round int, p Peer, todo []job) (string, error) {
	base := filepath.Join(c.opts.Scratch, p.Name())
	keepDir, dir := filepath.Join(base, "p"), filepath.Join(base, "m")
	if err := wipe(ctx, dir); err != nil {
		return "", err
	}
	fill := slices.IndexFunc(todo, func(j job) bool { return j.name != "read" })
	_, err := os.Stat(keepDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err != nil || fill >= 0 {
		// A mailbox whose size on disk is not known is made again.
		if err := os.RemoveAll(keepDir); err != nil {
			return "", err
		}
		ok, err := c.fill(ctx, round, p, dir, todo, fill)
		if err != nil || !ok {
			return "", err
		}
		if err := os.Rename(dir, keepDir); err != nil {
			return "", err
		}
	}
	if !slices.ContainsFunc(todo, func(j job) bool { return j.name == "read" }) {
		return "", nil
	}
	// Owners, times and holes count, to maildir above all.
	if out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", keepDir, dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("cp: %w: %s", err, out)
	}
	// What cp left in memory is not to be written while somebody is measured.
	if out, err := exec.CommandContext(ctx, "sync", "-f", dir).CombinedOutput(); err != nil {
		return "", fmt.Errorf("sync: %w: %s", err, out)
	}
	return dir, nil
}

// fill makes the large mailbox in dir. When it fails that is kept for all jobs
// that need it.
func (c *Comparison) fill(ctx context.Context, round int, p Peer, dir string, todo []job, at int) (bool, error) {
	j := diskJob(corpus.Mixed, c.opts.Messages)
	if at >= 0 {
		j = todo[at]
	}
	began := time.Now()
	jctx, cancel := context.WithTimeout(ctx, jobTime)
	defer cancel()
	s, err := c.start(jctx, round, p, dir)
	var runs []report.Run
	if err == nil {
		runs, err = j.run(jctx, s)
	}
	c.stop(ctx, s)
	if at >= 0 || err != nil {
		if kerr := c.keep(ctx, round, p, j, runs, err, began); kerr != nil {
			return false, kerr
		}
	}
	if err == nil {
		return true, nil
	}
	for _, other := range todo {
		if other.name == j.name {
			continue
		}
		if kerr := c.keep(ctx, round, p, other, nil, fmt.Errorf("no mailbox to read: %w", err), began); kerr != nil {
			return false, kerr
		}
	}
	return false, nil
}

// wipe removes a scratch directory, and first what still runs in it from a
// comparison that was killed.
func wipe(ctx context.Context, dir string) error {
	for _, pattern := range []string{"pid", "idled.pid", "dovecot/pid", "node*/pid"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return err
		}
		for _, f := range files {
			if err := reap(ctx, f); err != nil {
				return err
			}
		}
	}
	return os.RemoveAll(dir)
}

// Report makes the report of what is there so far.
func (c *Comparison) Report() (*report.Report, error) {
	r := &report.Report{
		Title: "altmail and its peers, side by side", Date: c.kept.Date, Command: c.opts.Command,
		Machine: c.kept.Machine, Peers: c.kept.Peers, Targets: report.Targets(), Baseline: c.opts.Baseline,
	}
	for _, j := range c.jobs {
		for _, w := range j.works {
			if c.opts.wants(w.Name) {
				r.Works = append(r.Works, w)
			}
		}
	}
	files, err := filepath.Glob(filepath.Join(c.dir, "runs", "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(files)
	for _, f := range files {
		runs, err := readRuns(f)
		if err != nil {
			return nil, err
		}
		r.Runs = append(r.Runs, runs...)
	}
	return r, nil
}

// Write writes the report beside the runs: report.md, report.json and plots.
func (c *Comparison) Write(r *report.Report) error {
	plots, err := writePlots(r, filepath.Join(c.dir, "plots"), "svg", "png")
	if err != nil {
		return err
	}
	if err := writeTo(filepath.Join(c.dir, "report.json"), r.JSON); err != nil {
		return err
	}
	return writeTo(filepath.Join(c.dir, "report.md"), func(w io.Writer) error { return r.Markdown(w, plots) })
}

// WriteResults writes the report as Markdown to a file, and its plots as SVG
// into the directory plots beside it.
func WriteResults(r *report.Report, file string) error {
	plots, err := writePlots(r, filepath.Join(filepath.Dir(file), "plots"), "svg")
	if err != nil {
		return err
	}
	return writeTo(file, func(w io.Writer) error { return r.Markdown(w, plots) })
}

// writePlots writes every plot in every format and returns their SVG's names
// relative to the directory's parent.
func writePlots(r *report.Report, dir string, formats ...string) ([]string, error) {
	figures, err := r.Plots()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	var out []string
	for _, f := range figures {
		for _, format := range formats {
			path := filepath.Join(dir, f.Name+"."+format)
			if err := writeTo(path, func(w io.Writer) error { return f.Write(w, format) }); err != nil {
				return nil, err
			}
		}
		out = append(out, filepath.Base(dir)+"/"+f.Name+".svg")
	}
	return out, nil
}
