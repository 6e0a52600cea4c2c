//go:build linux

package disk

import (
	"errors"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// cacheFor is how long the kernel may trust names and attributes: nobody else
// changes them.
const cacheFor = 3600

// do runs an operation while the power is on, after the faults meant for it.
// Without power it waits for the end, or until its caller is killed.
func (s *session) do(cancel <-chan struct{}, work func() error) fuse.Status {
	s.gate.RLock()
	if !s.off {
		defer s.gate.RUnlock()
		return status(work())
	}
	s.gate.RUnlock()
	return s.dark(cancel)
}

// dark waits as one does on a machine without power.
func (s *session) dark(cancel <-chan struct{}) fuse.Status {
	select {
	case <-cancel:
		// EINTR and not EIO: nobody learns of an error from a dead machine.
		return fuse.EINTR
	case <-s.down:
		return fuse.EIO
	}
}

func status(err error) fuse.Status {
	if err == nil {
		return fuse.OK
	}
	var no syscall.Errno
	if errors.As(err, &no) {
		return fuse.Status(no)
	}
	return fuse.EIO
}

// hurt applies the faults that fit. It returns what they do, having waited;
// ok is false when the power went meanwhile.
func (s *session) hurt(cancel <-chan struct{}, op Op, path func() string, n int) (h harm, st fuse.Status, ok bool) {
	if !s.faults.any.Load() {
		return h, fuse.OK, true
	}
	h, hit := s.faults.hit(op, path(), n)
	if !hit {
		return h, fuse.OK, true
	}
	s.v.stat.faults.Add(1)
	if h.delay > 0 {
		t := time.NewTimer(h.delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-s.cut:
			return h, s.dark(cancel), false
		}
	}
	return h, fuse.Status(h.err), true
}

// run is an operation on one object with its faults.
func (s *session) run(cancel <-chan struct{}, op Op, id uint64, work func(*object) error) fuse.Status {
	o, err := s.v.get(id)
	if err != nil {
		return status(err)
	}
	if _, st, ok := s.hurt(cancel, op, func() string { return s.v.path(o) }, 0); !ok || st != fuse.OK {
		return st
	}
	return s.do(cancel, func() error { return work(o) })
}

// named is an operation on a name in a directory with its faults.
func (s *session) named(cancel <-chan struct{}, op Op, id uint64, name string, work func(*object) error) fuse.Status {
	d, err := s.v.get(id)
	if err != nil {
		return status(err)
	}
	path := func() string {
		p := s.v.path(d)
		if p == "" {
			return name
		}
		return p + "/" + name
	}
	if _, st, ok := s.hurt(cancel, op, path, 0); !ok || st != fuse.OK {
		return st
	}
	return s.do(cancel, func() error { return work(d) })
}

func (s *session) String() string { return "altmail-disk" }

func (s *session) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return s.named(cancel, 0, in.NodeId, name, func(d *object) error {
		o, err := s.v.lookup(d, name)
		if err != nil {
			return err
		}
		return s.entry(o, out)
	})
}

func (s *session) entry(o *object, out *fuse.EntryOut) error {
	st, err := s.v.attr(o)
	if err != nil {
		return err
	}
	out.NodeId, out.Generation = o.id, 1
	out.EntryValid, out.AttrValid = cacheFor, cacheFor
	out.FromStat(&st)
	return nil
}

func (s *session) Forget(id, n uint64) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if !s.off {
		s.v.forget(id, n)
	}
}

func (s *session) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return s.run(cancel, 0, in.NodeId, func(o *object) error { return s.attrs(o, out) })
}

func (s *session) attrs(o *object, out *fuse.AttrOut) error {
	st, err := s.v.attr(o)
	if err != nil {
		return err
	}
	out.AttrValid = cacheFor
	out.FromStat(&st)
	return nil
}

func (s *session) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	op := Op(0)
	size, resize := in.GetSize()
	if resize {
		op = Truncate
	}
	return s.run(cancel, op, in.NodeId, func(o *object) error {
		if mode, ok := in.GetMode(); ok {
			if err := unix.Fchmodat(unix.AT_FDCWD, o.proc(), mode&0o7777, 0); err != nil {
				return err
			}
		}
		uid, hasUID := in.GetUID()
		gid, hasGID := in.GetGID()
		if hasUID || hasGID {
			u, g := -1, -1
			if hasUID {
				u = int(uid)
			}
			if hasGID {
				g = int(gid)
			}
			if err := unix.Fchownat(o.fd, "", u, g, unix.AT_EMPTY_PATH); err != nil {
				return err
			}
		}
		if resize {
			if err := s.v.truncate(o, int64(size)); err != nil {
				return err
			}
		}
		at, hasA := in.GetATime()
		mt, hasM := in.GetMTime()
		if hasA || hasM {
			ts := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Nsec: unix.UTIME_OMIT}}
			if hasA {
				ts[0] = unix.NsecToTimespec(at.UnixNano())
			}
			if hasM {
				ts[1] = unix.NsecToTimespec(mt.UnixNano())
			}
			if err := unix.UtimesNanoAt(unix.AT_FDCWD, o.proc(), ts, 0); err != nil {
				return err
			}
		}
		return s.attrs(o, out)
	})
}

