package storetest

import (
	"context"
	"sync/atomic"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore/body"
	"altmail.se/altmail/mailstore/lookup"
)

// Away are bodies that may be taken from this node, as if it had not got them
// yet: other nodes are asked then, and have them. Use its Wrap for
// Options.Bodies.
type Away struct {
	lookup.Bodies
	away  atomic.Bool
	asked atomic.Int32
}

// Wrap puts the bodies of a stack under a.
func (a *Away) Wrap(b lookup.Bodies) lookup.Bodies {
	a.Bodies = b
	return a
}

// Set takes the bodies away, or brings them back.
func (a *Away) Set(away bool) { a.away.Store(away) }

// Asked is how often other nodes were asked.
func (a *Away) Asked() int { return int(a.asked.Load()) }

// Open implements lookup.Bodies.
func (a *Away) Open(g cluster.GroupID, id cluster.BodyID) (*body.Handle, error) {
	if a.away.Load() {
		return nil, cluster.ErrNotHere
	}
	return a.Bodies.Open(g, id)
}

// Fetch implements lookup.Bodies.
func (a *Away) Fetch(_ context.Context, g cluster.GroupID, ref cluster.BodyRef) (*body.Handle, error) {
	a.asked.Add(1)
	return a.Bodies.Open(g, ref.ID)
}
