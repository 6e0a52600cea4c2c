package group

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/snapshot"
)

// applied is what the state machine answers for one entry; raft carries it from
// the adapter to the proposal's future on the leader.
type applied struct {
	res cluster.Result
	err error
}

var errHeld = errors.New("group: the state is being replaced")

// fsm is the thin adapter between raft and the machine. Raft's state machine
// goroutine calls it; the repair takes mu to swap the state under it.
type fsm struct {
	g *Group

	mu      sync.Mutex
	held    bool   // entries are not applied: they are read from the log later
	upTo    uint64 // the newest entry taken while held
	entries []cluster.Entry
}

// Apply is not used: raft finds ApplyBatch.
func (f *fsm) Apply(l *raft.Log) any { return f.ApplyBatch([]*raft.Log{l})[0] }

// ApplyBatch executes committed entries: one machine batch for all of them.
func (f *fsm) ApplyBatch(logs []*raft.Log) []any {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]applied, len(logs))
	resp := make([]any, len(logs))
	for i := range out {
		resp[i] = &out[i]
	}
	if f.held {
		for i := range out {
			out[i].err = errHeld
		}
		f.upTo = logs[len(logs)-1].Index
		return resp
	}
	if err := f.apply(logs, out); err != nil {
		for i := range out {
			out[i] = applied{err: err}
		}
		f.g.fatal(err)
	}
	return resp
}

// apply executes entries above the applied index; the others were before a
// restart, or came with an installed state, and are skipped: never executed
// again. out may be nil.
func (f *fsm) apply(logs []*raft.Log, out []applied) error {
	g := f.g
	if err := g.failure(); err != nil {
		return err
	}
	have, _ := g.o.Machine.Applied()
	skip := 0
	for skip < len(logs) && logs[skip].Index <= have {
		if out != nil {
			out[skip].res.Skipped = true
		}
		skip++
	}
	// A state that came with an install is ahead of raft's configurations.
	for _, l := range logs {
		if l.Type == raft.LogConfiguration {
			g.configured(l.Index, raft.DecodeConfiguration(l.Data))
		}
	}
	logs = logs[skip:]
	if len(logs) == 0 {
		return nil
	}
	f.entries = f.entries[:0]
	for _, l := range logs {
		e := cluster.Entry{Kind: cluster.KindConfig}
		if l.Type == raft.LogCommand {
			var err error
			if e, err = decodeEntry(l.Data); err != nil {
				return fmt.Errorf("entry %d: %w", l.Index, err)
			}
		}
		e.Index, e.Term = l.Index, l.Term
		f.entries = append(f.entries, e)
	}
	results, err := g.o.Machine.Apply(f.entries)
	if err == nil && len(results) != len(f.entries) {
		err = fmt.Errorf("%d results for %d entries", len(results), len(f.entries))
	}
	last := &f.entries[len(f.entries)-1]
	if err != nil {
		return fmt.Errorf("group %s: apply up to %d: %w", g.o.Group, last.Index, err)
	}
	for i := range results {
		if out != nil {
			out[skip+i].res = results[i]
		}
		if f.entries[i].Kind == cluster.KindCheck && len(results[i].Value) == len(cluster.Digest{}) {
			g.checks.store(f.entries[i].Index, cluster.Digest(results[i].Value))
		}
	}
	index, term := last.Index, last.Term
	clear(f.entries)
	g.applied.advance(index, term)
	if g.leadTerm.Load() != 0 {
		g.notices.committed()
	}
	g.stats.applied.Add(uint64(len(logs)))
	return nil
}

// configured takes note of an applied configuration. A member that was in an
// earlier one and is not in this one has been removed; one that joins replays
// configurations from before its time.
func (g *Group) configured(index uint64, c raft.Configuration) {
	g.confs.add(index, c)
	in := false
	for _, s := range c.Servers {
		in = in || s.ID == g.self
	}
	if was := g.included.Swap(in); was && !in {
		g.alarm(Alarm{Kind: AlarmRemoved, Index: index})
	}
}

// Snapshot begins a marker: the state needs no copy.
func (f *fsm) Snapshot() (raft.FSMSnapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.held {
		return nil, errHeld
	}
	if err := f.g.failure(); err != nil {
		return nil, err
	}
	return marking{f.g}, nil
}

// Restore is never called: raft gets no InstallSnapshot and restores nothing
// at a start.
func (f *fsm) Restore(r io.ReadCloser) error {
	return errors.Join(errors.New("group: installs do not go through raft"), r.Close())
}

// marking makes one marker.
type marking struct{ g *Group }

// Persist makes the state durable up to the marker before it lets raft have it:
// raft deletes log on the strength of it (hazard 7.6 of the raft notes).
func (m marking) Persist(sink raft.SnapshotSink) error {
	k, ok := sink.(*snapshot.Sink)
	if !ok {
		return fmt.Errorf("group: a marker of another store")
	}
	index, _, err := m.g.syncMachine()
	if err != nil {
		return err
	}
	if index < k.Index() {
		return fmt.Errorf("group: marker at %d above the durable state at %d", k.Index(), index)
	}
	if err := k.Close(); err != nil {
		return err
	}
	m.g.rebase()
	return nil
}

func (marking) Release() {}

// configurations are the newest applied configurations, by the index of their
// entry: a fetched state needs the one it was made under.
type configurations struct {
	mu   sync.Mutex
	list []indexedConf
}

type indexedConf struct {
	index uint64
	conf  raft.Configuration
}

const keepConfs = 16

func (c *configurations) add(index uint64, conf raft.Configuration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.list); n > 0 && c.list[n-1].index >= index {
		return
	}
	c.list = append(c.list, indexedConf{index, conf})
	if len(c.list) > keepConfs {
		c.list = append(c.list[:0], c.list[1:]...)
	}
}

// at returns the newest configuration at or below index.
func (c *configurations) at(index uint64) (raft.Configuration, uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := len(c.list) - 1; i >= 0; i-- {
		if c.list[i].index <= index {
			return c.list[i].conf, c.list[i].index, true
		}
	}
	return raft.Configuration{}, 0, false
}

func (c *configurations) reset(index uint64, conf raft.Configuration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = []indexedConf{{index, conf}}
}

// base is the newest marker: everything at or below it is committed and in the
// state of this node.
type base struct{ index, term uint64 }
