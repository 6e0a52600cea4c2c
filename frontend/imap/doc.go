// Package imap serves IMAP4rev1 (RFC 3501), IMAP4rev2 (RFC 9051) and the
// extensions listed in RFC.md, from any node. It reaches mail by the read door
// (lookup), the write door (commit) and the feed of changes alone.
//
// A connection is one goroutine, and a second one that only waits for input
// while the first is in IDLE or searches. Commands are executed one after the
// other. One file holds each family of commands; table.go names them all.
//
// What a client was told of the selected mailbox is in a view: which message
// has which sequence number, and up to which modification sequence everything
// was announced. The feed only says that there is something to look up; what
// it is is always read from the state, so a lost or late hint costs time and
// nothing else.
package imap
