// Package corpus makes mail for benchmarks: seeded, endless and realistic in
// what matters to a store, or taken from an operator's own mbox or Maildir.
//
// A message depends on mix, seed and index alone, so that every run and every
// server gets the same bytes, and no two messages share text but for what the
// posts of a mailing list quote.
package corpus

// Source gives messages by index. Implementations are safe for concurrent use.
type Source interface {
	// Message returns message i ≥ 0 as it is on the wire: lines end with
	// CRLF, no dot-stuffing. The caller must not change it. A source with an
	// end repeats itself past it. Nil: it could not be read.
	Message(i int) []byte
	// Len is the number of different messages, 0 when there is no end.
	Len() int
}
