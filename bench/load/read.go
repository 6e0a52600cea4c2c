package load

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"altmail.se/altmail/bench/corpus"
)

func appendInt(b []byte, n int) []byte { return strconv.AppendInt(b, int64(n), 10) }

const headerList = "BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date Message-ID References In-Reply-To)]"

// Read does each of its works Repeat times on one filled mailbox. Results are
// one a work, with the first run and the median of the later ones.
func Read(ctx context.Context, t *Target, o ReadOptions) ([]*Result, error) {
	if err := t.canRead(); err != nil {
		return nil, err
	}
	if o.Repeat == 0 {
		o.Repeat = 5
	}
	if o.Connections == 0 {
		o.Connections = 1
	}
	if o.Random == 0 {
		o.Random = 500
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Minute
	}
	if o.Word == "" {
		o.Word = corpus.Word
	}
	works := o.Works
	if len(works) == 0 {
		works = ReadWorks
	}
	for _, w := range works {
		if !slices.Contains(ReadWorks, w) {
			return nil, badTarget("no work is called %q", w)
		}
	}
	if o.Account < 0 || o.Account >= len(t.Accounts) || o.Node < 0 || o.Node >= len(t.IMAP.Addrs) || o.Repeat < 0 || o.Connections < 0 || o.Random < 0 {
		return nil, badTarget("account %d, node %d, repeat %d, connections %d, random %d", o.Account, o.Node, o.Repeat, o.Connections, o.Random)
	}
	rd := &reader{t: t, o: &o}
	defer rd.close()
	var out []*Result
	for n, w := range works {
		if o.Progress != nil {
			o.Progress(Progress{Work: "read." + w, Done: int64(n), Total: int64(len(works))})
		}
		r, err := rd.work(ctx, w)
		if err != nil {
			return out, fmt.Errorf("load: %s: %w", w, err)
		}
		out = append(out, r)
	}
	return out, nil
}

type reader struct {
	t     *Target
	o     *ReadOptions
	conns []*imapClient
}

func (r *reader) close() {
	for _, c := range r.conns {
		c.Close()
	}
}

// grow opens connections with the mailbox selected, up to n.
func (r *reader) grow(ctx context.Context, n int) error {
	for len(r.conns) < n {
		c, err := r.t.openIMAP(ctx, r.t.IMAP.Addrs[r.o.Node], &r.t.Accounts[r.o.Account], bulkReads)
		if err != nil {
			return err
		}
		r.conns = append(r.conns, c)
		if _, err := c.selectBox(r.o.Mailbox); err != nil {
			return err
		}
		if c.exists == 0 {
			return badTarget("the mailbox to read holds no message")
		}
	}
	return nil
}

// command is what a work asks for; body-random asks for more than one thing.
func (r *reader) command(work string) string {
	switch work {
	case "select":
		return "SELECT " + quoted(box(r.o.Mailbox))
	case "flags":
		return "FETCH 1:* (UID FLAGS)"
	case "envelope":
		return "FETCH 1:* (ENVELOPE)"
	case "bodystructure":
		return "FETCH 1:* (BODYSTRUCTURE)"
	case "headers":
		return "FETCH 1:* (" + headerList + ")"
	case "search-subject":
		return "SEARCH SUBJECT " + quoted(r.o.Word)
	case "search-from":
		return `SEARCH FROM "example.com"`
	case "search-text":
		return "SEARCH TEXT " + quoted(r.o.Word)
	case "search-body":
		return "SEARCH BODY " + quoted(corpus.NoWord)
	}
	return "FETCH 1:* (BODY.PEEK[])"
}

func (r *reader) work(ctx context.Context, work string) (*Result, error) {
	n := 1
	if work == "body-all" {
		n = r.o.Connections
	}
	if err := r.grow(ctx, n); err != nil {
		return nil, err
	}
	res := &Result{Work: "read." + work, Target: r.t.Name, Start: time.Now(), Connections: n}
	h := newHistogram()
	mark := markCPU(r.t)
	for k := range r.o.Repeat {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if r.o.Patience > 0 && k > 1 && time.Since(res.Start) > r.o.Patience {
			break
		}
		began := time.Now()
		var got answer
		var err error
		if work == "body-random" {
			got, err = r.random(ctx, h)
		} else {
			got, err = r.all(ctx, r.conns[:n], r.command(work))
		}
		if err != nil {
			return nil, err
		}
		took := time.Since(began)
		if work != "body-random" {
			record(h, took)
		}
		ops := int64(got.untagged)
		if work == "select" || work == "search-subject" || work == "search-from" || work == "search-text" || work == "search-body" {
			ops = int64(got.hits)
			if work == "select" {
				ops = 1
			}
		}
		if len(res.Runs) > 0 && (ops != res.Ops || got.literal != res.Bytes) && work != "body-random" {
			// Figures of runs that read different things must not pass for one.
			if res.Errors == nil {
				res.Errors = map[string]int64{}
			}
			res.Errors["runs differ in what they read"]++
		}
		res.Ops, res.Bytes = ops, got.literal
		res.Runs = append(res.Runs, ms(took))
	}
	cpu := mark.since(r.t)
	cpu.per(res.Ops*int64(len(res.Runs)), 0)
	res.CPU = cpu
	first := res.Runs[0]
	res.First = &first
	best := first
	if len(res.Runs) > 1 {
		best = median(res.Runs[1:])
		res.Warm = &best
	}
	res.Latency = latencyOf(h)
	for _, d := range res.Runs {
		res.Seconds += d / 1000
	}
	if best > 0 {
		res.Rate = float64(res.Ops) / best * 1000
		res.MBps = float64(res.Bytes) / best * 1000 / 1e6
	}
	return res, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func median(v []float64) float64 {
	s := slices.Clone(v)
	sort.Float64s(s)
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// all runs a command on every connection at once and adds up the answers.
func (r *reader) all(ctx context.Context, conns []*imapClient, cmd string) (answer, error) {
	answers := make([]answer, len(conns))
	errs := make([]error, len(conns))
	stop := context.AfterFunc(ctx, func() {
		for _, c := range conns {
			c.Close()
		}
	})
	defer stop()
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			if errs[i] = c.within(r.o.Timeout); errs[i] == nil {
				answers[i], errs[i] = c.do("read", cmd)
			}
		})
	}
	wg.Wait()
	var sum answer
	for i := range conns {
		if errs[i] != nil {
			return sum, errs[i]
		}
		sum.untagged += answers[i].untagged
		sum.literal += answers[i].literal
		sum.hits += answers[i].hits
	}
	return sum, nil
}

// random fetches single messages spread over the mailbox, in an order that
// reads ahead of nobody.
func (r *reader) random(ctx context.Context, h *hdrhistogram.Histogram) (answer, error) {
	var sum answer
	c := r.conns[0]
	x := uint64(88172645463325252)
	for range r.o.Random {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		began := time.Now()
		a, err := r.all(ctx, r.conns[:1], "FETCH "+strconv.Itoa(1+int(x%uint64(c.exists)))+" (BODY.PEEK[])")
		if err != nil {
			return sum, err
		}
		record(h, time.Since(began))
		sum.untagged += a.untagged
		sum.literal += a.literal
	}
	return sum, nil
}
