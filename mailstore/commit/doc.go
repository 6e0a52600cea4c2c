// Package commit is the write door of the mail store: it seals what a front
// end wants stored, writes bodies, proposes commands to the groups and turns
// their results into values and errors. A nil error means that the change is
// on the disks of a majority and applied on this node.
//
// Whatever must hold (quota, existence of mailboxes, names, flag conditions)
// is decided by the state when the command is applied, never here. A caller
// without a deadline gets one of five seconds; cluster.ErrUnavailable then
// means that nothing is known: the change may have happened or not.
package commit
