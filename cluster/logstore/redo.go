package logstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"

	"altmail.se/altmail/cluster/journal"
)

const (
	recordHome  = "altmail/home"
	homeVersion = 1
	homeSize    = 1 + 16 + 8

	redoVersion = 1
	redoHeader  = 1 + 4 + 8             // version, count, index of the first
	redoEntry   = 8 + 8 + 4 + 1 + 4     // term, seconds, nanoseconds, type, size
	maxRedo     = 1 << 20               // a larger batch goes straight to the file
	flushBytes  = 2 << 20               // pending records go to the file at this size,
	flushCount  = 4096                  // or this number,
	maxPending  = 8 << 20               // and StoreLogs waits for that at this size
	pendingCost = entryCost + redoEntry // of an entry beside its bytes
)

// redo is the part of a Store with a journal: records that are durable there
// and not yet in the file.
type redo struct {
	w    *journal.Writer
	id   journal.ID
	wake chan struct{} // asks for a flush
	stop chan struct{}
	done chan struct{}

	// flushing orders everything that changes the bucket of entries.
	flushing sync.Mutex
	home     uint64 // under flushing: records up to here are in the file

	// under Store.mu
	room    sync.Cond
	pending []raft.Log // as they go to the file, without a gap
	bytes   int
	end     uint64 // of the newest record in pending
}

func (s *Store) stream() journal.Stream {
	return journal.Stream{Group: s.o.Group, Kind: journal.KindLog}
}

