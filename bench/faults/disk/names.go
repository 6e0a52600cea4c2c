//go:build linux

package disk

import (
	"bytes"
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// owner of a new entry.
type owner struct{ uid, gid uint32 }

// full tells whether there is no room even for a new entry.
func (v *volume) full() bool {
	limit := v.capacity.Load()
	return limit > 0 && v.used.Load() >= limit
}

// lookup finds an entry and counts one reference of the kernel.
func (v *volume) lookup(d *object, name string) (*object, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o, err := v.child(d, name)
	if err != nil {
		return nil, err
	}
	o.lookups++
	return o, nil
}

// forget takes references of the kernel back.
func (v *volume) forget(id, n uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	o := v.objects[id]
	if o == nil || id == rootID {
		return
	}
	o.lookups -= min(n, o.lookups)
	v.collect(o)
}

// create makes an entry by make, which gets the directory's descriptor.
func (v *volume) create(d *object, name string, mode uint32, by owner, make func(dirfd int) error) (*object, error) {
	if v.full() {
		return nil, syscall.ENOSPC
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if err := make(d.fd); err != nil {
		return nil, err
	}
	o, err := v.child(d, name)
	if err != nil {
		return nil, err
	}
	o.lookups++
	v.log(d, change{name, nil, o})
	if o.mode == unix.S_IFLNK {
		return o, nil
	}
	// The umask was the caller's; ours must not count as well.
	if err := unix.Fchmodat(unix.AT_FDCWD, o.proc(), mode&0o7777, 0); err != nil {
		return nil, err
	}
	if int(by.uid) != unix.Geteuid() {
		if err := unix.Fchownat(o.fd, "", int(by.uid), int(by.gid), unix.AT_EMPTY_PATH); err != nil {
			return nil, err
		}
	}
	return o, nil
}

func (v *volume) mknod(d *object, name string, mode, rdev uint32, by owner) (*object, error) {
	return v.create(d, name, mode, by, func(fd int) error { return unix.Mknodat(fd, name, mode, int(rdev)) })
}

func (v *volume) mkdir(d *object, name string, mode uint32, by owner) (*object, error) {
	return v.create(d, name, mode, by, func(fd int) error { return unix.Mkdirat(fd, name, mode) })
}

func (v *volume) symlink(d *object, name, target string, by owner) (*object, error) {
	return v.create(d, name, 0, by, func(fd int) error { return unix.Symlinkat(target, fd, name) })
}

func (v *volume) link(o, d *object, name string) (*object, error) {
	if v.full() {
		return nil, syscall.ENOSPC
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if o.gone {
		return nil, syscall.ENOENT
	}
	if err := unix.Linkat(unix.AT_FDCWD, o.proc(), d.fd, name, unix.AT_SYMLINK_FOLLOW); err != nil {
		return nil, err
	}
	o.lookups++
	v.log(d, change{name, nil, o})
	return o, nil
}

func (v *volume) unlink(d *object, name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	o, err := v.child(d, name)
	if err != nil {
		return err
	}
	if o.dir() {
		return syscall.EISDIR
	}
	if err := v.bury(d, name, o); err != nil {
		return err
	}
	v.log(d, change{name, o, nil})
	return nil
}

func (v *volume) rmdir(d *object, name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	o, err := v.child(d, name)
	if err != nil {
		return err
	}
	if !o.dir() {
		return syscall.ENOTDIR
	}
	if err := empty(o); err != nil {
		return err
	}
	if err := v.bury(d, name, o); err != nil {
		return err
	}
	v.log(d, change{name, o, nil})
	return nil
}

// empty returns ENOTEMPTY for a directory with entries.
func empty(d *object) error {
	list, err := entries(d)
	if err == nil && len(list) > 0 {
		err = syscall.ENOTEMPTY
	}
	return err
}

// rename moves an entry, over another if there is one.
func (v *volume) rename(d1 *object, n1 string, d2 *object, n2 string, flags uint32) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	o, err := v.child(d1, n1)
	if err != nil {
		return err
	}
	p, err := v.child(d2, n2)
	if err != nil && !errors.Is(err, syscall.ENOENT) {
		return err
	}
	switch {
	case flags&^unix.RENAME_NOREPLACE != 0:
		return syscall.EINVAL // not built: an exchange
	case p == nil:
	case flags&unix.RENAME_NOREPLACE != 0:
		return syscall.EEXIST
	case p == o:
		return nil
	case p.dir() && !o.dir():
		return syscall.EISDIR
	case !p.dir() && o.dir():
		return syscall.ENOTDIR
	}
	if p != nil {
		if p.dir() {
			if err := empty(p); err != nil {
				return err
			}
		}
		// What is replaced may come back.
		if err := v.cover(d2, n2, p); err != nil {
			return err
		}
	}
	if err := unix.Renameat(d1.fd, n1, d2.fd, n2); err != nil {
		if p != nil && p.dir() {
			err = errors.Join(err, unix.Renameat(v.limboFD, p.limbo, d2.fd, n2))
			p.limbo = ""
		}
		return err
	}
	o.parent, o.name = d2, n2
	if p != nil {
		v.checkGone(p)
	}
	if d1 == d2 {
		v.log(d1, change{n1, o, nil}, change{n2, p, o})
		return nil
	}
	to := v.log(d2, change{n2, p, o})
	from := v.log(d1, change{n1, o, nil})
	to.twin, from.twin = from, to
	if o.dir() {
		// A directory can't be in two places, or in none: at once, or the undo
		// would have to sort out circles.
		v.commit(d2, to.seq)
	}
	return nil
}

// cover keeps an object whose name is about to be replaced.
func (v *volume) cover(d *object, name string, p *object) error {
	if p.limbo != "" {
		return nil
	}
	to := v.limboName()
	var err error
	if p.dir() {
		err = unix.Renameat(d.fd, name, v.limboFD, to)
	} else {
		err = unix.Linkat(unix.AT_FDCWD, p.proc(), v.limboFD, to, unix.AT_SYMLINK_FOLLOW)
	}
	if err == nil {
		p.limbo = to
	}
	return err
}

// entry of a directory.
type entry struct {
	name string
	ino  uint64
	mode uint32
}

// entries reads a directory without . and ..
func entries(d *object) (out []entry, err error) {
	fd, err := unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Getdents(fd, buf)
		if err != nil || n == 0 {
			return out, err
		}
		for b := buf[:n]; len(b) > 0; {
			// linux_dirent64: ino 8, off 8, reclen 2, type 1, name.
			ino, size, kind := native.Uint64(b), int(native.Uint16(b[16:])), uint32(b[18])
			name, _, _ := bytes.Cut(b[19:size], []byte{0})
			b = b[size:]
			if s := string(name); s != "." && s != ".." {
				out = append(out, entry{s, ino, kind << 12})
			}
		}
	}
}

// fsyncDir makes a directory's entries durable as they were when it began.
func (v *volume) beginDir() uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.nextOp
}

func (v *volume) endDir(d *object, seq uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.o.Rules == Ext4 {
		v.commitAll(seq)
	} else {
		v.commit(d, seq)
	}
}

// attr returns an object's attributes, without the name limbo gives it.
func (v *volume) attr(o *object) (st syscall.Stat_t, err error) {
	if err := syscall.Fstat(o.fd, &st); err != nil {
		return st, err
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if o.limbo != "" && !o.dir() {
		st.Nlink--
	}
	return st, nil
}
