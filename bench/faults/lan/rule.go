package lan

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Rule is what happens to packets that go one way between two hosts. The zero
// Rule lets all pass at once.
type Rule struct {
	// Cut drops everything.
	Cut bool
	// Delay is how long a packet is under way; to it comes up to Jitter, the
	// order of packets unchanged.
	Delay, Jitter time.Duration
	// Loss, Duplicate and Reorder are probabilities of a packet being dropped,
	// sent twice, or held back so that later ones overtake it.
	Loss, Duplicate, Reorder float64
	// Bandwidth is in bytes per second, 0 is unlimited. What would wait longer
	// than queueTime is dropped.
	Bandwidth int64
}

const (
	queueTime   = 200 * time.Millisecond
	overtakenBy = 5 * time.Millisecond // how long a reordered packet is held back at least
)

// String names what a rule does, for logs.
func (r Rule) String() string {
	var w []string
	say := func(is bool, format string, a ...any) {
		if is {
			w = append(w, fmt.Sprintf(format, a...))
		}
	}
	say(r.Cut, "cut")
	say(r.Delay > 0 || r.Jitter > 0, "%s+%s", r.Delay, r.Jitter)
	say(r.Loss > 0, "loss %.3g", r.Loss)
	say(r.Duplicate > 0, "dup %.3g", r.Duplicate)
	say(r.Reorder > 0, "reorder %.3g", r.Reorder)
	say(r.Bandwidth > 0, "%d B/s", r.Bandwidth)
	if w == nil {
		return "clear"
	}
	return strings.Join(w, " ")
}

// plain reports whether packets may pass without any treatment.
func (r *Rule) plain() bool { return *r == Rule{} }

// wire is one direction between two hosts; used by the reader of the sending
// host alone.
type wire struct {
	rng  *rand.Rand
	last time.Time // when the packet before arrives
	free time.Time // when the line has sent what was given to it
}

// pass decides when a packet of n bytes that is sent now arrives: not at all,
// once or twice. A zero time means at once.
func (w *wire) pass(r *Rule, now time.Time, n int) (at [2]time.Time, times int) {
	if r.Cut || r.Loss > 0 && w.rng.Float64() < r.Loss {
		return at, 0
	}
	due := now
	if r.Bandwidth > 0 {
		if w.free.Before(now) {
			w.free = now
		}
		if w.free.Sub(now) > queueTime {
			return at, 0
		}
		w.free = w.free.Add(time.Duration(float64(n) / float64(r.Bandwidth) * 1e9))
		due = w.free
	}
	due = due.Add(r.Delay)
	if r.Jitter > 0 {
		due = due.Add(time.Duration(w.rng.Int64N(int64(r.Jitter))))
	}
	if r.Reorder > 0 && w.rng.Float64() < r.Reorder {
		due = due.Add(overtakenBy + time.Duration(w.rng.Int64N(int64(2*overtakenBy))))
	} else {
		if due.Before(w.last) {
			due = w.last
		}
		w.last = due
	}
	at[0], times = due, 1
	if r.Duplicate > 0 && w.rng.Float64() < r.Duplicate {
		at[1], times = due.Add(time.Millisecond), 2
	}
	return at, times
}

// Profile gives the rule of an undisturbed wire between the i-th and the j-th
// node.
type Profile func(i, j int) Rule

// Flat is a switch in one room.
func Flat(int, int) Rule { return Rule{} }

// Nordic places nodes in Stockholm, Oslo and Helsinki in turn: 4 to 5 ms one
// way from Stockholm, 9 ms between the others, 0.3 ms within a town.
func Nordic(i, j int) Rule {
	const stockholm, oslo, helsinki = 0, 1, 2
	d := 300 * time.Microsecond
	switch a, b := min(i%3, j%3), max(i%3, j%3); {
	case a == b:
	case a == stockholm && b == oslo:
		d = 4200 * time.Microsecond
	case a == stockholm && b == helsinki:
		d = 4800 * time.Microsecond
	case a == oslo && b == helsinki:
		d = 9 * time.Millisecond
	}
	return Rule{Delay: d, Jitter: d / 10}
}
