package faults

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"altmail.se/altmail/bench/faults/disk"
	"altmail.se/altmail/bench/faults/lan"
)

// Node is one node of a Cluster, as altmail demo --json prints it.
type Node struct {
	Name        string `json:"name"`
	PID         int    `json:"pid"`
	DataDir     string `json:"data_dir"`
	Config      string `json:"config"`
	SMTP        string `json:"smtp"`
	Submission  string `json:"submission"`
	Submissions string `json:"submissions"`
	IMAP        string `json:"imap"`
	IMAPS       string `json:"imaps"`
	LMTP        string `json:"lmtp"`
	Admin       string `json:"admin"`

	mu   sync.Mutex
	proc *process // set when it was started by us
	up   bool

	host *lan.Host // in a network of ours
	disk *disk.FS  // under the data directory, where there is one
}

// process is one that this harness has started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed once it has ended
	err  error         // how it ended, after done
}

// watch waits for a started command.
func watch(cmd *exec.Cmd) *process {
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p
}

// Account is one mail account of a Cluster.
type Account struct {
	Address  string `json:"address"`
	Password string `json:"password"`
}

// Cluster is a set of altmail processes on loopback.
type Cluster struct {
	Bin     string
	Dir     string
	Nodes   []*Node
	Account Account

	Accounts []Account // of a launched cluster; the first is Account

	demo *exec.Cmd
	done chan error
	net  *lan.Network

	launch *Launch // how it was made, when not by a demo
}

// Build builds the altmail command into dir.
func Build(ctx context.Context, dir string, tags ...string) (string, error) {
	bin := filepath.Join(dir, "altmail"+strings.Join(tags, "-"))
	args := []string{"build", "-o", bin}
	if len(tags) > 0 {
		args = append(args, "-tags", strings.Join(tags, ","))
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "altmail.se/altmail/cmd/altmail")...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return bin, nil
}

// Start runs altmail demo and waits until every node serves.
func Start(ctx context.Context, bin, dir string, nodes int) (*Cluster, error) {
	c := &Cluster{Bin: bin, Dir: dir, done: make(chan error, 1)}
	c.demo = exec.Command(bin, "demo", "--json", "--dir", dir, "--nodes", fmt.Sprint(nodes))
	out, err := c.demo.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var stderr bytes.Buffer
	c.demo.Stderr = &stderr
	if err := c.demo.Start(); err != nil {
		return nil, err
	}
	line := make(chan string, 1)
	go func() {
		r := bufio.NewReader(out)
		s, err := r.ReadString('\n')
		if err == nil {
			line <- s
		}
		// Nothing else comes; the pipe is drained so that Wait can end.
		if _, err := io.Copy(io.Discard, r); err != nil {
			c.done <- err
			return
		}
		c.done <- c.demo.Wait()
	}()
	select {
	case s := <-line:
		if err := json.Unmarshal([]byte(s), c); err != nil {
			return nil, errors.Join(fmt.Errorf("demo --json: %w", err), c.Stop())
		}
	case err := <-c.done:
		return nil, fmt.Errorf("demo ended: %w\n%s", err, stderr.String())
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), c.Stop())
	}
	for _, n := range c.Nodes {
		n.up = true
	}
	return c, nil
}

