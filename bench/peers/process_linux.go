package peers

import (
	"os"
	"syscall"
)

// childAttr keeps the terminal's Ctrl-C from the servers, which are stopped in
// order, and ends them when this process is killed. (Not those that change
// their user: the kernel forgets it then, and reap finds them at the next
// start.)
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// datasync makes a file's content durable, and its size only when it changed.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
