// Package logstore keeps the Raft log and the vote of one group in one
// raft-boltdb file, sealed under a node-local log key.
//
// Entries are plaintext in memory and on the (TLS) wire and ciphertext on the
// disk. The store is monotonic: entries are contiguous, and after an install it
// is emptied. A failed write is never retried on the same file: it is reported
// once and the process is expected to end.
//
// FORMAT.md draws the bytes, DESIGN.md tells what was decided and why.
package logstore
