package group

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// keepDigests is how many checks a node remembers its digest of.
const keepDigests = 64

// checks are this node's digests at the check entries, and what became of the
// last check (guard G8, rule R5).
type checks struct {
	mu      sync.Mutex
	digests map[uint64]cluster.Digest
	order   []uint64
	last    CheckResult

	readOnly atomic.Bool
}

// CheckResult is the outcome of the last digest check this node led or was
// asked to look into.
type CheckResult struct {
	Index    uint64
	At       time.Time
	Agree    int // voters with the majority's digest
	Differ   int
	Unknown  int // voters that did not answer
	Majority bool
}

func (c *checks) store(index uint64, d cluster.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.digests == nil {
		c.digests = make(map[uint64]cluster.Digest)
	}
	if _, ok := c.digests[index]; ok {
		return
	}
	c.digests[index] = d
	c.order = append(c.order, index)
	if len(c.order) > keepDigests {
		delete(c.digests, c.order[0])
		c.order = append(c.order[:0], c.order[1:]...)
	}
}

func (c *checks) get(index uint64) (cluster.Digest, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.digests[index]
	return d, ok
}

func (c *checks) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.digests)
	c.order = c.order[:0]
}

const (
	digestAsk  = 1 // what was your digest at this check
	digestLook = 2 // compare yourself with the others at this check
)

// handleDigest answers for a check, or begins to look into one.
func (g *Group) handleDigest(_ context.Context, _ cluster.NodeID, req []byte) ([]byte, error) {
	if len(req) != 10 || req[0] != wireVersion {
		return nil, fmt.Errorf("%w: digest", errWire)
	}
	if err := g.down(); err != nil {
		return nil, err
	}
	index := binary.BigEndian.Uint64(req[2:])
	switch req[1] {
	case digestAsk:
		d, ok := g.checks.get(index)
		if !ok {
			return []byte{wireVersion, 0}, nil
		}
		return append([]byte{wireVersion, 1}, d[:]...), nil
	case digestLook:
		g.mu.Lock()
		defer g.mu.Unlock()
		if !g.closing && g.failed == nil {
			g.spawn(func() {
				ctx, cancel := context.WithTimeout(g.ctx, fetchLimit)
				defer cancel()
				if err := g.compare(ctx, index, false); err != nil && g.ctx.Err() == nil {
					g.o.Log.Warn("digest check", "check", index, "err", err)
				}
			})
		}
		return []byte{wireVersion, 1}, nil
	}
	return nil, fmt.Errorf("%w: digest", errWire)
}

func (g *Group) digestOf(ctx context.Context, node cluster.NodeID, op byte, index uint64) (d cluster.Digest, ok bool, err error) {
	req := binary.BigEndian.AppendUint64([]byte{wireVersion, op}, index)
	cctx, cancel := context.WithTimeout(ctx, g.o.Tuning.CallWait)
	defer cancel()
	resp, err := g.o.Router.call(cctx, g.o.Group, node, cluster.MethodDigest, req)
	if err != nil {
		return d, false, err
	}
	if len(resp) == 2+len(d) && resp[0] == wireVersion && resp[1] == 1 {
		copy(d[:], resp[2:])
		return d, true, nil
	}
	if len(resp) != 2 || resp[0] != wireVersion {
		return d, false, fmt.Errorf("%w: digest", errWire)
	}
	return d, false, nil
}

// Check logs a digest check and compares what the voters report. It does
// nothing on a node that does not lead.
func (g *Group) Check(ctx context.Context) error {
	r := g.raft.Load()
	term := g.leading()
	if r == nil || term == 0 {
		return errNotLeader
	}
	buf := appendEntry(nil, &cluster.Entry{Kind: cluster.KindCheck})
	_, index, _, err := g.applyTo(r, term, buf)
	if err != nil {
		return fmt.Errorf("group %s: digest check: %w", g.o.Group, err)
	}
	return g.compare(ctx, index, true)
}

