package logstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
)

// The keys hashicorp/raft uses, and ours in the file.
const (
	keyTerm     = "CurrentTerm"
	keyVoteTerm = "LastVoteTerm"
	keyVoteCand = "LastVoteCand"

	recordVote  = "altmail/vote"
	recordStamp = "altmail/stamp"

	voteVersion  = 1
	stampVersion = 1
	maxCandidate = 256
)

// vote is the one record of term and vote (guard G3). hashicorp/raft writes
// them as three values; a vote is complete only with its candidate, so its
// term waits in memory for it and both become durable in one synced write. The
// current term is written at once: an AppendEntries of duplicates is
// acknowledged without any other write, and counts for the commit.
type vote struct {
	term, voteTerm uint64
	cand           []byte
}

func (v vote) encode() []byte {
	b := []byte{voteVersion}
	b = binary.BigEndian.AppendUint64(b, v.term)
	b = binary.BigEndian.AppendUint64(b, v.voteTerm)
	b = binary.BigEndian.AppendUint16(b, uint16(len(v.cand)))
	return append(b, v.cand...)
}

func decodeVote(b []byte) (v vote, err error) {
	const fixed = 1 + 8 + 8 + 2
	if len(b) < fixed || b[0] != voteVersion {
		return v, fmt.Errorf("%w: vote record", ErrDamaged)
	}
	n := int(binary.BigEndian.Uint16(b[17:]))
	if len(b) != fixed+n || n > maxCandidate {
		return v, fmt.Errorf("%w: vote record", ErrDamaged)
	}
	v.term, v.voteTerm = binary.BigEndian.Uint64(b[1:]), binary.BigEndian.Uint64(b[9:])
	if n > 0 {
		v.cand = append([]byte(nil), b[fixed:]...)
	}
	return v, nil
}

func (s *Store) readVote() error {
	rec, err := s.db.Get([]byte(recordVote))
	if errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("logstore: vote: %w", err)
	}
	plain, err := s.sealer.Open(nil, PurposeVote, 0, 0, 0, rec)
	if err != nil {
		return err
	}
	s.vote, err = decodeVote(plain)
	return err
}

func (s *Store) writeVote(v vote) error {
	if err := s.broken(); err != nil {
		return err
	}
	rec, err := s.sealer.Seal(nil, PurposeVote, 0, 0, 0, v.encode())
	if err != nil {
		return s.fail(err)
	}
	if err := s.fault(OpSetStable); err != nil {
		return s.fail(fmt.Errorf("logstore: vote: %w", err))
	}
	s.handle.RLock()
	err = s.db.Set([]byte(recordVote), rec)
	s.handle.RUnlock()
	if err != nil {
		return s.fail(fmt.Errorf("logstore: vote: %w", err))
	}
	s.mu.Lock()
	s.vote = v
	s.mu.Unlock()
	return nil
}

// SetUint64 stores the current term at once, and holds the term of a vote back
// until its candidate follows.
func (s *Store) SetUint64(key []byte, val uint64) error {
	switch string(key) {
	case keyTerm:
		s.mu.Lock()
		v := s.vote
		s.mu.Unlock()
		if v.term == val {
			return nil // raft writes the term it just read at every start
		}
		v.term = val
		return s.writeVote(v)
	case keyVoteTerm:
		s.mu.Lock()
		s.staged = val
		s.mu.Unlock()
		return nil
	}
	return fmt.Errorf("logstore: unknown key %q", key)
}

// Set stores the candidate voted for together with the term held back.
func (s *Store) Set(key, val []byte) error {
	if string(key) != keyVoteCand {
		return fmt.Errorf("logstore: unknown key %q", key)
	}
	if len(val) > maxCandidate {
		return fmt.Errorf("logstore: candidate of %d bytes", len(val))
	}
	s.mu.Lock()
	v, staged := s.vote, s.staged
	s.staged = 0
	s.mu.Unlock()
	if staged == 0 {
		return fmt.Errorf("logstore: a candidate without the term of the vote")
	}
	v.voteTerm = staged
	v.cand = append([]byte(nil), val...)
	return s.writeVote(v)
}

// GetUint64 returns what is durable; raftboltdb.ErrKeyNotFound if nothing is.
func (s *Store) GetUint64(key []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var val uint64
	switch string(key) {
	case keyTerm:
		val = s.vote.term
	case keyVoteTerm:
		val = s.vote.voteTerm
	default:
		return 0, fmt.Errorf("logstore: unknown key %q", key)
	}
	if val == 0 {
		return 0, raftboltdb.ErrKeyNotFound
	}
	return val, nil
}

// Get returns the durable candidate; raftboltdb.ErrKeyNotFound if none is.
func (s *Store) Get(key []byte) ([]byte, error) {
	if string(key) != keyVoteCand {
		return nil, fmt.Errorf("logstore: unknown key %q", key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.vote.cand == nil {
		return nil, raftboltdb.ErrKeyNotFound
	}
	return append([]byte(nil), s.vote.cand...), nil
}

// Term returns the durable current term.
func (s *Store) Term() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.vote.term
}

// RaiseTerm makes the durable term at least term. It is for an install while
// no raft instance runs: the state may be of a newer term than the log.
func (s *Store) RaiseTerm(term uint64) error {
	s.mu.Lock()
	v := s.vote
	s.mu.Unlock()
	if v.term >= term {
		return nil
	}
	v.term = term
	return s.writeVote(v)
}

// newStamp says that this file was made now.
func (s *Store) newStamp() (time.Time, []byte, error) {
	now := time.UnixMilli(time.Now().UnixMilli())
	plain := []byte{stampVersion}
	plain = binary.BigEndian.AppendUint64(plain, uint64(now.UnixMilli()))
	rec, err := s.sealer.Seal(nil, PurposeStamp, 0, 0, 0, plain)
	return now, rec, err
}

func (s *Store) writeStamp() error {
	now, rec, err := s.newStamp()
	if err != nil {
		return err
	}
	if err := s.db.Set([]byte(recordStamp), rec); err != nil {
		return fmt.Errorf("logstore: stamp: %w", err)
	}
	s.made = now
	return nil
}

// Made returns when the file was made: at the creation of the member, or by the
// last Compact.
func (s *Store) Made() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.made
}

// readStamp proves that the file is this node's and this group's and that its
// creation was finished.
func (s *Store) readStamp() error {
	rec, err := s.db.Get([]byte(recordStamp))
	if errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return fmt.Errorf("%w: no stamp", ErrDamaged)
	}
	if err != nil {
		return fmt.Errorf("logstore: stamp: %w", err)
	}
	plain, err := s.sealer.Open(nil, PurposeStamp, 0, 0, 0, rec)
	if err != nil {
		return err
	}
	if len(plain) != 9 || plain[0] != stampVersion {
		return fmt.Errorf("%w: stamp", ErrDamaged)
	}
	s.made = time.UnixMilli(int64(binary.BigEndian.Uint64(plain[1:])))
	return nil
}
