// Package mailstore is the vocabulary of the mail store: the identities and
// values that commands, state and the doors to them share. It holds no
// behaviour that touches a disk or a network.
//
// Rooms: command (what goes into the log), state (the deterministic machines),
// body (sealed messages on disk), commit (the write door), lookup (the read
// door), change (what happened, after it was applied).
package mailstore