func by(h *fuse.InHeader) owner { return owner{h.Uid, h.Gid} }

func (s *session) made(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut, make func(d *object) (*object, error)) fuse.Status {
	return s.named(cancel, Create, in.NodeId, name, func(d *object) error {
		o, err := make(d)
		if err != nil {
			return err
		}
		return s.entry(o, out)
	})
}

func (s *session) Mknod(cancel <-chan struct{}, in *fuse.MknodIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.made(cancel, &in.InHeader, name, out, func(d *object) (*object, error) {
		return s.v.mknod(d, name, in.Mode, in.Rdev, by(&in.InHeader))
	})
}

func (s *session) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.made(cancel, &in.InHeader, name, out, func(d *object) (*object, error) {
		return s.v.mkdir(d, name, in.Mode, by(&in.InHeader))
	})
}

func (s *session) Symlink(cancel <-chan struct{}, in *fuse.InHeader, target, name string, out *fuse.EntryOut) fuse.Status {
	return s.made(cancel, in, name, out, func(d *object) (*object, error) {
		return s.v.symlink(d, name, target, by(in))
	})
}

func (s *session) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return s.made(cancel, &in.InHeader, name, out, func(d *object) (*object, error) {
		o, err := s.v.get(in.Oldnodeid)
		if err != nil {
			return nil, err
		}
		return s.v.link(o, d, name)
	})
}

func (s *session) Readlink(cancel <-chan struct{}, in *fuse.InHeader) (out []byte, st fuse.Status) {
	st = s.run(cancel, 0, in.NodeId, func(o *object) error {
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(o.fd, "", buf)
		out = buf[:max(0, n)]
		return err
	})
	return out, st
}

func (s *session) Unlink(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return s.named(cancel, Remove, in.NodeId, name, func(d *object) error { return s.v.unlink(d, name) })
}

func (s *session) Rmdir(cancel <-chan struct{}, in *fuse.InHeader, name string) fuse.Status {
	return s.named(cancel, Remove, in.NodeId, name, func(d *object) error { return s.v.rmdir(d, name) })
}

func (s *session) Rename(cancel <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	return s.named(cancel, Rename, in.NodeId, from, func(d *object) error {
		d2, err := s.v.get(in.Newdir)
		if err != nil {
			return err
		}
		return s.v.rename(d, from, d2, to, in.Flags)
	})
}

func (s *session) Access(cancel <-chan struct{}, in *fuse.AccessIn) fuse.Status { return fuse.ENOSYS }

func (s *session) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return s.named(cancel, Create, in.NodeId, name, func(d *object) error {
		o, err := s.v.mknod(d, name, in.Mode&0o7777|unix.S_IFREG, 0, by(&in.InHeader))
		if errors.Is(err, syscall.EEXIST) && in.Flags&unix.O_EXCL == 0 {
			o, err = s.v.lookup(d, name)
		}
		if err != nil {
			return err
		}
		if err := s.v.open(o); err != nil {
			return err
		}
		return s.entry(o, &out.EntryOut)
	})
}

func (s *session) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return s.run(cancel, Open, in.NodeId, func(o *object) error {
		if err := s.v.open(o); err != nil {
			return err
		}
		// What the kernel has cached is right: all changes come through it.
		out.OpenFlags = fuse.FOPEN_KEEP_CACHE
		if in.Flags&unix.O_TRUNC != 0 {
			return s.v.truncate(o, 0)
		}
		return nil
	})
}

func (s *session) Release(_ <-chan struct{}, in *fuse.ReleaseIn) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if !s.off {
		s.v.release(in.NodeId)
	}
}

func (s *session) Read(cancel <-chan struct{}, in *fuse.ReadIn, buf []byte) (fuse.ReadResult, fuse.Status) {
	n := 0
	st := s.run(cancel, Read, in.NodeId, func(o *object) (err error) {
		n, err = s.v.read(o, buf[:min(len(buf), int(in.Size))], int64(in.Offset))
		return err
	})
	return fuse.ReadResultData(buf[:n]), st
}

