package report

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// Markdown writes the whole report. Images are named by plots, file names
// relative to where the report will be; none: no images.
func (r *Report) Markdown(w io.Writer, plots []string) error {
	var s strings.Builder
	put := func(format string, a ...any) { fmt.Fprintf(&s, format, a...) }
	var failed error
	table := func(t Table) {
		failed = errors.Join(failed, t.Markdown(&s))
		s.WriteString("\n")
	}
	put("# %s\n\n%s. One server at a time, clients on the same machine, the same work in turn over the rounds. "+
		"Figures are medians over the rounds [min–max]; ratios are against %s in the same run: of medians, and in parentheses the median of the rounds' own ratios.\n\n",
		r.Title, r.Date.UTC().Format("2006-01-02"), r.Baseline)
	if r.Command != "" {
		put("    %s\n\n", r.Command)
	}
	m := r.Machine
	put("Machine: %s, %d cores, %.0f GiB, %s, Linux %s, %s. 4 KB overwrite and fdatasync: %s a second with 1 writer, %s with 16.\n\n",
		m.CPU, m.Cores, float64(m.Memory)/(1<<30), m.System, m.Kernel, m.FileSystem, number(m.Syncs, 0), number(m.Syncs16, 0))
	if q := r.Quiet(); q != "" {
		put("%s\n\n", q)
	}
	peers := Table{Head: []string{"peer", "version", "how it is set up"}}
	var skipped []Peer
	for _, p := range r.Peers {
		if p.Skipped != "" {
			skipped = append(skipped, p)
			continue
		}
		peers.Rows = append(peers.Rows, []string{p.Name, p.Version, p.Note})
	}
	table(peers)
	for _, p := range skipped {
		put("%s was not measured: %s.\n\n", p.Name, p.Skipped)
	}
	if len(r.Targets) > 0 {
		t, missing := r.Judged()
		put("## Targets\n\n")
		table(t)
		if missing > 0 {
			put("%d more were not measured.\n\n", missing)
		}
	}
	put("## Summary\n\n")
	table(r.Summary())
	for _, p := range plots {
		put("![%s](%s)\n\n", strings.TrimSuffix(p[strings.LastIndex(p, "/")+1:], ".svg"), p)
	}
	put("## Figures\n\n")
	for _, work := range r.Works {
		if t := r.Figures(work); len(t.Rows) > 0 {
			put("### %s\n\n", work.Title)
			table(t)
		}
	}
	if f := r.Failures(); len(f.Rows) > 0 {
		put("## Failures\n\n")
		table(f)
	}
	_, err := io.WriteString(w, s.String())
	return errors.Join(failed, err)
}

// Text writes verdicts and summary for a terminal.
func (r *Report) Text(w io.Writer) error {
	if err := r.Summary().Text(w); err != nil {
		return err
	}
	for _, p := range r.Peers {
		if p.Skipped != "" {
			if _, err := fmt.Fprintf(w, "%s was not measured: %s\n", p.Name, p.Skipped); err != nil {
				return err
			}
		}
	}
	if q := r.Quiet(); q != "" {
		if _, err := fmt.Fprintln(w, q); err != nil {
			return err
		}
	}
	if len(r.Targets) > 0 {
		if _, err := fmt.Fprintln(w); err != nil {
			return err
		}
		t, missing := r.Judged()
		if err := t.Text(w); err != nil {
			return err
		}
		if missing > 0 {
			if _, err := fmt.Fprintf(w, "%d more targets were not measured\n", missing); err != nil {
				return err
			}
		}
	}
	f := r.Failures()
	if len(f.Rows) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return f.Text(w)
}
