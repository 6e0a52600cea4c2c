package main

import (
	"os/exec"
	"runtime"
	"syscall"
)

// childAttr puts a node in its own process group and ends it with the demo.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}

// startChild starts a process from a thread that lives as long as this
// process: Pdeathsig fires when the starting thread ends.
func startChild(cmd *exec.Cmd) error {
	errc := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		errc <- cmd.Start()
		if cmd.Process != nil {
			select {} // holds the thread
		}
	}()
	return <-errc
}
