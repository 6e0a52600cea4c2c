//go:build linux

package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// FS is a mounted file system that can lose power. It is safe for concurrent
// use. The process that serves it must not map files of it: a page fault stops
// a thread of the very process that has to answer it.
type FS struct {
	v      *volume
	mnt    string
	faults *faults

	mu      sync.Mutex // one mount, loss or unmount at a time
	session *session   // nil when not mounted
}

// session is one mount, from power on to power off.
type session struct {
	fuse.RawFileSystem
	v      *volume
	faults *faults
	server *fuse.Server
	ended  chan struct{} // the server has read its last request

	// gate is held for reading while an operation is at work; who takes it for
	// writing knows that none is.
	gate sync.RWMutex
	off  bool          // power is off: nothing happens any more
	cut  chan struct{} // closed then
	down chan struct{} // closed when waiting operations may give up

	dirs dirHandles
}

// Mount serves backing at mountpoint; both are made if they are not there, and
// what is in backing counts as durable. A dead mount in the way is taken off.
// Beside backing a directory with the suffix .limbo keeps removed files that
// might come back. ctx bounds the mounting only.
func Mount(ctx context.Context, backing, mountpoint string, o Options) (*FS, error) {
	mnt, err := filepath.Abs(mountpoint)
	if err != nil {
		return nil, fmt.Errorf("disk: %w", err)
	}
	if _, err := os.Stat(mnt); errors.Is(err, syscall.ENOTCONN) {
		if err := unix.Unmount(mnt, unix.MNT_DETACH); err != nil {
			return nil, fmt.Errorf("disk: take off the dead mount at %s: %w", mnt, err)
		}
	}
	for _, dir := range []string{backing, mnt} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("disk: %w", err)
		}
	}
	v, err := openVolume(backing, o)
	if err != nil {
		return nil, err
	}
	f := &FS{v: v, mnt: mnt, faults: newFaults(o.Seed)}
	if err := f.mount(ctx); err != nil {
		return nil, errors.Join(err, v.close())
	}
	return f, nil
}

// Mountpoint returns where it is mounted.
func (f *FS) Mountpoint() string { return f.mnt }

// Backing returns the directory below it.
func (f *FS) Backing() string { return f.v.backing }

// Set replaces the faults.
func (f *FS) Set(list ...Fault) error { return f.faults.set(list) }

// Clear ends all faults, not the limit of SetCapacity.
func (f *FS) Clear() { f.must(f.faults.set(nil)) }

func (f *FS) must(err error) { f.v.must(err) }

// SetCapacity changes how many bytes fit; zero is no limit.
func (f *FS) SetCapacity(bytes int64) { f.v.capacity.Store(bytes) }

// Stats returns the counters.
func (f *FS) Stats() Stats { return f.v.stats() }

// Sync makes everything durable.
func (f *FS) Sync() { f.v.sync() }

func (f *FS) mount(ctx context.Context) error {
	s := &session{
		RawFileSystem: fuse.NewDefaultRawFileSystem(),
		v:             f.v, faults: f.faults,
		ended: make(chan struct{}), cut: make(chan struct{}), down: make(chan struct{}),
	}
	var err error
	s.server, err = fuse.NewServer(s, f.mnt, &fuse.MountOptions{
		AllowOther: os.Geteuid() == 0, FsName: f.v.backing, Name: "altmail-disk",
		MaxWrite: 1 << 20, MaxReadAhead: 128 << 10, MaxBackground: 64,
		DirectMount: true, DisableReadDirPlus: true, DisableXAttrs: true, DisableSplice: true,
	})
	if err != nil {
		return fmt.Errorf("disk: mount at %s: %w", f.mnt, err)
	}
	go func() {
		defer close(s.ended)
		s.server.Serve()
	}()
	ready := make(chan error, 1)
	go func() { ready <- s.server.WaitMount() }()
	select {
	case err = <-ready:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("disk: mount at %s: %w", f.mnt, err), unix.Unmount(f.mnt, unix.MNT_DETACH))
	}
	f.session = s
	f.v.o.Log.Info("disk is on", "at", f.mnt, "backing", f.v.backing)
	return nil
}

// Cut turns the power off: from the moment it returns nothing becomes durable
// and nobody gets an answer; who waits for one hangs, as in a machine that
// stands still. Cut all disks of a site first, then kill the processes, then
// call PowerLoss on each.
func (f *FS) Cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.session != nil {
		f.session.turnOff()
	}
}

func (s *session) turnOff() {
	s.gate.Lock()
	defer s.gate.Unlock()
	if !s.off {
		s.off = true
		close(s.cut)
	}
}

// PowerLoss takes away what was not durable and turns the power on again. The
// processes on it should be dead; what still has files open finds them broken.
// With seed 0 nothing survives that was not synced; any other seed chooses for
// each unsynced block and directory operation.
func (f *FS) PowerLoss(seed uint64) (Report, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	busy, err := f.unmount()
	if err != nil {
		return Report{}, err
	}
	r, err := f.v.lose(seed)
	r.Busy = busy
	if err != nil {
		return r, err
	}
	f.v.o.Log.Info("disk lost power", "at", f.mnt, "report", r.String())
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return r, f.mount(ctx)
}

// Unmount ends it; the backing directory keeps everything, synced or not.
func (f *FS) Unmount() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.session == nil {
		return nil
	}
	_, err := f.unmount()
	return errors.Join(err, f.v.close())
}

// busyFor is how long killed processes get to let go of their files.
const busyFor = 2 * time.Second

// unmount takes the mount off, with force when it is in use.
func (f *FS) unmount() (busy bool, err error) {
	s := f.session
	if s == nil {
		return false, errors.New("disk: not mounted")
	}
	s.turnOff()
	dev := connection(f.mnt)
	close(s.down)
	deadline := time.Now().Add(busyFor)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		err := unix.Unmount(f.mnt, 0)
		if err == nil {
			break
		}
		if err == unix.EPERM {
			if err := s.server.Unmount(); err != nil {
				return false, fmt.Errorf("disk: unmount %s: %w", f.mnt, err)
			}
			break
		}
		if err != unix.EBUSY {
			return false, fmt.Errorf("disk: unmount %s: %w", f.mnt, err)
		}
		if time.Now().After(deadline) {
			busy = true
			if err := unix.Unmount(f.mnt, unix.MNT_DETACH); err != nil {
				return busy, fmt.Errorf("disk: unmount %s: %w", f.mnt, err)
			}
			// Ends every request that anybody waits for.
			if dev != "" {
				if err := os.WriteFile("/sys/fs/fuse/connections/"+dev+"/abort", []byte("1"), 0); err != nil {
					f.v.o.Log.Warn("disk: connection not aborted", "err", err)
				}
			}
			break
		}
		time.Sleep(wait)
	}
	f.session = nil
	if busy {
		return busy, nil // its server ends when the last file is closed
	}
	<-s.ended
	return false, nil
}

// connection returns the number of a mount's FUSE connection, "" if unknown.
func connection(mnt string) string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	return mountMinor(string(b), mnt)
}

func mountMinor(info, mnt string) string {
	for _, l := range strings.Split(info, "\n") {
		// id parent major:minor root mountpoint ...
		var id, parent, major, minor int
		var root, at string
		if n, err := fmt.Sscanf(l, "%d %d %d:%d %s %s", &id, &parent, &major, &minor, &root, &at); n == 6 && err == nil && at == mnt {
			return strconv.Itoa(minor)
		}
	}
	return ""
}
