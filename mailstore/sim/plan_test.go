package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/group"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// kind is a fault, or something an operator does.
type kind int

const (
	crash      kind = iota // the power of one node goes, at once
	crashAt                // or before its k-th operation on the disk from now
	blackout               // the power of all nodes
	stop                   // a node is shut down in order
	isolate                // a node is cut from all others
	oneWay                 // nothing comes from a node to the next one
	storm                  // messages are late, overtake each other and get lost
	transfer               // the leadership is handed over
	lag                    // a node misses so much that it needs a whole state
	trim                   // markers are made, the log is cut and rewritten
	reclaim                // segments are rewritten
	skew                   // a clock is wrong
	join                   // a fourth node comes in
	leave                  // a node leaves for good
	crashTwice             // the power goes, and again before the k-th operation of the restart
	lagCrash               // the power goes while a whole state comes
	trimCrash              // or while the log is cut and rewritten
	joinCrash              // or on a node that joins
	full                   // one disk is full, or two
	broken                 // an operation on bodies fails: no space, or the disk is no good
	kinds
)

var kindNames = [kinds]string{
	"crash", "crashAt", "blackout", "stop", "isolate", "oneWay", "storm", "transfer", "lag", "trim", "reclaim", "skew", "join", "leave",
	"crashTwice", "lagCrash", "trimCrash", "joinCrash", "full", "broken",
}

// weights say how often each comes up.
var weights = [kinds]int{12, 22, 5, 4, 8, 8, 8, 8, 4, 6, 6, 4, 3, 3, 5, 4, 4, 3, 5, 6}

// event is one line of a schedule.
type event struct {
	after time.Duration // since the one before
	what  kind
	node  int
	k     int
	lasts time.Duration
}

func (e event) String() string {
	return fmt.Sprintf("after %v: %s node %d, k %d, for %v", e.after, kindNames[e.what], e.node, e.k, e.lasts)
}

// plan is a schedule. What is not in it, the order in which goroutines run,
// no seed fixes: a seed is run again a few times to see a failure again.
type plan struct {
	seed    uint64
	clients int
	steps   int // of each client
	slow    time.Duration
	delay   time.Duration
	jitter  time.Duration
	logs    bool // compare logs and bodies after each loss of power
	events  []event
}

func newPlan(seed uint64, steps int) *plan {
	rng := rand.New(rand.NewPCG(seed, 0))
	p := &plan{
		seed: seed, clients: 2 + rng.IntN(3), slow: time.Duration(1 + rng.IntN(3_000_000)),
		delay:  time.Duration(50+rng.IntN(5000)) * time.Microsecond,
		jitter: time.Duration(rng.IntN(20)) * time.Millisecond, logs: rng.IntN(3) == 0,
	}
	p.steps = max(1, (20+rng.IntN(steps))/p.clients)
	total := 0
	for _, w := range weights {
		total += w
	}
	for range 2 + rng.IntN(5) {
		n := rng.IntN(total)
		e := event{
			after: time.Duration(rng.IntN(700)) * time.Millisecond, node: rng.IntN(3),
			k: 1 + rng.IntN(60), lasts: time.Duration(rng.IntN(1500)) * time.Millisecond,
		}
		for n >= weights[e.what] {
			n -= weights[e.what]
			e.what++
		}
		p.events = append(p.events, e)
	}
	return p
}

func (p *plan) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d, %d clients of %d steps, network %v + %v, disks %v", p.seed, p.clients, p.steps, p.delay, p.jitter, p.slow)
	for _, e := range p.events {
		fmt.Fprintf(&b, "\n\t%v", e)
	}
	return b.String()
}

// run runs the schedule in a bubble and leaves what it found in the world.
func (w *world) run() {
	defer w.end()
	p := w.plan
	w.net.set(p.delay, p.jitter, 0)
	// The clocks go on from where the image stopped.
	if pause(w.ctx, time.Hour) != nil {
		return
	}
	for i := range 3 {
		n, err := w.addNode(i)
		if err == nil {
			err = n.start()
		}
		if err != nil {
			w.violation("start: %v", err)
			return
		}
	}
	var clients sync.WaitGroup
	var cs []*client
	for i := range p.clients {
		c := w.newClient(i)
		cs = append(cs, c)
		clients.Go(c.run)
	}
	for _, e := range p.events {
		if w.failed() {
			break
		}
		if pause(w.ctx, e.after) == nil {
			w.note("%v", e)
			w.happen(e)
		}
	}
	if w.failed() {
		w.end()
	}
	clients.Wait()
	w.settle(cs)
	w.end()
	w.bg.Wait()
	for _, n := range w.nodes {
		n.stop()
	}
}

