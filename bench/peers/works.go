package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"altmail.se/altmail/bench/corpus"
	"altmail.se/altmail/bench/load"
	"altmail.se/altmail/bench/report"
)

// stage is the state of a server that a job is done in.
type stage int

const (
	empty  stage = iota // made anew each round, no mail in it
	fresh               // made anew each round, with some mail in every mailbox
	filled              // with one large mailbox that no client has read yet
)

// job is a piece of work that is done as a whole and kept as one file.
type job struct {
	name  string
	stage stage
	works []report.Work // what it gives figures of
	// once: the figure is that of bytes and the same in every round.
	once bool
	// delivery: also of peers that differ only in how mail comes in.
	delivery bool
	run      func(ctx context.Context, s *server) ([]report.Run, error)
}

// server is a peer that runs.
type server struct {
	peer   Peer
	target *load.Target
	tls    *load.Target // the same with IMAP over TLS
	opts   *Options
	round  int
	works  []report.Work // of the job that is done, those that are wanted
}

// options of a driver with some connections.
func (s *server) options(c int) load.Options {
	return load.Options{Connections: c, Duration: s.opts.Duration, Warmup: min(time.Second, s.opts.Duration/2), Progress: s.opts.Progress}
}

// mail returns the corpus of a job: the same for every peer, another one for
// every round and job, since a server may refuse a Message-ID it has seen.
func (s *server) mail(mix corpus.Mix, name string) corpus.Source {
	return corpus.New(mix, seedOf(s.opts.Seed, s.round, name))
}

func seedOf(seed uint64, round int, name string) uint64 {
	h := fnv.New64a()
	// A hash takes any bytes without an error.
	_, _ = fmt.Fprintf(h, "%d %d %s", seed, round, name)
	return h.Sum64()
}

// jobs returns all there is, in the order they are done.
func jobs(messages int) []job {
	var out []job
	for _, mix := range []corpus.Mix{corpus.Text, corpus.Mixed} {
		for _, c := range []int{1, 16, 64} {
			out = append(out, deliverJob(mix, c))
		}
	}
	for _, mix := range []corpus.Mix{corpus.Text, corpus.Mixed} {
		out = append(out, appendJob(mix, 16))
	}
	for _, c := range []int{1, 16} {
		out = append(out, storeJob(c))
	}
	out = append(out, idleJob(), loginJob(8), memoryJob(), diskJob(corpus.Text, 3*messages), diskJob(corpus.Mixed, messages), readJob(messages))
	return out
}

// Works lists every work by name.
func Works() []string {
	var out []string
	for _, j := range jobs(0) {
		for _, w := range j.works {
			out = append(out, w.Name)
		}
	}
	return out
}

func connections(c int) string {
	if c == 1 {
		return "1 connection"
	}
	return fmt.Sprintf("%d connections", c)
}

func deliverJob(mix corpus.Mix, c int) job {
	w := report.Work{
		Name: fmt.Sprintf("deliver.%s.c%d", mix, c), Title: fmt.Sprintf("delivery, %s, %s", mix, connections(c)),
		Metrics: []report.Metric{report.Rate, report.MBps, report.P50, report.P99, report.P999, report.CPU, report.ClientShare, report.Settled},
	}
	return job{name: w.Name, stage: fresh, works: []report.Work{w}, delivery: true, run: func(ctx context.Context, s *server) ([]report.Run, error) {
		began := time.Now()
		r, err := load.Deliver(ctx, s.target, load.DeliverOptions{Options: s.options(c), Source: s.mail(mix, w.Name)})
		if err != nil {
			return nil, err
		}
		run := measured(w, r)
		if s.peer.DeliveryOnly() {
			// What was answered waits in a queue: the rate that can be
			// sustained counts its way into the mailboxes too.
			if err := s.peer.Settle(ctx); err != nil {
				return nil, fmt.Errorf("the queue does not get empty: %w", err)
			}
			if r.Seconds > 0 {
				all := time.Since(began).Seconds()
				run.Values[report.Settled.Name] = r.Rate * r.Seconds / max(all, r.Seconds)
			}
		}
		return []report.Run{run}, nil
	}}
}

func appendJob(mix corpus.Mix, c int) job {
	w := report.Work{
		Name: fmt.Sprintf("append.%s.c%d", mix, c), Title: fmt.Sprintf("APPEND, %s, %s", mix, connections(c)),
		Metrics: []report.Metric{report.Rate, report.MBps, report.P50, report.P99, report.CPU, report.ClientShare},
	}
	return single(w, func(ctx context.Context, s *server) (*load.Result, error) {
		return load.Append(ctx, s.target, load.AppendOptions{Options: s.options(c), Source: s.mail(mix, w.Name)})
	})
}

