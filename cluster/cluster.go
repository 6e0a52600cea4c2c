package cluster

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
)

// GroupID numbers a Raft group. Group 0 is the directory; groups 1..n hold
// mail. It is part of every key, path, RPC and metric.
type GroupID uint32

// Directory is the group that holds nodes, accounts, addresses and policy.
const Directory GroupID = 0

func (g GroupID) String() string { return strconv.FormatUint(uint64(g), 10) }

// NodeID is the identity of a node for the whole life of its data directory:
// 16 random bytes made at init or join. A wiped disk is a new NodeID.
type NodeID [16]byte

// String returns the 32 hexadecimal digits of the id.
func (n NodeID) String() string { return hex.EncodeToString(n[:]) }

// IsZero reports whether n is the zero id, which no node has.
func (n NodeID) IsZero() bool { return n == NodeID{} }

// MarshalText writes the text form.
func (n NodeID) MarshalText() ([]byte, error) { return []byte(n.String()), nil }

// UnmarshalText reads the text form.
func (n *NodeID) UnmarshalText(b []byte) error {
	id, err := ParseNodeID(string(b))
	if err != nil {
		return err
	}
	*n = id
	return nil
}

// ParseNodeID reads the text form of a NodeID.
func ParseNodeID(s string) (NodeID, error) {
	var n NodeID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(n) {
		return n, fmt.Errorf("cluster: %q is not a node id (32 hexadecimal digits)", s)
	}
	copy(n[:], b)
	return n, nil
}

// OpID identifies one intended change across retries, forwarding and failover.
// The state remembers it and answers a repeated one with the first result.
type OpID [16]byte

// BodyID is the SHA-256 of the sealed bytes of a body.
type BodyID [32]byte

func (b BodyID) String() string { return hex.EncodeToString(b[:]) }

// BodyRef names a body an entry depends on.
type BodyRef struct {
	ID   BodyID
	Size uint32 // sealed bytes as stored
}

// EntryKind tells what an entry is for.
type EntryKind uint8

// The kinds of entry. The numbers are in the log: they never change meaning.
const (
	KindCommand EntryKind = 1 // a command of the machine's own
	KindEpoch   EntryKind = 2 // a new leader's first entry of its term
	KindConfig  EntryKind = 3 // a Raft configuration; only advances the applied index
	KindCheck   EntryKind = 4 // the machine reports its Digest at this index as the result
)

// Entry is one committed log entry as a Machine executes it.
type Entry struct {
	Index, Term uint64
	Kind        EntryKind
	// Time is the leader's clock when it proposed the entry, in milliseconds
	// since the Unix epoch. A machine's own time is the maximum it has seen.
	Time uint64
	// First is the machine time at the first attempt of the operation; a
	// machine refuses, never executes, an operation that is too old to be
	// remembered.
	First   uint64
	Op      OpID
	Command []byte
	Bodies  []BodyRef
}

// Result is what applying one entry gave.
type Result struct {
	// Value is the machine's answer, opaque to the cluster. For KindCheck it
	// is the 16 bytes of the Digest.
	Value []byte
	// Skipped is set when the entry's index was at or below the applied one:
	// nothing was executed. It never completes a proposal.
	Skipped bool
}

// Digest is an additive multiset hash over every replicated record of a
// group. Equal states have equal digests, whatever the files look like.
type Digest [16]byte

func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Machine is the replicated state of one group. Apply, Install and Close are
// called by one goroutine at a time; everything else at any time. Apply is
// deterministic: it reads no clock, no random source, no body.
type Machine interface {
	// Applied returns index and term of the last entry whose effects readers
	// see.
	Applied() (index, term uint64)
	// Apply executes the entries in order as one atomic batch together with
	// the applied index and term, and returns one result for each. It does
	// not wait for the disk. An error means the state could not advance: the
	// group stops on this node.
	Apply(entries []Entry) ([]Result, error)
	// Sync makes everything applied so far durable and returns what is.
	Sync() (index, term uint64, err error)
	// Durable returns the newest index known to be durable.
	Durable() (index uint64)
	// Time returns the machine time: the greatest entry time applied, ms.
	Time() uint64
	// Digest returns the running digest and the index it is for.
	Digest() (Digest, uint64)
	// View pins the replicated state at one applied index for streaming.
	View() (View, error)
	// Stage begins to receive a state to be installed. One stage is open at a
	// time; beginning another discards the first.
	Stage(index, term uint64) (Stage, error)
	Close() error
}

