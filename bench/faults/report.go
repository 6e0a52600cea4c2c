package faults

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"altmail.se/altmail/bench/faults/check"
)

// keep writes down everything about a failure.
func (r *trial) keep() error {
	r.res.Dir = r.o.Dir
	errs := []error{r.rec.save(r.o.Dir)}
	var b strings.Builder
	r.explain(&b)
	errs = append(errs, os.WriteFile(filepath.Join(r.o.Dir, "violation.txt"), []byte(b.String()), 0o600))
	if _, err := io.WriteString(r.o.Progress, b.String()); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// explain tells what was broken, with what was near it.
func (r *trial) explain(b *strings.Builder) {
	fmt.Fprintf(b, "seed %d, round %d, everything is kept in %s\n", r.o.Seed, r.res.Rounds, r.o.Dir)
	if r.res.Failure != "" {
		fmt.Fprintf(b, "failure: %s\n", r.res.Failure)
	}
	for _, v := range r.res.Violations[:min(20, len(r.res.Violations))] {
		fmt.Fprintf(b, "violation: %s\n", v)
	}
	if len(r.res.Violations) > 0 {
		ops, faults := check.Around(r.rec.history(), r.res.Violations[0])
		fmt.Fprintf(b, "\naround the first of %d:\n", len(r.res.Violations))
		for _, f := range faults {
			fmt.Fprintf(b, "  %9.3f-%.3f %s\n", f.From.Seconds(), min(f.To, r.rec.now()).Seconds(), f.Text)
		}
		for _, op := range ops[:min(len(ops), 200)] {
			fmt.Fprintf(b, "  %s\n", opLine(op))
		}
	}
	for _, n := range r.c.Nodes {
		fmt.Fprintf(b, "\n--- end of the log of %s (%s)\n%s\n", n.Name, filepath.Join(filepath.Dir(n.Config), "log"), clip(n.Log(15)))
	}
}

func opLine(op check.Op) string {
	s := fmt.Sprintf("%9.3f-%.3f op %d %s at %s: %s %s", op.Start.Seconds(), op.End.Seconds(), op.ID, op.Client, op.Node, op.Kind, op.Msg)
	if op.From != (check.Place{}) {
		s += fmt.Sprintf(" in %s", op.From)
	}
	if op.UID != 0 {
		s += fmt.Sprintf(" UID %d", op.UID)
	}
	if len(op.To) > 0 {
		s += fmt.Sprintf(" to %v", op.To)
	}
	if op.ToUID != 0 {
		s += fmt.Sprintf(" as UID %d", op.ToUID)
	}
	if op.Mode != "" {
		s += fmt.Sprintf(" %s (%s)", op.Mode, op.Flags)
	}
	if op.Since != 0 {
		s += fmt.Sprintf(" unchanged since %d", op.Since)
	}
	s += " " + string(op.Outcome)
	if op.Told != nil {
		s += fmt.Sprintf(" showed (%s) at %d", op.Told.Flags, op.Told.ModSeq)
	}
	if op.View != nil {
		s += fmt.Sprintf(" UIDNEXT %d HIGHESTMODSEQ %d", op.View.Next, op.View.Highest)
		for _, row := range op.View.Rows {
			s += fmt.Sprintf(" [UID %d %s (%s) at %d %s]", row.UID, row.Msg, row.Flags, row.ModSeq, row.Bad)
		}
		for _, row := range op.View.Kept {
			s += fmt.Sprintf(" {kept UID %d (%s) at %d}", row.UID, row.Flags, row.ModSeq)
		}
	}
	if op.Note != "" {
		s += " (" + op.Note + ")"
	}
	return s
}

// clip shortens long lines; the whole log is kept.
func clip(text string) string {
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if len(l) > 300 {
			lines[i] = l[:300] + "..."
		}
	}
	return strings.Join(lines, "\n")
}