func storeJob(c int) job {
	w := report.Work{
		Name: fmt.Sprintf("store.c%d", c), Title: "STORE of single messages, " + connections(c),
		Metrics: []report.Metric{report.Rate, report.P50, report.P99, report.CPU, report.ClientShare},
	}
	return single(w, func(ctx context.Context, s *server) (*load.Result, error) {
		return load.Store(ctx, s.target, load.StoreOptions{Options: s.options(c)})
	})
}

func loginJob(c int) job {
	w := report.Work{
		Name: fmt.Sprintf("login.c%d", c), Title: "logins, TLS, " + connections(c),
		Metrics: []report.Metric{report.Rate, report.P50, report.P99, report.CPU, report.ClientShare},
	}
	return single(w, func(ctx context.Context, s *server) (*load.Result, error) {
		return load.Login(ctx, s.tls, load.LoginOptions{Options: s.options(c)})
	})
}

func idleJob() job {
	w := report.Work{
		Name: "idle.exists", Title: "delivery answered at the first node → EXISTS on an IDLE at the last",
		Metrics: []report.Metric{report.P50, report.P99},
	}
	return single(w, func(ctx context.Context, s *server) (*load.Result, error) {
		return load.Idle(ctx, s.target, load.IdleOptions{
			Options: s.options(1), Source: s.mail(corpus.Text, w.Name), IMAPNode: len(s.target.IMAP.Addrs) - 1,
		})
	})
}

func memoryJob() job {
	w := report.Work{Name: "idle.memory", Title: "memory per idle TLS connection", Metrics: []report.Metric{report.PSS}}
	// On a server that has done nothing else: memory left from other work
	// would be used again and the connections would seem to cost nothing.
	j := single(w, func(ctx context.Context, s *server) (*load.Result, error) {
		return load.IdleMemory(ctx, s.tls, load.IdleMemoryOptions{Connections: s.opts.Idle, Progress: s.opts.Progress})
	})
	j.stage = empty
	return j
}

// single makes a job of one work on a fresh server.
func single(w report.Work, do func(context.Context, *server) (*load.Result, error)) job {
	return job{name: w.Name, stage: fresh, works: []report.Work{w}, run: func(ctx context.Context, s *server) ([]report.Run, error) {
		r, err := do(ctx, s)
		if err != nil {
			return nil, err
		}
		return []report.Run{measured(w, r)}, nil
	}}
}

// diskJob puts mail into an empty server and counts blocks. For mixed mail the
// large mailbox is counted when it is made (fill), for it is dear to make. Of
// text there are three times as many messages, still a fraction of the bytes,
// so that what a server takes anyway does not rule the figure.
func diskJob(mix corpus.Mix, messages int) job {
	w := report.Work{
		Name: fmt.Sprintf("disk.%s", mix), Title: fmt.Sprintf("disk, %s, %d messages", mix, messages),
		Metrics: []report.Metric{report.DiskPerRaw, report.DiskGrowth},
	}
	j := job{name: w.Name, stage: empty, works: []report.Work{w}, once: true}
	if mix == corpus.Mixed {
		j.stage = filled
	}
	j.run = func(ctx context.Context, s *server) ([]report.Run, error) {
		return s.fill(ctx, w, mix, messages, mix == corpus.Mixed)
	}
	return j
}

// fill delivers messages, into one mailbox or into all of them, and tells what
// they take on disk once everything is settled.
func (s *server) fill(ctx context.Context, w report.Work, mix corpus.Mix, messages int, oneBox bool) ([]report.Run, error) {
	before, _, _, err := load.DiskUse(s.target.DataDirs)
	if err != nil {
		return nil, err
	}
	o := load.DeliverOptions{
		Options: load.Options{Connections: 8, Count: messages, Progress: s.opts.Progress},
		Source:  corpus.New(mix, seedOf(s.opts.Seed, 0, w.Name)),
	}
	if oneBox {
		o.Accounts = 1
	}
	r, err := load.Deliver(ctx, s.target, o)
	if err != nil {
		return nil, err
	}
	// A message or two that a server drops under load (Cyrus does) change
	// neither figure; they are in the report's failures.
	if n := r.Failed(); n > int64(messages)/1000 || r.Bytes == 0 {
		return nil, fmt.Errorf("filling: %d of %d messages were refused: %v", n, messages, r.Errors)
	}
	if err := s.peer.Settle(ctx); err != nil {
		return nil, err
	}
	after, _, _, err := load.DiskUse(s.target.DataDirs)
	if err != nil {
		return nil, err
	}
	run := measured(w, r)
	raw := float64(r.Bytes) * float64(len(s.target.DataDirs))
	run.Values = map[string]float64{
		report.DiskPerRaw.Name: float64(after) / raw,
		report.DiskGrowth.Name: float64(after-before) / raw,
	}
	run.Curve = nil
	return []report.Run{run}, nil
}

