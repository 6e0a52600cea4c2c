package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"altmail.se/altmail/bench/corpus"
)

// GrowthStage is a size that a server is measured at.
type GrowthStage struct {
	Messages int `json:"messages"` // in the mailbox of the first account
	Accounts int `json:"accounts"` // that mail is spread over
}

// GrowthOptions are those of Growth.
type GrowthOptions struct {
	// Stages in ascending order; the first one is what others are compared
	// with.
	Stages []GrowthStage
	Source corpus.Source // of all mail
	// Grow sees to it that the server has the first so many of its accounts
	// and returns all there are then. Nil: those of the target have to do.
	Grow func(ctx context.Context, n int) ([]Account, error)

	Fillers     int // connections that fill; 0: 64
	Connections int // that are measured; 0: 16
	Count       int // deliveries of one measurement; 0: 2000
	Rounds      int // measurements of each kind, in turn; 0: 3
	Selects     int // of each address, the first included; 0: 11

	// Had are the points of earlier runs on the same server: their stages are
	// not measured again. Keep is told each new one.
	Had  []GrowthPoint
	Keep func(GrowthPoint) error

	Progress func(Progress)
}

// GrowthPoint is what was measured at one stage.
type GrowthPoint struct {
	Stage GrowthStage `json:"stage"`
	Time  time.Time   `json:"time"`
	// One is delivery to the large mailbox, All to all accounts in turn, Few
	// to the accounts of the first stage only: in the same server at the same
	// time, so that it tells what the size of the whole costs from what the
	// number of recipients does.
	One GrowthDelivery  `json:"one"`
	All GrowthDelivery  `json:"all"`
	Few *GrowthDelivery `json:"few,omitempty"`
	// Fill is what brought the mailbox to its size.
	FillRate   float64 `json:"fill_rate,omitempty"`
	GrowPer    float64 `json:"grow_ms_per_account,omitempty"`
	First      float64 `json:"select_first_ms"` // SELECT for the first time since it grew, median of the addresses
	Again      float64 `json:"select_again_ms"` // median of the later ones, each on a new connection
	RSS        []int64 `json:"rss_bytes"`       // of each process, the largest first
	PSS        []int64 `json:"pss_bytes"`
	Disk       int64   `json:"disk_bytes"` // allocated, of all data directories
	DataDirs   int     `json:"data_dirs"`
	BytesTotal int64   `json:"raw_bytes"` // delivered by this run up to here
}

// GrowthDelivery are medians of a few measurements.
type GrowthDelivery struct {
	Rate float64 `json:"rate"`
	CPU  float64 `json:"server_cpu_ms_per_op"`
	P50  float64 `json:"p50_ms"`
	P99  float64 `json:"p99_ms"`
}

func (o *GrowthOptions) check(t *Target) error {
	if err := errors.Join(t.canDeliver(), t.canRead()); err != nil {
		return err
	}
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&o.Fillers, 64)
	set(&o.Connections, 16)
	set(&o.Count, 2000)
	set(&o.Rounds, 3)
	set(&o.Selects, 11)
	if len(o.Stages) == 0 || o.Fillers < 0 || o.Connections < 0 || o.Count < 0 || o.Rounds < 0 || o.Selects < 2 {
		return badTarget("%d stages, %d and %d connections, %d deliveries, %d rounds, %d SELECTs", len(o.Stages), o.Fillers, o.Connections, o.Count, o.Rounds, o.Selects)
	}
	was := GrowthStage{1, 1}
	for _, s := range o.Stages {
		if s.Messages < was.Messages || s.Accounts < was.Accounts {
			return badTarget("a stage of %d messages and %d accounts after %d and %d", s.Messages, s.Accounts, was.Messages, was.Accounts)
		}
		was = s
	}
	return nil
}

// Growth fills one mailbox and makes accounts up to each stage and measures
// there. The first account is the one whose mailbox grows; a mailbox that is
// larger than a stage already is measured as it is. One result a stage, in
// order, those of earlier runs included. An error comes with the results up to
// it.
func Growth(ctx context.Context, t *Target, o GrowthOptions) ([]*Result, error) {
	if err := o.check(t); err != nil {
		return nil, err
	}
	// Accounts are added to it.
	own := *t
	own.Accounts = slices.Clone(t.Accounts)
	g := &growth{t: &own, o: &o, mix: rand.New(rand.NewPCG(1, 2))}
	var out []*Result
	for _, st := range o.Stages {
		p, ok := hadPoint(o.Had, st)
		if !ok {
			var err error
			if p, err = g.stage(ctx, st); err != nil {
				return out, fmt.Errorf("load: at %d messages and %d accounts: %w", st.Messages, st.Accounts, err)
			}
			if o.Keep != nil {
				if err := o.Keep(p); err != nil {
					return out, err
				}
			}
		}
		out = append(out, g.result(p))
	}
	return out, nil
}

