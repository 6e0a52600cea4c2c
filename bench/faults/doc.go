// Package faults tries to break the promises of DESIGN.md from outside: it
// runs real altmail processes, hurts them, and compares what clients were
// answered with what the cluster shows. It speaks only SMTP, LMTP, IMAP and the
// command line; no other package of this module is known to it but those below
// this folder: lan (wires), disk (disks), client (protocols), check (the rules).
//
// Run plays rounds of faults under load, each followed by healing and a
// comparison of everything with everything; see DESIGN.md.
package faults
