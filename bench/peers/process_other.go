//go:build !linux

package peers

import (
	"os"
	"syscall"
)

func childAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

func datasync(f *os.File) error { return f.Sync() }
