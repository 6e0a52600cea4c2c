// Package smtp takes mail in: from other servers (MX), from the accounts'
// own mail programs (submission, RFC 6409) and from local programs (LMTP, RFC
// 2033). A 250 after the data means that the message is on the disks of a
// majority.
//
// The protocol engine is emersion/go-smtp. It sees the client only through a
// link of ours, which frames the client's bytes itself: one command line at a
// time, chunks by their announced size, and message data not at all, because
// the session reads that from the link. So nothing the client sends as data
// can become a command, and TLS, timeouts, line limits and reply batching are
// in our hands. DESIGN.md tells why.
package smtp
