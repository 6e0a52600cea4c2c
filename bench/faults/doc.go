// Package faults tries to break the promises of DESIGN.md from outside: it
// runs real altmail processes, hurts them, and compares what clients were
// answered with what the cluster shows. It speaks only SMTP, IMAP and the
// command line; no other package of this module is known to it.
package faults
