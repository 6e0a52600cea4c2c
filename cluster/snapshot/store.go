package snapshot

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/logstore"
)

const (
	markerPrefix = "marker-"
	stagedName   = "install"
	tempSuffix   = ".tmp"
	// keepMarkers is how many markers stay: the newest, and the one before it
	// for a sender that has it open.
	keepMarkers = 2
)

// ErrOlder refuses a marker below the newest one.
var ErrOlder = errors.New("snapshot: older than the newest marker")

// Options of Open.
type Options struct {
	FS     vfs.FS
	Dir    string // made if it is not there
	Node   cluster.NodeID
	Group  cluster.GroupID
	Sealer *logstore.Sealer
	// Durable is the durable applied index of the state: a marker above it is
	// not shown to raft.
	Durable func() uint64
}

// Store is the raft.SnapshotStore of one group: it holds markers.
type Store struct {
	o Options

	mu      sync.Mutex
	markers []Marker // newest first
	staged  *Marker
	pins    map[*pin]struct{}
}

type pin struct{ index uint64 }

// Open reads the markers of a group.
func Open(o Options) (*Store, error) {
	s := &Store{o: o, pins: make(map[*pin]struct{})}
	if err := o.FS.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	// A marker is durable only if the directory it is in is.
	if err := syncDir(o.FS, o.FS.PathDir(o.Dir)); err != nil {
		return nil, err
	}
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	var markers []string
	for _, name := range names {
		switch {
		case strings.HasSuffix(name, tempSuffix):
			if err := o.FS.Remove(o.FS.PathJoin(o.Dir, name)); err != nil {
				return nil, fmt.Errorf("snapshot: %w", err)
			}
		case name == stagedName:
			m, err := s.read(name)
			if err != nil {
				return nil, err
			}
			s.staged = &m
		case strings.HasPrefix(name, markerPrefix):
			markers = append(markers, name)
		}
	}
	slices.Sort(markers) // their names have indexes of one length
	slices.Reverse(markers)
	if err := s.drop(markers[min(keepMarkers, len(markers)):]); err != nil {
		return nil, err
	}
	for _, name := range markers[:min(keepMarkers, len(markers))] {
		m, err := s.read(name)
		if err != nil {
			return nil, err
		}
		if markerName(m.Index) != name {
			return nil, fmt.Errorf("%w: marker %d in %s", logstore.ErrDamaged, m.Index, name)
		}
		s.markers = append(s.markers, m)
	}
	if s.staged != nil && len(s.markers) > 0 && s.staged.Index <= s.markers[0].Index {
		// Committed, but a crash brought the old name back.
		if err := s.AbortInstall(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func markerName(index uint64) string { return fmt.Sprintf("%s%016x", markerPrefix, index) }

func (s *Store) load(name string) ([]byte, error) {
	f, err := s.o.FS.Open(s.o.FS.PathJoin(s.o.Dir, name))
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxMarker+1))
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("snapshot: %s: %w", name, err)
	}
	if len(b) > maxMarker {
		return nil, fmt.Errorf("%w: %s is too large", logstore.ErrDamaged, name)
	}
	return b, nil
}

func (s *Store) read(name string) (m Marker, err error) {
	b, err := s.load(name)
	if err != nil {
		return m, err
	}
	if m, err = decodeMarker(s.o.Sealer, b); err != nil {
		return m, fmt.Errorf("snapshot: %s: %w", name, err)
	}
	return m, nil
}

// write makes a marker durable under a name: new file, synced, renamed, and the
// directory synced.
func (s *Store) write(name string, m Marker) (err error) {
	b, err := m.encode(s.o.Sealer)
	if err != nil {
		return err
	}
	fs, path := s.o.FS, s.o.FS.PathJoin(s.o.Dir, name)
	f, err := fs.Create(path+tempSuffix, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("snapshot: %s: %w", name, err)
	}
	if err := fs.Rename(path+tempSuffix, path); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	return s.syncDir()
}