// View is a pinned, consistent reading of a machine's replicated records.
type View interface {
	Index() (index, term uint64)
	Digest() Digest
	// Read returns the next block of records after the record key named by
	// after (nil: from the first), at most about max bytes, checksummed; the
	// key to continue from; and whether it was the last block.
	Read(after []byte, max int) (block, next []byte, done bool, err error)
	Close() error
}

// Stage receives the blocks of a View in order, beside the live state.
type Stage interface {
	Index() (index, term uint64)
	// Next returns the key to continue from after what was written so far.
	Next() []byte
	Write(block []byte) error
	// Verify recomputes the digest of what was staged and compares it.
	Verify(want Digest) error
	// Install swaps the staged state in for the live one, durably and at
	// once. It is called on the goroutine that applies. It refuses to lower
	// the applied index.
	Install() error
	Abort() error
}

// Gate answers for the bodies of a group on this node. The group calls it
// before an entry that names bodies is acknowledged.
type Gate interface {
	// Ensure returns nil once every body named by the entry at index is
	// durable on this node or is proven to be gone; until then it waits for
	// pushes and pulls from peers, from first of all, within ctx.
	Ensure(ctx context.Context, group GroupID, from NodeID, index uint64, refs []BodyRef) error
	// Backfill queues bodies of a committed entry to be fetched; the node is
	// not whole until they are here.
	Backfill(group GroupID, index uint64, refs []BodyRef)
	// Pin keeps bodies from being reclaimed until release is called.
	Pin(group GroupID, refs []BodyRef) (release func())
	// Whole reports whether every live body of the group is durable here.
	Whole(group GroupID) bool
	// Room reports whether new bodies may be accepted (disk space).
	Room(group GroupID) bool
}

// Proposal is one command offered to a group.
type Proposal struct {
	Op      OpID
	First   uint64 // Machine.Time at the first attempt
	Command []byte
	Bodies  []BodyRef
}

// Outcome is the answer to a proposal that was committed and applied.
type Outcome struct {
	Index uint64 // where it was (first) executed
	Value []byte // Result.Value
}

// Group is one replicated group as the rooms above use it, on any node.
type Group interface {
	ID() GroupID
	// Propose returns once the command is fsynced on a majority of voters and
	// applied on this node. It forwards to the leader and retries with the
	// same operation id until ctx ends; then the outcome is unknown and the
	// error is ErrUnavailable.
	Propose(ctx context.Context, p Proposal) (Outcome, error)
	// ReadIndex returns once the local state is at least as new as every
	// change answered before the call, or ErrUnavailable.
	ReadIndex(ctx context.Context) error
	// WaitApplied returns once this node has applied index.
	WaitApplied(ctx context.Context, index uint64) error
	// Leader returns the current leader as far as this node knows.
	Leader() (NodeID, bool)
	// IsLeader reports whether this node leads and has applied an entry of
	// its own term.
	IsLeader() bool
}

// Handler serves one RPC method. The request bytes are valid only during the
// call.
type Handler func(ctx context.Context, from NodeID, req []byte) (resp []byte, err error)

// Method numbers an RPC between nodes. The numbers are on the wire.
type Method uint16

// The RPC methods, by owner. Numbers are never reused.
const (
	MethodPing       Method = 1
	MethodForward    Method = 10 // group: batched proposals to the leader
	MethodReadIndex  Method = 11 // group: a read index from the leader
	MethodConfirm    Method = 12 // group: are you still in this term
	MethodFetchState Method = 13 // snapshot: blocks of a View
	MethodDigest     Method = 14 // group: digest at a check index
	MethodNotice     Method = 15 // group: the leader's log is committed up to here
	MethodBodyPush   Method = 20 // body: sealed bytes, answered when durable
	MethodBodyFetch  Method = 21 // body: a range of a body
	MethodBodyHave   Method = 22 // body: which of these are durable here
	MethodMember     Method = 30 // member: membership calls
	MethodThrottle   Method = 40 // auth: places from which logins failed
)

// Peers reaches the other nodes. Calls on bulk methods (bodies, state) do not
// delay the small ones.
type Peers interface {
	// Self is this node's id.
	Self() NodeID
	// Call sends req, given in parts, and waits for the response.
	Call(ctx context.Context, to NodeID, m Method, req ...[]byte) ([]byte, error)
	// Handle registers the handler of a method, before serving begins.
	Handle(m Method, h Handler)
}