// openRedo takes what the journal still holds of this file into it. What lies
// below the note in the file is there already, or was deleted since.
func (s *Store) openRedo() error {
	noted, id, home, err := s.readHome()
	if err != nil {
		return err
	}
	j := s.o.Journal
	if j == nil {
		if noted {
			return fmt.Errorf("logstore: group %s: this log goes with a journal, and none is given", s.o.Group)
		}
		return nil
	}
	r := &redo{
		id: j.ID(), wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	r.room.L = &s.mu
	switch {
	case noted && id != r.id:
		return fmt.Errorf("%w: the journal that had the end of the log of group %s is gone", ErrDamaged, s.o.Group)
	case noted && home > j.LSN():
		return fmt.Errorf("%w: the journal ends at %d, before what the log of group %s has of it", ErrDamaged, j.LSN(), s.o.Group)
	case noted && j.Dropped(s.stream()):
		return fmt.Errorf("logstore: group %s: the journal was settled before the log was opened", s.o.Group)
	}
	s.redo = r
	if noted {
		if err := s.replay(home); err != nil {
			return err
		}
	}
	if r.w, err = j.Stream(s.stream(), r.ask); err != nil {
		return fmt.Errorf("logstore: %w", err)
	}
	if !noted {
		// What the journal has of this group is of an earlier file. An empty
		// record, once durable, is an LSN that no later record can get again.
		t, err := r.w.Append()
		if err == nil {
			err = t.Wait()
		}
		if err == nil {
			err = s.writeHome(t.End)
		}
		if err != nil {
			return errors.Join(fmt.Errorf("logstore: journal: %w", err), r.w.Close())
		}
	}
	r.end = r.home
	return nil
}

// replay stores the records above home in the file, in pieces.
func (s *Store) replay(home uint64) error {
	s.redo.home = home
	last, err := s.db.LastIndex()
	if err != nil {
		return fmt.Errorf("logstore: %w", err)
	}
	var logs []raft.Log
	size, end := 0, home
	store := func() error {
		if len(logs) > 0 {
			if err := s.db.StoreLogs(pointers(logs)); err != nil {
				return fmt.Errorf("logstore: redo: %w", err)
			}
		}
		logs, size = logs[:0], 0
		return nil
	}
	err = s.o.Journal.Replay(s.stream(), func(recEnd uint64, content []byte) error {
		if recEnd <= home {
			return nil
		}
		end = recEnd
		batch, err := decodeRedo(content)
		if err != nil {
			return err
		}
		for i := range batch {
			l := &batch[i]
			switch {
			case last != 0 && l.Index <= last:
				// A flush that was cut off before its note.
				var have raft.Log
				err := s.db.GetLog(l.Index, &have)
				if err != nil || have.Term != l.Term || !bytes.Equal(have.Data, l.Data) {
					return fmt.Errorf("%w: entry %d is another one in the journal: %v", ErrDamaged, l.Index, err)
				}
				continue
			case last != 0 && l.Index != last+1:
				return fmt.Errorf("%w: the journal goes on with entry %d after %d", ErrDamaged, l.Index, last)
			}
			l.Data = bytes.Clone(l.Data)
			logs = append(logs, *l)
			last = l.Index
			size += len(l.Data) + pendingCost
		}
		if size >= flushBytes {
			return store()
		}
		return nil
	})
	if err == nil {
		err = store()
	}
	if err != nil || end == home {
		return err
	}
	return s.writeHome(end)
}

// ask wakes the flusher; it is the journal's wish, too.
func (r *redo) ask() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// flusher takes pending records into the file when asked to.
func (s *Store) flusher() {
	r := s.redo
	defer close(r.done)
	for {
		select {
		case <-r.stop:
			return
		case <-r.wake:
		}
		r.flushing.Lock()
		err := s.flush()
		r.flushing.Unlock()
		if err != nil {
			return // reported; StoreLogs answers it from now on
		}
	}
}

// flush makes what is pending durable in the file, in one transaction, and
// gives it up in the journal. flushing is held.
func (s *Store) flush() error {
	r := s.redo
	s.mu.Lock()
	logs, end, failed := r.pending, r.end, s.failed
	s.mu.Unlock()
	if failed != nil {
		return failed
	}
	if len(logs) == 0 {
		return nil
	}
	if err := s.storeHome(logs, end); err != nil {
		return err
	}
	s.mu.Lock()
	r.drop(len(logs))
	s.mu.Unlock()
	return nil
}

// storeHome stores records in the file and notes that all below end are there.
// The note follows in a transaction of its own, because raft-boltdb gives no
// access to one: redoing what was stored without its note changes nothing.
// flushing is held.
func (s *Store) storeHome(logs []raft.Log, end uint64) error {
	if err := s.fault(OpFlush); err != nil {
		return s.fail(fmt.Errorf("logstore: flush: %w", err))
	}
	s.handle.RLock()
	err := s.db.StoreLogs(pointers(logs))
	s.handle.RUnlock()
	if err == nil {
		s.stats.flushes.Add(1)
		if err = s.fault(OpFlush); err == nil {
			err = s.writeHome(end)
		}
	}
	if err != nil {
		return s.fail(fmt.Errorf("logstore: flush: %w", err))
	}
	return nil
}

// drop forgets the first n pending records; called with Store.mu.
func (r *redo) drop(n int) {
	for i := range r.pending[:n] {
		r.bytes -= len(r.pending[i].Data) + pendingCost
	}
	r.pending = slices.Clone(r.pending[n:]) // a new one: GetLog may read the old
	r.room.Broadcast()
}

// find returns a pending record; called with Store.mu.
func (r *redo) find(index uint64, out *raft.Log) bool {
	if r == nil || len(r.pending) == 0 || index < r.pending[0].Index || index-r.pending[0].Index >= uint64(len(r.pending)) {
		return false
	}
	*out = r.pending[index-r.pending[0].Index]
	return true
}

// storeRedo makes sealed entries durable in the journal; those too large for it
// in the file. write is held.
func (s *Store) storeRedo(logs []*raft.Log, size int) error {
	r := s.redo
	if size+redoHeader+len(logs)*redoEntry > min(maxRedo, s.o.Journal.MaxRecord()) {
		return s.storeLarge(logs)
	}
	s.mu.Lock()
	for r.bytes >= maxPending && s.failed == nil {
		r.ask()
		r.room.Wait()
	}
	err := s.failed
	s.mu.Unlock()
	if err != nil {
		return err
	}
	t, err := r.w.Append(encodeRedo(logs)...)
	if err == nil {
		err = t.Wait()
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range logs {
		r.pending = append(r.pending, *l)
		r.bytes += len(l.Data) + pendingCost
	}
	r.end = t.End
	if r.bytes >= flushBytes || len(r.pending) >= flushCount {
		r.ask()
	}
	return nil
}

// storeLarge stores entries in the file, and what is pending before them. First
// everything that was appended to the journal is made durable: the bodies that
// these entries name are among it (body.Options.LogInJournal).
func (s *Store) storeLarge(logs []*raft.Log) error {
	r := s.redo
	r.flushing.Lock()
	defer r.flushing.Unlock()
	if err := s.flush(); err != nil {
		return err
	}
	t, err := r.w.Append()
	if err == nil {
		err = t.Wait()
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	r.end = t.End
	s.mu.Unlock()
	s.handle.RLock()
	err = s.db.StoreLogs(logs)
	s.handle.RUnlock()
	if err != nil {
		return err
	}
	return s.writeHome(t.End)
}

// settle takes what is pending into the file, if an entry up to hi is among it.
// Before entries are deleted: a note above them is durable then, so that
// redoing can't bring them back. flushing is held.
func (s *Store) settle(hi uint64) error {
	s.mu.Lock()
	need := len(s.redo.pending) > 0 && hi >= s.redo.pending[0].Index
	s.mu.Unlock()
	if !need {
		return nil
	}
	return s.flush()
}

// closeRedo ends the flusher and takes home what is pending, unless the store
// has failed. write is held.
func (s *Store) closeRedo() error {
	r := s.redo
	if r == nil || r.w == nil {
		return nil
	}
	if r.stop != nil {
		close(r.stop)
		<-r.done
		r.stop = nil
	}
	var err error
	if s.broken() == nil {
		r.flushing.Lock()
		err = s.flush()
		r.flushing.Unlock()
	}
	return errors.Join(err, r.w.Close())
}

func pointers(logs []raft.Log) []*raft.Log {
	out := make([]*raft.Log, len(logs))
	for i := range logs {
		out[i] = &logs[i]
	}
	return out
}

// encodeRedo is the content of a record of the journal, in parts: sealed entries
// that follow each other.
func encodeRedo(logs []*raft.Log) [][]byte {
	parts := make([][]byte, 0, 2*len(logs))
	b := make([]byte, 0, redoHeader+len(logs)*redoEntry)
	b = append(b, redoVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(logs)))
	b = binary.BigEndian.AppendUint64(b, logs[0].Index)
	at := 0
	for _, l := range logs {
		b = binary.BigEndian.AppendUint64(b, l.Term)
		b = binary.BigEndian.AppendUint64(b, uint64(l.AppendedAt.Unix()))
		b = binary.BigEndian.AppendUint32(b, uint32(l.AppendedAt.Nanosecond()))
		b = append(b, byte(l.Type))
		b = binary.BigEndian.AppendUint32(b, uint32(len(l.Data)))
		parts = append(parts, b[at:len(b):len(b)], l.Data)
		at = len(b)
	}
	return parts
}

// decodeRedo reads what encodeRedo made; none of an empty record. The entries
// share b.
func decodeRedo(b []byte) ([]raft.Log, error) {
	if len(b) == 0 {
		return nil, nil
	}
	bad := fmt.Errorf("%w: a record of the journal", ErrDamaged)
	if len(b) < redoHeader || b[0] != redoVersion {
		return nil, bad
	}
	n, index := binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint64(b[5:])
	b = b[redoHeader:]
	if n == 0 || uint64(n) > uint64(len(b)/redoEntry) || index == 0 || index+uint64(n) < index {
		return nil, bad
	}
	out := make([]raft.Log, n)
	for i := range out {
		if len(b) < redoEntry {
			return nil, bad
		}
		size, nanos := binary.BigEndian.Uint32(b[21:]), binary.BigEndian.Uint32(b[16:])
		if uint64(size) > uint64(len(b)-redoEntry) || nanos >= 1e9 {
			return nil, bad
		}
		out[i] = raft.Log{
			Index: index + uint64(i), Term: binary.BigEndian.Uint64(b), Type: raft.LogType(b[20]),
			AppendedAt: time.Unix(int64(binary.BigEndian.Uint64(b[8:])), int64(nanos)),
			Data:       b[redoEntry : redoEntry+int(size) : redoEntry+int(size)],
		}
		b = b[redoEntry+int(size):]
	}
	if len(b) > 0 {
		return nil, bad
	}
	return out, nil
}

// homeRecord is the note in the file, sealed under the newest key.
func (s *Store) homeRecord(end uint64) ([]byte, error) {
	plain := append(make([]byte, 0, homeSize), homeVersion)
	plain = append(plain, s.redo.id[:]...)
	plain = binary.BigEndian.AppendUint64(plain, end)
	return s.sealer.Seal(nil, PurposeHome, 0, 0, 0, plain)
}

// writeHome notes durably that all records below end are in the file, and gives
// them up in the journal. flushing is held, or nothing else runs yet.
func (s *Store) writeHome(end uint64) error {
	rec, err := s.homeRecord(end)
	if err != nil {
		return err
	}
	s.handle.RLock()
	err = s.db.Set([]byte(recordHome), rec)
	s.handle.RUnlock()
	if err != nil {
		return err
	}
	s.redo.home = end
	if s.redo.w != nil {
		s.redo.w.Home(end)
	}
	return nil
}

// readHome returns the note; noted is false in a file that never had a journal.
func (s *Store) readHome() (noted bool, id journal.ID, end uint64, err error) {
	rec, err := s.db.Get([]byte(recordHome))
	if errors.Is(err, raftboltdb.ErrKeyNotFound) {
		return false, id, 0, nil
	}
	if err != nil {
		return false, id, 0, fmt.Errorf("logstore: journal: %w", err)
	}
	plain, err := s.sealer.Open(nil, PurposeHome, 0, 0, 0, rec)
	if err != nil {
		return false, id, 0, err
	}
	return decodeHome(plain)
}

func decodeHome(plain []byte) (noted bool, id journal.ID, end uint64, err error) {
	if len(plain) != homeSize || plain[0] != homeVersion {
		return false, id, 0, fmt.Errorf("%w: note of the journal", ErrDamaged)
	}
	copy(id[:], plain[1:])
	return true, id, binary.BigEndian.Uint64(plain[1+len(id):]), nil
}
