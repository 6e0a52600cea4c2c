package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server's main process, started by us.
type process struct {
	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when it has been waited for
	err  error         // how it ended; read after done
}

// run starts a program whose output goes to a log file. What runs under the
// same pid file from a comparison that was killed is ended first.
func run(ctx context.Context, pidFile, log string, cmd *exec.Cmd) (*process, error) {
	if err := reap(ctx, pidFile); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if cmd.Stdout == nil {
		cmd.Stdout = f
	}
	cmd.Stderr = f
	cmd.SysProcAttr = childAttr()
	p := &process{cmd: cmd, log: log, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The thread that starts a child has to live as long as it:
		// Pdeathsig fires when that thread ends. Never unlocked, the thread
		// ends with the goroutine.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	var lines strings.Builder
	if all := tree(p.pid()); len(all) > 0 {
		fmt.Fprintf(&lines, "%d %s\n", all[0].pid, all[0].start)
	}
	if err := os.WriteFile(pidFile, []byte(lines.String()), 0o644); err != nil {
		return nil, errors.Join(err, p.stop(ctx))
	}
	return p, nil
}

// reap ends what an earlier run left behind under a pid file.
func reap(ctx context.Context, pidFile string) error {
	b, err := os.ReadFile(pidFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var old proc
	if n, err := fmt.Sscan(string(b), &old.pid, &old.start); err != nil || n != 2 || !old.alive() {
		return os.Remove(pidFile) // it had ended before it was noted, or since
	}
	if err := end(ctx, tree(old.pid), func() error { return syscall.Kill(old.pid, syscall.SIGTERM) }); err != nil {
		return fmt.Errorf("left from an earlier run: %w", err)
	}
	return os.Remove(pidFile)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// ended tells how the process ended, nil while it runs.
func (p *process) ended() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended (%v): %s", filepath.Base(p.cmd.Path), p.err, lastLines(p.log, 10))
	default:
		return nil
	}
}

// stop asks the process to end and waits until it and all its descendants are
// gone.
func (p *process) stop(ctx context.Context) error {
	err := end(ctx, tree(p.pid()), func() error {
		select {
		case <-p.done:
			return nil
		default:
		}
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		return nil
	})
	if err != nil {
		err = fmt.Errorf("%s: %w", filepath.Base(p.cmd.Path), err)
	}
	<-p.done
	return err
}

// end asks processes to end and kills what is left of them when ctx ends or
// 20 s have passed.
func end(ctx context.Context, all []proc, ask func() error) error {
	gone := func() (bool, error) {
		for _, c := range all {
			if c.alive() {
				return false, nil
			}
		}
		return true, nil
	}
	actx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err := ask()
	if err == nil {
		if err = poll(actx, 5*time.Millisecond, gone); err == nil {
			return nil
		}
		err = fmt.Errorf("does not end by itself: %w", err)
	}
	for _, c := range all {
		if !c.alive() {
			continue
		}
		if kerr := syscall.Kill(c.pid, syscall.SIGKILL); kerr != nil && !errors.Is(kerr, syscall.ESRCH) {
			err = errors.Join(err, kerr)
		}
	}
	// Its own time: ctx may have ended, and nothing may be left behind.
	kctx, kcancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer kcancel()
	return errors.Join(err, poll(kctx, 5*time.Millisecond, gone))
}

// proc names one process for good: a number may be given again, a number with
// a start time is not.
type proc struct {
	pid   int
	start string
}

// stat returns a process's parent, state and start time.
func stat(pid int) (ppid int, state, start string, ok bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, "", "", false
	}
	// The command's name is in parentheses and may hold anything.
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return 0, "", "", false
	}
	f := strings.Fields(string(b[i+1:]))
	if len(f) < 20 {
		return 0, "", "", false
	}
	ppid, err = strconv.Atoi(f[1])
	return ppid, f[0], f[19], err == nil
}

func (p proc) alive() bool {
	_, state, start, ok := stat(p.pid)
	return ok && start == p.start && state != "Z"
}

// tree returns a process and all its descendants.
func tree(root int) []proc {
	children := map[int][]proc{}
	var out []proc
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		ppid, _, start, ok := stat(pid)
		if !ok {
			continue
		}
		p := proc{pid, start}
		if pid == root {
			out = append(out, p)
		}
		children[ppid] = append(children[ppid], p)
	}
	for i := 0; i < len(out); i++ {
		out = append(out, children[out[i].pid]...)
	}
	return out
}

// poll asks until cond holds, fails, or ctx ends.
func poll(ctx context.Context, every time.Duration, cond func() (bool, error)) error {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		if ok, err := cond(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// lastLines returns the end of a log file.
func lastLines(path string, n int) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

// terminate asks one process to end.
func terminate(p proc) error {
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}
