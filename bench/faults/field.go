package faults

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

	"altmail.se/altmail/bench/faults/lan"
)

// field is a cluster under faults: it knows who is hurt, so that never more
// nodes are than the promises allow, unless that is the fault.
type field struct {
	c   *Cluster
	rec *recorder

	mu      sync.Mutex
	changed chan struct{} // closed and replaced when somebody is let go
	hurt    map[*Node]bool
	frail   map[*Node]time.Time // when its disk was well again
	cut     map[wire]int        // how many faults cut it

	serving   func([]*Node) // tells clients where to connect
	patience  time.Duration // for a change of members while others are hurt
	member    chan struct{} // held while a node joins or leaves; guards what follows
	guests    int
	guestHost *lan.Host // where a node lives that is no member for long
}

// wire is one way from a host to another.
type wire struct{ from, to *lan.Host }

// newField takes a cluster as it is. In a network of ours guests get a host
// right away: who is cut off later is cut off from them too, or they would
// lead, and serve, the one that is alone.
func newField(c *Cluster, rec *recorder) (*field, error) {
	f := &field{c: c, rec: rec, changed: make(chan struct{}), hurt: map[*Node]bool{},
		frail: map[*Node]time.Time{}, cut: map[wire]int{},
		serving: func([]*Node) {}, member: make(chan struct{}, 1)}
	if c.net != nil {
		h, err := c.net.AddHost("guest")
		if err != nil {
			return nil, err
		}
		f.guestHost = h
	}
	return f, nil
}

// hosts are those of the nodes, in their order, and the guests'.
func (f *field) hosts() []*lan.Host {
	var out []*lan.Host
	for _, n := range f.c.Nodes {
		out = append(out, n.host)
	}
	return append(out, f.guestHost)
}

// take waits until n nodes may be hurt and marks them, those that like
// prefers first.
func (f *field) take(ctx context.Context, rng *rand.Rand, n int, like *Node) ([]*Node, func(), error) {
	for {
		f.mu.Lock()
		var free []*Node
		for _, x := range f.c.Nodes {
			if !f.hurt[x] {
				free = append(free, x)
			}
		}
		if len(f.hurt)+n <= max((len(f.c.Nodes)-1)/2, n) && (n <= (len(f.c.Nodes)-1)/2 || len(f.hurt) == 0) {
			rng.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
			if i := slices.Index(free, like); i >= 0 {
				free[0], free[i] = free[i], free[0]
			}
			got := free[:n:n]
			for _, x := range got {
				f.hurt[x] = true
			}
			f.mu.Unlock()
			return got, sync.OnceFunc(func() { f.release(got) }), nil
		}
		wait := f.changed
		f.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-wait:
		}
	}
}

func (f *field) release(nodes []*Node) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range nodes {
		delete(f.hurt, n)
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// victim takes one node, the leader of some group as often as not.
func (f *field) victim(ctx context.Context, rng *rand.Rand) (*Node, func(), error) {
	var like *Node
	if rng.IntN(2) == 0 {
		at := f.c.Nodes[rng.IntN(len(f.c.Nodes))]
		if at.Up() {
			sctx, cancel := context.WithTimeout(ctx, 2*time.Second)
			groups, err := f.c.Groups(sctx, at)
			cancel()
			if err == nil && len(groups) > 0 {
				like = groups[uint32(rng.IntN(len(groups)))]
			}
		}
	}
	got, release, err := f.take(ctx, rng, 1, like)
	if err != nil {
		return nil, nil, err
	}
	if err := f.mend(got[0]); err != nil {
		release()
		return nil, nil, err
	}
	return got[0], release, nil
}

// atEnd turns the end of the round into nothing to do.
func atEnd(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// nap waits, cut short by the end of the round.
func nap(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func between(rng *rand.Rand, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(rng.Int64N(int64(hi-lo)+1))
}

// sever cuts wires and returns what mends them. Cuts of several faults add up.
func (f *field) sever(wires []wire) (mend func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range wires {
		f.cut[w]++
		f.setCut(w, true)
	}
	return sync.OnceFunc(func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, w := range wires {
			if f.cut[w]--; f.cut[w] == 0 {
				f.setCut(w, false)
			}
		}
	})
}

func (f *field) setCut(w wire, cut bool) {
	r := f.c.net.Rule(w.from, w.to)
	r.Cut = cut
	f.c.net.Set(w.from, w.to, r)
}

// wiresOf are the wires between a node and all others, guests included: out of
// it, into it, or both.
func (f *field) wiresOf(n *Node, out, in bool) (w []wire) {
	for _, o := range f.hosts() {
		if o == n.host {
			continue
		}
		if out {
			w = append(w, wire{n.host, o})
		}
		if in {
			w = append(w, wire{o, n.host})
		}
	}
	return w
}

// calm makes every wire what it is without faults.
func (f *field) calm() {
	if f.c.net == nil {
		return
	}
	f.mu.Lock()
	clear(f.cut)
	f.mu.Unlock()
	f.lay(f.c.launch.wire)
}

// lay gives every wire a rule by the numbers of its ends; what is cut stays
// cut.
func (f *field) lay(rule func(i, j int) lan.Rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	hosts := f.hosts()
	for i, a := range hosts {
		for j, b := range hosts {
			if a != b {
				r := rule(i, j)
				r.Cut = f.cut[wire{a, b}] > 0
				f.c.net.Set(a, b, r)
			}
		}
	}
}

func (l *Launch) wire(i, j int) lan.Rule {
	if l.Wires == nil {
		return lan.Rule{}
	}
	return l.Wires(i, j)
}

func nodeNames(nodes []*Node) []string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Name)
	}
	return out
}

