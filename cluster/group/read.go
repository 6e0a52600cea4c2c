package group

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// batcher runs rounds that each answer everybody who was waiting when the round
// began: who comes during a round waits for the next.
type batcher struct {
	round func(ctx context.Context) (index uint64, err error)

	mu      sync.Mutex
	waiting []chan readResult
	running bool
}

type readResult struct {
	index uint64
	err   error
}

func (b *batcher) wait(ctx, life context.Context, limit time.Duration) (uint64, error) {
	ch := make(chan readResult, 1)
	b.mu.Lock()
	b.waiting = append(b.waiting, ch)
	start := !b.running
	b.running = true
	b.mu.Unlock()
	if start {
		go b.run(life, limit)
	}
	select {
	case r := <-ch:
		return r.index, r.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (b *batcher) run(life context.Context, limit time.Duration) {
	for {
		b.mu.Lock()
		served := b.waiting
		b.waiting = nil
		if len(served) == 0 {
			b.running = false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		ctx, cancel := context.WithTimeout(life, limit)
		index, err := b.round(ctx)
		cancel()
		for _, ch := range served {
			ch <- readResult{index, err}
		}
	}
}

// ReadIndex returns once the local state is at least as new as every change
// answered anywhere before the call.
func (g *Group) ReadIndex(ctx context.Context) error {
	pause := retryPause
	var last error
	for {
		if err := g.down(); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return unavailable(ctx, last)
		}
		changed := g.change()
		index, err := g.readIdx.wait(ctx, g.ctx, g.o.Tuning.CallWait)
		if err == nil {
			return g.WaitApplied(ctx, index)
		}
		last = err
		t := time.NewTimer(pause)
		select {
		case <-changed:
			pause = retryPause
		case <-t.C:
			pause = min(2*pause, maxRetryPause)
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// readRound gets a read index from the leader, which may be this node.
func (g *Group) readRound(ctx context.Context) (uint64, error) {
	g.stats.readRounds.Add(1)
	if g.leading() != 0 {
		index, _, err := g.confirmRead(ctx)
		return index, err
	}
	id, node := g.leader()
	if node.IsZero() || node == g.o.Node {
		return 0, errNotLeader
	}
	cctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := g.whileLeader(id, cancel)
	defer stop()
	resp, err := g.o.Router.call(cctx, g.o.Group, node, cluster.MethodReadIndex, []byte{wireVersion})
	if err != nil {
		return 0, fmt.Errorf("group: read index: %w", err)
	}
	if len(resp) != 18 || resp[0] != wireVersion {
		return 0, fmt.Errorf("%w: read index", errWire)
	}
	if resp[1] != codeDone {
		return 0, errNotLeader
	}
	term, index := binary.BigEndian.Uint64(resp[2:]), binary.BigEndian.Uint64(resp[10:])
	g.trans.learn(commitNotice{leader: id, term: term, index: index})
	return index, nil
}

// confirmRead is the leader's part: the commit index, valid if a majority of
// the voters is still in this term after it was read. A voter persists a newer
// term before it votes in it, so a majority in this term has elected nobody
// else. The commit index covers every change answered before: this node has
// applied an entry of its own term.
func (g *Group) confirmRead(ctx context.Context) (index, term uint64, err error) {
	r := g.raft.Load()
	term = g.leading()
	if r == nil || term == 0 {
		return 0, 0, errNotLeader
	}
	index = r.CommitIndex()
	if err := g.confirm(ctx, r, term); err != nil {
		return 0, 0, err
	}
	return index, term, nil
}

// handleReadIndex answers another node's read index; one round serves all.
func (g *Group) handleReadIndex(ctx context.Context, from cluster.NodeID, req []byte) ([]byte, error) {
	if len(req) != 1 || req[0] != wireVersion {
		return nil, fmt.Errorf("%w: read index", errWire)
	}
	resp := make([]byte, 0, 18)
	resp = append(resp, wireVersion, codeNotLeader)
	term := g.leading()
	var index uint64
	if term != 0 {
		var err error
		if index, err = g.readIdx.wait(ctx, g.ctx, g.o.Tuning.CallWait); err == nil && g.leading() == term {
			resp[1] = codeDone
			g.notices.carried(from, index)
		}
	}
	resp = binary.BigEndian.AppendUint64(resp, term)
	return binary.BigEndian.AppendUint64(resp, index), nil
}

// confirm asks the voters of the latest configuration whether they are in term,
// and returns nil on a majority of them. This node counts if it votes.
func (g *Group) confirm(ctx context.Context, r *raft.Raft, term uint64) error {
	conf := r.GetConfiguration().Configuration()
	need := countVoters(conf)/2 + 1
	have, asked := 0, 0
	ch := make(chan bool, len(conf.Servers))
	for _, s := range conf.Servers {
		if s.Suffrage != raft.Voter {
			continue
		}
		if s.ID == g.self {
			have++
			continue
		}
		asked++
		go func() { ch <- g.ask(ctx, s, term) }()
	}
	for ; have < need && asked > 0; asked-- {
		select {
		case yes := <-ch:
			if yes {
				have++
			}
		case <-ctx.Done():
			return fmt.Errorf("group: confirm: %w", ctx.Err())
		}
	}
	if have < need || r.CurrentTerm() != term {
		return fmt.Errorf("%w: %d of %d voters confirm", errNotLeader, have, need)
	}
	return nil
}