func (s *Store) syncDir() error { return syncDir(s.o.FS, s.o.Dir) }

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("snapshot: sync of the directory: %w", err)
	}
	return nil
}

// Put makes m the newest marker. One below the newest is ErrOlder.
func (s *Store) Put(m Marker) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.putLocked(m)
}

func (s *Store) putLocked(m Marker) error {
	if len(s.markers) > 0 && m.Index < s.markers[0].Index {
		return fmt.Errorf("%w: %d below %d", ErrOlder, m.Index, s.markers[0].Index)
	}
	if err := s.write(markerName(m.Index), m); err != nil {
		return err
	}
	return s.addLocked(m)
}

// addLocked takes a marker that is durable into the list and drops old ones.
func (s *Store) addLocked(m Marker) error {
	if len(s.markers) > 0 && s.markers[0].Index == m.Index {
		s.markers[0] = m
		return nil
	}
	s.markers = slices.Insert(s.markers, 0, m)
	low := s.markers[min(keepMarkers, len(s.markers))-1].Index
	for p := range s.pins {
		low = min(low, p.index)
	}
	var old []string
	n := len(s.markers)
	for ; n > keepMarkers && s.markers[n-1].Index < low; n-- {
		old = append(old, markerName(s.markers[n-1].Index))
	}
	if err := s.drop(old); err != nil {
		return err
	}
	s.markers = s.markers[:n]
	return nil
}

// drop removes markers for good: nobody asks for the log keys they are sealed
// under any more, so none may come back after a loss of power. Older files
// than those kept are such, left by a crash; they are not read.
func (s *Store) drop(names []string) error {
	for _, name := range names {
		if err := s.o.FS.Remove(s.o.FS.PathJoin(s.o.Dir, name)); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return s.syncDir()
}

// Newest returns the newest marker that the durable state covers.
func (s *Store) Newest() (Marker, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	durable := s.o.Durable()
	for _, m := range s.markers {
		if m.Index <= durable {
			return m, true
		}
	}
	return Marker{}, false
}

// OldestEpoch returns the lowest key epoch a marker is sealed under; ok is false
// without markers.
func (s *Store) OldestEpoch() (oldest uint32, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]string, 0, len(s.markers)+1)
	for _, m := range s.markers {
		names = append(names, markerName(m.Index))
	}
	if s.staged != nil {
		names = append(names, stagedName)
	}
	for _, name := range names {
		b, err := s.load(name)
		if err != nil {
			return 0, false, err
		}
		if len(b) < markerClear {
			return 0, false, fmt.Errorf("%w: %s", logstore.ErrDamaged, name)
		}
		e, err := logstore.EpochOf(b[markerClear:])
		if err != nil {
			return 0, false, err
		}
		if !ok || e < oldest {
			oldest, ok = e, true
		}
	}
	return oldest, ok, nil
}

// Any reports whether there is any marker at all.
func (s *Store) Any() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.markers) > 0
}

// Pin makes senders offer the marker that is the newest now, until release: the
// ticket of a fetch in progress must not move past what is being fetched.
func (s *Store) Pin() (index uint64, release func()) {
	m, ok := s.Newest()
	if !ok {
		return 0, func() {}
	}
	p := &pin{index: m.Index}
	s.mu.Lock()
	s.pins[p] = struct{}{}
	s.mu.Unlock()
	return m.Index, func() {
		s.mu.Lock()
		delete(s.pins, p)
		s.mu.Unlock()
	}
}

// StageInstall records durably that the state is about to be replaced by the
// one at m. It comes before the swap, CommitInstall after it; at a start in
// between, the state's durable applied index tells whether the swap happened.
func (s *Store) StageInstall(m Marker) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.markers) > 0 && m.Index < s.markers[0].Index {
		return fmt.Errorf("%w: %d below %d", ErrOlder, m.Index, s.markers[0].Index)
	}
	if err := s.write(stagedName, m); err != nil {
		return err
	}
	s.staged = &m
	return nil
}

