package group

import (
	"context"
	"fmt"

	"github.com/hashicorp/raft"
	"golang.org/x/sync/errgroup"

	"altmail.se/altmail/cluster"
)

// gateParallel bounds how many entries of one request wait for bodies at once.
const gateParallel = 16

// admit returns once this node has what it must have to acknowledge the
// entries of an append: the bodies of every entry that is not committed yet,
// pinned. A committed entry needs no proof from this node (rule R9): it passes,
// and its missing bodies are fetched behind it.
func (g *Group) admit(req *raft.AppendEntriesRequest) ([]held, error) {
	var want []refsOf
	for _, e := range req.Entries {
		if e.Type != raft.LogCommand {
			continue
		}
		refs, err := DecodeBodies(e.Data)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", e.Index, err)
		}
		if len(refs) == 0 {
			continue
		}
		if e.Index <= req.LeaderCommitIndex {
			g.o.Gate.Backfill(g.o.Group, e.Index, refs)
			continue
		}
		want = append(want, refsOf{e.Index, refs})
	}
	if len(want) == 0 || skipGate {
		return nil, nil
	}
	pins := make([]held, len(want))
	for i, w := range want {
		pins[i] = held{w.index, g.o.Gate.Pin(g.o.Group, w.refs)}
	}
	ctx, cancel := context.WithTimeout(g.ctx, g.o.Tuning.GateWait)
	defer cancel()
	from := nodeOf(raft.ServerID(req.RPCHeader.ID))
	if err := g.ensure(ctx, from, want); err != nil {
		g.pins.drop(pins)
		g.stats.gateRefused.Add(1)
		return nil, fmt.Errorf("%w: %w", errGate, err)
	}
	return pins, nil
}

func (g *Group) ensure(ctx context.Context, from cluster.NodeID, want []refsOf) error {
	if len(want) == 1 {
		return g.o.Gate.Ensure(ctx, g.o.Group, from, want[0].index, want[0].refs)
	}
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(gateParallel)
	for _, w := range want {
		eg.Go(func() error { return g.o.Gate.Ensure(ctx, g.o.Group, from, w.index, w.refs) })
	}
	return eg.Wait()
}