// restart brings a node up again.
func (w *world) restart(n *node) {
	if n.gone || w.failed() {
		return
	}
	if err := n.start(); err != nil {
		w.violation("restart: %v", err)
	}
}

func (w *world) lose(n *node) {
	if w.proc(n.i) == nil {
		return
	}
	n.kill()
	if w.plan.logs && (n.asked.Load() || !n.joining.Load()) {
		w.compareLog(n)
	}
}

func (w *world) happen(e event) {
	n := w.nodes[e.node]
	wait := func() { _ = pause(w.ctx, e.lasts) } // the end of the schedule ends the fault as well
	switch e.what {
	case crash:
		w.lose(n)
		wait()
		w.restart(n)
	case crashAt:
		n.disk.mu.Lock()
		if !n.disk.off {
			n.disk.at = n.disk.n + e.k
		}
		n.disk.mu.Unlock()
		wait()
		w.lose(n)
		w.restart(n)
	case blackout:
		for _, n := range w.nodes {
			n.disk.mu.Lock()
			n.disk.lose()
			n.disk.mu.Unlock()
		}
		for _, n := range w.nodes {
			w.lose(n)
		}
		for _, n := range w.nodes {
			w.restart(n)
		}
	case stop:
		n.stop()
		wait()
		w.restart(n)
	case isolate:
		for _, o := range w.nodes {
			if o != n {
				w.net.split(n.id, o.id)
				w.net.split(o.id, n.id)
			}
		}
		wait()
		w.net.heal()
	case oneWay:
		w.net.split(n.id, w.nodes[(e.node+1)%3].id)
		wait()
		w.net.heal()
	case storm:
		w.net.set(w.plan.delay, 80*time.Millisecond, 0.15)
		wait()
		w.net.set(w.plan.delay, w.plan.jitter, 0)
	case transfer:
		if l := w.leader(time.Second); l != nil {
			ctx, cancel := context.WithTimeout(l.ctx, time.Second)
			to := w.nodes[e.node].id
			if e.k%3 == 0 {
				to = cluster.NodeID{}
			}
			if err := l.group.TransferLeadership(ctx, to); err != nil {
				w.note("not transferred: %v", err)
			}
			cancel()
			l.leave()
		}
	case lag:
		w.lose(n)
		w.burst()
		w.trimAll()
		w.restart(n)
		wait()
	case trim:
		w.trimAll()
	case reclaim:
		if p := w.proc(e.node); p != nil && p.enter() {
			if _, err := p.bodies.Reclaim(p.ctx, mailGroup); err != nil && p.ctx.Err() == nil && !p.dead.Load() {
				w.violation("node %d: reclaim: %v", e.node, err)
			}
			p.leave()
		}
	case skew:
		n.skew.Store(int64(time.Duration(e.k-30) * 300 * time.Millisecond))
		wait()
	case full:
		n.full.Store(int32(1 + e.k%2))
		other := w.nodes[(e.node+1)%3]
		if e.k%3 == 0 {
			other.full.Store(int32(1 + e.k%2))
		}
		wait()
		n.full.Store(0)
		other.full.Store(0)
	case broken:
		n.disk.mu.Lock()
		n.disk.failIn, n.disk.failWith = 1+e.k/3, errBroken
		if e.k%3 == 0 {
			n.disk.failWith = syscall.ENOSPC
		}
		n.disk.mu.Unlock()
		wait()
		if p := w.proc(n.i); p != nil && p.dead.Load() {
			w.lose(n)
			w.restart(n)
		}
	case join:
		w.takeIn(0)
	case joinCrash:
		if n := w.takeIn(e.k); n != nil {
			wait()
			w.lose(n)
			w.restart(n)
		}
	case crashTwice:
		w.lose(n)
		n.arm = e.k
		w.restart(n)
		wait()
		w.lose(n)
		w.restart(n)
	case lagCrash:
		w.lose(n)
		w.burst()
		w.trimAll()
		n.arm = e.k
		w.restart(n)
		wait()
		w.lose(n)
		w.restart(n)
	case trimCrash:
		w.burst()
		n.disk.mu.Lock()
		if !n.disk.off {
			n.disk.at = n.disk.n + e.k
		}
		n.disk.mu.Unlock()
		w.trimAll()
		w.lose(n)
		w.restart(n)
	case leave:
		if e.k%2 == 0 {
			w.leaveFor(n, 5*time.Second)
		}
	}
}

