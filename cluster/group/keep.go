package group

import (
	"errors"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// The log behind a marker is there for members that have not applied it yet.
// So what all have is let go but for the newest keptFloor; what somebody lacks
// stays, up to Tuning.TrailingBytes. Both are sums of entries as raft has them.
const keptFloor = 1 << 20

// sizeStep is how many entries at most, or how many bytes about, lie between
// two marks of logSizes, and sizeOver what an entry takes in the file besides
// its data.
const (
	sizeStep      = 64
	sizeStepBytes = 64 << 10
	sizeOver      = 96
)

// logSizes tells where in the log the newest so many bytes begin. It reads
// each entry once, soon after it was written, when the store still has it in
// memory. A suffix that is replaced between two looks may be counted with the
// sizes of what it replaced.
type logSizes struct {
	mu    sync.Mutex
	marks []sizeMark // ascending; the first begins the log, or close to it
	end   uint64     // last entry counted
	sum   int64      // of all counted
}

// sizeMark: the entries before index add up to sum.
type sizeMark struct {
	index uint64
	sum   int64
}

// follow counts what came to the log since the last call.
func (s *logSizes) follow(log raft.LogStore) error {
	first, err := log.FirstIndex()
	if err != nil {
		return err
	}
	last, err := log.LastIndex()
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first == 0 || s.end+1 < first {
		s.marks, s.end, s.sum = nil, 0, 0
	}
	if first == 0 {
		return nil
	}
	if s.end == 0 {
		s.end = first - 1
	}
	if last < s.end { // a suffix was removed
		n := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].index > last+1 })
		s.marks = s.marks[:n]
		if n == 0 {
			s.end, s.sum = first-1, 0
		} else {
			s.end, s.sum = s.marks[n-1].index-1, s.marks[n-1].sum
			s.marks = s.marks[:n-1] // made again below
		}
	}
	var l raft.Log
	for i := s.end + 1; i <= last; i++ {
		if n := len(s.marks); n == 0 || i >= s.marks[n-1].index+sizeStep || s.sum-s.marks[n-1].sum >= sizeStepBytes {
			s.marks = append(s.marks, sizeMark{i, s.sum})
		}
		err := log.GetLog(i, &l)
		switch {
		case errors.Is(err, raft.ErrLogNotFound): // truncated meanwhile
		case err != nil:
			return err
		default:
			s.sum += int64(len(l.Data) + len(l.Extensions) + sizeOver)
		}
		s.end = i
	}
	// One mark at or below the first entry is enough.
	if n := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].index > first }); n > 1 {
		s.marks = slices.Delete(s.marks, 0, n-1)
	}
	return nil
}

// newest returns the index from which on the log holds at most max bytes, give
// or take what lies between two marks, and at least its last entry.
func (s *logSizes) newest(max int64) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := sort.Search(len(s.marks), func(i int) bool { return s.sum-s.marks[i].sum <= max })
	if n == len(s.marks) {
		return s.end
	}
	return s.marks[n].index
}

// lowest returns the lowest index that another member has applied, as far as
// this node knows: 0 if it has not heard of one of them since it started.
func (h *health) lowest(members []raft.Server, self raft.ServerID) uint64 {
	low := ^uint64(0)
	for _, s := range members {
		if s.ID == self {
			continue
		}
		p, ok := h.get(nodeOf(s.ID))
		if !ok || p.server != s.ID {
			return 0
		}
		low = min(low, p.applied)
	}
	return low
}

// trailing is how many entries stay in the log behind a marker: what another
// member has not applied and the newest keptFloor, but neither more than
// TrailingMax or TrailingBytes nor what is older than half of the erasure
// deadline (rule R16). Before raft runs the others are not known: TrailingMax.
func (g *Group) trailing() uint64 {
	most := max(g.o.Tuning.TrailingMax, minTrailing)
	r := g.raft.Load()
	if r == nil {
		return most
	}
	n, err := g.behind(g.health.lowest(r.GetConfiguration().Configuration().Servers, g.self))
	if err != nil {
		// The store has told why it fails; what is kept for too long is let go
		// when it works.
		g.o.Log.Warn("length of the log", "err", err)
		return most
	}
	return min(max(n, minTrailing), most)
}

// behind returns how many entries stay if all other members have applied low.
func (g *Group) behind(low uint64) (uint64, error) {
	kept := &g.health.kept
	if err := kept.follow(g.store); err != nil {
		return 0, err
	}
	first, err := g.store.FirstIndex()
	if err != nil {
		return 0, err
	}
	last, err := g.store.LastIndex()
	if err != nil || last == 0 {
		return 0, err
	}
	from := max(min(kept.newest(keptFloor), low+1), kept.newest(g.o.Tuning.TrailingBytes), first)
	// An entry may come, or a suffix go, while this looks.
	young, err := g.youngest(min(from, last+1), last)
	return last + 1 - young, err
}

// youngest returns the first entry from an index on that is younger than half
// of the erasure deadline, last+1 if there is none.
func (g *Group) youngest(from, last uint64) (uint64, error) {
	cut := time.Now().Add(-g.o.Tuning.EraseWithin / 2)
	lo, hi := from, last+1
	for lo < hi {
		mid := lo + (hi-lo)/2
		var l raft.Log
		err := g.store.GetLog(mid, &l)
		switch {
		case errors.Is(err, raft.ErrLogNotFound):
			lo = mid + 1 // truncated meanwhile
		case err != nil:
			return 0, err
		case l.AppendedAt.Before(cut):
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return lo, nil
}
