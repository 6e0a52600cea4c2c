// Package journal is the node's redo log: one append-only file for the small
// synced writes of every group. Raft entries and small bodies are written here
// first, all that wait at a moment with one write and one fdatasync, and go to
// their own files later, in large pieces, without anybody waiting. After a
// crash the owners of those files redo what the journal still holds.
//
// It moves bytes only: what a record holds, and that it is sealed, is its
// owner's business. FORMAT.md draws the file, DESIGN.md tells why it is there.
package journal
