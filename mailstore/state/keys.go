package state

import (
	"encoding/binary"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

// The first byte of every key. Frozen: the keys are on disk.
const (
	spaceReplicated = 0x01 // group u32, table u8, ...: the state of a group
	spaceLocal      = 0x02 // group u32, kind u8, ...: facts of this node only
)

// Kinds of node-local rows.
const localCheck = 0x01 // index u64 → digest at that check

// Tables of a group. Frozen: the bytes are on disk and in snapshots.
const (
	tabApplied = 0x00 // index, term, digest; never part of the digest or a view
	tabClock   = 0x01

	tabAccount     = 0x02 // account
	tabMailbox     = 0x03 // account, mailbox
	tabName        = 0x04 // account, name hash → mailbox
	tabSub         = 0x05 // account, name hash → sealed name
	tabKeyword     = 0x06 // account, keyword id u16 → hash, sealed
	tabKeywordHash = 0x07 // account, keyword hash → id
	tabMessage     = 0x08 // account, mailbox, uid
	tabContent     = 0x09 // account, content id: immutable
	tabContentRefs = 0x0a // account, content id → number of messages, when over 1
	tabModSeq      = 0x0b // account, mailbox, modseq, uid → nothing
	tabVanished    = 0x0c // account, mailbox, modseq → uid ranges
	tabThread      = 0x0d // account, thread hash → refs, thread
	tabBody        = 0x0e // body id → refs, size
	tabOp          = 0x0f // operation id → result
	tabOpAge       = 0x10 // sequence u64 → operation id, time
	tabHandoff     = 0x11 // handoff id
	tabDying       = 0x12 // account, mailbox (0: the account)
	tabWhole       = 0x13 // node id → whole
	tabMetadata    = 0x14 // account → sums; account, mailbox (0: the account), entry hash
	tabACL         = 0x15 // account → sum; account, mailbox, identifier hash
	tabImport      = 0x16 // account, mailbox (0: the account) → what it is imported from, how far
	tabValidity    = 0x17 // account, UIDVALIDITY u32 (0: the first that was counted)

	tabNode       = 0x40 // node id
	tabNodeName   = 0x41 // name → node id
	tabToken      = 0x42 // token id
	tabDomain     = 0x43 // domain hash → sealed
	tabDirAccount = 0x44 // account
	tabAddress    = 0x45 // address hash → account, sealed
	tabAccAddress = 0x46 // account, address hash → nothing
	tabGroup      = 0x47 // group u32 → nothing
	tabSetting    = 0x48 // name
	tabCredential = 0x49 // account, credential id
	tabShare      = 0x4a // grantee, owner → version
	tabShared     = 0x4b // owner, grantee → nothing
)

const prefixLen = 1 + 4

// knownTables lists the tables each kind of machine may hold rows in.
var mailTables = [256]bool{
	tabApplied: true, tabClock: true, tabAccount: true, tabMailbox: true, tabName: true, tabSub: true,
	tabKeyword: true, tabKeywordHash: true, tabMessage: true, tabContent: true, tabContentRefs: true,
	tabModSeq: true, tabVanished: true, tabThread: true, tabBody: true, tabOp: true, tabOpAge: true,
	tabHandoff: true, tabDying: true, tabWhole: true, tabMetadata: true, tabACL: true,
	tabImport: true, tabValidity: true,
}

var directoryTables = [256]bool{
	tabApplied: true, tabClock: true, tabOp: true, tabOpAge: true, tabWhole: true, tabNode: true, tabNodeName: true,
	tabToken: true, tabDomain: true, tabDirAccount: true, tabAddress: true, tabAccAddress: true,
	tabGroup: true, tabSetting: true, tabCredential: true, tabShare: true, tabShared: true,
}

func groupPrefix(g cluster.GroupID) []byte {
	return binary.BigEndian.AppendUint32([]byte{spaceReplicated}, uint32(g))
}

func localPrefix(g cluster.GroupID, kind byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{spaceLocal}, uint32(g)), kind)
}

// keys builds the keys of one group. Methods append to b, which callers reuse.
type keys struct{ prefix [prefixLen]byte }

func newKeys(g cluster.GroupID) keys { return keys{prefix: [prefixLen]byte(groupPrefix(g))} }

func (k *keys) table(b []byte, t byte) []byte { return append(append(b, k.prefix[:]...), t) }

func (k *keys) bytes(b []byte, t byte, id []byte) []byte { return append(k.table(b, t), id...) }

func (k *keys) u64(b []byte, t byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(k.table(b, t), n)
}

func (k *keys) account(b []byte, t byte, a mailstore.AccountID) []byte { return k.u64(b, t, uint64(a)) }

func (k *keys) accountHash(b []byte, t byte, a mailstore.AccountID, h []byte) []byte {
	return append(k.account(b, t, a), h...)
}

func (k *keys) keyword(b []byte, a mailstore.AccountID, id uint16) []byte {
	return binary.BigEndian.AppendUint16(k.account(b, tabKeyword, a), id)
}

func (k *keys) mailbox(b []byte, t byte, a mailstore.AccountID, m mailstore.MailboxID) []byte {
	return binary.BigEndian.AppendUint32(k.account(b, t, a), uint32(m))
}

func (k *keys) message(b []byte, a mailstore.AccountID, m mailstore.MailboxID, u mailstore.UID) []byte {
	return binary.BigEndian.AppendUint32(k.mailbox(b, tabMessage, a, m), uint32(u))
}

func (k *keys) mailboxModSeq(b []byte, t byte, a mailstore.AccountID, m mailstore.MailboxID, s mailstore.ModSeq) []byte {
	return binary.BigEndian.AppendUint64(k.mailbox(b, t, a, m), uint64(s))
}

func (k *keys) modSeq(b []byte, a mailstore.AccountID, m mailstore.MailboxID, s mailstore.ModSeq, u mailstore.UID) []byte {
	return binary.BigEndian.AppendUint32(k.mailboxModSeq(b, tabModSeq, a, m, s), uint32(u))
}

// upper returns the smallest key above every key that begins with p.
func upper(p []byte) []byte {
	out := append([]byte(nil), p...)
	for i := len(out) - 1; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			return out[:i+1]
		}
	}
	return nil
}
