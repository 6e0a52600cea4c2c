package commit

import (
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

// Message is what a front end wants stored: raw octets, indexed once.
type Message struct {
	// Raw are the octets that all recipients share. They must not change
	// until the call returns.
	Raw       []byte
	HeaderLen int    // offset of the body in Raw
	Summary   []byte // message.Index encoding of Raw, sealed for each account

	// For threads; they are hashed for each account. MessageID and
	// References are without angle brackets, Subject is the base subject of
	// RFC 5256 section 2.1.
	MessageID  string
	References []string
	Subject    string
}

// Placement is what a mailbox adds to a message.
type Placement struct {
	Flags    mailstore.Flags
	Keywords []string
	// InternalDate is kept in seconds with its zone.
	InternalDate time.Time
}

// Recipient is one account that a message is delivered to.
type Recipient struct {
	Account mailstore.AccountID
	// Group is lookup's Target.Group. It only informs: the account's own
	// group counts.
	Group cluster.GroupID
	// Mailbox is the name of the target, "" for INBOX. A mailbox that does
	// not exist when the message is stored becomes INBOX.
	Mailbox string
	// Prefix are header lines for this recipient alone, each ended by CRLF,
	// that come before the shared octets (H13).
	Prefix []byte
	Placement
}

// AppendMessage is one message of an Append.
type AppendMessage struct {
	Message
	Placement
}

// Appended tells where messages were stored (RFC 4315 APPENDUID).
type Appended struct {
	UIDValidity uint32
	UIDs        []mailstore.UID
	ModSeq      mailstore.ModSeq
}

// Mode says what a FlagChange does.
type Mode uint8

// The modes of a flag change.
const (
	Set Mode = iota
	Add
	Remove
)

// FlagChange is one change of flags for many messages.
type FlagChange struct {
	Mode     Mode
	Flags    mailstore.Flags
	Keywords []string
	// UnchangedSince leaves messages with a greater MODSEQ alone (RFC 7162
	// section 3.1.3); nil is no condition.
	UnchangedSince *mailstore.ModSeq
}

// StoreResult is what a flag change did.
type StoreResult struct {
	Changed  []mailstore.UID // flags differ now
	Modified []mailstore.UID // failed UnchangedSince
	// ModSeq is the highest modification sequence given.
	ModSeq mailstore.ModSeq
}

// Copied tells which messages were copied to which UIDs (RFC 4315 COPYUID).
type Copied struct {
	UIDValidity  uint32
	Source, Dest []mailstore.UID   // of equal length, pairwise
	Expunged     []mailstore.Range // from the source, when moved
	ModSeq       mailstore.ModSeq
}

// AddAccount describes a new account.
type AddAccount struct {
	Address  string
	Password []byte
	// Verifier is a stored password record in the text of crypto/passwd, in
	// place of Password (import).
	Verifier                  string
	QuotaBytes, QuotaMessages uint64 // 0: none
}
