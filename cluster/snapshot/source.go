package snapshot

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// The operations of the fetch protocol. The numbers are on the wire.
const (
	opOpen  = 1
	opRead  = 2
	opClose = 3

	statusOK      = 0
	statusNoSess  = 1 // the session is unknown or over: open another
	statusRefused = 2 // not now: too many sessions, or no state to give
)

const (
	maxKey = 64 << 10
	// MaxBlock is the most a Read asks a View for.
	MaxBlock = 1 << 20
	// blockSlack is how far a View may exceed what it was asked for: one record.
	blockSlack = 8 << 20
)

// SourceOptions of NewSource. All functions are safe for concurrent use.
type SourceOptions struct {
	View func() (cluster.View, error)
	// Term is the current term of this node's raft.
	Term func() uint64
	// Configuration is the newest applied configuration at or below index.
	Configuration func(index uint64) (raft.Configuration, uint64, bool)
	// Hold keeps log and ticket where a receiver of this state can go on.
	Hold func() (release func())

	MaxSessions int           // 0 means 4
	Idle        time.Duration // 0 means 1 minute without a read
	MaxAge      time.Duration // 0 means 2 hours
	// Linger is how long the log is held after a session closed, so that the
	// receiver finds it when it comes back. 0 means 1 minute.
	Linger time.Duration
}

// Source serves the state of one group to fetching nodes.
type Source struct {
	o SourceOptions

	mu       sync.Mutex
	sessions map[uint64]*session
	linger   map[*session]time.Time
	closed   bool
}

type session struct {
	mu      sync.Mutex // one read at a time; held while the view is used
	view    cluster.View
	release func()
	from    cluster.NodeID
	begun   time.Time
	used    time.Time
}

// NewSource returns a source without sessions.
func NewSource(o SourceOptions) *Source {
	if o.MaxSessions == 0 {
		o.MaxSessions = 4
	}
	if o.Idle == 0 {
		o.Idle = time.Minute
	}
	if o.MaxAge == 0 {
		o.MaxAge = 2 * time.Hour
	}
	if o.Linger == 0 {
		o.Linger = time.Minute
	}
	return &Source{o: o, sessions: make(map[uint64]*session), linger: make(map[*session]time.Time)}
}

// Sweep ends sessions that are idle or too old, and holds that lingered long
// enough. Call it every few seconds.
func (s *Source) Sweep(now time.Time) error {
	s.mu.Lock()
	var over []*session
	for id, x := range s.sessions {
		x.mu.Lock()
		old := now.Sub(x.used) > s.o.Idle || now.Sub(x.begun) > s.o.MaxAge
		x.mu.Unlock()
		if old {
			delete(s.sessions, id)
			s.linger[x] = now
			over = append(over, x)
		}
	}
	var free []func()
	for x, t := range s.linger {
		if now.Sub(t) > s.o.Linger {
			delete(s.linger, x)
			free = append(free, x.release)
		}
	}
	s.mu.Unlock()
	var err error
	for _, x := range over {
		err = errors.Join(err, x.close())
	}
	for _, f := range free {
		f()
	}
	return err
}

func (x *session) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.view == nil {
		return nil
	}
	err := x.view.Close()
	x.view = nil
	return err
}

// Close ends all sessions and refuses new ones.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	var all []*session
	for id, x := range s.sessions {
		delete(s.sessions, id)
		all = append(all, x)
	}
	for x := range s.linger {
		delete(s.linger, x)
		all = append(all, x)
	}
	s.mu.Unlock()
	var err error
	for _, x := range all {
		err = errors.Join(err, x.close())
		x.release()
	}
	return err
}

