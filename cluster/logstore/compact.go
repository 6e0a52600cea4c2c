package logstore

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"

	"altmail.se/altmail/cluster"
)

const (
	compactSuffix = ".compact"
	compactTx     = 1 << 20
)

// Compact rewrites the file without the pages that deleted entries left behind,
// so that erased content leaves the disk and space comes back. Reads of the file
// and the vote wait meanwhile, and without a journal StoreLogs does; call it
// after a truncation, when the file is small.
func (s *Store) Compact() (err error) {
	if s.redo != nil {
		s.redo.flushing.Lock()
		defer s.redo.flushing.Unlock()
		if err := s.flush(); err != nil {
			return err
		}
	} else {
		s.write.Lock()
		defer s.write.Unlock()
	}
	if err := s.broken(); err != nil {
		return err
	}
	if err := s.fault(OpCompact); err != nil {
		return fmt.Errorf("logstore: compact: %w", err)
	}
	s.handle.Lock()
	defer s.handle.Unlock()
	if err := s.db.Close(); err != nil {
		return s.fail(fmt.Errorf("logstore: compact: %w", err))
	}
	made, copyErr := s.copyTo(s.path + compactSuffix)
	if copyErr == nil {
		copyErr = os.Rename(s.path+compactSuffix, s.path)
	}
	if copyErr == nil {
		if err := syncDir(s.o.Dir); err != nil {
			// The rename may come undone: which file is the log is not known.
			return s.fail(err)
		}
		s.mu.Lock()
		s.made = made
		s.mu.Unlock()
	} else {
		copyErr = fmt.Errorf("logstore: compact: %w", copyErr)
		if err := os.Remove(s.path + compactSuffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			copyErr = errors.Join(copyErr, err)
		}
	}
	if s.db, err = s.openDB(); err != nil {
		return s.fail(errors.Join(copyErr, err))
	}
	return copyErr
}

func (s *Store) copyTo(path string) (made time.Time, err error) {
	made, stamp, err := s.newStamp()
	if err != nil {
		return made, err
	}
	var home []byte
	if s.redo != nil {
		if home, err = s.homeRecord(s.redo.home); err != nil {
			return made, err
		}
	}
	// The vote goes under the newest key as well, so that an old one can go.
	s.mu.Lock()
	v := s.vote
	s.mu.Unlock()
	voted, err := s.sealer.Seal(nil, PurposeVote, 0, 0, 0, v.encode())
	if err != nil {
		return made, err
	}
	ro := s.boltOptions()
	ro.ReadOnly, ro.InitialMmapSize = true, 0
	src, err := bbolt.Open(s.path, 0, ro)
	if err != nil {
		return made, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	wo := s.boltOptions()
	wo.NoSync, wo.InitialMmapSize = true, 0
	dst, err := bbolt.Open(path, 0o600, wo)
	if err != nil {
		return made, err
	}
	err = bbolt.Compact(dst, src, compactTx)
	if err == nil {
		err = dst.Update(func(tx *bbolt.Tx) error {
			conf := tx.Bucket([]byte("conf"))
			err := errors.Join(conf.Put([]byte(recordStamp), stamp), conf.Put([]byte(recordVote), voted))
			if home != nil {
				err = errors.Join(err, conf.Put([]byte(recordHome), home))
			}
			return err
		})
	}
	if err == nil {
		err = dst.Sync()
	}
	return made, errors.Join(err, dst.Close())
}

// OldestEpoch returns the lowest key epoch that a record may be sealed under
// that is in the file, or in the journal and not yet in the file. Free pages
// aside: those are gone after the next Compact. Epochs only grow, so the first
// entry has the lowest of all entries.
func (s *Store) OldestEpoch() (uint32, error) {
	s.handle.RLock()
	defer s.handle.RUnlock()
	if s.db == nil {
		return 0, cluster.ErrStopped
	}
	oldest, _ := s.o.Keys.LogKey()
	take := func(rec []byte) error {
		e, err := EpochOf(rec)
		oldest = min(oldest, e)
		return err
	}
	// Before the file: a flush takes it from here to there.
	s.mu.Lock()
	var pending []byte
	if s.redo != nil && len(s.redo.pending) > 0 {
		pending = s.redo.pending[0].Data
	}
	s.mu.Unlock()
	if pending != nil {
		if err := take(pending); err != nil {
			return 0, err
		}
	}
	for _, key := range []string{recordStamp, recordVote, recordHome} {
		rec, err := s.db.Get([]byte(key))
		if errors.Is(err, raftboltdb.ErrKeyNotFound) {
			continue
		}
		if err == nil {
			err = take(rec)
		}
		if err != nil {
			return 0, fmt.Errorf("logstore: %w", err)
		}
	}
	for {
		first, err := s.db.FirstIndex()
		if err != nil || first == 0 {
			return oldest, err
		}
		var l raft.Log
		err = s.db.GetLog(first, &l)
		if errors.Is(err, raft.ErrLogNotFound) {
			continue // truncated in between
		}
		if err == nil {
			err = take(l.Data)
		}
		if err != nil {
			return 0, fmt.Errorf("logstore: %w", err)
		}
		return oldest, nil
	}
}
