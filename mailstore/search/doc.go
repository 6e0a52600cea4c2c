// Package search is a node's full-text index: for each account segments that
// hold the searchable text of its messages and the words in it. An answer of
// the index is exact; what it does not know it says so of, and the caller
// reads the message. The index is of this node only: it is in no log, no
// digest and no snapshot, and whatever is lost or damaged of it is made again.
//
// DESIGN.md tells why it is made so, FORMAT.md draws its bytes.
package search
