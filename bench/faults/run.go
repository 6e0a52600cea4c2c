package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"altmail.se/altmail/bench/faults/check"
	"altmail.se/altmail/bench/faults/client"
	"altmail.se/altmail/bench/faults/disk"
	"altmail.se/altmail/bench/faults/lan"
)

// Run makes a cluster and hurts it in rounds: faults under load, heal, verify.
// A broken promise is in the Result; the error tells what kept the run itself
// from being done.
func Run(ctx context.Context, o Options) (*Result, error) {
	r := &trial{o: o, res: &Result{Seed: o.Seed, Faults: map[string]int{}}}
	if err := r.prepare(); err != nil {
		return r.res, err
	}
	begin := time.Now()
	err := r.all(ctx)
	r.res.Seconds = time.Since(begin).Seconds()
	if r.rec != nil {
		r.res.Answered, r.res.Refused, r.res.Unknown = r.rec.total()
	}
	return r.res, err
}

// trial is one Run.
type trial struct {
	o     Options
	res   *Result
	kinds []kind
	rec   *recorder
	c     *Cluster
	field *field
	load  *load
	watch *worker // looks when all is at rest
	disks bool    // some kind needs them

	mu sync.Mutex // of res.Faults
}

func (r *trial) prepare() error {
	o := &r.o
	if o.Round == 0 {
		o.Round = 20 * time.Second
	}
	if o.Nodes == 0 {
		o.Nodes = 3
	}
	if o.Accounts == 0 {
		o.Accounts = 3
	}
	if o.Heal == 0 {
		o.Heal = 2 * time.Minute
	}
	if o.Erase == 0 {
		o.Erase = 2 * time.Minute
	}
	if o.LogEntries == 0 {
		o.LogEntries = 256
	}
	if o.Think == 0 {
		o.Think = 150 * time.Millisecond
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	all := kinds()
	for _, name := range o.Faults {
		if !slices.ContainsFunc(all, func(k kind) bool { return k.name == name }) {
			return fmt.Errorf("no kind of fault is called %q; there are %s", name, strings.Join(KindNames(), " "))
		}
	}
	for _, k := range all {
		if len(o.Faults) > 0 && !slices.Contains(o.Faults, k.name) {
			continue
		}
		if k.lan && o.Plain {
			r.res.Left = append(r.res.Left, k.name+": no network of namespaces")
			continue
		}
		if k.disk && o.NoDisks {
			r.res.Left = append(r.res.Left, k.name+": no disks of our own")
			continue
		}
		if k.name == "joinleave" && o.Plain {
			r.res.Left = append(r.res.Left, k.name+": no network of namespaces")
			continue
		}
		r.disks = r.disks || k.disk
		r.kinds = append(r.kinds, k)
	}
	if len(r.kinds) == 0 {
		return errors.New("no fault is left to do: " + strings.Join(r.res.Left, "; "))
	}
	return nil
}

func (r *trial) all(ctx context.Context) (err error) {
	if err := os.MkdirAll(r.o.Dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(r.o.Dir, "faults.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	r.rec = newRecorder(log)
	rules, ok := diskRules[r.o.Rules]
	if !ok {
		rules = []disk.Rules{disk.POSIX, disk.Loose, disk.Ext4}[r.o.Seed%3]
	}
	l := Launch{
		Bin: r.o.Bin, Dir: r.o.Dir, Nodes: r.o.Nodes, Seed: r.o.Seed, Accounts: r.o.Accounts, Plain: r.o.Plain,
		LogEntries: r.o.LogEntries, EraseWithin: r.o.Erase, Log: r.o.Log,
		Disks: r.disks, DiskRules: rules,
	}
	if r.o.Nordic {
		l.Wires = lan.Nordic
	}
	sctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if r.c, err = l.Start(sctx); err != nil {
		return err
	}
	defer func() {
		if serr := r.c.Stop(); serr != nil && err == nil {
			err = fmt.Errorf("stop: %w", serr)
		}
	}()
	if err := r.onlyPossible(sctx); err != nil {
		return err
	}
	if r.field, err = newField(r.c, r.rec); err != nil {
		return err
	}
	r.field.calm()
	r.load = &load{c: r.c, rec: r.rec, seed: r.o.Seed, think: r.o.Think, groups: map[string]uint32{}}
	r.load.serving(r.c.Nodes)
	r.field.serving, r.field.patience = r.load.serving, r.o.Heal*3/2
	r.watch = &worker{load: r.load, name: "verifier", rng: rand.New(rand.NewPCG(r.o.Seed, 999)), rows: map[string][]check.Row{}, used: map[string]bool{}, kept: map[string]*replica{}}
	if err := r.mailboxes(sctx); err != nil {
		return err
	}
	r.load.start()
	defer r.load.end()
	rng := rand.New(rand.NewPCG(r.o.Seed, 0))
	for begin := time.Now(); ctx.Err() == nil && (r.res.Rounds == 0 || time.Since(begin) < r.o.Duration); {
		r.res.Rounds++
		ok, err := r.round(ctx, rng)
		if err != nil && ctx.Err() != nil {
			return nil // asked to end
		}
		if err != nil {
			for _, n := range r.c.Nodes {
				if ended, how := n.Ended(); ended {
					err = fmt.Errorf("%w; %s has ended: %w", err, n.Name, errors.Join(how, errEnded))
				}
			}
			r.res.Failure = err.Error()
		}
		if err != nil || !ok {
			return r.keep()
		}
	}
	return nil
}

// onlyPossible leaves out the faults that need a build this binary is not.
func (r *trial) onlyPossible(ctx context.Context) error {
	ok, err := r.c.clocks(ctx)
	if err != nil || ok {
		return err
	}
	r.kinds = slices.DeleteFunc(r.kinds, func(k kind) bool {
		if k.tag {
			r.res.Left = append(r.res.Left, k.name+": the binary has no build tag faults")
		}
		return k.tag
	})
	if len(r.kinds) == 0 {
		return errors.New("no fault is left to do: " + strings.Join(r.res.Left, "; "))
	}
	return nil
}

// mailboxes makes the mailboxes of every account and learns where they live.
func (r *trial) mailboxes(ctx context.Context) error {
	for _, a := range r.c.Accounts {
		g, err := r.c.AccountGroup(ctx, r.c.Nodes[0], a.Address)
		if err != nil {
			return err
		}
		r.load.groups[a.Address] = g
		c, err := client.DialIMAP(r.c.Nodes[0].IMAP, a.Address, a.Password, answerTime)
		if err != nil {
			return err
		}
		for _, box := range mailboxes[1:] {
			if _, err := c.Do("CREATE " + box); err != nil {
				return errors.Join(err, c.Close())
			}
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

// round hurts, heals and verifies once.
func (r *trial) round(ctx context.Context, rng *rand.Rand) (bool, error) {
	if err := r.sweep(); err != nil {
		return false, err
	}
	begin := time.Now()
	was := r.counts()
	if err := r.hurt(ctx, rng); err != nil {
		return false, err
	}
	r.rec.say("healing")
	r.field.calm()
	hctx, cancel := context.WithTimeout(ctx, r.o.Heal)
	defer cancel()
	healed := time.Now()
	if err := r.healthy(hctx); err != nil {
		return false, err
	}
	if err := r.answersAgain(hctx); err != nil {
		return false, err
	}
	took := time.Since(healed)
	violations, err := r.verify(hctx)
	if err != nil {
		return false, err
	}
	a, ref, u := r.rec.total()
	p50, p99, n := r.rec.latency()
	fmt.Fprintf(r.o.Progress, "round %d  %s  answered %d refused %d unknown %d  (+%d, p50 %s p99 %s)  healthy after %s  %s\n",
		r.res.Rounds, time.Since(begin).Round(time.Second), a, ref, u, n, p50.Round(time.Millisecond), p99.Round(time.Millisecond),
		took.Round(100*time.Millisecond), r.since(was))
	r.res.Violations = violations
	return len(violations) == 0, nil
}

func (r *trial) counts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[string]int{}
	for k, v := range r.res.Faults {
		out[k] = v
	}
	return out
}

func (r *trial) since(was map[string]int) string {
	var out []string
	for _, k := range r.kinds {
		if n := r.counts()[k.name] - was[k.name]; n > 0 {
			out = append(out, fmt.Sprintf("%s×%d", k.name, n))
		}
	}
	return strings.Join(out, " ")
}

// hurt plays faults for the time of a round, one or two at a time.
func (r *trial) hurt(ctx context.Context, rng *rand.Rand) error {
	rctx, cancel := context.WithTimeout(ctx, r.o.Round)
	defer cancel()
	players := 1 + rng.IntN(2)
	errs := make([]error, players)
	var wg sync.WaitGroup
	for i := range players {
		own := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
		wg.Go(func() {
			for rctx.Err() == nil && errs[i] == nil {
				nap(rctx, between(own, 0, 2*time.Second))
				if rctx.Err() != nil {
					return
				}
				k := r.kinds[own.IntN(len(r.kinds))]
				r.mu.Lock()
				r.res.Faults[k.name]++
				r.mu.Unlock()
				if err := k.play(rctx, r.field, own); err != nil {
					errs[i] = fmt.Errorf("%s: %w", k.name, err)
					cancel()
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// healthy waits until every node says that all is well. None may end by itself
// any more, but for what its disk went through.
func (r *trial) healthy(ctx context.Context) error {
	for _, n := range r.c.Nodes {
		var ill []string
		if err := r.c.Wait(ctx, func() (bool, error) {
			if err := r.mend(); err != nil {
				return false, err
			}
			s, err := r.c.Status(ctx, n)
			if err != nil {
				return false, nil // it will be asked again
			}
			ill = s.Problems
			return s.Healthy && len(s.Nodes) == len(r.c.Nodes), nil
		}); err != nil {
			return fmt.Errorf("%s: not healthy: %w: %s", n.Name, err, strings.Join(ill, "; "))
		}
	}
	return nil
}

// mend starts again what ended with an excuse.
func (r *trial) mend() error {
	for _, n := range r.c.Nodes {
		if err := r.field.mend(n); err != nil {
			return err
		}
	}
	return nil
}

// answersAgain demands that every node takes mail for every account.
func (r *trial) answersAgain(ctx context.Context) error {
	for _, n := range r.c.Nodes {
		for _, a := range r.c.Accounts {
			r.watch.account = a
			if err := r.c.Wait(ctx, func() (bool, error) { return r.watch.deliverTo(n, []string{a.Address}), r.mend() }); err != nil {
				return fmt.Errorf("%s takes no mail for %s again: %w", n.Name, a.Address, err)
			}
		}
	}
	return nil
}

// at opens the verifier's session at a node.
func (r *trial) at(n *Node, a Account) error {
	r.watch.drop()
	c, err := client.DialIMAP(n.IMAP, a.Address, a.Password, answerTime)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", n.Name, a.Address, err)
	}
	r.watch.node, r.watch.imap, r.watch.account = n, c, a
	return nil
}

// verify lets the clients rest and compares everything with everything.
func (r *trial) verify(ctx context.Context) ([]check.Violation, error) {
	resume := r.load.rest()
	defer resume()
	defer r.watch.drop()
	r.rec.say("at rest")
	if err := r.arrived(ctx); err != nil {
		return nil, err
	}
	var last []check.Op // what the last node shows
	for _, n := range r.c.Nodes {
		last = nil
		for _, a := range r.c.Accounts {
			if err := r.at(n, a); err != nil {
				return nil, err
			}
			for _, box := range mailboxes {
				l, err := r.watch.look(box, true, true)
				if err != nil {
					return nil, fmt.Errorf("%s: %s/%s: %w", n.Name, a.Address, box, err)
				}
				last = append(last, *l)
			}
			for _, box := range []string{"INBOX", "Flags"} {
				if _, err := r.watch.catchUpAs(a.Address+" "+box, box); err != nil {
					return nil, fmt.Errorf("%s: %s/%s: %w", n.Name, a.Address, box, err)
				}
			}
		}
	}
	violations := check.All(r.rec.history())
	asked := r.heard(ctx, last)
	if err := r.equal(ctx); err != nil {
		asked = append(asked, check.Violation{Rule: "compare", At: r.rec.now(), Text: err.Error()})
	}
	if err := r.c.Check(ctx); err != nil {
		asked = append(asked, check.Violation{Rule: "check", At: r.rec.now(), Text: err.Error()})
	}
	if violations = judged(ctx, violations, asked); len(violations) == 0 {
		r.rec.forget(last)
	}
	return violations, nil
}

// judged joins what the history shows and what was asked of the nodes at the
// end: when the run is told to end meanwhile, no answer is no finding. One that
// did not come in time is.
func judged(ctx context.Context, history, asked []check.Violation) []check.Violation {
	if errors.Is(ctx.Err(), context.Canceled) {
		return history
	}
	return append(history, asked...)
}

// equal compares all replicas. It asks again for a while: while leadership
// moves the answer is refused or not all voters tell; what differs stays.
func (r *trial) equal(ctx context.Context) error {
	wctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	var last error
	if err := r.c.Wait(wctx, func() (bool, error) {
		last = r.c.Compare(wctx, r.c.Nodes[0])
		return last == nil, nil
	}); err != nil {
		return errors.Join(last, err)
	}
	return nil
}

// catchUpAs is catchUp of a client with a memory of its own.
func (w *worker) catchUpAs(who, box string) (*check.Op, error) {
	all := w.kept
	if all[who] != nil {
		w.kept = map[string]*replica{box: all[who]}
	} else {
		w.kept = map[string]*replica{}
	}
	op, err := w.catchUp(box, true)
	all[who] = w.kept[box]
	w.kept = all
	return op, err
}

// arrived waits until what was handed over between groups is there. What is
// not there in time, the rules will tell.
func (r *trial) arrived(ctx context.Context) error {
	want := map[check.Place]map[string]bool{}
	for _, op := range r.rec.history().Ops {
		if op.Later && op.Outcome == check.Answered && op.Kind == check.Deliver {
			for _, to := range op.To {
				if want[to] == nil {
					want[to] = map[string]bool{}
				}
				want[to][op.Msg] = true
			}
		}
	}
	wctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	removed := map[string]bool{}
	for _, op := range r.rec.history().Ops {
		if op.Kind == check.Expunge {
			removed[op.From.String()+op.Msg] = true
		}
	}
	for _, a := range r.c.Accounts {
		p := check.Place{Account: a.Address, Mailbox: "INBOX"}
		var failed error
		err := r.c.Wait(wctx, func() (bool, error) {
			if err := r.at(r.c.Nodes[0], a); err != nil {
				failed = err
				return false, nil
			}
			l, err := r.watch.look("INBOX", false, false)
			if err != nil {
				failed = err
				return false, nil
			}
			failed = nil
			there := map[string]bool{}
			for _, row := range l.View.Rows {
				there[row.Msg] = true
			}
			for msg := range want[p] {
				if !there[msg] && !removed[p.String()+msg] {
					return false, nil
				}
			}
			return true, nil
		})
		if failed != nil {
			return failed
		}
		if err != nil {
			r.rec.say("not all that was handed over to %s has come", p)
		}
	}
	return nil
}

// heard demands that every IDLE session knows how many messages there are.
func (r *trial) heard(ctx context.Context, rest []check.Op) (out []check.Violation) {
	wctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for _, w := range r.load.watchers {
		for _, l := range rest {
			if l.From.Account != w.account.Address || l.From.Mailbox != "INBOX" {
				continue
			}
			var node string
			var count int
			// One that is not connected will be; then it counts anew.
			if err := r.c.Wait(wctx, func() (bool, error) {
				node, count = w.heard()
				return node != "" && count == len(l.View.Rows), nil
			}); err != nil {
				out = append(out, check.Violation{
					Rule: "idle", Place: l.From, At: r.rec.now(),
					Text: fmt.Sprintf("IDLE at %q was told of %d messages, there are %d", node, count, len(l.View.Rows)),
				})
			}
		}
	}
	return out
}

// sweep expunges the older messages, so that rounds stay of one size.
func (r *trial) sweep() error {
	resume := r.load.rest()
	defer resume()
	defer r.watch.drop()
	for _, a := range r.c.Accounts {
		if err := r.at(r.c.Nodes[r.res.Rounds%len(r.c.Nodes)], a); err != nil {
			return err
		}
		for _, box := range mailboxes {
			l, err := r.watch.look(box, false, false)
			if err != nil {
				return err
			}
			old := l.View.Rows[:max(0, len(l.View.Rows)-keepRows)]
			if len(old) == 0 {
				continue
			}
			if err := r.expungeAll(box, old); err != nil {
				return err
			}
		}
	}
	return nil
}

// expungeAll removes messages of the open mailbox in two commands.
func (r *trial) expungeAll(box string, rows []check.Row) error {
	w := r.watch
	var set []uint32
	for _, row := range rows {
		set = append(set, row.UID)
	}
	op, _ := w.op(check.Expunge)
	_, err := w.imap.Do("UID STORE " + client.FormatSet(set) + " +FLAGS.SILENT (\\Deleted)")
	mark := w.failed(err)
	marked := w.rec.now()
	gone := check.Refused
	if mark == check.Answered {
		err = w.imap.Expunge(client.FormatSet(set))
		gone = w.failed(err)
	}
	end := w.rec.now()
	for _, row := range rows {
		op.Msg, op.From, op.UID = row.Msg, w.place(box), row.UID
		s := op
		s.Kind, s.Mode, s.Flags, s.End, s.Outcome = check.Store, check.Add, check.Deleted, marked, mark
		w.rec.add(s)
		if mark != check.Answered {
			continue
		}
		e := op
		e.Start, e.End, e.Outcome = marked, end, gone
		w.rec.add(e)
	}
	return err
}
