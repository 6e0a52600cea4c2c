package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a small comparison with everything that can happen: several
// rounds, a failure, a peer that is not there, a work that one peer lacks.
func sample() *Report {
	r := &Report{
		Title: "altmail and its peers", Date: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC),
		Command: "altmail bench compare --rounds 3", Baseline: "dovecot-sdbox-zstd",
		Machine: Machine{CPU: "Some CPU", Cores: 2, Memory: 24 << 30, System: "Debian 12", Kernel: "6.1", FileSystem: "ext4", Syncs: 5200, Syncs16: 16600},
		Peers: []Peer{
			{Name: "dovecot-sdbox-zstd", Version: "Dovecot 2.3.19.1", Note: "sdbox, zstd"},
			{Name: "altmail-3", Version: "altmail 1", Note: "3 nodes"},
			{Name: "cyrus", Version: "Cyrus 3.6.1", Note: "as by default | with a bar"},
			{Name: "postfix-dovecot", Skipped: "not installed"},
		},
		Works: []Work{
			{"deliver.text.c16", "text, 16 connections", []Metric{Rate, P50, P99, CPU}},
			{"read.envelope", "FETCH 1:* ENVELOPE", []Metric{First, Warm}},
			{"idle.exists", "delivery to EXISTS", []Metric{P50, P99}},
		},
		Targets: []Target{
			{Text: "delivery", Peer: "altmail-3", Work: "deliver.text.c16", Metric: Rate, Against: "dovecot-sdbox-zstd", Limit: 2},
			{Text: "its tail", Peer: "altmail-3", Work: "deliver.text.c16", Metric: P99, Against: "altmail-3", AgainstMetric: P50, Limit: 3},
			{Text: "ENVELOPE, first", Peer: "altmail-3", Work: "read.envelope", Metric: First, Against: BestPeer, AgainstMetric: Warm, Limit: 1},
			{Text: "EXISTS", Peer: "altmail-3", Work: "idle.exists", Metric: P50, Limit: 10},
			{Text: "nobody did this", Peer: "altmail-3", Work: "store.c1", Metric: Rate, Against: "dovecot-sdbox-zstd", Limit: 0.5},
		},
	}
	add := func(round int, peer, work string, values map[string]float64) {
		others := 0.125 * float64(round)
		run := Run{Round: round, Peer: peer, Work: work, Values: values, Others: &others, Raw: json.RawMessage(`{"ops":1}`)}
		if p50, ok := values["p50_ms"]; ok {
			for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
				run.Curve = append(run.Curve, Point{q, p50 * (0.5 + q*q)})
			}
		}
		r.Runs = append(r.Runs, run)
	}
	for i, f := range []float64{1, 0.8, 1.1} {
		add(i+1, "dovecot-sdbox-zstd", "deliver.text.c16", map[string]float64{"rate": 800 * f, "p50_ms": 20 / f, "p99_ms": 40 / f})
		add(i+1, "altmail-3", "deliver.text.c16", map[string]float64{"rate": 1680 * f, "cpu_ms_per_op": 1.2, "p50_ms": 9 / f, "p99_ms": 31.5 / f})
		add(i+1, "dovecot-sdbox-zstd", "read.envelope", map[string]float64{"first_ms": 3930 / f, "warm_ms": 101 / f})
		add(i+1, "cyrus", "read.envelope", map[string]float64{"first_ms": 67 / f, "warm_ms": 63 / f})
	}
	add(1, "altmail-3", "read.envelope", map[string]float64{"first_ms": 60, "warm_ms": 41.25})
	add(1, "altmail-3", "idle.exists", map[string]float64{"p50_ms": 10.4, "p99_ms": 12})
	r.Runs = append(r.Runs,
		Run{Round: 1, Peer: "cyrus", Work: "deliver.text.c16", Error: "master has ended:\nno port"},
		Run{Round: 1, Peer: "cyrus", Work: "store.c1", Error: "master has ended:\nno port"},
		Run{Round: 2, Peer: "cyrus", Work: "idle.exists", Values: map[string]float64{"p50_ms": 0.4}, Errors: map[string]int64{"450 busy": 3}})
	return r
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got:\n%s", name, got)
	}
}