// kind is a sort of fault.
type kind struct {
	name string
	// lan: it needs wires of our own. disk: it needs disks of our own. tag: it
	// needs a binary with build tag faults.
	lan, disk, tag bool
	// play does it once and undoes it, also when ctx ends.
	play func(ctx context.Context, f *field, rng *rand.Rand) error
}

// kinds are all sorts of faults, by name.
func kinds() []kind {
	return slices.Concat([]kind{
		{name: "kill", play: playKill},
		{name: "stop", play: playStop},
		{name: "restart", play: playRestart},
		{name: "transfer", play: playTransfer},
		{name: "isolate", lan: true, play: playIsolate},
		{name: "oneway", lan: true, play: playOneWay},
		{name: "pair", lan: true, play: playPair},
		{name: "flap", lan: true, play: playFlap},
		{name: "slownet", lan: true, play: playSlowNet},
		{name: "majority", play: playMajority},
		{name: "killall", play: playKillAll},
	}, diskKinds, memberKinds, clockKinds)
}

// recover starts a node again that was ended; a node that does not start is a
// finding.
func (f *field) revive(n *Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), reviveTime)
	defer cancel()
	if err := f.c.Serve(ctx, n); err != nil {
		return fmt.Errorf("%s does not start again: %w\n%s", n.Name, err, n.Log(30))
	}
	return nil
}

const reviveTime = 60 * time.Second

func playKill(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	over := f.rec.fault("kill -9 " + n.Name)
	defer over()
	if err := n.Kill(); err != nil {
		return err
	}
	nap(ctx, between(rng, 0, 6*time.Second))
	return f.revive(n)
}

func playStop(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	d := between(rng, time.Second, 15*time.Second)
	over := f.rec.fault(fmt.Sprintf("SIGSTOP %s for %s", n.Name, d.Round(time.Millisecond)))
	defer over()
	if err := n.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	nap(ctx, d)
	return n.Signal(syscall.SIGCONT)
}

func playRestart(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	over := f.rec.fault("restart " + n.Name)
	defer over()
	if err := n.Terminate(stopTime); err != nil {
		return err
	}
	nap(ctx, between(rng, 0, 2*time.Second))
	return f.revive(n)
}

func playTransfer(ctx context.Context, f *field, rng *rand.Rand) error {
	at := f.c.Nodes[rng.IntN(len(f.c.Nodes))]
	if !at.Up() {
		return nil
	}
	args := []string{"cluster", "transfer"}
	if rng.IntN(2) == 0 {
		args = append(args, f.c.Nodes[rng.IntN(len(f.c.Nodes))].Name)
	}
	over := f.rec.fault("at " + at.Name + ": " + strings.Join(args, " "))
	defer over()
	tctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	// It may be refused: others are hurt at the same time.
	if _, _, err := f.c.CLI(tctx, at, args...); err != nil {
		f.rec.say("transfer: %v", err)
	}
	nap(ctx, between(rng, 0, 2*time.Second))
	return nil
}

func playIsolate(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	mend := f.sever(f.wiresOf(n, true, true))
	over := f.rec.fault("cut off "+n.Name, n.Name)
	nap(ctx, between(rng, time.Second, 15*time.Second))
	over()
	mend()
	return nil
}