// Staged returns the install that was begun and neither committed nor aborted.
func (s *Store) Staged() (Marker, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.staged == nil {
		return Marker{}, false
	}
	return *s.staged, true
}

// CommitInstall turns the staged install into the newest marker. Pins end: who
// still fetches the state that was here can't go on from this node's log, which
// is empty, and raft must begin at the new marker.
func (s *Store) CommitInstall() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.staged == nil {
		return fmt.Errorf("snapshot: no install staged")
	}
	m := *s.staged
	from, to := s.o.FS.PathJoin(s.o.Dir, stagedName), s.o.FS.PathJoin(s.o.Dir, markerName(m.Index))
	if err := s.o.FS.Rename(from, to); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if err := s.syncDir(); err != nil {
		return err
	}
	s.staged = nil
	clear(s.pins)
	return s.addLocked(m)
}

// AbortInstall forgets the staged install.
func (s *Store) AbortInstall() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.staged == nil {
		return nil
	}
	if err := s.o.FS.Remove(s.o.FS.PathJoin(s.o.Dir, stagedName)); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	s.staged = nil
	return s.syncDir()
}

// List returns the marker raft is to use: the newest that the durable state
// covers, or a pinned older one while a fetch goes on.
func (s *Store) List() ([]*raft.SnapshotMeta, error) {
	m, ok := s.Newest()
	if !ok {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	offer := m.Index
	for p := range s.pins {
		offer = min(offer, p.index)
	}
	for _, o := range s.markers {
		if o.Index == offer {
			m = o
		}
	}
	return []*raft.SnapshotMeta{meta(m)}, nil
}

func meta(m Marker) *raft.SnapshotMeta {
	return &raft.SnapshotMeta{
		Version: 1, ID: markerName(m.Index), Index: m.Index, Term: m.Term,
		Configuration: m.Configuration, ConfigurationIndex: m.ConfigurationIndex,
		Size: int64(TicketSize),
	}
}

// Open returns the ticket for a marker.
func (s *Store) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.markers {
		if markerName(m.Index) == id {
			t := Ticket{Group: s.o.Group, Index: m.Index, Term: m.Term, Source: s.o.Node}
			return meta(m), io.NopCloser(bytes.NewReader(t.Encode())), nil
		}
	}
	return nil, nil, fmt.Errorf("snapshot: no marker %s", id)
}

// Create begins a marker. Nothing is on the disk before Close.
func (s *Store) Create(_ raft.SnapshotVersion, index, term uint64, c raft.Configuration, ci uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	if index == 0 || term == 0 {
		return nil, fmt.Errorf("snapshot: marker at index %d, term %d", index, term)
	}
	return &Sink{s: s, m: Marker{Index: index, Term: term, Configuration: c.Clone(), ConfigurationIndex: ci, Taken: time.Now()}}, nil
}

// Sink is a marker being made.
type Sink struct {
	s    *Store
	m    Marker
	done bool
}

// Index is the index of the marker.
func (k *Sink) Index() uint64 { return k.m.Index }

// ID names the marker to Open.
func (k *Sink) ID() string { return markerName(k.m.Index) }

// Write refuses: a marker carries no state.
func (k *Sink) Write([]byte) (int, error) {
	return 0, fmt.Errorf("snapshot: a marker carries no state")
}

// Close makes the marker durable, if the state is durable up to it.
func (k *Sink) Close() error {
	if k.done {
		return nil
	}
	k.done = true
	if d := k.s.o.Durable(); d < k.m.Index {
		return fmt.Errorf("snapshot: marker %d above the durable state at %d", k.m.Index, d)
	}
	return k.s.Put(k.m)
}

// Cancel drops the marker.
func (k *Sink) Cancel() error {
	k.done = true
	return nil
}
