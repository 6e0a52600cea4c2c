package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"altmail.se/altmail/cmd/altmail/config"
	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/frontend/admin/adminpb/adminpbconnect"
)

// demoCmd starts a whole cluster on loopback, as an operator would: one serve
// process a node, made by cluster init, token and join.
type demoCmd struct {
	Nodes int    `help:"How many nodes." default:"3"`
	Dir   string `help:"Directory to keep the nodes in; none: a temporary one, removed at the end." type:"path"`
	JSON  bool   `help:"Print one JSON object once all nodes serve."`
	Check bool   `help:"Play the whole story: deliver, kill a leader, read it back, compare."`
}

// demoNode is a node of the demo as printed by --json. Fields are only added.
type demoNode struct {
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
	Admin       string `json:"admin"` // host:port of health, metrics and profiles
	Socket      string `json:"socket"`
}

type demoAccount struct {
	Address  string `json:"address"`
	Password string `json:"password"`
}

type demoInfo struct {
	Nodes   []*demoNode `json:"nodes"`
	Account demoAccount `json:"account"`
}

// demo is a running one.
type demo struct {
	e    *env
	exe  string
	dir  string
	info demoInfo

	mu    sync.Mutex
	procs map[string]*demoProc
}

type demoProc struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has been waited for
}

func (c *demoCmd) Run(e *env) error {
	if c.Nodes < 1 || c.Nodes > 9 {
		return codedf(exitUsage, "between 1 and 9 nodes")
	}
	if c.Check && c.Nodes < 3 {
		return codedf(exitUsage, "the story needs at least three nodes")
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	d := &demo{e: e, exe: exe, dir: c.Dir, procs: map[string]*demoProc{}}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "altmail-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(d.dir)
	}
	defer d.stopAll()
	if err := d.start(c.Nodes); err != nil {
		return err
	}
	if c.Check {
		return d.check()
	}
	if c.JSON {
		b, err := json.Marshal(d.info)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(e.stdout, "%s\n", b); err != nil {
			return err
		}
	} else {
		d.explain(e.stdout)
	}
	<-e.ctx.Done()
	return nil
}

// start makes what is not there yet, runs every node and the account.
func (d *demo) start(nodes int) error {
	if err := os.MkdirAll(d.dir, 0o700); err != nil {
		return err
	}
	var ports portList
	defer ports.release()
	for i := range nodes {
		n, err := d.configure(fmt.Sprintf("node%d", i+1), &ports)
		if err != nil {
			return err
		}
		d.info.Nodes = append(d.info.Nodes, n)
	}
	ports.release()
	for i, n := range d.info.Nodes {
		if err := d.enter(i, n); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	if err := d.waitHealthy(len(d.info.Nodes), 60*time.Second); err != nil {
		return err
	}
	return d.account()
}

// configure writes a node's configuration, or reads the one that is there.
func (d *demo) configure(name string, ports *portList) (*demoNode, error) {
	dir := filepath.Join(d.dir, name)
	path := filepath.Join(dir, "altmail.toml")
	n := &demoNode{Name: name, DataDir: filepath.Join(dir, "data"), Config: path}
	cfg, err := config.Load(path)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		p, err := ports.take(8)
		if err != nil {
			return nil, err
		}
		cfg = config.Default()
		cfg.Name, cfg.DataDir, cfg.Hostname = name, n.DataDir, name+".altmail.example"
		cfg.Key.File = filepath.Join(dir, "unlock.key")
		cfg.Cluster.Listen = p[0]
		cfg.SMTP.Listen, cfg.Submission.Listen, cfg.Submissions.Listen = p[1:2], p[2:3], p[3:4]
		cfg.LMTP.Listen, cfg.IMAP.Listen, cfg.IMAPS.Listen = p[4:5], p[5:6], p[6:7]
		cfg.Admin.HTTP = p[7]
		cfg.Limits.ConnectionsPerIP = 20000 // everything comes from one address here
		b, err := cfg.Encode()
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	n.SMTP, n.Submission, n.Submissions = cfg.SMTP.Listen[0], cfg.Submission.Listen[0], cfg.Submissions.Listen[0]
	n.LMTP, n.IMAP, n.IMAPS = cfg.LMTP.Listen[0], cfg.IMAP.Listen[0], cfg.IMAPS.Listen[0]
	n.Admin, n.Socket = cfg.Admin.HTTP, cfg.AdminSocket()
	return n, nil
}

// enter makes a node a member when it is none and runs it.
func (d *demo) enter(i int, n *demoNode) error {
	first := false
	if _, err := os.Stat(filepath.Join(n.DataDir, "keyring")); errors.Is(err, os.ErrNotExist) {
		if i == 0 {
			if err := d.run(nil, "cluster", "init", "--config", n.Config); err != nil {
				return err
			}
			first = true
		} else {
			ctx, cancel := context.WithTimeout(d.e.ctx, 30*time.Second)
			defer cancel()
			a, err := dialSocket(d.info.Nodes[0].Socket)
			if err != nil {
				return err
			}
			tok, err := unary(ctx, a.CreateToken, &adminpb.CreateTokenRequest{})
			if err != nil {
				return err
			}
			if err := d.run(strings.NewReader(tok.Token), "cluster", "join", "--token-file", "-", "--config", n.Config); err != nil {
				return err
			}
		}
	}
	if err := d.serve(n); err != nil {
		return err
	}
	if first {
		return d.waitHealthy(1, 30*time.Second)
	}
	return nil
}

// run runs this binary to its end.
func (d *demo) run(stdin io.Reader, args ...string) error {
	cmd := exec.CommandContext(d.e.ctx, d.exe, args...)
	cmd.Stdin = stdin
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("altmail %s: %w: %s", args[0], err, out.String())
	}
	return nil
}

