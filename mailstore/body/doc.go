// Package body keeps the sealed bytes of messages on one node's disk and moves
// them between the nodes of a group.
//
// A body is ciphertext named by its own SHA-256; this package never opens one.
// Bodies lie in append-only segments, one folder per group (FORMAT.md draws
// them), written by group commit: all writers of a moment share one write and
// one fdatasync. Where a body lies is known only to this node, is rebuilt when
// the store is opened, and is never part of replicated state.
//
// Store implements cluster.Gate: a log entry is acknowledged only together
// with its bodies, which arrive by push (Distribute) or are pulled from the
// other members. Missing bodies of committed entries are backfilled, damaged
// ones are found by Scrub and healed, dead ones leave the disk by Reclaim.
// DESIGN.md says why it is done this way.
package body
