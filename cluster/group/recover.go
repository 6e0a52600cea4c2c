package group

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/snapshot"
)

// Recovered tells what a Recover did.
type Recovered struct {
	Index, Term uint64 // the marker: the group goes on after it
	// Unproven is how many entries at the end of the log were taken as
	// committed although nobody can tell whether they were.
	Unproven uint64
}

// Recover gives a group that lost its majority for good a new configuration.
// Nothing may run on the directory. The whole local log counts as committed: it
// is applied, made durable, and replaced by a marker at its end or at the
// state's applied index, whichever is higher, so that no new entry ever gets an
// index the state has seen (rule R4). Entries that were answered elsewhere and
// never got here are lost: the caller says so, begins a new cluster
// incarnation and jumps every counter before it serves (rule R23).
//
// Stream, Router and Fatal of the options are not used. It may be run again
// after a crash.
func Recover(o Options, members []Member) (rec Recovered, err error) {
	o.Create, o.Bootstrap = false, false
	if err := o.checkLocal(); err != nil {
		return rec, err
	}
	var conf raft.Configuration
	voters := 0
	for _, m := range members {
		s := raft.Server{Suffrage: raft.Nonvoter, ID: raft.ServerID(ServerName(m.Node, m.Incarnation))}
		s.Address = raft.ServerAddress(s.ID)
		if m.Voter {
			s.Suffrage = raft.Voter
			voters++
		}
		conf.Servers = append(conf.Servers, s)
	}
	if voters == 0 {
		return rec, fmt.Errorf("group %s: recover: %w: no voter", o.Group, cluster.ErrRefused)
	}
	var broken error
	o.Fatal = func(err error) { broken = err }
	g := newGroup(o)
	defer g.cancel()
	if err := g.openDisk(); err != nil {
		return rec, err
	}
	defer func() {
		g.pins.drop(g.pins.all())
		err = errors.Join(err, broken, g.store.Close())
	}()

	last, err := g.store.LastIndex()
	if err != nil {
		return rec, err
	}
	have, term := o.Machine.Applied()
	rec.Index, rec.Term = have, term
	const chunk = 256
	var logs []*raft.Log
	for i := have + 1; i <= last; i++ {
		l := new(raft.Log)
		if err := g.store.GetLog(i, l); err != nil {
			return rec, err
		}
		rec.Index, rec.Term = l.Index, l.Term
		rec.Unproven++
		switch {
		case l.Type == raft.LogCommand || l.Type == raft.LogConfiguration:
		case i == last:
			// The state must reach the marker, also over a last entry that is
			// none of its own.
			l.Type, l.Data = raft.LogConfiguration, raft.EncodeConfiguration(conf)
		default:
			continue
		}
		if logs = append(logs, l); len(logs) == chunk || i == last {
			if err := g.fsm.apply(logs, nil); err != nil {
				return rec, err
			}
			logs = logs[:0]
		}
	}
	if rec.Index == 0 {
		return rec, fmt.Errorf("group %s: recover: %w: there is nothing here", o.Group, cluster.ErrRefused)
	}
	if index, _, err := o.Machine.Sync(); err != nil {
		return rec, fmt.Errorf("group %s: recover: %w", o.Group, err)
	} else if index < rec.Index {
		return rec, fmt.Errorf("group %s: recover: the state is durable at %d of %d", o.Group, index, rec.Index)
	}
	if err := g.snaps.Put(snapshot.Marker{
		Index: rec.Index, Term: rec.Term, Configuration: conf, ConfigurationIndex: rec.Index,
		Floor: g.store.Term(), Taken: time.Now(),
	}); err != nil {
		return rec, err
	}
	return rec, g.store.Empty()
}