// reads are the works of load.Read that are compared.
var reads = []struct{ work, title string }{
	{"select", "SELECT"}, {"flags", "FETCH 1:* (UID FLAGS)"}, {"envelope", "FETCH 1:* (ENVELOPE)"},
	{"bodystructure", "FETCH 1:* (BODYSTRUCTURE)"}, {"headers", "FETCH 1:* of eight headers"},
	{"search-subject", "SEARCH SUBJECT"}, {"search-from", "SEARCH FROM"},
	{"body-random", "500 single messages' BODY.PEEK[]"}, {"body-all", "FETCH 1:* (BODY.PEEK[])"},
}

func readJob(messages int) job {
	j := job{name: "read", stage: filled}
	for _, r := range reads {
		w := report.Work{
			Name: "read." + r.work, Title: fmt.Sprintf("%s, %d messages", r.title, messages),
			Metrics: []report.Metric{report.First, report.Warm},
		}
		if r.work == "body-all" {
			w.Metrics = []report.Metric{report.FirstMBps, report.WarmMBps, report.ClientShare}
		}
		j.works = append(j.works, w)
	}
	j.run = func(ctx context.Context, s *server) ([]report.Run, error) {
		o := load.ReadOptions{Repeat: s.opts.Repeat, Patience: patience, Progress: s.opts.Progress}
		for _, w := range s.works {
			o.Works = append(o.Works, strings.TrimPrefix(w.Name, "read."))
		}
		rs, err := load.Read(ctx, s.target, o)
		if err != nil {
			return nil, err
		}
		var out []report.Run
		for _, r := range rs {
			i := slices.IndexFunc(j.works, func(w report.Work) bool { return w.Name == r.Work })
			if i < 0 {
				return nil, fmt.Errorf("peers: a result of %q was not asked for", r.Work)
			}
			run := measured(j.works[i], r)
			run.Curve = nil // of a few whole commands
			out = append(out, run)
		}
		return out, nil
	}
	return j
}

// quantiles are the points of the curves that are kept.
var quantiles = []float64{0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999}

// measured makes a run of what a driver measured: its values are those of the
// work's metrics that the driver gave.
func measured(w report.Work, r *load.Result) report.Run {
	run := report.Run{Work: w.Name, Start: r.Start, Took: r.Seconds, Errors: r.Errors, Values: map[string]float64{}}
	all := map[string]float64{}
	if r.Rate > 0 {
		all[report.Rate.Name], all[report.MBps.Name] = r.Rate, r.MBps
	}
	if r.Latency.Count > 0 {
		all[report.P50.Name], all[report.P99.Name], all[report.P999.Name] = r.Latency.P50, r.Latency.P99, r.Latency.P999
		if h, err := r.Latency.Values(); err == nil {
			for _, q := range quantiles {
				run.Curve = append(run.Curve, report.Point{Quantile: q, Ms: float64(h.ValueAtQuantile(q*100)) / 1000})
			}
		}
	}
	perMs := func(key string, ms *float64, rate string) {
		if ms != nil && *ms > 0 {
			all[key] = *ms
			all[rate] = float64(r.Bytes) / *ms / 1000
		}
	}
	perMs(report.First.Name, r.First, report.FirstMBps.Name)
	perMs(report.Warm.Name, r.Warm, report.WarmMBps.Name)
	if r.CPU != nil {
		all[report.ClientShare.Name] = r.CPU.ClientShare
		if r.CPU.Processes > 0 {
			all[report.CPU.Name] = r.CPU.ServerPerOp * 1000
		}
	}
	if r.Memory != nil {
		all[report.PSS.Name] = r.Memory.PSS / 1000
	}
	for _, m := range w.Metrics {
		if v, ok := all[m.Name]; ok {
			run.Values[m.Name] = v
		}
	}
	// Only plain numbers and strings are in it.
	run.Raw, _ = json.Marshal(r)
	return run
}