func playOneWay(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	out := rng.IntN(2) == 0
	way := "nothing comes into "
	if out {
		way = "nothing comes out of "
	}
	// Without one direction no majority confirms anything to it.
	mend := f.sever(f.wiresOf(n, out, !out))
	over := f.rec.fault(way+n.Name, n.Name)
	nap(ctx, between(rng, time.Second, 15*time.Second))
	over()
	mend()
	return nil
}

// playPair cuts one wire, in one or both directions: with three nodes, the
// third is a bridge.
func playPair(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	others := slices.DeleteFunc(slices.Clone(f.c.Nodes), func(x *Node) bool { return x == n })
	o := others[rng.IntN(len(others))]
	wires := []wire{{n.host, o.host}, {o.host, n.host}}
	text := fmt.Sprintf("cut %s and %s apart", n.Name, o.Name)
	if rng.IntN(2) == 0 {
		wires = wires[:1]
		text = fmt.Sprintf("cut %s to %s", n.Name, o.Name)
	}
	mend := f.sever(wires)
	over := f.rec.fault(text)
	nap(ctx, between(rng, time.Second, 15*time.Second))
	over()
	mend()
	return nil
}

func playFlap(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	over := f.rec.fault("flapping " + n.Name)
	defer over()
	for range 3 + rng.IntN(10) {
		mend := f.sever(f.wiresOf(n, true, true))
		nap(ctx, between(rng, 100*time.Millisecond, 1500*time.Millisecond))
		mend()
		nap(ctx, between(rng, 100*time.Millisecond, 1500*time.Millisecond))
		if ctx.Err() != nil {
			break
		}
	}
	return nil
}

// playSlowNet makes all wires bad for a while; nobody is cut off.
func playSlowNet(ctx context.Context, f *field, rng *rand.Rand) error {
	bad := lan.Rule{
		Delay: between(rng, 0, 60*time.Millisecond), Jitter: between(rng, 0, 30*time.Millisecond),
		Loss: rng.Float64() * 0.05, Duplicate: rng.Float64() * 0.05, Reorder: rng.Float64() * 0.1,
	}
	if rng.IntN(3) == 0 {
		bad.Bandwidth = 500_000 + rng.Int64N(5_000_000)
	}
	over := f.rec.fault("all wires " + bad.String())
	defer over()
	f.lay(func(int, int) lan.Rule { return bad })
	nap(ctx, between(rng, 3*time.Second, 15*time.Second))
	f.lay(f.c.launch.wire)
	return nil
}

// playMajority takes the majority away: nothing may be answered by the rest
// while it is gone.
func playMajority(ctx context.Context, f *field, rng *rand.Rand) error {
	size := len(f.c.Nodes)/2 + 1
	gone, release, err := f.take(ctx, rng, size, nil)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	d := between(rng, 2*time.Second, 10*time.Second)
	var left []string
	for _, n := range f.c.Nodes {
		if !slices.Contains(gone, n) {
			left = append(left, n.Name)
		}
	}
	kill := rng.IntN(2) == 0
	text := "SIGSTOP"
	if kill {
		text = "kill -9"
	}
	var errs []error
	for _, n := range gone {
		if err := f.mend(n); err != nil {
			return err
		}
	}
	for _, n := range gone {
		if kill {
			errs = append(errs, n.Kill())
		} else {
			errs = append(errs, n.Signal(syscall.SIGSTOP))
		}
	}
	over := f.rec.fault(fmt.Sprintf("%s of a majority: %v", text, nodeNames(gone)), left...)
	nap(ctx, d)
	over()
	for _, n := range gone {
		if kill {
			errs = append(errs, f.revive(n))
		} else {
			errs = append(errs, n.Signal(syscall.SIGCONT))
		}
	}
	return errors.Join(errs...)
}

// playKillAll kills every node at one moment.
func playKillAll(ctx context.Context, f *field, rng *rand.Rand) error {
	all, release, err := f.take(ctx, rng, len(f.c.Nodes), nil)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	over := f.rec.fault("kill -9 of all nodes")
	defer over()
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, n := range all {
		wg.Go(func() { errs[i] = n.Kill() })
	}
	wg.Wait()
	nap(ctx, between(rng, 0, 2*time.Second))
	for i, n := range all {
		wg.Go(func() { errs[i] = errors.Join(errs[i], f.revive(n)) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
