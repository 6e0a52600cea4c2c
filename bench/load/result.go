package load

import (
	"encoding/json"
	"fmt"
	"io"
	"sort"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is what a work measured. Its JSON field names are stable: fields are
// only added.
type Result struct {
	Work        string    `json:"work"` // deliver, append, store, read.envelope, …
	Target      string    `json:"target"`
	Start       time.Time `json:"start"`
	Connections int       `json:"connections"`
	OfferedRate float64   `json:"offered_rate,omitempty"` // operations per second; 0: closed loop

	Seconds float64 `json:"seconds"` // measured, warm-up not included
	Ops     int64   `json:"ops"`     // answered well
	Bytes   int64   `json:"bytes"`   // of raw mail, of the operations answered well
	Rate    float64 `json:"rate"`    // operations per second
	MBps    float64 `json:"mbps"`    // 10^6 bytes per second

	Latency Latency `json:"latency"`
	// Answer is the time between a message's last octet and its answer.
	Answer *Latency `json:"answer,omitempty"`

	Errors map[string]int64 `json:"errors,omitempty"` // by kind, at most maxErrorKinds

	First *float64  `json:"first_ms,omitempty"` // reads: the first run
	Warm  *float64  `json:"warm_ms,omitempty"`  // reads: median of the others
	Runs  []float64 `json:"runs_ms,omitempty"`  // reads: every run in order

	CPU    *CPU    `json:"cpu,omitempty"`
	Disk   *Disk   `json:"disk,omitempty"`
	Memory *Memory `json:"memory,omitempty"`
	Kills  []Kill  `json:"kills,omitempty"`

	Backfill *Backfilled  `json:"backfill,omitempty"`
	Growth   *GrowthPoint `json:"growth,omitempty"`
}

// Failed is the number of operations that were not answered well.
func (r *Result) Failed() int64 {
	var n int64
	for _, c := range r.Errors {
		n += c
	}
	return n
}

// Latency is a distribution in milliseconds.
type Latency struct {
	Count int64   `json:"count"`
	Min   float64 `json:"min_ms"`
	Mean  float64 `json:"mean_ms"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
	// Histogram is the whole distribution in microseconds, as HdrHistogram's
	// compressed base64 form.
	Histogram string `json:"histogram,omitempty"`
}

// CPU is processor time in seconds.
type CPU struct {
	Server      float64 `json:"server_seconds"`
	ServerPerOp float64 `json:"server_seconds_per_op"`
	Client      float64 `json:"client_seconds"` // of this process
	// ClientShare is the client's part of all that was used.
	ClientShare float64 `json:"client_share"`
	// Busy is how many cores server and client kept busy.
	Busy float64 `json:"busy_cores"`
	// Processes is the server's number of them at the end.
	Processes int `json:"processes"`
}

// Disk is what the data directories grew by.
type Disk struct {
	Raw       int64 `json:"raw_bytes"`       // mail put in, warm-up included
	Allocated int64 `json:"allocated_bytes"` // blocks in use
	Apparent  int64 `json:"apparent_bytes"`  // file lengths
	// AllocatedPerRaw and ApparentPerRaw are per data directory, that is per
	// node.
	AllocatedPerRaw float64 `json:"allocated_per_raw"`
	ApparentPerRaw  float64 `json:"apparent_per_raw"`
	Files           int64   `json:"files"`
	Dirs            int     `json:"data_dirs"`
}

// Memory is what connections cost the server.
type Memory struct {
	Connections int     `json:"connections"`
	PSS         float64 `json:"pss_bytes_per_connection"`
	RSS         float64 `json:"rss_bytes_per_connection"`
	PSSBefore   int64   `json:"pss_bytes_before"`
	PSSAfter    int64   `json:"pss_bytes_after"`
	RSSBefore   int64   `json:"rss_bytes_before"`
	RSSAfter    int64   `json:"rss_bytes_after"`
	Processes   int     `json:"processes"`
	// Each is the RSS of each process afterwards, by process id.
	Each []int64 `json:"rss_bytes_each,omitempty"`
	// RSSTold is that of all once connections were told of mail.
	RSSTold int64 `json:"rss_bytes_told,omitempty"`
}

// Kill is one failover: how long after the kill each survivor answered a write
// that began after it.
type Kill struct {
	Node      int       `json:"node"`
	Survivors []float64 `json:"survivors_ms"` // by node, the killed one left out
	Worst     float64   `json:"worst_ms"`
	Whole     float64   `json:"restart_ms"` // from restart to whole
}

// The range of what is measured: a microsecond to ten minutes, to 0.1 %.
const (
	lowestMicros  = 1
	highestMicros = int64(10 * time.Minute / time.Microsecond)
	digits        = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(lowestMicros, highestMicros, digits)
}

// record counts a latency; what is out of range counts as the range's end.
func record(h *hdrhistogram.Histogram, d time.Duration) {
	us := min(max(int64(d/time.Microsecond), lowestMicros), highestMicros)
	if err := h.RecordValue(us); err != nil {
		panic(err) // the value was clamped to the range
	}
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	if h.TotalCount() == 0 {
		return Latency{}
	}
	ms := func(q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
	l := Latency{
		Count: h.TotalCount(), Min: float64(h.Min()) / 1000, Mean: h.Mean() / 1000,
		P50: ms(50), P90: ms(90), P99: ms(99), P999: ms(99.9), Max: float64(h.Max()) / 1000,
	}
	if b, err := h.Encode(hdrhistogram.V2CompressedEncodingCookieBase); err == nil {
		l.Histogram = string(b)
	}
	return l
}

// Values returns the whole distribution, or an error when it was not kept.
func (l Latency) Values() (*hdrhistogram.Histogram, error) {
	return hdrhistogram.Decode([]byte(l.Histogram))
}

// WriteJSON writes results as one JSON object a line.
func WriteJSON(w io.Writer, rs ...*Result) error {
	enc := json.NewEncoder(w)
	for _, r := range rs {
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// WriteTable writes results for people.
func WriteTable(w io.Writer, rs ...*Result) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "TARGET\tWORK\tCONNS\tOPS\tOPS/S\tMB/S\tP50 MS\tP90\tP99\tP99.9\tMAX\tFAILED\tNOTES")
	for _, r := range rs {
		fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%.1f\t%.1f\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%d\t%s\n",
			r.Target, r.Work, r.Connections, r.Ops, r.Rate, r.MBps,
			r.Latency.P50, r.Latency.P90, r.Latency.P99, r.Latency.P999, r.Latency.Max,
			r.Failed(), strings.Join(r.notes(), "; "))
	}
	return tw.Flush()
}

// notes are the figures that not every work has.
func (r *Result) notes() []string {
	var out []string
	add := func(format string, a ...any) { out = append(out, fmt.Sprintf(format, a...)) }
	if r.First != nil {
		add("first %.2f ms", *r.First)
	}
	if r.Warm != nil {
		add("warm %.2f ms", *r.Warm)
	}
	if r.Answer != nil {
		add("answer p50 %.2f p99 %.2f ms", r.Answer.P50, r.Answer.P99)
	}
	if c := r.CPU; c != nil {
		if c.Processes > 0 {
			add("server %.3f ms CPU/op", c.ServerPerOp*1000)
		}
		add("%.2f cores busy (client %.0f %%)", c.Busy, c.ClientShare*100)
	}
	if d := r.Disk; d != nil {
		add("disk/raw %.3f allocated %.3f apparent", d.AllocatedPerRaw, d.ApparentPerRaw)
	}
	if m := r.Memory; m != nil {
		add("PSS %.1f KB RSS %.1f KB a connection", m.PSS/1000, m.RSS/1000)
		if len(m.Each) > 1 {
			each := make([]string, len(m.Each))
			for i, b := range m.Each {
				each[i] = fmt.Sprintf("%.0f", float64(b)/1e6)
			}
			add("RSS of processes %s MB", strings.Join(each, ", "))
		}
		if m.RSSTold > 0 {
			add("RSS %.0f MB, %.0f MB after the notices", float64(m.RSSAfter)/1e6, float64(m.RSSTold)/1e6)
		}
	}
	if len(r.Kills) > 0 {
		whole := make([]float64, len(r.Kills))
		for i, k := range r.Kills {
			whole[i] = k.Whole
		}
		add("restarted node whole after %.0f ms", median(whole))
	}
	if b := r.Backfill; b != nil {
		add("away for %d messages: whole after %.2f s (first answer %.2f s), %d bodies, %.1f MB/s stored, %.1f MB/s raw, %.1f MB/s while bodies came",
			b.Messages, b.Whole, b.Answers, b.Bodies, b.StoredMBps, b.RawMBps, b.MovingMBps)
		for _, p := range b.Steady {
			out = append(out, p.String())
		}
		add("during/before: p50 %.2f p99 %.2f max %.2f", b.P50, b.P99, b.Max)
	}
	kinds := make([]string, 0, len(r.Errors))
	for k := range r.Errors {
		kinds = append(kinds, k)
	}
	sort.Strings(kinds)
	for _, k := range kinds {
		add("%d × %s", r.Errors[k], k)
	}
	return out
}
