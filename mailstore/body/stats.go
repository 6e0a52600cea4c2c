package body

import (
	"sync/atomic"
	"time"
)

type stats struct {
	puts, syncs, noSpace, noRoom, badHash, badSegments, recovered           atomic.Uint64
	readBytes, damaged, healed, scrubbed, usageErrors                       atomic.Uint64
	pushed, pushedBytes, pushFailed, pushDropped, pushReceived              atomic.Uint64
	pulled, pulledBytes, pullFailed, goneProven, readThrough, backfilled    atomic.Uint64
	freed, orphans, rewritten, reclaimedBytes, gateWaits, gatePulls, noGive atomic.Uint64
	journaled, flushes, redone, redoStale, recalled                         atomic.Uint64
}

// Stats are counters since Open, and the present state of the store.
type Stats struct {
	Puts          uint64 // records written, moved ones included
	Syncs         uint64 // group commits: one write and one fdatasync each
	Journaled     uint64 // group commits by way of the journal
	Flushes       uint64 // syncs of a segment because the journal asked, or for its end
	Redone        uint64 // records of the journal redone at open
	RedoStale     uint64 // and those whose segment was rewritten since
	Recalled      uint64 // bodies of the journal that an index did not know
	NoSpace       uint64 // writes that met a full disk
	Refused       uint64 // bodies refused for want of space
	BadHash       uint64 // bodies received that did not match their id
	BadSegments   uint64 // segments set aside at open as unreadable
	Recovered     uint64 // segments without an index scanned at open
	ReadBytes     uint64
	Damaged       uint64 // bodies found damaged on disk
	Healed        uint64 // bodies fetched again after damage or loss
	ScrubbedBytes uint64
	UsageErrors   uint64 // failed measurements of the file system

	Pushed, PushedBytes, PushFailed, PushDropped, PushReceived uint64
	Pulled, PulledBytes, PullFailed                            uint64
	GoneProven                                                 uint64 // bodies a member proved to be gone
	ReadThrough                                                uint64 // reads served from a peer
	Backfilled                                                 uint64
	Unavailable                                                uint64 // rounds in which every member answered that it lacks a missing body
	GateWaits                                                  uint64 // Ensure calls that had to wait
	GatePulls                                                  uint64 // of these, how many pulled

	Freed          uint64 // dead bodies let go
	Orphans        uint64 // of these, bodies that no entry named
	Rewritten      uint64 // segments rewritten or dropped
	ReclaimedBytes uint64

	Bodies     int // bodies on this node
	Segments   int
	LiveBytes  int64
	DiskBytes  int64 // what the segments take
	Missing    int   // live bodies known to be missing
	FreeBytes  uint64
	OldestDead time.Duration // age of the oldest dead body not erased yet
}

// Stats returns the counters and measures the store. It takes each group's
// lock for a moment.
func (s *Store) Stats() Stats {
	c := &s.stats
	st := Stats{
		Puts: c.puts.Load(), Syncs: c.syncs.Load(), NoSpace: c.noSpace.Load(), Refused: c.noRoom.Load(),
		BadHash: c.badHash.Load(), BadSegments: c.badSegments.Load(), Recovered: c.recovered.Load(),
		ReadBytes: c.readBytes.Load(), Damaged: c.damaged.Load(), Healed: c.healed.Load(),
		ScrubbedBytes: c.scrubbed.Load(), UsageErrors: c.usageErrors.Load(),
		Pushed: c.pushed.Load(), PushedBytes: c.pushedBytes.Load(), PushFailed: c.pushFailed.Load(),
		PushDropped: c.pushDropped.Load(), PushReceived: c.pushReceived.Load(),
		Pulled: c.pulled.Load(), PulledBytes: c.pulledBytes.Load(), PullFailed: c.pullFailed.Load(),
		GoneProven: c.goneProven.Load(), ReadThrough: c.readThrough.Load(), Backfilled: c.backfilled.Load(),
		Unavailable: c.noGive.Load(), GateWaits: c.gateWaits.Load(), GatePulls: c.gatePulls.Load(),
		Freed: c.freed.Load(), Orphans: c.orphans.Load(), Rewritten: c.rewritten.Load(),
		ReclaimedBytes: c.reclaimedBytes.Load(),
		Journaled:      c.journaled.Load(), Flushes: c.flushes.Load(),
		Redone: c.redone.Load(), RedoStale: c.redoStale.Load(), Recalled: c.recalled.Load(),
	}
	now := time.Now().Unix()
	for _, g := range s.all() {
		g.mu.Lock()
		st.Bodies += g.tab.n
		for _, seg := range g.segs {
			st.Segments++
			st.LiveBytes += seg.live
			st.DiskBytes += seg.size
			if seg.deadSince != 0 {
				st.OldestDead = max(st.OldestDead, time.Duration(now-seg.deadSince)*time.Second)
			}
		}
		g.mu.Unlock()
		st.Missing += g.back.len()
	}
	st.FreeBytes, _, _ = s.space.free()
	return st
}
