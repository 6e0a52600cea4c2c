// Package transport is the one TLS 1.3 port between nodes.
//
// Both sides show a certificate of the cluster's CA and both ask the caller's
// Admit whether that node, with that key, is a member now. ALPN tells three
// uses apart: Raft connections (one group each, then hashicorp/raft's own
// protocol), RPC connections (our frames, many calls in flight), and the join
// call of a node that has no certificate yet.
//
// A failed Call tells ErrNotSent, when the request provably never left, from
// ErrUnknown, when it may have been executed: who forwards must never repeat
// blindly. FORMAT.md draws the bytes, DESIGN.md gives the reasons.
package transport
