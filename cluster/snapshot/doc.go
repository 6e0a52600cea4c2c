// Package snapshot keeps the markers of one group and moves its state between
// nodes.
//
// The state of a group is on the disk already, so a Raft snapshot is a marker:
// group, index, term and configuration. What hashicorp/raft sends for an
// install is a ticket; the state itself is fetched block by block from a View
// pinned on the source into a Stage, while raft runs on, and swapped in by the
// group with raft stopped.
//
// FORMAT.md draws the bytes, DESIGN.md tells what was decided and why.
package snapshot