// serve starts a node's process; its log goes beside its configuration.
func (d *demo) serve(n *demoNode) error {
	log, err := os.OpenFile(filepath.Join(filepath.Dir(n.Config), "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.exe, "serve", "--config", n.Config)
	cmd.Stdout, cmd.Stderr = log, log
	// The nodes end with the demo even when it is killed, and do not get the
	// terminal's Ctrl-C, so that it is the demo that stops them in order.
	cmd.SysProcAttr = childAttr()
	if err := startChild(cmd); err != nil {
		return err
	}
	p := &demoProc{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		// How it ended is in its log; a node killed by hand stays down.
		if err := cmd.Wait(); err != nil && d.e.ctx.Err() == nil {
			fmt.Fprintf(d.e.stderr, "%s has ended: %v\n", n.Name, err)
		}
	}()
	n.PID = cmd.Process.Pid
	d.mu.Lock()
	d.procs[n.Name] = p
	d.mu.Unlock()
	return nil
}

// waitHealthy waits until some node reports a healthy cluster of n nodes.
func (d *demo) waitHealthy(n int, within time.Duration) error {
	ctx, cancel := context.WithTimeout(d.e.ctx, within)
	defer cancel()
	last := "no node answers"
	for {
		for _, node := range d.info.Nodes {
			r, err := nodeStatus(ctx, node.Socket)
			if err != nil {
				continue
			}
			last = strings.Join(r.Problems, "; ")
			if r.Healthy && len(r.Nodes) == n {
				return nil
			}
			if len(r.Nodes) != n {
				last = fmt.Sprintf("%d of %d nodes", len(r.Nodes), n)
			}
		}
		for _, node := range d.info.Nodes {
			d.mu.Lock()
			p := d.procs[node.Name]
			d.mu.Unlock()
			if p == nil {
				continue
			}
			select {
			case <-p.done:
				return fmt.Errorf("%s has ended:\n%s", node.Name, tail(filepath.Join(filepath.Dir(node.Config), "log")))
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the cluster is not healthy after %s: %s", within, last)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func nodeStatus(ctx context.Context, socket string) (*adminpb.ClusterStatusResponse, error) {
	a, err := dialSocket(socket)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return unary(ctx, a.ClusterStatus, &adminpb.ClusterStatusRequest{})
}

// account makes the demo's account, or gives it a new password.
func (d *demo) account() error {
	var raw [10]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return err
	}
	d.info.Account = demoAccount{
		Address:  "demo@altmail.example",
		Password: strings.ToLower(base32.StdEncoding.EncodeToString(raw[:])),
	}
	ctx, cancel := context.WithTimeout(d.e.ctx, 30*time.Second)
	defer cancel()
	a, err := dialSocket(d.info.Nodes[0].Socket)
	if err != nil {
		return err
	}
	if _, err := unary(ctx, a.ShowAccount, &adminpb.ShowAccountRequest{Address: d.info.Account.Address}); err == nil {
		_, err := unary(ctx, a.SetPassword, &adminpb.SetPasswordRequest{Address: d.info.Account.Address, Password: []byte(d.info.Account.Password)})
		return err
	}
	_, err = unary(ctx, a.AddAccount, &adminpb.AddAccountRequest{Address: d.info.Account.Address, Password: []byte(d.info.Account.Password)})
	return err
}

// stopAll ends every node, also one that was started again by hand: the pid in
// a node's lock file counts when the lock is held.
func (d *demo) stopAll() {
	var wg sync.WaitGroup
	for _, n := range d.info.Nodes {
		pid, ok := lockHolder(n.DataDir)
		if !ok {
			continue
		}
		wg.Go(func() {
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
				return
			}
			deadline := time.Now().Add(20 * time.Second)
			for {
				if p, ok := lockHolder(n.DataDir); !ok || p != pid {
					break
				}
				if time.Now().After(deadline) {
					if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
						fmt.Fprintf(d.e.stderr, "%s: %v\n", n.Name, err)
					}
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.procs {
		<-p.done
	}
}

// explain prints what to type into a mail client and what to kill.
func (d *demo) explain(w io.Writer) {
	n := d.info.Nodes
	a := d.info.Account
	fmt.Fprintf(w, "%d nodes serve one mailbox. Account: %s  password: %s\n\n", len(n), a.Address, a.Password)
	rows := [][]string{}
	for _, x := range n {
		rows = append(rows, []string{x.Name, strconv.Itoa(x.PID), x.SMTP, x.Submissions, x.IMAPS, x.IMAP})
	}
	if err := table(w, []string{"NODE", "PID", "SMTP", "SUBMISSION (TLS)", "IMAP (TLS)", "IMAP (STARTTLS)"}, rows); err != nil {
		return
	}
	last := n[len(n)-1]
	fmt.Fprintf(w, `
Deliver at one node, read at another (the certificate is self-signed):
  printf 'Subject: hello\r\n\r\nIt works.\r\n' | curl -sS smtp://%s --mail-from you@example.org --mail-rcpt %s -T -
  curl -sSk imaps://%s/INBOX -u %s:%s -X 'FETCH 1:* (ENVELOPE)'
Kill a node and do it again; start it again:
  kill -9 %d
  altmail serve --config %s
See who leads: altmail cluster status --config %s
Logs lie beside each altmail.toml. Ctrl-C ends the demo.
`, n[0].SMTP, a.Address, last.IMAPS, a.Address, a.Password, n[0].PID, n[0].Config, last.Config)
}

// portList finds free loopback ports and holds them until all are found. They
// lie below those the kernel gives to outgoing connections (32768 and up): a
// node that was killed must find its own free when it is started again.
type portList struct{ held []net.Listener }

func (p *portList) take(n int) ([]string, error) {
	const first, last = 10_000, 20_000
	var out []string
	var err error
	for range 1000 {
		l, lerr := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+mrand.IntN(last-first)))
		if lerr != nil {
			err = lerr
			continue
		}
		p.held = append(p.held, l)
		if out = append(out, l.Addr().String()); len(out) == n {
			return out, nil
		}
	}
	return nil, fmt.Errorf("no free ports: %w", err)
}

func (p *portList) release() {
	for _, l := range p.held {
		l.Close()
	}
	p.held = nil
}

// tail returns the last lines of a log.
func tail(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer f.Close()
	var last []string
	s := bufio.NewScanner(f)
	for s.Scan() {
		if last = append(last, s.Text()); len(last) > 20 {
			last = last[1:]
		}
	}
	return strings.Join(last, "\n")
}

// adminOf dials a demo node.
func adminOf(n *demoNode) (adminpbconnect.AdminClient, error) { return dialSocket(n.Socket) }
