package report

import (
	"fmt"
	"math"
)

// BestPeer stands for the best of the measured peers that are not altmail.
const BestPeer = "best peer"

// Target is what a figure has to reach.
type Target struct {
	Text   string // as the goal was written
	Peer   string // whose figure
	Work   string
	Metric Metric
	// Against is the peer that the figure is compared with, BestPeer, or empty
	// for an absolute Limit in the metric's unit.
	Against string
	// AgainstMetric is the other one's metric; the zero Metric: the same.
	AgainstMetric Metric
	// Limit is the factor, or the absolute figure: at least it when the metric
	// is better the higher, else at most it.
	Limit float64
}

// Verdict is how a target was met.
type Verdict struct {
	Target
	Value   Stat
	Other   string  // what it was compared with: the peer's name
	OtherAt float64 // its median
	Ratio   Ratio
	// State is "met", "missed" or "not measured".
	State string
}

const notMeasured = "not measured"

// Verdicts judges every target by the ratio of medians.
func (r *Report) Verdicts() []Verdict {
	var out []Verdict
	for _, t := range r.Targets {
		out = append(out, r.judge(t))
	}
	return out
}

func (r *Report) judge(t Target) Verdict {
	v := Verdict{Target: t, State: notMeasured, Value: r.Stat(t.Peer, t.Work, t.Metric.Name)}
	if v.Value.N == 0 {
		return v
	}
	got := v.Value.Median
	if t.Against != "" {
		m := t.AgainstMetric
		if m.Name == "" {
			m = t.Metric
		}
		v.Other = t.Against
		if t.Against == BestPeer {
			v.Other = r.best(t.Work, m)
		}
		other := r.values(v.Other, t.Work, m.Name)
		v.Ratio = ratio(r.values(t.Peer, t.Work, t.Metric.Name), other)
		if v.Ratio.N == 0 {
			return v
		}
		v.OtherAt = r.Stat(v.Other, t.Work, m.Name).Median
		got = v.Ratio.OfMedians
	}
	v.State = "missed"
	if t.Metric.Higher && got >= t.Limit || !t.Metric.Higher && got <= t.Limit {
		v.State = "met"
	}
	return v
}

// best returns the peer, not altmail, with the best median of a metric.
func (r *Report) best(work string, m Metric) string {
	name, at := "", math.NaN()
	for _, p := range r.Peers {
		if ours(p.Name) {
			continue
		}
		s := r.Stat(p.Name, work, m.Name)
		if s.N == 0 {
			continue
		}
		if name == "" || m.Higher && s.Median > at || !m.Higher && s.Median < at {
			name, at = p.Name, s.Median
		}
	}
	return name
}

// limit is the target's bound for people.
func (t Target) limit() string {
	sign := "≤"
	if t.Metric.Higher {
		sign = "≥"
	}
	if t.Against == "" {
		return fmt.Sprintf("%s %s %s", sign, number(t.Limit, t.Metric.Digits), t.Metric.Title)
	}
	who := t.Against
	if t.AgainstMetric.Name != "" {
		who += " " + t.AgainstMetric.Title
	}
	return fmt.Sprintf("%s %s × %s", sign, number(t.Limit, 2), who)
}

// The targets are those of a three-node cluster and of one node on one
// machine that is shared with the clients.
const (
	three    = "altmail-3"
	one      = "altmail-1"
	zstd     = "dovecot-sdbox-zstd"
	crypt    = "dovecot-sdbox-zstd-crypt"
	cyrusImp = "cyrus"
)

// Targets is what altmail has to reach.
func Targets() []Target {
	var out []Target
	add := func(t Target) { out = append(out, t) }
	for _, c := range []string{"16", "64"} {
		for _, m := range []struct {
			mix                string
			three, crypt, lone float64
		}{{"text", 2, 4, 4}, {"mixed", 1.5, 3, 2}} {
			work := "deliver." + m.mix + ".c" + c
			text := "durable delivery, " + m.mix + ", " + c + " connections"
			add(Target{Text: text + ", 3 nodes", Peer: three, Work: work, Metric: Rate, Against: zstd, Limit: m.three})
			add(Target{Text: text + ", 3 nodes", Peer: three, Work: work, Metric: Rate, Against: crypt, Limit: m.crypt})
			add(Target{Text: text + ", 1 node", Peer: one, Work: work, Metric: Rate, Against: zstd, Limit: m.lone})
		}
	}
	add(Target{Text: "delivery latency, 1 connection, 3 nodes, text", Peer: three, Work: "deliver.text.c1", Metric: P50, Against: zstd, Limit: 1.5})
	add(Target{Text: "its tail", Peer: three, Work: "deliver.text.c1", Metric: P99, Against: three, AgainstMetric: P50, Limit: 3})
	for _, mix := range []string{"mixed", "text"} {
		add(Target{Text: "APPEND, " + mix + ", 16 connections, 3 nodes", Peer: three, Work: "append." + mix + ".c16", Metric: Rate, Against: zstd, Limit: 1})
	}
	add(Target{Text: "single-message STORE, 1 connection, 3 nodes", Peer: three, Work: "store.c1", Metric: Rate, Against: zstd, Limit: 0.5})
	add(Target{Text: "single-message STORE, 16 connections, 3 nodes", Peer: three, Work: "store.c16", Metric: Rate, Against: zstd, Limit: 2})
	for _, w := range []struct{ work, text string }{
		{"read.flags", "FETCH 1:* FLAGS"}, {"read.envelope", "ENVELOPE"}, {"read.bodystructure", "BODYSTRUCTURE"},
		{"read.headers", "header list"}, {"read.search-subject", "SEARCH SUBJECT"},
	} {
		add(Target{Text: "10,000 messages, " + w.text + ", first time", Peer: three, Work: w.work, Metric: First, Against: BestPeer, AgainstMetric: Warm, Limit: 1})
		add(Target{Text: "10,000 messages, " + w.text + ", again", Peer: three, Work: w.work, Metric: Warm, Against: BestPeer, Limit: 1})
	}
	add(Target{Text: "whole-mailbox BODY.PEEK[], first time", Peer: three, Work: "read.body-all", Metric: FirstMBps, Against: zstd, Limit: 1})
	add(Target{Text: "whole-mailbox BODY.PEEK[], again", Peer: three, Work: "read.body-all", Metric: WarmMBps, Against: zstd, Limit: 1})
	add(Target{Text: "delivery at node 1 → EXISTS on an IDLE at node 3", Peer: three, Work: "idle.exists", Metric: P50, Limit: 10})
	add(Target{Text: "its tail", Peer: three, Work: "idle.exists", Metric: P99, Limit: 50})
	add(Target{Text: "logins, TLS, 8 connections", Peer: three, Work: "login.c8", Metric: Rate, Against: zstd, Limit: 5})
	add(Target{Text: "logins, TLS, 8 connections", Peer: three, Work: "login.c8", Metric: Rate, Against: cyrusImp, Limit: 1})
	add(Target{Text: "memory per idle TLS IMAP connection", Peer: three, Work: "idle.memory", Metric: PSS, Limit: 40})
	add(Target{Text: "disk per raw byte and node, mixed", Peer: three, Work: "disk.mixed", Metric: DiskPerRaw, Against: zstd, Limit: 0.95})
	add(Target{Text: "disk per raw byte and node, text", Peer: three, Work: "disk.text", Metric: DiskPerRaw, Against: zstd, Limit: 0.7})
	return out
}
