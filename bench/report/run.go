package report

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Run is one measurement: a work done once on one peer. Its JSON field names
// are stable: fields are only added.
type Run struct {
	Round int       `json:"round"` // from 1
	Peer  string    `json:"peer"`
	Work  string    `json:"work"`
	Start time.Time `json:"start"`
	Took  float64   `json:"took_seconds"` // with warm-up and waits
	// Values are the figures by metric. A metric that the work did not give is
	// absent, never 0.
	Values map[string]float64 `json:"values,omitempty"`
	// Curve is the distribution of latency, ascending.
	Curve []Point `json:"curve,omitempty"`
	// Error tells why there are no figures. A run that failed counts nowhere
	// else than in the list of failures.
	Error string `json:"error,omitempty"`
	// Errors counts operations that failed in a run that did not, by kind.
	Errors map[string]int64 `json:"errors,omitempty"`
	// Others is how many cores were kept busy meanwhile by processes that are
	// neither the server's nor the client's, or were taken by the hypervisor;
	// absent: not known.
	Others *float64 `json:"others_cores,omitempty"`
	// Raw is what the driver measured.
	Raw json.RawMessage `json:"raw,omitempty"`
}

// Point is one point of a distribution: Quantile (0 to 1) of the operations
// took at most Ms.
type Point struct {
	Quantile float64 `json:"q"`
	Ms       float64 `json:"ms"`
}

// Metric is a kind of figure.
type Metric struct {
	Name   string // key in Run.Values
	Title  string // as tables call it, with the unit
	Higher bool   // more is better
	Digits int    // behind the decimal point
}

// The metrics there are.
var (
	Rate        = Metric{"rate", "op/s", true, 0}
	MBps        = Metric{"mbps", "MB/s", true, 1}
	P50         = Metric{"p50_ms", "p50 ms", false, 2}
	P99         = Metric{"p99_ms", "p99 ms", false, 2}
	P999        = Metric{"p999_ms", "p99.9 ms", false, 1}
	First       = Metric{"first_ms", "first ms", false, 1}
	Warm        = Metric{"warm_ms", "warm ms", false, 1}
	FirstMBps   = Metric{"first_mbps", "first MB/s", true, 1}
	WarmMBps    = Metric{"warm_mbps", "warm MB/s", true, 1}
	CPU         = Metric{"cpu_ms_per_op", "server CPU ms/op", false, 2}
	ClientShare = Metric{"client_share", "client's part of the CPU", false, 2}
	PSS         = Metric{"pss_kb", "KB a connection (PSS)", false, 1}
	DiskPerRaw  = Metric{"disk_per_raw", "bytes allocated per raw byte and node", false, 3}
	DiskGrowth  = Metric{"disk_growth", "without what an empty server takes", false, 3}
	Settled     = Metric{"settled_rate", "op/s until settled", true, 0}
)

// Work is something that was measured at every peer.
type Work struct {
	Name    string // key in Run.Work
	Title   string
	Metrics []Metric // the first one is the one that plots show
}

// Line tells a run's figures in one line.
func (w Work) Line(r Run) string {
	var out []string
	for _, m := range w.Metrics {
		if v, ok := r.Values[m.Name]; ok {
			out = append(out, number(v, m.Digits)+" "+m.Title)
		}
	}
	for _, k := range sortedKeys(r.Errors) {
		out = append(out, fmt.Sprintf("%d × %s", r.Errors[k], k))
	}
	return strings.Join(out, ", ")
}

// Peer is a server that was measured.
type Peer struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Note    string `json:"note"`
	Skipped string `json:"skipped,omitempty"` // why it was not measured
}

// Machine is where everything ran.
type Machine struct {
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	Memory     int64   `json:"memory_bytes"`
	System     string  `json:"system"` // distribution
	Kernel     string  `json:"kernel"`
	FileSystem string  `json:"file_system"` // of the scratch directory
	Syncs      float64 `json:"syncs_per_second"`
	Syncs16    float64 `json:"syncs_per_second_16_writers"`
}

// Report is a whole comparison.
type Report struct {
	Title    string
	Date     time.Time
	Command  string
	Machine  Machine
	Peers    []Peer
	Works    []Work
	Targets  []Target
	Baseline string // peer that ratios are against
	Runs     []Run
}

// disturbed is how many cores others may use before a run is called disturbed.
const disturbed = 0.2

// Quiet tells in a sentence how much else ran; empty when that is not known.
func (r *Report) Quiet() string {
	var all []float64
	loud := 0
	for _, run := range r.Runs {
		if run.Others != nil && run.Error == "" {
			all = append(all, *run.Others)
			if *run.Others > disturbed {
				loud++
			}
		}
	}
	if len(all) == 0 {
		return ""
	}
	s := fmt.Sprintf("Other processes kept %s cores busy in the median run, %s at most", number(median(all), 2), number(slices.Max(all), 2))
	if loud > 0 {
		s += fmt.Sprintf("; in %d of %d runs more than %s, and their figures are of a disturbed machine", loud, len(all), number(disturbed, 1))
	}
	return s + "."
}

// Stat is a metric over the rounds.
type Stat struct {
	Median, Min, Max float64
	N                int
}

// values returns the metric of the good runs by round.
func (r *Report) values(peer, work, metric string) map[int]float64 {
	out := map[int]float64{}
	for _, run := range r.Runs {
		if run.Peer != peer || run.Work != work || run.Error != "" {
			continue
		}
		if v, ok := run.Values[metric]; ok {
			out[run.Round] = v
		}
	}
	return out
}

// Stat returns a peer's figures over the rounds; N is 0 when there are none.
func (r *Report) Stat(peer, work, metric string) Stat {
	var vs []float64
	for _, v := range r.values(peer, work, metric) {
		vs = append(vs, v)
	}
	return statOf(vs)
}

func statOf(vs []float64) Stat {
	if len(vs) == 0 {
		return Stat{}
	}
	return Stat{Median: median(vs), Min: slices.Min(vs), Max: slices.Max(vs), N: len(vs)}
}

func median(vs []float64) float64 {
	vs = slices.Sorted(slices.Values(vs))
	n := len(vs)
	if n%2 == 1 {
		return vs[n/2]
	}
	return (vs[n/2-1] + vs[n/2]) / 2
}

// Ratio is one figure against another.
type Ratio struct {
	OfMedians float64 // median of one over the median of the other
	Median    float64 // median of the ratios of the rounds that have both
	N         int     // rounds that have both
}

// ratio compares two sets of figures by round. N is 0 when they can't be.
func ratio(a, b map[int]float64) Ratio {
	if len(a) == 0 || len(b) == 0 {
		return Ratio{}
	}
	var as, bs, each []float64
	for round, v := range a {
		as = append(as, v)
		if w, ok := b[round]; ok && w != 0 {
			each = append(each, v/w)
		}
	}
	for _, w := range b {
		bs = append(bs, w)
	}
	mb := median(bs)
	if mb == 0 || len(each) == 0 {
		return Ratio{}
	}
	return Ratio{OfMedians: median(as) / mb, Median: median(each), N: len(each)}
}

// ours tells whether a peer is altmail itself.
func ours(peer string) bool { return strings.HasPrefix(peer, "altmail") }

// round rounds to digits behind the point, so that equal text means equal
// figures.
func round(v float64, digits int) float64 {
	p := math.Pow(10, float64(digits))
	return math.Round(v*p) / p
}
