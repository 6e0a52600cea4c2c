package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Table is rows of text under a head. The first column is set left, the
// others right.
type Table struct {
	Head []string
	Rows [][]string
}

// Markdown writes the table as a GitHub table.
func (t Table) Markdown(w io.Writer) error {
	var s strings.Builder
	line := func(cells []string) {
		for _, c := range cells {
			s.WriteString("| " + strings.ReplaceAll(c, "|", `\|`) + " ")
		}
		s.WriteString("|\n")
	}
	line(t.Head)
	for i := range t.Head {
		if i == 0 {
			s.WriteString("|---")
		} else {
			s.WriteString("|---:")
		}
	}
	s.WriteString("|\n")
	for _, r := range t.Rows {
		line(r)
	}
	_, err := io.WriteString(w, s.String())
	return err
}

// Text writes the table for a terminal.
func (t Table) Text(w io.Writer) error {
	width := make([]int, len(t.Head))
	for _, r := range append([][]string{t.Head}, t.Rows...) {
		for i, c := range r {
			if i < len(width) {
				width[i] = max(width[i], utf8.RuneCountInString(c))
			}
		}
	}
	var s strings.Builder
	for _, r := range append([][]string{t.Head}, t.Rows...) {
		var l strings.Builder
		for i, c := range r {
			pad := strings.Repeat(" ", max(0, width[min(i, len(width)-1)]-utf8.RuneCountInString(c)))
			switch {
			case i == 0:
				l.WriteString(c + pad)
			default:
				l.WriteString("  " + pad + c)
			}
		}
		s.WriteString(strings.TrimRight(l.String(), " ") + "\n")
	}
	_, err := io.WriteString(w, s.String())
	return err
}

// number prints a figure: digits behind the point, fewer when it is large.
func number(v float64, digits int) string {
	switch a := max(v, -v); {
	case a >= 1000:
		digits = 0
	case a >= 100:
		digits = min(digits, 1)
	}
	v = round(v, digits)
	if digits == 0 && (v >= 10000 || v <= -10000) {
		return thousands(int64(v))
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

func thousands(n int64) string {
	if n < 0 {
		return "-" + thousands(-n)
	}
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func (s Stat) text(m Metric) string {
	switch s.N {
	case 0:
		return "–"
	case 1:
		return number(s.Median, m.Digits)
	}
	return fmt.Sprintf("%s [%s–%s]", number(s.Median, m.Digits), number(s.Min, m.Digits), number(s.Max, m.Digits))
}

// Figures is the table of one work: a row a peer, a column a metric as median
// [min–max], and the ratio of the first metric to the baseline.
func (r *Report) Figures(w Work) Table {
	t := Table{Head: []string{"peer"}}
	for _, m := range w.Metrics {
		t.Head = append(t.Head, m.Title)
	}
	t.Head = append(t.Head, "ratio", "rounds")
	for _, p := range r.Peers {
		row := []string{p.Name}
		n := 0
		for _, m := range w.Metrics {
			s := r.Stat(p.Name, w.Name, m.Name)
			n = max(n, s.N)
			row = append(row, s.text(m))
		}
		if n == 0 {
			continue
		}
		row = append(row, r.ratioText(p.Name, w.Name, w.Metrics[0]), strconv.Itoa(n))
		t.Rows = append(t.Rows, row)
	}
	return t
}

func (r *Report) ratioText(peer, work string, m Metric) string {
	x := ratio(r.values(peer, work, m.Name), r.values(r.Baseline, work, m.Name))
	switch {
	case x.N == 0:
		return "–"
	case x.N == 1:
		return number(x.OfMedians, 2)
	}
	return fmt.Sprintf("%s (%s)", number(x.OfMedians, 2), number(x.Median, 2))
}

// Summary is one row a work and one column a peer: the first metric's median,
// and its ratio to the baseline.
func (r *Report) Summary() Table {
	t := Table{Head: []string{"work"}}
	var peers []string
	for _, p := range r.Peers {
		if p.Skipped == "" {
			peers = append(peers, p.Name)
			t.Head = append(t.Head, p.Name)
		}
	}
	for _, w := range r.Works {
		for _, m := range w.shown() {
			row := []string{w.Title + ", " + m.Title}
			some := false
			for _, p := range peers {
				s := r.Stat(p, w.Name, m.Name)
				cell := "–"
				if s.N > 0 {
					some = true
					cell = number(s.Median, m.Digits)
					if x := ratio(r.values(p, w.Name, m.Name), r.values(r.Baseline, w.Name, m.Name)); x.N > 0 && p != r.Baseline {
						cell += " (" + number(x.OfMedians, 2) + "×)"
					}
				}
				row = append(row, cell)
			}
			if some {
				t.Rows = append(t.Rows, row)
			}
		}
	}
	return t
}

// shown are the metrics of a work that the summary has: the first; for reads
// the first time and the later ones; and what the server spent on each, which
// a disturbed machine changes least.
func (w Work) shown() []Metric {
	out := slices.Clone(w.Metrics[:1])
	if len(w.Metrics) > 1 && (w.Metrics[0] == First || w.Metrics[0] == FirstMBps) {
		out = append(out, w.Metrics[1])
	}
	if slices.Contains(w.Metrics, CPU) {
		out = append(out, CPU)
	}
	return out
}

// Judged is the table of the targets whose figures were measured, and tells how
// many were not.
func (r *Report) Judged() (t Table, missing int) {
	t.Head = []string{"target", "of", "wanted", "measured", "against", "ratio of medians", "median of ratios", "verdict"}
	for _, v := range r.Verdicts() {
		if v.State == notMeasured {
			missing++
			continue
		}
		row := []string{v.Text, v.Peer, v.limit(), v.Value.text(v.Metric) + " " + v.Metric.Title, "–", "–", "–", v.State}
		if v.Ratio.N > 0 {
			m := v.AgainstMetric
			if m.Name == "" {
				m = v.Metric
			}
			row[4] = number(v.OtherAt, m.Digits)
			if v.Against == BestPeer {
				row[4] += " (" + v.Other + ")"
			}
			row[5], row[6] = number(v.Ratio.OfMedians, 2), number(v.Ratio.Median, 2)
		}
		if v.State == "missed" {
			row[7] = "**missed**"
		}
		t.Rows = append(t.Rows, row)
	}
	return t, missing
}

// maxFailure bounds the text of one failure in the report; the JSON has it all.
const maxFailure = 400

// Failures is the table of runs without figures, those with the same cause in
// one row, and of operations that failed.
func (r *Report) Failures() Table {
	t := Table{Head: []string{"run", "what"}}
	at := map[string]int{}
	for _, run := range r.Runs {
		where := fmt.Sprintf("%s, round %d: ", run.Peer, run.Round)
		if run.Error != "" {
			what := strings.Join(strings.Fields(run.Error), " ")
			if i, ok := at[where+what]; ok {
				t.Rows[i][0] += ", " + run.Work
				continue
			}
			at[where+what] = len(t.Rows)
			if len(what) > maxFailure {
				what = strings.ToValidUTF8(what[:maxFailure], "") + "…"
			}
			t.Rows = append(t.Rows, []string{where + run.Work, what})
		}
		for _, k := range sortedKeys(run.Errors) {
			t.Rows = append(t.Rows, []string{where + run.Work, fmt.Sprintf("%d × %s", run.Errors[k], k)})
		}
	}
	return t
}
