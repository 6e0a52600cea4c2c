package body

import (
	"container/list"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// segment is one file of bodies. Fields without a remark are set once.
type segment struct {
	seq     uint32
	salt    uint64
	created uint32 // seconds since the Unix epoch
	path    string
	old     bool // it was here when the store was opened

	// The writer's own.
	end    int64 // where the next record goes
	marked int64 // where the last marked record began

	// Under group.mu.
	size      int64               // bytes that count: durable here or in the journal
	live      int64               // bytes of records the table points to
	count     int                 // number of them
	sealed    uint32              // seconds since the Unix epoch; 0 while it is written
	indexing  bool                // its index file is being written
	indexed   bool                // its index file is durable
	fresh     bool                // nothing in it was synced yet
	swept     bool                // its orphans were looked for
	deadSince int64               // seconds since the Unix epoch; 0: holds nothing dead
	logged    uint64              // end of its newest record in the journal; set by the writer
	home      uint64              // what the journal holds of it below that is synced here
	damaged   map[uint32]struct{} // offsets of records found damaged
	entries   []indexEntry        // until indexed

	// Under fileCache.mu.
	file    vfs.File
	refs    int
	idle    *list.Element
	removed bool
}

// bury notes that the segment holds a dead body.
func (seg *segment) bury(now time.Time) {
	if seg.deadSince == 0 {
		seg.deadSince = max(now.Unix(), 1)
	}
}

// fileCache keeps the files of segments open, a bounded number of those that
// nobody uses.
type fileCache struct {
	fs  vfs.FS
	max int

	mu     sync.Mutex
	open   int
	idle   list.List // of *segment, least recently used first
	closed bool
	errs   []error // of closing files that were only read
}

func (c *fileCache) init(fs vfs.FS, limit int) {
	c.fs, c.max = fs, limit
	c.idle.Init()
}

// adopt gives the cache a file that was just made and will be written to; it
// stays open until release.
func (c *fileCache) adopt(seg *segment, f vfs.File) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seg.file = f
	seg.refs = 1
	c.open++
	c.trim()
}

// acquire returns the open file of seg, which stays open until release.
func (c *fileCache) acquire(seg *segment) (vfs.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seg.file == nil {
		if seg.removed {
			return nil, errSegmentGone
		}
		f, err := c.fs.Open(seg.path, vfs.RandomReadsOption)
		if err != nil {
			return nil, fmt.Errorf("opening a segment: %w", err)
		}
		seg.file = f
		c.open++
	}
	if seg.idle != nil {
		c.idle.Remove(seg.idle)
		seg.idle = nil
	}
	seg.refs++
	c.trim()
	return seg.file, nil
}

// errSegmentGone: the segment was rewritten between lookup and open.
var errSegmentGone = errors.New("body: segment was rewritten")

func (c *fileCache) release(seg *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if seg.refs--; seg.refs > 0 {
		return
	}
	if seg.removed || c.closed {
		c.shut(seg)
		return
	}
	seg.idle = c.idle.PushBack(seg)
	c.trim()
}

// remove forgets a segment whose file is about to be unlinked.
func (c *fileCache) remove(seg *segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seg.removed = true
	if seg.refs == 0 {
		c.shut(seg)
	}
}

func (c *fileCache) trim() {
	for c.open > c.max && c.idle.Len() > 0 {
		c.shut(c.idle.Front().Value.(*segment))
	}
}

func (c *fileCache) shut(seg *segment) {
	if seg.idle != nil {
		c.idle.Remove(seg.idle)
		seg.idle = nil
	}
	if seg.file == nil {
		return
	}
	// Everything that counts was synced before, so a failed close loses
	// nothing; Close reports it.
	if err := seg.file.Close(); err != nil && len(c.errs) < 8 {
		c.errs = append(c.errs, err)
	}
	seg.file = nil
	c.open--
}

// close closes what is idle; the rest is closed as it is released.
func (c *fileCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for c.idle.Len() > 0 {
		c.shut(c.idle.Front().Value.(*segment))
	}
	return errors.Join(c.errs...)
}