// Sessions returns how many fetches are open.
func (s *Source) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Handle answers one request of the fetch protocol, without its group prefix.
func (s *Source) Handle(_ context.Context, from cluster.NodeID, req []byte) ([]byte, error) {
	if len(req) < 1 {
		return nil, fmt.Errorf("%w: fetch request", errMalformed)
	}
	switch op, b := req[0], req[1:]; {
	case op == opOpen && len(b) == 0:
		return s.open(from)
	case op == opRead && len(b) >= 14:
		id, limit := binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:])
		n := int(binary.BigEndian.Uint16(b[12:]))
		if len(b) != 14+n {
			return nil, fmt.Errorf("%w: fetch request", errMalformed)
		}
		var after []byte
		if n > 0 {
			after = b[14:]
		}
		return s.read(from, id, int(limit), after)
	case op == opClose && len(b) == 8:
		return s.end(from, binary.BigEndian.Uint64(b))
	}
	return nil, fmt.Errorf("%w: fetch request", errMalformed)
}

func (s *Source) open(from cluster.NodeID) ([]byte, error) {
	var raw [8]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	id := binary.BigEndian.Uint64(raw[:])

	// A node fetches a group once at a time: its older session is dead.
	s.mu.Lock()
	var old []*session
	for k, x := range s.sessions {
		if x.from == from {
			delete(s.sessions, k)
			s.linger[x] = time.Now()
			old = append(old, x)
		}
	}
	full := s.closed || len(s.sessions) >= s.o.MaxSessions
	s.mu.Unlock()
	for _, x := range old {
		if err := x.close(); err != nil {
			return nil, err
		}
	}
	if full {
		return []byte{statusRefused}, nil
	}

	// The hold comes before the view: what the view shows is never above a
	// ticket that has moved on.
	release := s.o.Hold()
	view, err := s.o.View()
	if err != nil {
		release()
		return nil, fmt.Errorf("snapshot: view: %w", err)
	}
	index, term := view.Index()
	conf, confIndex, ok := s.o.Configuration(index)
	if !ok || index == 0 {
		release()
		return []byte{statusRefused}, view.Close()
	}
	digest := view.Digest()
	b := []byte{statusOK}
	b = binary.BigEndian.AppendUint64(b, id)
	b = binary.BigEndian.AppendUint64(b, index)
	b = binary.BigEndian.AppendUint64(b, term)
	b = binary.BigEndian.AppendUint64(b, s.o.Term())
	b = append(b, digest[:]...)
	b = binary.BigEndian.AppendUint64(b, confIndex)
	if b, err = AppendConfiguration(b, conf); err != nil {
		release()
		return nil, errors.Join(err, view.Close())
	}
	now := time.Now()
	x := &session{view: view, release: release, from: from, begun: now, used: now}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		release()
		return []byte{statusRefused}, view.Close()
	}
	s.sessions[id] = x
	s.mu.Unlock()
	return b, nil
}

func (s *Source) find(from cluster.NodeID, id uint64) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.sessions[id]; x != nil && x.from == from {
		return x
	}
	return nil
}

func (s *Source) read(from cluster.NodeID, id uint64, limit int, after []byte) ([]byte, error) {
	x := s.find(from, id)
	if x == nil {
		return []byte{statusNoSess}, nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.view == nil {
		return []byte{statusNoSess}, nil
	}
	x.used = time.Now()
	block, next, done, err := x.view.Read(after, min(limit, MaxBlock))
	if err != nil {
		return nil, fmt.Errorf("snapshot: view: %w", err)
	}
	if len(next) > maxKey-1 {
		return nil, fmt.Errorf("snapshot: key of %d bytes", len(next))
	}
	b := make([]byte, 0, 4+len(next)+len(block))
	b = append(b, statusOK, 0)
	if done {
		b[1] = 1
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(next)))
	b = append(b, next...)
	return append(b, block...), nil
}

func (s *Source) end(from cluster.NodeID, id uint64) ([]byte, error) {
	s.mu.Lock()
	x := s.sessions[id]
	if x == nil || x.from != from {
		s.mu.Unlock()
		return []byte{statusNoSess}, nil
	}
	delete(s.sessions, id)
	s.linger[x] = time.Now()
	s.mu.Unlock()
	return []byte{statusOK}, x.close()
}
