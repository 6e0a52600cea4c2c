package mailstore

import (
	"encoding/hex"
	"strconv"
	"time"

	"altmail.se/altmail/cluster"
)

// AccountID identifies an account for ever. It is random and never reused.
type AccountID uint64

func (a AccountID) String() string { return strconv.FormatUint(uint64(a), 16) }

// MailboxID identifies a mailbox within its account; a counter that never
// repeats, so a mailbox deleted and made again has another id (RFC 8474).
type MailboxID uint32

// ObjectID returns the MAILBOXID of RFC 8474 section 4.
func (m MailboxID) ObjectID() string { return "F" + strconv.FormatUint(uint64(m), 10) }

// UID is a message's unique identifier within a mailbox (RFC 9051 section
// 2.3.1.1). Zero is never a UID.
type UID uint32

// ModSeq is a modification sequence of RFC 7162: one counter per account,
// below 2^63.
type ModSeq uint64

// ContentID identifies the immutable part of a message within its account:
// 6 bytes of milliseconds since the epoch (for locality), 10 random bytes,
// chosen by whoever proposes it. Copies of a message share it.
type ContentID [16]byte

// EmailID returns the EMAILID of RFC 8474 section 5.1.
func (c ContentID) EmailID() string { return "M" + hex.EncodeToString(c[:]) }

// ThreadID returns the THREADID of RFC 8474 section 5.2 for the thread whose
// first message has this content id.
func (c ContentID) ThreadID() string { return "T" + hex.EncodeToString(c[:]) }

// Hash is a keyed hash (HMAC under the account's index key, 16 bytes) by which
// the state matches names it cannot read.
type Hash [16]byte

// BodyID names a sealed body.
type BodyID = cluster.BodyID

// Flags are the system flags of RFC 9051 section 2.3.2 as bits.
type Flags uint8

// The system flags. The bits are in the state: they never change meaning.
const (
	FlagSeen Flags = 1 << iota
	FlagAnswered
	FlagFlagged
	FlagDeleted
	FlagDraft
)

// AllFlags has every system flag set.
const AllFlags = FlagSeen | FlagAnswered | FlagFlagged | FlagDeleted | FlagDraft

// SpecialUse are the mailbox attributes of RFC 6154 section 2 as bits.
type SpecialUse uint8

// The special uses. The bits are in the state: they never change meaning.
const (
	UseAll SpecialUse = 1 << iota
	UseArchive
	UseDrafts
	UseFlagged
	UseJunk
	UseSent
	UseTrash
)

// Rights are what a user may do with a mailbox, as bits (RFC 4314 section 2.1).
type Rights uint16

// The rights. The bits are in the state: they never change meaning.
const (
	RightLookup     Rights = 1 << iota // l: it is listed
	RightRead                          // r: SELECT, STATUS
	RightSeen                          // s: \Seen
	RightWrite                         // w: flags but \Seen and \Deleted
	RightInsert                        // i: APPEND, COPY into it
	RightPost                          // p: mail to its address; nothing here asks for it
	RightCreate                        // k: mailboxes below it
	RightDelete                        // x: DELETE, RENAME
	RightDeleted                       // t: \Deleted
	RightExpunge                       // e: EXPUNGE
	RightAdminister                    // a: its access list
)

// AllRights are those of a mailbox's owner.
const AllRights Rights = 1<<11 - 1

// Has reports whether all of some rights are among these.
func (r Rights) Has(need Rights) bool { return r&need == need }

// Range is an inclusive range of UIDs, First <= Last.
type Range struct{ First, Last UID }

// Mailbox is a mailbox as a reader sees it.
type Mailbox struct {
	ID          MailboxID
	Name        string // UTF-8, "/" between levels, INBOX in capitals
	UIDValidity uint32
	UIDNext     UID
	// HighestModSeq is at least 1 (RFC 7162 section 3.1.2.1).
	HighestModSeq ModSeq
	Exists        uint32
	Unseen        uint32 // messages without \Seen
	Deleted       uint32 // messages with \Deleted
	Size          uint64 // sum of RFC822.SIZE
	DeletedSize   uint64
	// RecentFrom is the first UID that no session has been told of as
	// \Recent (RFC 3501 section 2.3.2).
	RecentFrom UID
	SpecialUse SpecialUse
	Subscribed bool
}

// Message is what FETCH needs without opening anything sealed.
type Message struct {
	UID          UID
	ModSeq       ModSeq
	Flags        Flags
	Keywords     []string
	InternalDate time.Time // second precision, with the zone it was given in
	SaveDate     time.Time // when it entered this mailbox (RFC 8514), UTC
	Size         uint32    // RFC822.SIZE
	Content      ContentID
	Thread       ContentID
}

// Event is a hint that something in a mailbox changed on this node: its
// highest modification sequence is now at least ModSeq. Readers then ask
// lookup what changed; a lost or merged hint loses nothing.
type Event struct {
	Group   cluster.GroupID
	Account AccountID
	Mailbox MailboxID // 0: the account's list of mailboxes, or the account
	ModSeq  ModSeq
	// Reset is set when the group's whole state was exchanged: every reader
	// of the group compares from what it last knew.
	Reset bool
}
