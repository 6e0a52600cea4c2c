package load

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteGrowthTable writes the points of a growth for people; factors are
// against the first one.
func WriteGrowthTable(w io.Writer, rs ...*Result) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(tw, "MESSAGES\tACCOUNTS\tONE OP/S\tCPU MS/OP\tP99 MS\tALL OP/S\tCPU MS/OP\tP99 MS\tSELECT MS\tAGAIN\tRSS MB/NODE\tDISK MB/NODE\tFILL/S")
	var base *GrowthPoint
	for _, r := range rs {
		p := r.Growth
		if p == nil {
			continue
		}
		if base == nil {
			base = p
		}
		var rss, disk float64
		if len(p.RSS) > 0 {
			rss = float64(p.RSS[0]) / 1e6
		}
		if p.DataDirs > 0 {
			disk = float64(p.Disk) / float64(p.DataDirs) / 1e6
		}
		f := func(v, b float64) string { return fmt.Sprintf("%.2f (%.2f ×)", v, over(v, b)) }
		fmt.Fprintf(tw, "%d\t%d\t%s\t%s\t%.1f\t%s\t%s\t%.1f\t%s\t%s\t%.0f\t%.0f\t%.0f\n",
			p.Stage.Messages, p.Stage.Accounts,
			f(p.One.Rate, base.One.Rate), f(p.One.CPU, base.One.CPU), p.One.P99,
			f(p.All.Rate, base.All.Rate), f(p.All.CPU, base.All.CPU), p.All.P99,
			f(p.First, base.First), f(p.Again, base.Again), rss, disk, p.FillRate)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for _, r := range rs {
		if p := r.Growth; p != nil && p.Few != nil {
			if _, err := fmt.Fprintf(w, "at %d accounts, delivery to the first %d of them only: %.0f op/s, %.2f ms CPU/op\n",
				p.Stage.Accounts, base.Stage.Accounts, p.Few.Rate, p.Few.CPU); err != nil {
				return err
			}
		}
	}
	return nil
}
