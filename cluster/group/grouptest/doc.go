// Package grouptest has what tests of replication need around a group: a
// machine that is a map, a gate over sets of bodies, keys, and a network of
// nodes in one process that can be cut.
package grouptest
