// Package clients runs the mail clients that people use against three nodes
// and kills a node in the middle of their work: what each of them holds in the
// end must be what was delivered, octet by octet. It is tests alone, with the
// build tag e2e; a client that is not installed fails them.
package clients
