package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"altmail.se/altmail/bench/corpus"
	"altmail.se/altmail/bench/report"
)

// works returns what of a job is measured at a peer in a round: in the first
// round everything, in later ones what a target compares, for it is its median
// that counts. Full, or works chosen by name, are measured in every round.
func (o *Options) works(round int, peer string, j job) []report.Work {
	var out []report.Work
	all := o.Full || len(o.Works) > 0
	for _, w := range j.works {
		switch {
		case !o.wants(w.Name):
		case all, round == 1 && !dear(peer, w.Name), needed(peer, w.Name):
			out = append(out, w)
		}
	}
	return out
}

// needed tells whether a target compares a peer's figure.
func needed(peer, work string) bool {
	return slices.ContainsFunc(report.Targets(), func(t report.Target) bool {
		return t.Work == work && (t.Peer == peer || t.Against == peer ||
			t.Against == report.BestPeer && !strings.HasPrefix(peer, "altmail") && !dear(peer, work))
	})
}

// dear tells what takes minutes and nobody waits for: mail_crypt opens each
// message again for every ENVELOPE; text on disk is compared at two peers only.
func dear(peer, work string) bool {
	return work == "disk.text" || strings.HasSuffix(peer, "-crypt") && (strings.HasPrefix(work, "read.") || work == "disk.mixed")
}

// patience bounds how long one work of reading is repeated.
const patience = 15 * time.Second

// What starting, filling and reading take on two cores, roughly; of delivery
// and its like it is known.
const (
	startTime   = 5 * time.Second // with stopping and wiping
	warmTime    = 8 * time.Second // the first messages, and settling
	copyRate    = 250e6           // octets of mail a second, of one copy of the large mailbox
	mixedSize   = 90e3
	fillRate    = 250.0 // messages a second, mixed
	textRate    = 700.0
	connectTime = 6 * time.Millisecond
)

// readTime is what a work of reading 10,000 messages takes, repeats included.
func readTime(work string) time.Duration {
	switch work {
	case "read.body-all", "read.body-random":
		return 15 * time.Second
	case "read.envelope", "read.bodystructure", "read.headers":
		return 2 * time.Second
	}
	return time.Second / 2
}

// guess tells about how long a job takes, when nothing is known of it.
func (o *Options) guess(j job, only bool) time.Duration {
	work := o.Duration + min(time.Second, o.Duration/2) + time.Second
	switch {
	case j.name == "read":
		var sum time.Duration
		for _, w := range j.works {
			sum += readTime(w.Name)
		}
		return time.Duration(float64(sum) * float64(o.Messages) / 10_000)
	case j.name == "idle.memory":
		return 5*time.Second + time.Duration(o.Idle)*connectTime
	case j.name == "disk."+string(corpus.Text):
		return time.Duration(3*float64(o.Messages)/textRate*float64(time.Second)) + 5*time.Second
	case j.name == "disk."+string(corpus.Mixed):
		return time.Duration(float64(o.Messages)/fillRate*float64(time.Second)) + 5*time.Second
	case only:
		return work + work/2 // its queue is waited for
	}
	return work
}

// stageTime is about how long a stage takes; took tells what is known of jobs.
func (o *Options) stageTime(p Peer, st stage, todo []job, took map[string]time.Duration) time.Duration {
	d := startTime
	switch st {
	case fresh:
		d += warmTime
	case filled:
		copies := 1.0
		if strings.HasSuffix(p.Name(), "-3") {
			copies = 3
		}
		d += time.Duration(copies * float64(o.Messages) * mixedSize / copyRate * float64(time.Second))
	}
	for _, j := range todo {
		if known, ok := took[p.Name()+" "+j.name]; ok {
			d += known
			continue
		}
		d += o.guess(j, p.DeliveryOnly())
	}
	return d
}

// progressed is how far a comparison has come against what was thought.
type progressed struct {
	thought, took time.Duration
}

// factor corrects a guess by what was seen, once that is something.
func (p progressed) factor() float64 {
	if p.thought < 30*time.Second {
		return 1
	}
	return p.took.Seconds() / p.thought.Seconds()
}

// left is about how long what is left from a round on takes.
func (c *Comparison) left(from int, p progressed) (time.Duration, error) {
	took, err := c.known()
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for round := from; round <= c.opts.Rounds; round++ {
		for _, p := range c.peers {
			for st := empty; st <= filled; st++ {
				todo, err := c.todo(round, p, st)
				if err != nil {
					return 0, err
				}
				if len(todo) > 0 {
					sum += c.opts.stageTime(p, st, todo, took)
				}
			}
		}
	}
	return time.Duration(float64(sum) * p.factor()), nil
}

// known returns how long jobs took in this comparison, by peer and job, the
// last round's. A later round may do less of a job than the first one did.
func (c *Comparison) known() (map[string]time.Duration, error) {
	out := map[string]time.Duration{}
	for round := 1; round <= c.opts.Rounds; round++ {
		for _, p := range c.peers {
			for _, j := range c.jobs {
				runs, err := readRuns(c.path(round, p.Name(), j.name))
				if errors.Is(err, os.ErrNotExist) {
					continue
				}
				if err != nil {
					return nil, err
				}
				var sum float64
				for _, r := range runs {
					if slices.ContainsFunc(c.opts.works(2, p.Name(), j), func(w report.Work) bool { return w.Name == r.Work }) {
						sum += r.Took
					}
				}
				if sum > 0 {
					out[p.Name()+" "+j.name] = time.Duration(sum * float64(time.Second))
				}
			}
		}
	}
	return out, nil
}

// round does what is not done yet in one round.
func (c *Comparison) round(ctx context.Context, round int, seen *progressed) error {
	left, err := c.left(round, *seen)
	if err != nil {
		return err
	}
	if left > 0 {
		c.say("round %d of %d; about %s left", round, c.opts.Rounds, left.Round(time.Minute/2))
	}
	for _, p := range c.peers {
		for st := empty; st <= filled; st++ {
			todo, err := c.todo(round, p, st)
			if err != nil {
				return err
			}
			if len(todo) == 0 {
				continue
			}
			took, err := c.known()
			if err != nil {
				return err
			}
			thought, began := c.opts.stageTime(p, st, todo, took), time.Now()
			if err := c.stage(ctx, round, p, st, todo); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			seen.thought += thought
			seen.took += time.Since(began)
		}
	}
	return nil
}

// scope says what the rounds after the first leave out.
func (o *Options) scope() string {
	if o.Full || len(o.Works) > 0 || o.Rounds == 1 {
		return fmt.Sprintf("%d rounds", o.Rounds)
	}
	return fmt.Sprintf("%d rounds, of figures that no target compares only the first one (--full: all)", o.Rounds)
}
