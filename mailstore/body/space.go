package body

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
)

const (
	usageFresh  = time.Second      // how long a measurement of the disk holds
	reportFresh = time.Minute      // how long a member's report holds
	reportEvery = 10 * time.Second // how often members are asked when idle
)

// space watches the disk of this node and what the members report of theirs
// (R10). Bodies come in three classes: new ones are refused first, those that
// an entry names already may use a reserve, and reclaim may use what is left,
// for it is what frees the disk again.
type space struct {
	s     *Store
	usage func() (vfs.DiskUsage, error)
	spent atomic.Int64 // bytes written since the measurement

	mu      sync.Mutex
	at      time.Time
	limited bool
	last    vfs.DiskUsage
	members map[cluster.NodeID]report
}

// report is what a member says of its disk.
type report struct {
	room bool // it takes new bodies
	free uint64
	at   time.Time
}

func (sp *space) init(s *Store) {
	sp.s = s
	sp.members = make(map[cluster.NodeID]report)
	sp.usage = s.opts.DiskUsage
	if sp.usage == nil {
		sp.usage = func() (vfs.DiskUsage, error) { return s.fs.GetDiskUsage(s.dir) }
	}
}

// expire forgets the measurement: the disk was just seen to be full.
func (sp *space) expire() {
	sp.mu.Lock()
	sp.at = time.Time{}
	sp.mu.Unlock()
}

// free returns the free bytes and whether the file system knows them.
func (sp *space) free() (free, total uint64, limited bool) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if now := time.Now(); sp.at.IsZero() || now.Sub(sp.at) > usageFresh {
		u, err := sp.usage()
		switch {
		case err == nil:
			sp.last, sp.limited = u, true
			sp.spent.Store(0)
		case errors.Is(err, vfs.ErrUnsupported):
			sp.limited = false
		default:
			// Keep the last measurement, less what was written since.
			sp.s.stats.usageErrors.Add(1)
		}
		sp.at = now
	}
	free = sp.last.AvailBytes
	if spent := uint64(max(0, sp.spent.Load())); spent < free {
		free -= spent
	} else {
		free = 0
	}
	return free, sp.last.TotalBytes, sp.limited
}

func (sp *space) marks(total uint64) (refuse, reserve uint64) {
	refuse, reserve = sp.s.opts.RefuseFree, sp.s.opts.ReserveFree
	if refuse == 0 {
		refuse = min(total/10, 20<<30)
	}
	if reserve == 0 {
		reserve = refuse / 8
	}
	return refuse, reserve
}

// admit says whether a body of that class may be written now.
func (sp *space) admit(class putClass) error {
	free, total, limited := sp.free()
	if !limited {
		return nil
	}
	refuse, reserve := sp.marks(total)
	if class == putNew && free < refuse || class == putMember && free < reserve {
		sp.s.stats.noRoom.Add(1)
		return cluster.ErrNoRoom
	}
	return nil
}

// self is what this node reports to others.
func (sp *space) self() report {
	free, total, limited := sp.free()
	refuse, _ := sp.marks(total)
	return report{room: !limited || free >= refuse, free: free}
}

// heard notes a member's report.
func (sp *space) heard(from cluster.NodeID, r report) {
	r.at = time.Now()
	sp.mu.Lock()
	sp.members[from] = r
	sp.mu.Unlock()
}

// Room reports whether new bodies may be accepted for the group: no more than
// a minority of its members, this node included, is short of disk space. A
// member that has not been heard of for a minute counts as having room.
func (s *Store) Room(group cluster.GroupID) bool {
	sp := &s.space
	members := s.opts.Members(group)
	short := 0
	if !sp.self().room {
		short++
	}
	now := time.Now()
	sp.mu.Lock()
	defer sp.mu.Unlock()
	for _, m := range members {
		if r, ok := sp.members[m]; ok && !r.room && now.Sub(r.at) < reportFresh {
			short++
		}
	}
	return short <= len(members)/2
}
