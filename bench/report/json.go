package report

import (
	"encoding/json"
	"io"
	"time"
)

// JSON writes everything: machine, peers, verdicts and every run. Its field
// names are stable: fields are only added.
func (r *Report) JSON(w io.Writer) error {
	type verdict struct {
		Target  string  `json:"target"`
		Peer    string  `json:"peer"`
		Work    string  `json:"work"`
		Metric  string  `json:"metric"`
		Wanted  string  `json:"wanted"`
		Median  float64 `json:"median"`
		Other   string  `json:"against,omitempty"`
		OtherAt float64 `json:"against_median,omitempty"`
		Ratio   float64 `json:"ratio_of_medians,omitempty"`
		Ratios  float64 `json:"median_of_ratios,omitempty"`
		State   string  `json:"verdict"`
	}
	out := struct {
		Title    string    `json:"title"`
		Date     time.Time `json:"date"`
		Command  string    `json:"command,omitempty"`
		Baseline string    `json:"baseline"`
		Machine  Machine   `json:"machine"`
		Peers    []Peer    `json:"peers"`
		Verdicts []verdict `json:"verdicts"`
		Runs     []Run     `json:"runs"`
	}{r.Title, r.Date, r.Command, r.Baseline, r.Machine, r.Peers, []verdict{}, r.Runs}
	for _, v := range r.Verdicts() {
		out.Verdicts = append(out.Verdicts, verdict{
			v.Text, v.Peer, v.Work, v.Metric.Name, v.limit(), v.Value.Median, v.Other, v.OtherAt,
			v.Ratio.OfMedians, v.Ratio.Median, v.State,
		})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", " ")
	return enc.Encode(out)
}