// UnmarshalJSON reads what demo --json prints.
func (c *Cluster) UnmarshalJSON(b []byte) error {
	var v struct {
		Nodes   []*Node `json:"nodes"`
		Account Account `json:"account"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	c.Nodes, c.Account = v.Nodes, v.Account
	return nil
}

// errEnded says that a node's process is not there any more.
var errEnded = errors.New("the process has ended")

// Stop ends every node.
func (c *Cluster) Stop() error {
	if c.demo == nil {
		return c.stopOwn()
	}
	if err := c.demo.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case err := <-c.done:
		return err
	case <-time.After(60 * time.Second):
		return errors.Join(errors.New("faults: the demo does not end"), c.demo.Process.Kill())
	}
}

// Up reports whether the node runs as far as this harness knows.
func (n *Node) Up() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.up
}

// Signal sends a signal to the node's process.
func (n *Node) Signal(s syscall.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc != nil {
		return n.proc.cmd.Process.Signal(s)
	}
	return syscall.Kill(n.PID, s)
}

// Kill ends the node at once, as a crash of the process does.
func (n *Node) Kill() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up = false
	if n.proc != nil {
		if err := n.proc.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		<-n.proc.done
		n.proc = nil
		return nil
	}
	if err := syscall.Kill(n.PID, syscall.SIGKILL); err != nil {
		return err
	}
	// The demo waits for it.
	for {
		if err := syscall.Kill(n.PID, 0); errors.Is(err, syscall.ESRCH) {
			return nil
		}
		time.Sleep(time.Millisecond)
	}
}

// Serve starts a node that is down and waits until it answers its operator.
func (c *Cluster) Serve(ctx context.Context, n *Node) error {
	log, err := os.OpenFile(filepath.Join(filepath.Dir(n.Config), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.Bin, "serve", "--config", n.Config)
	cmd.Stdout, cmd.Stderr = log, log
	begin := cmd.Start
	if n.host != nil {
		begin = func() error { return n.host.Start(cmd) }
	}
	if err := begin(); err != nil {
		return err
	}
	p := watch(cmd)
	n.mu.Lock()
	n.proc, n.PID, n.up = p, cmd.Process.Pid, true
	n.mu.Unlock()
	return c.Wait(ctx, func() (bool, error) {
		select {
		case <-p.done:
			return false, fmt.Errorf("%s has ended: %w", n.Name, errors.Join(p.err, errEnded))
		default:
		}
		_, _, err := c.CLI(ctx, n, "cluster", "status", "--json")
		return err == nil, nil
	})
}

// Log returns the end of a node's log.
func (n *Node) Log(lines int) string {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(n.Config), "log"))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// CLI runs an altmail command on a node and returns its output and exit code.
// The error is set when it could not be run or ended with a code other than 0
// and 3.
func (c *Cluster) CLI(ctx context.Context, n *Node, args ...string) (stdout string, code int, err error) {
	cmd := exec.CommandContext(ctx, c.Bin, append(args, "--config", n.Config)...)
	var out, errb bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errb
	err = cmd.Run()
	code = cmd.ProcessState.ExitCode()
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		err = nil
	}
	if err == nil && code != 0 && code != 3 {
		err = fmt.Errorf("altmail %s: exit %d: %s", strings.Join(args, " "), code, strings.TrimSpace(errb.String()))
	}
	return out.String(), code, err
}

// Wait polls a condition until it holds, within ctx.
func (c *Cluster) Wait(ctx context.Context, cond func() (bool, error)) error {
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		ok, err := cond()
		if err != nil {
			return err
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

// Status is what altmail cluster status --json tells.
type Status struct {
	Self    string `json:"self"`
	Healthy bool   `json:"healthy"`
	Nodes   []struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		Reachable bool   `json:"reachable"`
		Whole     bool   `json:"whole"`
	} `json:"nodes"`
	Groups []struct {
		Group    uint32 `json:"group"`
		Leader   string `json:"leader"`
		Replicas []struct {
			Node  string `json:"node"`
			Voter bool   `json:"voter"`
		} `json:"replicas"`
	} `json:"groups"`
	Problems []string `json:"problems"`
}

// Status asks a node for the cluster's status.
func (c *Cluster) Status(ctx context.Context, n *Node) (*Status, error) {
	out, _, err := c.CLI(ctx, n, "cluster", "status", "--json")
	if err != nil {
		return nil, err
	}
	var s Status
	return &s, json.Unmarshal([]byte(out), &s)
}

// WaitHealthy waits until a node reports a healthy cluster of n members.
func (c *Cluster) WaitHealthy(ctx context.Context, at *Node, n int) error {
	var last []string
	err := c.Wait(ctx, func() (bool, error) {
		s, err := c.Status(ctx, at)
		if err != nil {
			return false, nil
		}
		last = s.Problems
		return s.Healthy && len(s.Nodes) == n, nil
	})
	if err != nil {
		return fmt.Errorf("not healthy: %w: %s", err, strings.Join(last, "; "))
	}
	return nil
}

// Leader returns the node that leads a group, as a node sees it.
func (c *Cluster) Leader(ctx context.Context, at *Node, group uint32) (*Node, error) {
	s, err := c.Status(ctx, at)
	if err != nil {
		return nil, err
	}
	for _, g := range s.Groups {
		if g.Group != group {
			continue
		}
		for _, sn := range s.Nodes {
			if sn.ID != g.Leader {
				continue
			}
			for _, n := range c.Nodes {
				if n.Name == sn.Name {
					return n, nil
				}
			}
		}
	}
	return nil, fmt.Errorf("group %d has no leader", group)
}

// AccountGroup returns the mail group an account lives in.
func (c *Cluster) AccountGroup(ctx context.Context, at *Node, address string) (uint32, error) {
	out, _, err := c.CLI(ctx, at, "account", "show", "--json", address)
	if err != nil {
		return 0, err
	}
	var a struct {
		Group uint32 `json:"group"`
	}
	return a.Group, json.Unmarshal([]byte(out), &a)
}

// Compare demands that all replicas of all groups are equal at one index.
func (c *Cluster) Compare(ctx context.Context, at *Node) error {
	out, code, err := c.CLI(ctx, at, "cluster", "compare", "--json")
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("the replicas differ: %s", out)
	}
	return nil
}

// Check demands that every running node's stores are consistent.
func (c *Cluster) Check(ctx context.Context) error {
	for _, n := range c.Nodes {
		if !n.Up() {
			continue
		}
		if out, _, err := c.CLI(ctx, n, "check", "--bodies"); err != nil {
			return fmt.Errorf("%s: %w\n%s", n.Name, err, out)
		}
	}
	return nil
}
