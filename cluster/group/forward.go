package group

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	port "altmail.se/altmail/cluster/transport"
)

// forwardPatience is how long the leader lets a forward wait for its slowest
// operation before it answers "still under way" for it.
const forwardPatience = 100 * time.Millisecond

// forwarder sends this node's proposals to the leader, several in one call:
// while calls are under way, the next one collects.
type forwarder struct {
	g *Group

	mu     sync.Mutex
	queue  []*fwdOp
	flying int
}

type fwdOp struct {
	ctx  context.Context
	id   raft.ServerID
	to   cluster.NodeID
	p    cluster.Proposal
	done chan fwdResult // takes one result without waiting
	here waiter         // for the answered index, on this node
}

type fwdResult struct {
	out cluster.Outcome
	err error
}

// offer returns what the leader made of the proposal, once this node has
// applied it.
func (f *forwarder) offer(ctx context.Context, id raft.ServerID, to cluster.NodeID, p cluster.Proposal) (cluster.Outcome, error) {
	op := &fwdOp{ctx: ctx, id: id, to: to, p: p, done: make(chan fwdResult, 1)}
	f.mu.Lock()
	f.queue = append(f.queue, op)
	start := f.flying < f.g.o.Tuning.ForwardWindow
	if start {
		f.flying++
	}
	f.mu.Unlock()
	if start {
		go f.fly()
	}
	select {
	case r := <-op.done:
		return r.out, r.err
	case <-ctx.Done():
		f.g.applied.forget(&op.here)
		return cluster.Outcome{}, fmt.Errorf("%w: %w", errUnknown, ctx.Err())
	}
}

// fly sends batches until the queue is empty.
func (f *forwarder) fly() {
	for {
		f.mu.Lock()
		batch := f.take()
		if len(batch) == 0 {
			f.flying--
			f.mu.Unlock()
			return
		}
		f.mu.Unlock()
		f.send(batch)
	}
}

// take removes a batch for one leader from the queue. mu is held.
func (f *forwarder) take() []*fwdOp {
	var batch []*fwdOp
	size := 0
	rest := f.queue[:0]
	for _, op := range f.queue {
		n := len(op.p.Command) + len(op.p.Bodies)*refSize + 64
		switch {
		case op.ctx.Err() != nil:
			// its caller has left
		case len(batch) > 0 && (op.id != batch[0].id || len(batch) == maxForwardOps/2 || size+n > maxForwardBytes/2):
			rest = append(rest, op)
		default:
			batch = append(batch, op)
			size += n
		}
	}
	clear(f.queue[len(rest):])
	f.queue = rest
	return batch
}

