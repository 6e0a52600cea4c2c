// Package member decides who belongs to a cluster: it makes the first node,
// lets others join by a one-time token, keeps every group's Raft configuration
// in step with the replicated list of nodes, and lets nodes leave or be
// evicted without losing a quorum or the last copy of a body.
//
// The list of nodes (the Roster) is the wish; a group's configuration follows
// it, one change at a time, by the hand of that group's leader.
package member