func hadPoint(ps []GrowthPoint, st GrowthStage) (GrowthPoint, bool) {
	i := slices.IndexFunc(ps, func(p GrowthPoint) bool { return p.Stage == st })
	if i < 0 {
		return GrowthPoint{}, false
	}
	return ps[i], true
}

type growth struct {
	t   *Target
	o   *GrowthOptions
	mix *rand.Rand // of who gets mail
	raw int64
}

func (g *growth) result(p GrowthPoint) *Result {
	return &Result{
		Work: "growth", Target: g.t.Name, Start: p.Time, Connections: g.o.Connections,
		Ops: int64(g.o.Count * g.o.Rounds), Rate: p.One.Rate, Latency: Latency{P50: p.One.P50, P99: p.One.P99},
		Growth: &p,
	}
}

func (g *growth) stage(ctx context.Context, st GrowthStage) (GrowthPoint, error) {
	p := GrowthPoint{Stage: st, Time: time.Now()}
	had := len(g.t.Accounts)
	if g.o.Grow != nil {
		began := time.Now()
		all, err := g.o.Grow(ctx, st.Accounts)
		if err != nil {
			return p, fmt.Errorf("accounts: %w", err)
		}
		if n := len(all) - had; n > 0 {
			p.GrowPer = ms(time.Since(began)) / float64(n)
		}
		g.t.Accounts = all
	}
	if len(g.t.Accounts) < st.Accounts {
		return p, badTarget("%d accounts of %d", len(g.t.Accounts), st.Accounts)
	}
	n, err := g.count(ctx)
	if err != nil {
		return p, err
	}
	// What is measured makes the mailbox larger as well.
	if n = st.Messages - n - g.o.Count*g.o.Rounds; n > 0 {
		r, err := g.deliver(ctx, g.o.Fillers, n, 1)
		if err != nil {
			return p, err
		}
		p.FillRate = r.Rate
	}
	if err := g.deliveries(ctx, st, &p); err != nil {
		return p, err
	}
	if err := g.selects(ctx, &p); err != nil {
		return p, err
	}
	p.BytesTotal = g.raw
	return p, g.sizes(&p)
}

// count returns how many messages the large mailbox has.
func (g *growth) count(ctx context.Context) (int, error) {
	c, err := g.t.openIMAP(ctx, g.t.IMAP.Addrs[0], &g.t.Accounts[0], smallReads)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.within(10 * opTimeout); err != nil {
		return 0, err
	}
	n := -1
	_, err = c.command("STATUS", func(l []byte) {
		if _, rest, ok := bytes.Cut(bytes.ToUpper(l), []byte("(MESSAGES ")); ok {
			if _, err := fmt.Sscanf(string(rest), "%d", &n); err != nil {
				n = -1
			}
		}
	}, "STATUS INBOX (MESSAGES)")
	if err == nil && n < 0 {
		err = &failure{"STATUS", errProtocol}
	}
	return n, err
}

// deliver delivers n messages to the first accounts, in an order that differs
// each time: where they are more than the messages, others get some.
func (g *growth) deliver(ctx context.Context, connections, n, accounts int) (*Result, error) {
	work := *g.t
	work.Accounts = slices.Clone(g.t.Accounts[:accounts])
	g.mix.Shuffle(accounts, func(i, j int) { work.Accounts[i], work.Accounts[j] = work.Accounts[j], work.Accounts[i] })
	work.DataDirs = nil // many files by then, and not wanted here
	r, err := Deliver(ctx, &work, DeliverOptions{
		Options: Options{Connections: min(connections, n), Count: n, Progress: g.o.Progress}, Source: g.o.Source, PoolBytes: 8 << 20,
	})
	if err != nil {
		return nil, err
	}
	g.raw += r.Bytes
	if f := r.Failed(); f > 0 {
		return nil, fmt.Errorf("%d of %d deliveries failed: %v", f, n, r.Errors)
	}
	return r, nil
}