// burst makes the log long enough to be cut.
func (w *world) burst() {
	l := w.leader(3 * time.Second)
	if l == nil {
		return
	}
	defer l.leave()
	var wg sync.WaitGroup
	for i := range 150 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(l.ctx, time.Second)
			defer cancel()
			if err := w.nothing(ctx, l, uint64(len(w.trail))<<16|uint64(i)); err != nil {
				return // the rest has made the log long, or the next event will tell
			}
		})
	}
	wg.Wait()
}

// nothing proposes a command that changes nothing.
func (w *world) nothing(ctx context.Context, p *proc, op uint64) error {
	b, err := command.Encode(&pb.Command{Op: &pb.Command_StoreFlags{StoreFlags: &pb.StoreFlags{
		Account: uint64(w.img.account), Mailbox: uint32(w.img.boxes[0]), Uids: []*pb.UIDRange{{First: 1 << 30, Last: 1 << 30}},
	}}})
	if err != nil {
		return err
	}
	id := cluster.OpID{0xff, byte(op), byte(op >> 8), byte(op >> 16), byte(op >> 24), byte(op >> 32), 15: 2}
	_, err = p.group.Propose(ctx, cluster.Proposal{Op: id, First: p.mail.Time(), Command: b})
	return err
}

func (w *world) trimAll() {
	for i := range w.nodes {
		p := w.proc(i)
		if p == nil || !p.enter() {
			continue
		}
		if err := p.group.Trim(); err != nil && !p.dead.Load() && p.ctx.Err() == nil {
			w.note("node %d: trim: %v", i, err)
		}
		p.leave()
	}
}

// takeIn starts a fourth node, once, whose power goes before its k-th operation
// unless k is 0, and has it join.
func (w *world) takeIn(k int) *node {
	if len(w.nodes) != 3 {
		return nil
	}
	n, err := w.addNode(3)
	if err == nil {
		n.joining.Store(true)
		n.arm = k
		err = n.start()
	}
	if err != nil {
		w.violation("join: %v", err)
		return nil
	}
	w.bg.Go(func() { w.join(n) })
	return n
}

// join takes a node in, however long that takes.
func (w *world) join(n *node) {
	ok := w.until(2*time.Minute, func() bool {
		l := w.leader(time.Second)
		if l == nil {
			return false
		}
		defer l.leave()
		ctx, cancel := context.WithTimeout(l.ctx, 2*time.Second)
		defer cancel()
		// It asks by itself, once its own group runs.
		p := w.proc(n.i)
		if p == nil || !p.enter() {
			return false
		}
		n.asked.Store(true)
		p.leave()
		err := l.group.AddNonvoter(ctx, n.id, n.disk.inc)
		if err == nil {
			err = l.group.Promote(ctx, n.id, false)
		}
		if err != nil && !errors.Is(err, group.ErrBehind) && !errors.Is(err, cluster.ErrUnavailable) && !errors.Is(err, group.ErrNotLeader) {
			w.note("not joined yet: %v", err)
		}
		return err == nil
	})
	if !ok {
		w.violation("node %d does not become a voter", n.i)
	}
	n.joining.Store(false)
	if p := w.proc(n.i); p != nil {
		p.fresh.Store(false)
	}
}

// leaveFor removes a node from the group; it is gone once that was answered.
func (w *world) leaveFor(n *node, patience time.Duration) {
	out := false
	n.leaving = !w.until(patience, func() bool {
		l := w.leader(time.Second)
		if l == nil {
			return false
		}
		defer l.leave()
		ctx, cancel := context.WithTimeout(l.ctx, 2*time.Second)
		defer cancel()
		members := l.group.Configuration()
		if out = !slices.ContainsFunc(members, func(m group.Member) bool { return m.Node == n.id }); out {
			return true
		}
		if len(members) < 3 {
			return true // it stays: the cluster would be too small
		}
		if l.n == n {
			if err := l.group.TransferLeadership(ctx, cluster.NodeID{}); err != nil {
				w.note("not handed over: %v", err)
			}
			return false
		}
		out = l.group.Remove(ctx, n.id, false) == nil
		return out
	})
	if out {
		n.gone = true
		w.lose(n)
	}
	// If it is leaving still, it may be out or in: that is ended at the end.
}

func (w *world) alive() (ns []*node) {
	return slices.DeleteFunc(slices.Clone(w.nodes), func(n *node) bool { return n.gone })
}
