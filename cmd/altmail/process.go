package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dataLock keeps a second process off a data directory; the file names the
// one that holds it.
type dataLock struct{ f *os.File }

func lockPath(dir string) string { return filepath.Join(dir, "lock") }

// lockData takes the lock of a data directory.
func lockData(dir string) (*dataLock, error) {
	f, err := os.OpenFile(lockPath(dir), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("another process uses %s", dir)
		}
		return nil, err
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		f.Close()
		return nil, err
	}
	return &dataLock{f}, nil
}

// Close gives the lock back. The file stays: removing it would let two
// processes lock two files of one name.
func (l *dataLock) Close() error { return l.f.Close() }

// lockHolder returns the process that runs on a data directory.
func lockHolder(dir string) (pid int, ok bool) {
	f, err := os.Open(lockPath(dir))
	if err != nil {
		return 0, false
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err == nil {
		return 0, false // nobody holds it; closing f gives ours back
	}
	var b [32]byte
	n, err := f.Read(b[:])
	if err != nil {
		return 0, false
	}
	pid, err = strconv.Atoi(strings.TrimSpace(string(b[:n])))
	return pid, err == nil && pid > 1
}
