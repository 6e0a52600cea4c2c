// Package roster is the list of nodes as membership reads and changes it: the
// directory's state on this node and commands to its group.
package roster
