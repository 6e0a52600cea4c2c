package cluster

import "errors"

// The errors of this tree. Rooms above test for them with errors.Is; each
// protocol maps them in one place.
var (
	// ErrUnavailable: no majority or no leader answered in time. A proposal
	// that met it may have happened or not, never half.
	ErrUnavailable = errors.New("cluster: no quorum or leader within the time allowed")
	// ErrRefused: the proposal provably did not happen and never will.
	ErrRefused = errors.New("cluster: refused, nothing happened")
	// ErrTooLarge: the command exceeds the entry limit.
	ErrTooLarge = errors.New("cluster: command too large")
	// ErrNoRoom: too few voters have room for new bodies.
	ErrNoRoom = errors.New("cluster: not enough disk space for new bodies")
	// ErrStopped: the node or group is shutting down or has failed.
	ErrStopped = errors.New("cluster: stopped")
	// ErrNotMember: the peer, or this node, is not a member any more.
	ErrNotMember = errors.New("cluster: not a member")
	// ErrQuorum: a membership change would lose the quorum or the last whole
	// copy.
	ErrQuorum = errors.New("cluster: would lose quorum")
	// ErrGone: the body is gone for good: nothing applied refers to it.
	ErrGone = errors.New("cluster: body is gone")
	// ErrNotHere: the body is not on that node.
	ErrNotHere = errors.New("cluster: body not here")
	// ErrClock: this node's clock differs too much from the majority's.
	ErrClock = errors.New("cluster: clock too far from the other nodes")
)
