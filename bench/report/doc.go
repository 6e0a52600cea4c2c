// Package report turns the runs of a comparison into tables, plots and
// verdicts. Everything in it is a pure function of what was measured: the same
// runs give the same bytes.
package report
