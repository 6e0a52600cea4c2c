package logstore

import (
	"fmt"
	"sync"
)

// DeleteRange removes [min, max]. A removal from the front goes in pieces, from
// low to high, and leaves what Hold asks for; one from the back is one
// transaction.
func (s *Store) DeleteRange(min, max uint64) error {
	s.write.Lock()
	unlock := sync.OnceFunc(s.write.Unlock)
	defer unlock()
	if s.redo != nil {
		s.redo.flushing.Lock()
		defer s.redo.flushing.Unlock()
	}
	if err := s.broken(); err != nil {
		return err
	}
	s.mu.Lock()
	first, last := s.first, s.last
	if last == 0 || min > max {
		s.mu.Unlock()
		return nil
	}
	if min < first {
		min = first
	}
	if max > last {
		max = last
	}
	prefix := min == first && max < last
	if prefix {
		for h := range s.holds {
			if max >= h.index {
				max = h.index - 1
			}
		}
	}
	s.mu.Unlock()
	if min > max {
		return nil
	}
	if min != first && max != last {
		return s.fail(fmt.Errorf("%w: delete of [%d, %d] from [%d, %d]", ErrGap, min, max, first, last))
	}
	if s.redo != nil {
		if err := s.settle(max); err != nil {
			return err
		}
		if prefix {
			unlock() // entries go on to the journal meanwhile
		}
	}
	if !prefix {
		return s.deletePiece(min, max, first, last)
	}
	for min <= max {
		hi := min + deleteChunk - 1
		if hi > max {
			hi = max
		}
		if err := s.deletePiece(min, hi, min, last); err != nil {
			return err
		}
		min = hi + 1
	}
	return nil
}

func (s *Store) deletePiece(lo, hi, first, last uint64) error {
	if err := s.fault(OpDeleteRange); err != nil {
		return s.fail(fmt.Errorf("logstore: delete: %w", err))
	}
	// The range leaves the view first: a reader must not meet a missing entry
	// inside it.
	s.mu.Lock()
	s.cache.remove(lo, hi)
	switch {
	case lo == first && hi == last:
		s.first, s.last = 0, 0
	case lo == first:
		s.first = hi + 1
	default:
		s.last = lo - 1
	}
	s.mu.Unlock()
	s.handle.RLock()
	err := s.db.DeleteRange(lo, hi)
	s.handle.RUnlock()
	if err != nil {
		return s.fail(fmt.Errorf("logstore: delete: %w", err))
	}
	return nil
}

// Empty removes every entry. The vote stays.
func (s *Store) Empty() error {
	first, _ := s.FirstIndex()
	last, _ := s.LastIndex()
	if last == 0 {
		return nil
	}
	return s.DeleteRange(first, last)
}

// Hold keeps the entries from index on from being removed from the front until
// release is called.
func (s *Store) Hold(index uint64) (release func()) {
	h := &hold{index: max(index, 1)}
	s.mu.Lock()
	s.holds[h] = struct{}{}
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		delete(s.holds, h)
		s.mu.Unlock()
	}
}
