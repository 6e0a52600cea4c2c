package disk

import (
	"fmt"
	"log/slog"
	"path"
	"strings"
	"syscall"
	"time"
)

// Rules tell what may be left of directory operations that nobody synced.
type Rules int

const (
	// POSIX promises an entry only once its directory was synced. What was not
	// is lost from the end: a journal keeps the order within one directory.
	POSIX Rules = iota
	// Loose promises the same, and what was not synced survives in any subset:
	// a rename without the one before it.
	Loose
	// Ext4 is one journal for everything: any sync makes all earlier directory
	// operations durable, and the order holds over all directories. Appended
	// data is on the disk before the size that shows it.
	Ext4
)

// Options of a mount. The zero value is strict and unlimited.
type Options struct {
	Rules Rules
	// Block is what a power loss keeps or drops as one; 4096 if zero. A block
	// torn in the middle breaks at 512 bytes.
	Block int
	// Capacity in bytes, as statfs shows it; past it writes end with ENOSPC.
	// Zero: as much as the backing directory has.
	Capacity int64
	// MaxUndo bounds the memory held for old contents; 256 MiB if zero. Past
	// it a file is written back as a kernel does on its own: made durable.
	MaxUndo int64
	// Seed of the faults that have a probability.
	Seed uint64
	// Sync also syncs the backing files, so that an fsync costs what it costs.
	Sync bool
	// Log tells of mounts and losses; nil is silent.
	Log *slog.Logger
}

func (o Options) filled() Options {
	if o.Block == 0 {
		o.Block = 4096
	}
	if o.MaxUndo == 0 {
		o.MaxUndo = 256 << 20
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Op is a set of kinds of operations.
type Op uint32

const (
	Read     Op = 1 << iota // file contents, also those a mapping asks for
	Write                   // file contents and preallocation
	Fsync                   // fsync and fdatasync of files
	FsyncDir                // fsync of directories
	Truncate                // any change of a size other than by a write
	Open                    // opening a file that is there
	Create                  // new entries: files, directories, links, sockets
	Rename
	Remove // unlink and rmdir

	AnyOp Op = 1<<iota - 1
)

// Fault is something that goes wrong with the operations it matches. Of
// several, the delays add up and the first with an error decides.
type Fault struct {
	// Path the operation is about, relative to the mount: empty for all;
	// "bodies/" for all below it; with a slash inside as path.Match has it;
	// without one it is matched against each part, as "*.db" or "raft".
	Path string
	// Ops that are hurt; zero for all.
	Ops Op
	// Err is what they end with, as syscall.EIO or ENOSPC. Zero: no error.
	// An fsync that fails leaves its blocks unsynced for good, as Linux does:
	// a later fsync answers OK and does not write them.
	Err syscall.Errno
	// Delay before the operation, and up to Jitter on top.
	Delay, Jitter time.Duration
	// Skip leaves the first so many matches alone.
	Skip int
	// Count ends the fault after so many; zero for never.
	Count int
	// P is the probability that a match is hurt; zero for always.
	P float64
	// Torn lets a failing write put down a part of its data first.
	Torn bool
	// Lie answers an fsync with success and makes nothing durable. No disk we
	// support does this; it is here to prove that the harness would see.
	Lie bool
}

// Check reports a fault that could never be what was meant.
func (f Fault) Check() error {
	if _, err := path.Match(f.Path, ""); err != nil {
		return fmt.Errorf("disk: fault path %q: %w", f.Path, err)
	}
	if f.P < 0 || f.P > 1 || f.Skip < 0 || f.Count < 0 || f.Delay < 0 || f.Jitter < 0 {
		return fmt.Errorf("disk: fault on %q: a number is out of range", f.Path)
	}
	if f.Lie && (f.Err != 0 || f.ops()&^(Fsync|FsyncDir) != 0) {
		return fmt.Errorf("disk: fault on %q: only an fsync can lie, and then it does not fail", f.Path)
	}
	if f.Torn && f.Err == 0 {
		return fmt.Errorf("disk: fault on %q: a torn write needs an error", f.Path)
	}
	if f.Err == 0 && f.Delay == 0 && f.Jitter == 0 && !f.Lie {
		return fmt.Errorf("disk: fault on %q does nothing", f.Path)
	}
	return nil
}

func (f Fault) ops() Op {
	if f.Ops == 0 {
		return AnyOp
	}
	return f.Ops
}

// covers tells whether a path is meant. Check has found the pattern sound.
func (f Fault) covers(p string) bool {
	match := func(name string) bool {
		ok, err := path.Match(f.Path, name)
		return ok && err == nil
	}
	switch {
	case f.Path == "":
		return true
	case strings.HasSuffix(f.Path, "/"):
		return strings.HasPrefix(p+"/", f.Path)
	case strings.Contains(f.Path, "/"):
		return match(p)
	}
	for part := range strings.SplitSeq(p, "/") {
		if match(part) {
			return true
		}
	}
	return false
}

// Stats counts since the mount; PowerLoss does not reset it.
type Stats struct {
	Reads, Writes           uint64 // requests of the kernel
	ReadBytes, WrittenBytes uint64
	Fsyncs, DirFsyncs       uint64 // answered OK
	Faults                  uint64 // operations hurt
	Writebacks              uint64 // files made durable because MaxUndo was reached
	Losses                  uint64

	UnsyncedBlocks int64 // now
	UnsyncedOps    int64 // directory operations, now
	UndoBytes      int64 // memory held, now
	Used           int64 // bytes of all files, now
}

// Report tells what a power loss took.
type Report struct {
	Seed                  uint64
	Blocks, Dropped, Torn int // unsynced blocks: all, gone, half gone
	Sizes                 int // files whose size went back
	DirOps, DirDropped    int // unsynced directory operations: all, undone
	Files                 []string
	// Busy is set when something still had files open here: the old mount was
	// cut off under it.
	Busy bool
}

func (r Report) String() string {
	return fmt.Sprintf("power loss %d: %d of %d unsynced blocks dropped, %d torn, %d sizes went back, %d of %d directory operations undone",
		r.Seed, r.Dropped, r.Blocks, r.Torn, r.Sizes, r.DirDropped, r.DirOps)
}

// maxReported bounds Report.Files.
const maxReported = 100
