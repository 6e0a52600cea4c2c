package lookup

import (
	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

// Status is how far an account is in its life.
type Status uint8

// The states of an account, in order of its life but for Suspended, which
// comes and goes.
const (
	Opening   Status = 1 // its mail group does not know it yet
	Active    Status = 2
	Suspended Status = 3 // takes mail; no logins, no changes
	Closing   Status = 4
	Closed    Status = 5
)

// Target is where mail to an address goes.
type Target struct {
	Account mailstore.AccountID
	Group   cluster.GroupID
	Status  Status
	Address string // as it was added, not as it was asked for
}

// Quota is what an account uses and may use. A limit of 0 is none.
type Quota struct {
	UsedBytes, LimitBytes       uint64
	UsedMessages, LimitMessages uint64
}

// Changes is what changed in a mailbox since a modification sequence.
type Changes struct {
	// HighestModSeq and UIDNext are those of the view.
	HighestModSeq mailstore.ModSeq
	UIDNext       mailstore.UID
	// Messages are those with a greater MODSEQ, new ones included, by UID.
	Messages []mailstore.Message
	// Vanished are the UIDs expunged since, in order; a superset is allowed
	// for the distant past (RFC 7162 section 3.2.10.2).
	Vanished []mailstore.Range
	// Reset tells that the mailbox is not the one it was: everything known of
	// it is to be read anew.
	Reset bool
}
