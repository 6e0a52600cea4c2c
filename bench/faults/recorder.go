package faults

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"altmail.se/altmail/bench/faults/check"
)

// recorder keeps the history of a run. Its methods may be called at any time
// from any goroutine.
type recorder struct {
	begin time.Time
	log   io.Writer // of what was done to the cluster, a line each

	mu     sync.Mutex
	h      check.History
	ops    int
	names  int
	counts map[check.Outcome]int
	slow   []time.Duration // of answered changes since the last round
}

func newRecorder(log io.Writer) *recorder {
	return &recorder{
		begin: time.Now(), log: log, counts: map[check.Outcome]int{},
		h: check.History{Known: map[check.Place]map[uint32]string{}, Validity: map[check.Place]uint32{}},
	}
}

func (r *recorder) now() time.Duration { return time.Since(r.begin) }

// name makes the name of a new message.
func (r *recorder) name() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names++
	return fmt.Sprintf("m%07d", r.names)
}

// add records an operation that has ended and returns its number.
func (r *recorder) add(op check.Op) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops++
	op.ID = r.ops
	r.h.Ops = append(r.h.Ops, op)
	if op.Kind != check.Look && op.Kind != check.Fetch {
		r.counts[op.Outcome]++
		if op.Outcome == check.Answered {
			r.slow = append(r.slow, op.End-op.Start)
		}
	}
	return op.ID
}

// say writes a line to the log of what is done.
func (r *recorder) say(format string, a ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write(format, a...)
}

func (r *recorder) write(format string, a ...any) {
	// A log that can't be written must not end a run that finds something.
	if _, err := fmt.Fprintf(r.log, "%10.3f %s\n", time.Since(r.begin).Seconds(), fmt.Sprintf(format, a...)); err != nil {
		fmt.Fprintln(os.Stderr, "faults: log:", err)
	}
}

// fault records that something is done to the cluster until over is called.
// silent are the nodes that have no majority meanwhile.
func (r *recorder) fault(text string, silent ...string) (over func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.write("%s", text)
	i := len(r.h.Faults)
	r.h.Faults = append(r.h.Faults, check.Fault{From: r.now(), To: 1 << 62, Text: text, Silent: silent})
	return sync.OnceFunc(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.h.Faults[i].To = r.now()
		r.write("over: %s", text)
	})
}

// history returns what was recorded so far.
func (r *recorder) history() *check.History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.h
	h.Ops, h.Faults = slices.Clone(h.Ops), slices.Clone(h.Faults)
	return &h
}

// latency returns the median and the 99th percentile of answered changes since
// it was last called, and how many there were.
func (r *recorder) latency() (p50, p99 time.Duration, n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.slow
	r.slow = nil
	if len(s) == 0 {
		return 0, 0, 0
	}
	slices.Sort(s)
	return s[len(s)/2], s[len(s)*99/100], len(s)
}

// total counts operations by outcome since the beginning.
func (r *recorder) total() (answered, refused, unknown int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[check.Answered], r.counts[check.Refused], r.counts[check.Unknown]
}

// forget shortens the history to what later rounds need: the messages that
// rest shows, as if they had just been stored with the flags they have, what
// may still happen of this round, and the owners of all UIDs.
func (r *recorder) forget(rest []check.Op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	created := map[check.Place]map[string]check.Op{}
	for _, op := range r.h.Ops {
		for _, to := range op.To {
			if created[to] == nil {
				created[to] = map[string]check.Op{}
			}
			created[to][op.Msg] = op
		}
	}
	var ops []check.Op
	for _, l := range rest {
		p, v := l.From, l.View
		r.h.Validity[p] = v.Validity
		if r.h.Known[p] == nil {
			r.h.Known[p] = map[uint32]string{}
		}
		there := map[string]bool{}
		for _, row := range v.Rows {
			r.h.Known[p][row.UID] = row.Msg
			there[row.Msg] = true
			op := created[p][row.Msg]
			ops = append(ops, check.Op{
				ID: op.ID, Client: op.Client, Node: op.Node, Kind: check.Append, Start: op.Start, End: op.End, Outcome: check.Answered,
				Note: "of an earlier round", Msg: row.Msg, To: []check.Place{p}, ToUID: row.UID, Validity: v.Validity, Flags: row.Flags,
				Later: op.Later || op.Outcome != check.Answered,
			})
		}
		for msg, op := range created[p] {
			if op.ToUID != 0 {
				r.h.Known[p][op.ToUID] = msg
			}
			// What was never answered may come for one more round; so may
			// what is to be done to messages that are there.
			if !there[msg] && op.Outcome == check.Unknown && op.Kind != check.Move && l.Start-op.Start < keepUnknown {
				op.To = []check.Place{p}
				ops = append(ops, op)
			}
		}
		for _, op := range r.h.Ops {
			pending := op.Kind == check.Store || op.Kind == check.Expunge
			if pending && op.From == p && op.Outcome == check.Unknown && there[op.Msg] && l.Start-op.Start < keepUnknown {
				ops = append(ops, op)
			}
		}
		l.View = &check.View{Validity: v.Validity, Next: v.Next, Highest: v.Highest, Rows: v.Rows}
		ops = append(ops, l)
	}
	slices.SortStableFunc(ops, func(a, b check.Op) int { return int(a.Start - b.Start) })
	r.h.Ops = ops
	r.h.Faults = slices.DeleteFunc(r.h.Faults, func(f check.Fault) bool { return f.To < r.now() })
}

// keepUnknown is how long after it was asked for a change without an answer
// may still happen. The dedupe window of a retry inside the cluster is longer;
// all clients' connections and proposals are gone by then.
const keepUnknown = 2 * time.Minute

// save writes the history as JSON lines.
func (r *recorder) save(dir string) error {
	h := r.history()
	f, err := os.Create(filepath.Join(dir, "history.jsonl"))
	if err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	for _, x := range h.Faults {
		if err := enc.Encode(x); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	for _, op := range h.Ops {
		if err := enc.Encode(op); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}
