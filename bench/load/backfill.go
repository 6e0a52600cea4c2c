package load

import (
	"context"
	"fmt"
	"slices"
	"time"

	"altmail.se/altmail/bench/corpus"
)

// Absences ends and starts single nodes and tells what each holds. Node i
// answers at address i of Delivery.
type Absences interface {
	// Stop ends a node in order and returns when its process is gone.
	Stop(ctx context.Context, node int) error
	// Start starts the process of a node that was stopped and returns at once.
	Start(ctx context.Context, node int) error
	// Holding tells what a node says of itself; an error while it does not
	// answer.
	Holding(ctx context.Context, node int) (Holding, error)
	// Verify has a node look for every body that its state names.
	Verify(ctx context.Context, node int) error
}

// Holding is what a node holds.
type Holding struct {
	Bodies, Bytes int64 // stored bodies, as they lie on disk
	Whole         bool  // none is known to be missing
	// Applied is how far each group's log has been applied here, Commit how
	// far it is known to be committed.
	Applied, Commit map[uint32]uint64
}

// behind is how many entries a node has not applied of those that another knew
// committed.
func (h Holding) behind(commit map[uint32]uint64) (n uint64) {
	for g, index := range commit {
		n += index - min(index, h.Applied[g])
	}
	return n
}

// BackfillOptions are those of Backfill.
type BackfillOptions struct {
	Nodes       Absences
	Node        int           // who is away
	Messages    int           // delivered meanwhile; 0: 10000
	Source      corpus.Source // of these
	Connections int           // that deliver them; 0: 16
	// Rate of the steady delivery that tells what writes meet, and its
	// connections and mail. 0: 50 per second, over 4.
	Rate              float64
	SteadyConnections int
	SteadySource      corpus.Source // nil: text
	Quiet             time.Duration // length of the phases before and away; 0: 10 s
	Timeout           time.Duration // for being whole again; 0: 10 min
	Progress          func(Progress)
}

// Backfilled is how a node became whole again.
type Backfilled struct {
	Node     int   `json:"node"`
	Messages int64 `json:"messages"`     // delivered while it was away
	Raw      int64 `json:"raw_bytes"`    // of these
	Bodies   int64 `json:"bodies"`       // that it lacked when it was started
	Stored   int64 `json:"stored_bytes"` // of these, as they lie on disk
	// Answers and Whole are seconds from the start of its process to its first
	// sign of life and until it had everything that was there then.
	Answers float64 `json:"answers_seconds"`
	Whole   float64 `json:"whole_seconds"`
	// Moving is the part of it in which bodies came.
	Moving     float64 `json:"moving_seconds"`
	StoredMBps float64 `json:"stored_mbps"` // over Whole
	RawMBps    float64 `json:"raw_mbps"`    // over Whole
	MovingMBps float64 `json:"moving_mbps"` // stored bytes over Moving
	// Steady is what the steady delivery met: before, away, backfill, after.
	Steady []Phase `json:"steady"`
	// P50, P99 and Max are the latencies during the backfill over those
	// before.
	P50 float64 `json:"p50_factor"`
	P99 float64 `json:"p99_factor"`
	Max float64 `json:"max_factor"`
	// Course is how what the node held grew, at most a thousand looks.
	Course []BackfillLook `json:"course"`
}

// BackfillLook is what a node held so many seconds after its start.
type BackfillLook struct {
	Seconds float64 `json:"seconds"`
	Bodies  int64   `json:"bodies"`
	Bytes   int64   `json:"bytes"`
	Behind  uint64  `json:"entries_behind"` // what it had still to apply, of what was committed before its start
	Whole   bool    `json:"whole"`
}

// The phases of a backfill.
const (
	phaseBefore   = "before"
	phaseFill     = "fill"
	phaseAway     = "away"
	phaseBackfill = "backfill"
	phaseAfter    = "after"
)

func (o *BackfillOptions) check(t *Target) error {
	if err := t.canDeliver(); err != nil {
		return err
	}
	if o.Nodes == nil {
		return badTarget("its nodes can't be stopped and started from here")
	}
	if len(t.Delivery.Addrs) < 3 {
		return badTarget("%d delivery addresses: a node can only be away from three or more, each with its own", len(t.Delivery.Addrs))
	}
	if o.Node < 0 || o.Node >= len(t.Delivery.Addrs) || o.Messages < 0 || o.Connections < 0 || o.Rate < 0 || o.SteadyConnections < 0 || o.Quiet < 0 || o.Timeout < 0 {
		return badTarget("node %d, %d messages, %d and %d connections, rate %g, %s, %s", o.Node, o.Messages, o.Connections, o.SteadyConnections, o.Rate, o.Quiet, o.Timeout)
	}
	if o.Messages == 0 {
		o.Messages = 10_000
	}
	if o.Connections == 0 {
		o.Connections = 16
	}
	if o.Rate == 0 {
		o.Rate = 50
	}
	if o.SteadyConnections == 0 {
		o.SteadyConnections = 4
	}
	if o.SteadySource == nil {
		o.SteadySource = corpus.New(corpus.Text, 1)
	}
	if o.Quiet == 0 {
		o.Quiet = 10 * time.Second
	}
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Minute
	}
	return nil
}