func TestGolden(t *testing.T) {
	for name, write := range map[string]func(r *Report, w io.Writer) error{
		"report.md":   func(r *Report, w io.Writer) error { return r.Markdown(w, []string{"plots/deliver-text.svg"}) },
		"report.txt":  func(r *Report, w io.Writer) error { return r.Text(w) },
		"report.json": func(r *Report, w io.Writer) error { return r.JSON(w) },
	} {
		var b bytes.Buffer
		if err := write(sample(), &b); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

// TestPlots: the same runs give the same bytes, and both formats are what they
// say.
func TestPlots(t *testing.T) {
	render := func(format string) map[string][]byte {
		fs, err := sample().Plots()
		if err != nil {
			t.Fatal(err)
		}
		out := map[string][]byte{}
		for _, f := range fs {
			var b bytes.Buffer
			if err := f.Write(&b, format); err != nil {
				t.Fatal(err)
			}
			out[f.Name] = b.Bytes()
		}
		return out
	}
	svg := render("svg")
	for _, name := range []string{"deliver-text", "reads", "latency-deliver-text-c16"} {
		if len(svg[name]) == 0 {
			t.Errorf("no plot %s", name)
		}
	}
	if len(svg) != 3 {
		t.Errorf("%d plots, want 3", len(svg))
	}
	for name, b := range render("svg") {
		if !bytes.Equal(b, svg[name]) {
			t.Errorf("%s is not the same each time", name)
		}
		d := xml.NewDecoder(bytes.NewReader(b))
		for {
			_, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	golden(t, "deliver-text.svg", svg["deliver-text"])
	for name, b := range render("png") {
		img, err := png.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s := img.Bounds().Size(); s.X < 500 || s.Y < 250 {
			t.Errorf("%s: %v", name, s)
		}
	}
	if fs, err := (&Report{}).Plots(); err != nil || len(fs) != 0 {
		t.Errorf("nothing measured: %d plots, %v", len(fs), err)
	}
}

func TestVerdicts(t *testing.T) {
	want := []string{"met", "missed", "met", "missed", "not measured"}
	for i, v := range sample().Verdicts() {
		if v.State != want[i] {
			t.Errorf("%s: %s, want %s", v.Text, v.State, want[i])
		}
	}
	v := sample().Verdicts()[2]
	if v.Other != "cyrus" || v.OtherAt != 63 {
		t.Errorf("the best peer is %s at %v", v.Other, v.OtherAt)
	}
}

// TestTargets: a target with a mistyped metric would never be judged.
func TestTargets(t *testing.T) {
	if len(Targets()) < 30 {
		t.Errorf("%d targets", len(Targets()))
	}
	for _, x := range Targets() {
		if x.Limit <= 0 || x.Work == "" || x.Metric.Name == "" {
			t.Errorf("%+v", x)
		}
	}
}

// TestMedian: against the definition.
func TestMedian(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		vs := rapid.SliceOfN(rapid.Float64Range(-1e6, 1e6), 1, 30).Draw(t, "values")
		m := median(vs)
		below, above := 0, 0
		for _, v := range vs {
			if v < m {
				below++
			}
			if v > m {
				above++
			}
		}
		if below > len(vs)/2 || above > len(vs)/2 || math.IsNaN(m) {
			t.Fatalf("median of %v: %v", vs, m)
		}
	})
}

func TestRatio(t *testing.T) {
	for _, c := range []struct {
		a, b map[int]float64
		want Ratio
	}{
		{nil, map[int]float64{1: 1}, Ratio{}},
		{map[int]float64{1: 1}, map[int]float64{2: 1}, Ratio{}},
		{map[int]float64{1: 1}, map[int]float64{1: 0}, Ratio{}},
		{map[int]float64{1: 4, 2: 6}, map[int]float64{1: 2, 2: 2, 3: 5}, Ratio{2.5, 2.5, 2}},
	} {
		if got := ratio(c.a, c.b); got != c.want {
			t.Errorf("%v / %v = %+v, want %+v", c.a, c.b, got, c.want)
		}
	}
}

func TestNumber(t *testing.T) {
	for _, c := range []struct {
		v      float64
		digits int
		want   string
	}{{0.5614, 3, "0.561"}, {12.345, 1, "12.3"}, {123.46, 2, "123.5"}, {1234.5, 2, "1235"}, {12345.6, 1, "12,346"}, {-1234567, 0, "-1,234,567"}, {0, 2, "0.00"}} {
		if got := number(c.v, c.digits); got != c.want {
			t.Errorf("%v: %s, want %s", c.v, got, c.want)
		}
	}
}
