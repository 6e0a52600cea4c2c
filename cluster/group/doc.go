// Package group runs one Raft group: it proposes, forwards, reads, installs
// and checks, and it keeps hashicorp/raft within the guards that its open
// defects need (DESIGN.md lists them, each has its test).
//
// A Group implements cluster.Group over a cluster.Machine (the replicated
// state), a cluster.Gate (the bodies its entries name), a raft.StreamLayer and
// a Router (the calls between nodes).
package group