// Backfill stops a node, delivers messages to the others, starts it again and
// measures how long it takes until it holds everything, while a steady delivery
// to the others tells what that costs them. The result's operations are the
// messages, its latency that of the steady delivery during the backfill.
func Backfill(ctx context.Context, t *Target, o BackfillOptions) (*Result, error) {
	if err := o.check(t); err != nil {
		return nil, err
	}
	f, err := newFeed(o.SteadySource, 0, 8<<20)
	if err != nil {
		return nil, err
	}
	b := &backfill{o: &o, r: &Result{Work: "backfill", Target: t.Name, Start: time.Now(), Connections: o.SteadyConnections, OfferedRate: o.Rate}}
	others := *t
	others.Delivery.Addrs = slices.Delete(slices.Clone(t.Delivery.Addrs), o.Node, o.Node+1)
	b.say(phaseBefore, 0)
	s, err := startSteady(ctx, &others, f, others.Delivery.Addrs, o.SteadyConnections, o.Rate, phaseBefore)
	if err != nil {
		return nil, err
	}
	sum, err := b.story(ctx, &others, s)
	phases := s.stop()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sum.Steady = phases
	before, during := phaseNamed(phases, phaseBefore), phaseNamed(phases, phaseBackfill)
	sum.P50 = over(during.Latency.P50, before.Latency.P50)
	sum.P99 = over(during.Latency.P99, before.Latency.P99)
	sum.Max = over(during.Latency.Max, before.Latency.Max)
	b.r.Backfill, b.r.Latency = sum, during.Latency
	b.r.Ops, b.r.Bytes, b.r.Seconds = sum.Messages, sum.Raw, sum.Whole
	b.r.Rate, b.r.MBps = over(float64(sum.Messages), sum.Whole), sum.RawMBps
	for _, p := range phases {
		for k, n := range p.Errors {
			if b.r.Errors == nil {
				b.r.Errors = map[string]int64{}
			}
			b.r.Errors["steady "+p.Name+": "+k] += n
		}
	}
	if err := o.Nodes.Verify(ctx, o.Node); err != nil {
		return b.r, fmt.Errorf("load: the node says that it is whole: %w", err)
	}
	return b.r, nil
}

// over is a/b, 0 when there is no b.
func over(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

type backfill struct {
	o *BackfillOptions
	r *Result
}

func (b *backfill) say(phase string, done int64) {
	if b.o.Progress != nil {
		b.o.Progress(Progress{Work: "backfill: " + phase, Done: done, Seconds: time.Since(b.r.Start).Seconds()})
	}
}

func (b *backfill) story(ctx context.Context, others *Target, s *steady) (*Backfilled, error) {
	o := b.o
	if !sleep(ctx, o.Quiet) {
		return nil, ctx.Err()
	}
	had, err := o.Nodes.Holding(ctx, o.Node)
	if err != nil {
		return nil, err
	}
	s.phase(phaseFill)
	b.say(phaseFill, 0)
	if err := o.Nodes.Stop(ctx, o.Node); err != nil {
		return nil, fmt.Errorf("load: stopping the node: %w", err)
	}
	run := Options{Connections: o.Connections, Count: o.Messages, Progress: o.Progress}
	fill, err := Deliver(ctx, others, DeliverOptions{Options: run, Source: o.Source, PoolBytes: 64 << 20})
	if err != nil {
		return nil, err
	}
	if n := fill.Failed(); n > 0 {
		return nil, fmt.Errorf("load: %d of %d messages were refused while a node was away: %v", n, o.Messages, fill.Errors)
	}
	s.phase(phaseAway)
	b.say(phaseAway, 0)
	if !sleep(ctx, o.Quiet) {
		return nil, ctx.Err()
	}
	other := (o.Node + 1) % len(others.Delivery.Addrs)
	if other >= o.Node {
		other++
	}
	there, err := o.Nodes.Holding(ctx, other)
	if err != nil {
		return nil, err
	}
	s.phase(phaseBackfill)
	sum := &Backfilled{
		Node: o.Node, Messages: fill.Ops, Raw: fill.Bytes,
		Bodies: there.Bodies - had.Bodies, Stored: there.Bytes - had.Bytes,
	}
	if err := b.wait(ctx, there, had.Bytes, sum); err != nil {
		return nil, err
	}
	s.phase(phaseAfter)
	b.say(phaseAfter, sum.Messages)
	if !sleep(ctx, o.Quiet/2) {
		return nil, ctx.Err()
	}
	return sum, nil
}

const maxCourse = 1000

// wait starts the node and waits until it has what another had just before.
func (b *backfill) wait(ctx context.Context, there Holding, had int64, sum *Backfilled) error {
	o := b.o
	began := time.Now()
	if err := o.Nodes.Start(ctx, o.Node); err != nil {
		return fmt.Errorf("load: starting the node: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	last := had    // what it held when looked at last
	first := began // the look before the first one that shows more
	for {
		looked := time.Now()
		h, err := o.Nodes.Holding(ctx, o.Node)
		if err == nil {
			if sum.Answers == 0 {
				sum.Answers = looked.Sub(began).Seconds()
			}
			if h.Bytes <= had {
				first = looked
			}
			last = h.Bytes
			b.say(phaseBackfill, h.Bodies)
			behind := h.behind(there.Commit)
			if len(sum.Course) < maxCourse {
				sum.Course = append(sum.Course, BackfillLook{looked.Sub(began).Seconds(), h.Bodies, h.Bytes, behind, h.Whole})
			}
			if h.Whole && behind == 0 {
				sum.Whole = time.Since(began).Seconds()
				sum.Moving = time.Since(first).Seconds()
				break
			}
		}
		if !sleep(ctx, 20*time.Millisecond) {
			if err == nil {
				err = fmt.Errorf("it lacks %d bytes of %d", there.Bytes-last, there.Bytes)
			}
			return fmt.Errorf("load: the node is not whole again: %w: %w", ctx.Err(), err)
		}
	}
	sum.StoredMBps = over(float64(sum.Stored)/1e6, sum.Whole)
	sum.MovingMBps = over(float64(sum.Stored)/1e6, sum.Moving)
	sum.RawMBps = over(float64(sum.Raw)/1e6, sum.Whole)
	return nil
}
