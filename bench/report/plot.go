package report

import (
	"fmt"
	"image/color"
	"io"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Figure is a plot with the name that its files get.
type Figure struct {
	Name string
	plot *plot.Plot
}

// The size of every plot.
const (
	plotWidth  = 22 * vg.Centimeter
	plotHeight = 11 * vg.Centimeter
)

// Write writes the plot as "svg" or "png".
func (f Figure) Write(w io.Writer, format string) error {
	to, err := f.plot.WriterTo(plotWidth, plotHeight, format)
	if err != nil {
		return fmt.Errorf("plot %s: %w", f.Name, err)
	}
	if _, err := to.WriteTo(w); err != nil {
		return fmt.Errorf("plot %s: %w", f.Name, err)
	}
	return nil
}

// colours are told apart also by those who see some colours alike.
var colours = []color.RGBA{
	{0xE6, 0x9F, 0x00, 0xFF}, {0x00, 0x72, 0xB2, 0xFF}, {0xCC, 0x79, 0xA7, 0xFF}, {0x56, 0xB4, 0xE9, 0xFF},
	{0xD5, 0x5E, 0x00, 0xFF}, {0xF0, 0xE4, 0x42, 0xFF}, {0x00, 0x9E, 0x73, 0xFF}, {0x99, 0x99, 0x99, 0xFF}, {0x33, 0x33, 0x33, 0xFF},
}

// Plots returns every plot that the runs have figures for: rates of delivery
// and of other changes, speed of reads against the baseline, and curves of
// latency of deliveries.
func (r *Report) Plots() ([]Figure, error) {
	var out []Figure
	add := func(f *Figure, err error) error {
		if f != nil {
			out = append(out, *f)
		}
		return err
	}
	for _, g := range []struct{ name, title, prefix string }{
		{"deliver-text", "Durable delivery, text", "deliver.text."},
		{"deliver-mixed", "Durable delivery, mixed", "deliver.mixed."},
		{"append", "APPEND", "append."},
		{"store", "Single-message STORE", "store."},
		{"login", "Logins with TLS", "login."},
	} {
		if err := add(r.bars(g.name, g.title, g.prefix, Rate)); err != nil {
			return nil, err
		}
	}
	if err := add(r.readBars()); err != nil {
		return nil, err
	}
	for _, w := range r.Works {
		if strings.HasPrefix(w.Name, "deliver.") {
			if err := add(r.curves(w)); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// newPlot is what all plots have in common.
func newPlot(title, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text = title
	p.Title.Padding = vg.Points(6)
	p.Y.Label.Text = y
	p.Legend.Top = true
	p.Legend.XOffs = vg.Points(-4)
	p.BackgroundColor = color.White
	return p
}

// group is one place on the x axis with a bar a peer; NaN: no bar.
type group struct {
	label  string
	values []float64
}

// barChart draws groups of one bar a peer.
func (r *Report) barChart(name, title, y string, groups []group) (*Figure, error) {
	if len(groups) == 0 {
		return nil, nil
	}
	p := newPlot(title, y)
	p.Y.Min = 0
	var labels []string
	for _, g := range groups {
		labels = append(labels, g.label)
	}
	p.NominalX(labels...)
	if len(groups) > 4 {
		p.X.Tick.Label.Rotation = math.Pi / 8
		p.X.Tick.Label.XAlign = text.XRight
		p.X.Tick.Label.YAlign = text.YCenter
	}
	var shown []int
	for i := range r.Peers {
		for _, g := range groups {
			if !math.IsNaN(g.values[i]) {
				shown = append(shown, i)
				break
			}
		}
	}
	width := min(vg.Points(26), plotWidth*0.8/vg.Length(len(groups)*max(1, len(shown)))*0.9)
	top := 0.0
	for k, i := range shown {
		vs := make(plotter.Values, len(groups))
		for j, g := range groups {
			if !math.IsNaN(g.values[i]) {
				vs[j] = g.values[i]
			}
			top = max(top, vs[j])
		}
		b, err := plotter.NewBarChart(vs, width)
		if err != nil {
			return nil, err
		}
		b.Color = colours[i%len(colours)]
		b.LineStyle.Width = 0
		b.Offset = width * (vg.Length(k) - vg.Length(len(shown)-1)/2)
		p.Add(b)
		p.Legend.Add(r.Peers[i].Name, b)
	}
	// Room for the legend above the bars.
	p.Y.Max = top * (1.15 + 0.07*float64(len(shown)))
	return &Figure{name, p}, nil
}

// bars shows a metric of all works whose name has a prefix.
func (r *Report) bars(name, title, prefix string, m Metric) (*Figure, error) {
	var groups []group
	for _, w := range r.Works {
		if !strings.HasPrefix(w.Name, prefix) {
			continue
		}
		if g, ok := r.group(w.Title, func(peer string) float64 { return r.medianOf(peer, w.Name, m) }); ok {
			groups = append(groups, g)
		}
	}
	return r.barChart(name, title, m.Title, groups)
}

// readBars shows how many times as fast as the baseline reads are.
func (r *Report) readBars() (*Figure, error) {
	var groups []group
	for _, w := range r.Works {
		if !strings.HasPrefix(w.Name, "read.") {
			continue
		}
		for _, m := range []Metric{First, Warm} {
			base := r.medianOf(r.Baseline, w.Name, m)
			label := strings.TrimPrefix(w.Name, "read.") + " " + strings.TrimSuffix(m.Title, " ms")
			if g, ok := r.group(label, func(peer string) float64 {
				// A thousandfold is not read off a bar of a linear scale.
				return min(base/r.medianOf(peer, w.Name, m), 10)
			}); ok {
				groups = append(groups, g)
			}
		}
	}
	return r.barChart("reads", "Reads of the large mailbox: speed against "+r.Baseline+" (cut at 10)", "times as fast", groups)
}

func (r *Report) group(label string, value func(peer string) float64) (group, bool) {
	g := group{label: label}
	some := false
	for _, p := range r.Peers {
		v := value(p.Name)
		if math.IsInf(v, 0) {
			v = math.NaN()
		}
		some = some || !math.IsNaN(v)
		g.values = append(g.values, v)
	}
	return g, some
}

// medianOf is NaN when there is no figure.
func (r *Report) medianOf(peer, work string, m Metric) float64 {
	s := r.Stat(peer, work, m.Name)
	if s.N == 0 {
		return math.NaN()
	}
	return s.Median
}

// quantileTicks are the places on the axis of quantiles: the position is
// -log10(1-q), which gives each nine the same room.
type quantileTicks struct{}

func (quantileTicks) Ticks(float64, float64) []plot.Tick {
	var out []plot.Tick
	for _, q := range []struct {
		q     float64
		label string
	}{{0, "0"}, {0.5, "p50"}, {0.9, "p90"}, {0.99, "p99"}, {0.999, "p99.9"}} {
		out = append(out, plot.Tick{Value: nines(q.q), Label: q.label})
	}
	return out
}

func nines(q float64) float64 { return -math.Log10(1 - q) }

// lastQuantile is where curves end: beyond it a run of some seconds has too few
// operations.
const lastQuantile = 0.999

// curves shows the distributions of latency of a work, from the run with the
// median rate of each peer.
func (r *Report) curves(w Work) (*Figure, error) {
	p := newPlot("Latency: "+w.Title, "ms")
	p.Legend.Left = true
	p.Legend.XOffs = vg.Points(6)
	p.Y.Scale = plot.LogScale{}
	p.Y.Tick.Marker = plot.LogTicks{Prec: -1}
	p.X.Tick.Marker = quantileTicks{}
	p.X.Min, p.X.Max = 0, nines(lastQuantile)
	some := false
	for i, peer := range r.Peers {
		run, ok := r.typical(peer.Name, w)
		if !ok {
			continue
		}
		var xys plotter.XYs
		for _, pt := range run.Curve {
			if pt.Quantile <= lastQuantile && pt.Ms > 0 {
				xys = append(xys, plotter.XY{X: nines(pt.Quantile), Y: pt.Ms})
			}
		}
		if len(xys) < 2 {
			continue
		}
		l, err := plotter.NewLine(xys)
		if err != nil {
			return nil, err
		}
		l.LineStyle = draw.LineStyle{Color: colours[i%len(colours)], Width: vg.Points(1.6)}
		p.Add(l)
		p.Legend.Add(peer.Name, l)
		some = true
	}
	if !some {
		return nil, nil
	}
	// A logarithmic axis needs two different ends.
	if p.Y.Max <= p.Y.Min {
		p.Y.Max = p.Y.Min * 10
	}
	return &Figure{"latency-" + strings.ReplaceAll(w.Name, ".", "-"), p}, nil
}

// typical returns a peer's run with a curve whose first metric is nearest to
// the median.
func (r *Report) typical(peer string, w Work) (Run, bool) {
	mid := r.medianOf(peer, w.Name, w.Metrics[0])
	var best Run
	at := math.Inf(1)
	for _, run := range r.Runs {
		if run.Peer != peer || run.Work != w.Name || run.Error != "" || len(run.Curve) == 0 {
			continue
		}
		if d := math.Abs(run.Values[w.Metrics[0].Name] - mid); d < at {
			best, at = run, d
		}
	}
	return best, !math.IsInf(at, 1)
}