// compare asks every voter for its digest at a check. The value of a majority
// of all voters is the truth, whoever asks: a node that differs from it repairs
// itself from one that has it, and a leader tells the others to look. Without
// such a value nothing is repaired and the group takes no changes.
func (g *Group) compare(ctx context.Context, index uint64, lead bool) error {
	r := g.raft.Load()
	if r == nil {
		return errNotLeader
	}
	own, ok := g.checks.get(index)
	if !ok {
		return fmt.Errorf("group: check %d is not known here", index)
	}
	type vote struct {
		node cluster.NodeID
		d    cluster.Digest
		ok   bool
	}
	var voters []raft.Server
	for _, s := range r.GetConfiguration().Configuration().Servers {
		if s.Suffrage == raft.Voter {
			voters = append(voters, s)
		}
	}
	ch := make(chan vote, len(voters))
	actx, cancel := context.WithTimeout(ctx, 2*g.o.Tuning.CallWait)
	defer cancel()
	asked := 0
	votes := make([]vote, 0, len(voters))
	for _, s := range voters {
		if s.ID == g.self {
			votes = append(votes, vote{g.o.Node, own, true})
			continue
		}
		asked++
		node := nodeOf(s.ID)
		go func() {
			// A voter that has not applied the check yet is asked again.
			for {
				d, ok, err := g.digestOf(actx, node, digestAsk, index)
				if err == nil && ok {
					ch <- vote{node, d, true}
					return
				}
				t := time.NewTimer(g.o.Tuning.Commit)
				select {
				case <-t.C:
				case <-actx.Done():
					t.Stop()
					ch <- vote{node: node}
					return
				}
			}
		}()
	}
	for ; asked > 0; asked-- {
		votes = append(votes, <-ch)
	}

	count := make(map[cluster.Digest]int)
	unknown := 0
	for _, v := range votes {
		if v.ok {
			count[v.d]++
		} else {
			unknown++
		}
	}
	need := len(voters)/2 + 1
	var truth cluster.Digest
	best := 0
	for d, n := range count {
		if n > best {
			truth, best = d, n
		}
	}
	res := CheckResult{Index: index, At: time.Now(), Agree: best, Differ: len(votes) - unknown - best, Unknown: unknown, Majority: best >= need}
	g.checks.mu.Lock()
	g.checks.last = res
	g.checks.mu.Unlock()

	if !res.Majority {
		if best+unknown >= need {
			return nil // who did not answer may decide it
		}
		if !g.checks.readOnly.Swap(true) {
			g.alarm(Alarm{Kind: AlarmNoMajority, Index: index})
		}
		return nil
	}
	g.checks.readOnly.Store(false)
	if lead {
		for _, v := range votes {
			if v.ok && v.d != truth && v.node != g.o.Node {
				if _, _, err := g.digestOf(ctx, v.node, digestLook, index); err != nil {
					g.o.Log.Warn("a member whose state differs can't be told", "err", err)
				}
			}
		}
	}
	if own == truth {
		return nil
	}
	g.alarm(Alarm{Kind: AlarmDiverged, Index: index})
	var err error
	for _, v := range votes {
		if v.ok && v.d == truth && v.node != g.o.Node {
			if err = g.repair(ctx, v.node); err == nil || errors.Is(err, errBusy) {
				return nil
			}
		}
	}
	return err
}

var errBusy = errors.New("group: a copy of the state is under way already")

// repair replaces this node's state, and only it, by that of a node in the
// majority. Log and vote stay. Meanwhile raft runs on and stores the log, the
// state machine takes nothing: it goes on from the log after the swap, which
// happens at an index at or above what it had applied.
func (g *Group) repair(ctx context.Context, source cluster.NodeID) (err error) {
	if !g.fetch.begin() {
		return errBusy
	}
	defer g.fetch.end()
	g.fetch.repairing.Store(true)
	defer g.fetch.repairing.Store(false)
	if r := g.raft.Load(); r != nil && r.State() == raft.Leader {
		if err := r.LeadershipTransfer().Error(); err != nil {
			return fmt.Errorf("group: repair: the leadership can't be handed over: %w", err)
		}
	}
	g.fsm.hold()
	defer func() {
		if rerr := g.fsm.resume(); rerr != nil {
			err = errors.Join(err, rerr)
			g.fatal(rerr)
		}
	}()
	have := g.appliedIndex()
	f, err := g.fetchFrom(ctx, source, have)
	if err != nil {
		return err
	}
	// The state must not get ahead of the log: a crash would leave a log that
	// ends below it.
	for g.lastIndex() < f.Index {
		t := time.NewTimer(g.o.Tuning.Commit)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return errors.Join(ctx.Err(), f.Stage.Abort())
		}
	}
	if err := g.fsm.swap(f.Stage); err != nil {
		g.fatal(fmt.Errorf("repair at %d: %w", f.Index, err))
		return err
	}
	g.applied.advance(f.Index, f.Term)
	g.checks.forget()
	g.alarm(Alarm{Kind: AlarmRepaired, Index: f.Index})
	return nil
}

// hold makes the adapter take entries without applying them.
func (f *fsm) hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held, f.upTo = true, 0
}

// swap puts the staged state in, between two batches.
func (f *fsm) swap(s cluster.Stage) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return s.Install()
}

// resume applies from the log what was taken while held, and goes on.
func (f *fsm) resume() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = false
	const chunk = 256
	have, _ := f.g.o.Machine.Applied()
	var logs []*raft.Log
	for i := have + 1; i <= f.upTo; i++ {
		l := new(raft.Log)
		if err := f.g.store.GetLog(i, l); err != nil {
			return fmt.Errorf("group: entry %d after a repair: %w", i, err)
		}
		if l.Type == raft.LogCommand || l.Type == raft.LogConfiguration {
			logs = append(logs, l)
		}
		if len(logs) == chunk || i == f.upTo && len(logs) > 0 {
			if err := f.apply(logs, nil); err != nil {
				return err
			}
			logs = logs[:0]
		}
	}
	return nil
}