// deliveries measures the kinds of delivery in turn, so that what else the
// machine does is met by all.
func (g *growth) deliveries(ctx context.Context, st GrowthStage, p *GrowthPoint) error {
	few := g.o.Stages[0].Accounts
	kinds := []int{1, st.Accounts}
	if few < st.Accounts {
		kinds = append(kinds, few)
	}
	all := make([][]*Result, len(kinds))
	for range g.o.Rounds {
		for k, accounts := range kinds {
			r, err := g.deliver(ctx, g.o.Connections, g.o.Count, accounts)
			if err != nil {
				return err
			}
			all[k] = append(all[k], r)
		}
	}
	p.One, p.All = deliveryOf(all[0]), deliveryOf(all[1])
	if len(kinds) > 2 {
		d := deliveryOf(all[2])
		p.Few = &d
	}
	return nil
}

func deliveryOf(rs []*Result) GrowthDelivery {
	of := func(f func(*Result) float64) float64 {
		var v []float64
		for _, r := range rs {
			v = append(v, f(r))
		}
		return median(v)
	}
	return GrowthDelivery{
		Rate: of(func(r *Result) float64 { return r.Rate }),
		CPU:  of(func(r *Result) float64 { return r.CPU.ServerPerOp * 1000 }),
		P50:  of(func(r *Result) float64 { return r.Latency.P50 }),
		P99:  of(func(r *Result) float64 { return r.Latency.P99 }),
	}
}

// selects times SELECT on new connections, at every address.
func (g *growth) selects(ctx context.Context, p *GrowthPoint) error {
	var first, again []float64
	for _, addr := range g.t.IMAP.Addrs {
		for n := range g.o.Selects {
			took, err := g.selectOnce(ctx, addr)
			if err != nil {
				return err
			}
			if n == 0 {
				first = append(first, took)
			} else {
				again = append(again, took)
			}
		}
	}
	p.First, p.Again = median(first), median(again)
	return nil
}

func (g *growth) selectOnce(ctx context.Context, addr string) (float64, error) {
	c, err := g.t.openIMAP(ctx, addr, &g.t.Accounts[0], smallReads)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if err := c.within(10 * opTimeout); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := c.do("SELECT", "SELECT INBOX"); err != nil {
		return 0, err
	}
	return ms(time.Since(began)), nil
}

// sizes notes memory and disk.
func (g *growth) sizes(p *GrowthPoint) error {
	for _, pid := range g.t.tree() {
		pss, rss, err := memory([]int{pid})
		if err != nil {
			return err
		}
		p.PSS, p.RSS = append(p.PSS, pss), append(p.RSS, rss)
	}
	for _, v := range [][]int64{p.PSS, p.RSS} {
		slices.Sort(v)
		slices.Reverse(v)
	}
	var err error
	p.Disk, _, _, err = DiskUse(g.t.DataDirs)
	p.DataDirs = len(g.t.DataDirs)
	return err
}

// GrowthStages are powers of ten up to the last size: first the messages grow,
// then the accounts.
func GrowthStages(from, to GrowthStage) []GrowthStage {
	out := []GrowthStage{from}
	at := from
	for _, m := range steps(from.Messages, to.Messages) {
		at.Messages = m
		out = append(out, at)
	}
	for _, a := range steps(from.Accounts, to.Accounts) {
		at.Accounts = a
		out = append(out, at)
	}
	return out
}

// steps are the sizes after from, up to to, each ten times the one before.
func steps(from, to int) []int {
	var out []int
	for n := from; n < to && n <= math.MaxInt/10; {
		n = min(10*n, to)
		out = append(out, n)
	}
	return out
}

// Short is a Source whose messages are those of another one, cut off at a line
// end so that they have about so many octets: for many messages in little
// time.
type Short struct {
	Of   corpus.Source
	Size int
}

// Len implements corpus.Source.
func (s Short) Len() int { return s.Of.Len() }

// Message implements corpus.Source. The header is never cut.
func (s Short) Message(i int) []byte {
	b := s.Of.Message(i)
	if len(b) <= s.Size {
		return b
	}
	at := bytes.Index(b, []byte("\r\n\r\n")) + 4
	if at < 4 {
		return b
	}
	if end := bytes.LastIndex(b[:s.Size], []byte("\r\n")) + 2; end > at {
		at = end
	}
	return b[:at]
}
