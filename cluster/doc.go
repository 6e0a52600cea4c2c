// Package cluster is the vocabulary of replication: the identities, the log
// entry, the interfaces between a Raft group and what it replicates, and the
// errors every room above tests for. It moves bytes only and knows no mail.
//
// The rooms below it are group (one Raft group), logstore (its log), snapshot
// (markers and installs), transport (the port between nodes), node (hosts the
// groups) and member (joining and leaving). DESIGN.md tells how they fit.
package cluster