func (f *forwarder) send(batch []*fwdOp) {
	g := f.g
	id, to := batch[0].id, batch[0].to
	req := []byte{wireVersion}
	req = binary.BigEndian.AppendUint16(req, uint16(len(batch)))
	for _, op := range batch {
		left := opLimit
		if d, ok := op.ctx.Deadline(); ok {
			left = min(left, time.Until(d))
		}
		req = appendForwarded(req, &op.p, left)
	}
	ctx, cancel := context.WithTimeout(g.ctx, g.o.Tuning.CallWait)
	defer cancel()
	// A call to a leader that is none any more is given up.
	stop := g.whileLeader(id, cancel)
	var resp []byte
	var err error
	if f := g.o.test.onForward; f != nil {
		err = f()
	}
	if err == nil {
		resp, err = g.o.Router.call(ctx, g.o.Group, to, cluster.MethodForward, req)
	}
	stop()
	var term uint64
	var as []answer
	if err == nil {
		term, as, err = decodeAnswers(resp)
	}
	if err == nil && len(as) != len(batch) {
		err = fmt.Errorf("%w: %d answers to %d operations", errWire, len(as), len(batch))
	}
	if err != nil {
		// A call that never left, or that a node which is not in the group got,
		// did nothing; of any other failure nothing is known.
		kind := errUnknown
		if errors.Is(err, port.ErrNotSent) || errors.Is(err, port.ErrNoMethod) || errors.Is(err, cluster.ErrNotMember) {
			kind = errNotLeader
		}
		for _, op := range batch {
			op.done <- fwdResult{err: fmt.Errorf("%w: %w", kind, err)}
		}
		return
	}
	notice := commitNotice{leader: id, term: term}
	var again []*fwdOp
	for i, a := range as {
		op := batch[i]
		if a.code == codePending {
			again = append(again, op)
			continue
		}
		if a.code != codeDone {
			op.done <- fwdResult{err: errOf(a.code)}
			continue
		}
		notice.index = max(notice.index, a.index)
		// A client sees its own change on the node it asked: its caller is
		// woken once, by the machine.
		g.applied.then(&op.here, a.index, func(err error) {
			if err != nil {
				err = fmt.Errorf("%w: %w", errUnknown, err)
			}
			op.done <- fwdResult{cluster.Outcome{Index: a.index, Value: a.value}, err}
		})
	}
	if len(again) > 0 {
		f.mu.Lock()
		f.queue = append(f.queue, again...)
		f.mu.Unlock()
	}
	if notice.index > 0 && term > 0 {
		g.trans.learn(notice)
	}
}

// watch is a call that is given up when its leader is none any more.
type watch struct {
	id     raft.ServerID
	giveUp func()
}

// whileLeader calls giveUp when id is no longer the leader this node knows, as
// long as stop was not called. giveUp must not block, and may be called twice.
func (g *Group) whileLeader(id raft.ServerID, giveUp func()) (stop func()) {
	w := &watch{id, giveUp}
	g.mu.Lock()
	g.watches[w] = struct{}{}
	g.mu.Unlock()
	if now, _ := g.leader(); now != id {
		giveUp() // before it was watched
	}
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.watches, w)
	}
}

// dropWatches gives up the calls to who does not lead any more.
func (g *Group) dropWatches() {
	now, _ := g.leader()
	g.mu.Lock()
	defer g.mu.Unlock()
	for w := range g.watches {
		if w.id != now {
			delete(g.watches, w)
			w.giveUp()
		}
	}
}

// handleForward works on another node's proposals.
func (g *Group) handleForward(ctx context.Context, from cluster.NodeID, req []byte) ([]byte, error) {
	ops, err := decodeForward(req)
	if err != nil {
		return nil, err
	}
	as := make([]answer, len(ops))
	term := g.leading()
	if term == 0 {
		for i := range as {
			as[i].code = codeNotLeader
		}
		return appendAnswers(nil, 0, as), nil
	}
	work := make([]*op, len(ops))
	for i := range ops {
		octx, cancel := context.WithTimeout(ctx, ops[i].left)
		work[i] = g.begin(octx, from, ops[i].p)
		cancel()
	}
	patience := time.NewTimer(forwardPatience)
	defer patience.Stop()
	late := false
	size := 0
	for i, o := range work {
		if !late {
			select {
			case <-o.done:
			case <-patience.C:
				late = true
			case <-ctx.Done():
				late = true
			}
		}
		select {
		case <-o.done:
			as[i] = answer{code: codeOf(o.err), index: o.out.Index, value: o.out.Value}
			if o.err == nil && o.term != term {
				term = 0 // led twice meanwhile: no notice from this answer
			}
			if size += len(o.out.Value); size > maxForwardBytes && size > len(o.out.Value) {
				as[i] = answer{code: codeUnknown} // asked again, and answered from memory
			}
		default:
			as[i].code = codePending
		}
	}
	if term != 0 {
		var told uint64
		for _, a := range as {
			if a.code == codeDone {
				told = max(told, a.index)
			}
		}
		g.notices.carried(from, told)
	}
	return appendAnswers(nil, term, as), nil
}
