package group

import (
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/snapshot"
)

// Found makes a group out of a state that came from elsewhere, a backup: this
// node is its only voter, and it goes on after the state's applied index.
// Nothing may run on the directory, which holds no log with entries. The caller
// has begun a new cluster incarnation and jumped every counter (rule R23).
//
// Stream, Router and Fatal of the options are not used. It may be run again
// after a crash.
func Found(o Options) (err error) {
	o.Create, o.Bootstrap = true, false
	if err := o.checkLocal(); err != nil {
		return err
	}
	var broken error
	o.Fatal = func(err error) { broken = err }
	g := newGroup(o)
	defer g.cancel()
	index, term, err := o.Machine.Sync()
	if err != nil {
		return fmt.Errorf("group %s: found: %w", o.Group, err)
	}
	if index == 0 || term == 0 {
		return fmt.Errorf("group %s: found: %w: the state is empty", o.Group, cluster.ErrRefused)
	}
	if err := g.openFiles(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, broken, g.store.Close()) }()
	last, err := g.store.LastIndex()
	if err != nil {
		return err
	}
	if m, ok := g.snaps.Newest(); last != 0 || ok && m.Index != index {
		return fmt.Errorf("group %s: found: %w: it has a history of its own", o.Group, cluster.ErrRefused)
	}
	// An entry of this group must never be of an older term than the state.
	if err := g.store.RaiseTerm(term); err != nil {
		return err
	}
	return g.snaps.Put(snapshot.Marker{
		Index: index, Term: term, ConfigurationIndex: index, Floor: term, Taken: time.Now(),
		Configuration: raft.Configuration{Servers: []raft.Server{
			{Suffrage: raft.Voter, ID: g.self, Address: raft.ServerAddress(g.self)},
		}},
	})
}