func (s *session) Write(cancel <-chan struct{}, in *fuse.WriteIn, data []byte) (uint32, fuse.Status) {
	o, err := s.v.get(in.NodeId)
	if err != nil {
		return 0, status(err)
	}
	h, st, ok := s.hurt(cancel, Write, func() string { return s.v.path(o) }, len(data))
	if !ok {
		return 0, st
	}
	if st != fuse.OK {
		if h.torn > 0 {
			part := data[:min(len(data), h.torn)]
			if st := s.do(cancel, func() error { return s.v.write(o, part, int64(in.Offset)) }); st != fuse.OK {
				return 0, st
			}
		}
		return 0, st
	}
	if st := s.do(cancel, func() error { return s.v.write(o, data, int64(in.Offset)) }); st != fuse.OK {
		return 0, st
	}
	return uint32(len(data)), fuse.OK
}

func (s *session) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.OK }

func (s *session) Fsync(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	o, err := s.v.get(in.NodeId)
	if err != nil {
		return status(err)
	}
	var seq uint64
	if st := s.do(cancel, func() error { seq = s.v.begin(o); return nil }); st != fuse.OK {
		return st
	}
	h, st, ok := s.hurt(cancel, Fsync, func() string { return s.v.path(o) }, 0)
	if !ok {
		return st
	}
	return s.do(cancel, func() error {
		switch {
		case st != fuse.OK:
			s.v.fail(o, seq)
			return syscall.Errno(st)
		case h.lie:
			return nil
		}
		err := s.v.end(o, seq)
		if err == nil {
			s.v.stat.fsyncs.Add(1)
		}
		return err
	})
}

func (s *session) FsyncDir(cancel <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	d, err := s.v.get(in.NodeId)
	if err != nil {
		return status(err)
	}
	var seq uint64
	if st := s.do(cancel, func() error { seq = s.v.beginDir(); return nil }); st != fuse.OK {
		return st
	}
	h, st, ok := s.hurt(cancel, FsyncDir, func() string { return s.v.path(d) }, 0)
	if !ok || st != fuse.OK || h.lie {
		return st
	}
	return s.do(cancel, func() error {
		s.v.endDir(d, seq)
		s.v.stat.dirFsyncs.Add(1)
		return nil
	})
}

func (s *session) Fallocate(cancel <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	return s.run(cancel, Write, in.NodeId, func(o *object) error {
		return s.v.allocate(o, in.Mode, int64(in.Offset), int64(in.Length))
	})
}

// dirHandles are the directories that are being read.
type dirHandles struct {
	mu   sync.Mutex
	next uint64
	list map[uint64][]entry
}

func (s *session) OpenDir(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return s.run(cancel, Open, in.NodeId, func(*object) error {
		h := &s.dirs
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.list == nil {
			h.list = map[uint64][]entry{}
		}
		h.next++
		h.list[h.next] = nil
		out.Fh = h.next
		return nil
	})
}

func (s *session) ReadDir(cancel <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return s.run(cancel, Read, in.NodeId, func(d *object) error {
		h := &s.dirs
		h.mu.Lock()
		defer h.mu.Unlock()
		if in.Offset == 0 {
			list, err := entries(d)
			if err != nil {
				return err
			}
			h.list[in.Fh] = append([]entry{{".", d.ino, unix.S_IFDIR}, {"..", 0, unix.S_IFDIR}}, list...)
		}
		list := h.list[in.Fh]
		for i := in.Offset; i < uint64(len(list)); i++ {
			if !out.AddDirEntry(fuse.DirEntry{Name: list[i].name, Ino: list[i].ino, Mode: list[i].mode, Off: i + 1}) {
				break
			}
		}
		return nil
	})
}

func (s *session) ReleaseDir(in *fuse.ReleaseIn) {
	s.dirs.mu.Lock()
	defer s.dirs.mu.Unlock()
	delete(s.dirs.list, in.Fh)
}

func (s *session) StatFs(cancel <-chan struct{}, in *fuse.InHeader, out *fuse.StatfsOut) fuse.Status {
	return s.run(cancel, 0, rootID, func(o *object) error {
		var st unix.Statfs_t
		if err := unix.Fstatfs(o.fd, &st); err != nil {
			return err
		}
		bs := uint64(st.Bsize)
		out.Blocks, out.Bfree, out.Bavail = st.Blocks, st.Bfree, st.Bavail
		out.Files, out.Ffree = st.Files, st.Ffree
		out.Bsize, out.Frsize, out.NameLen = uint32(bs), uint32(bs), uint32(st.Namelen)
		if limit := s.v.capacity.Load(); limit > 0 {
			free := uint64(max(0, limit-s.v.used.Load())) / bs
			out.Blocks, out.Bfree, out.Bavail = uint64(limit)/bs, free, free
		}
		return nil
	})
}
