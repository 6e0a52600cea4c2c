//go:build e2e

package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"altmail.se/altmail/bench/corpus"
	"altmail.se/altmail/bench/faults"
)

// playTime is how long a client may take for everything, but for large
// mailboxes.
const playTime = 6 * time.Minute

// seat is one client's place in a test: its account, its way to the cluster, a
// home directory, and what it must end up with.
type seat struct {
	*testing.T
	h        *house
	cl       client
	account  faults.Account
	relay    *relay
	dir      string // its home
	ctx      context.Context
	validity uint32
	want     []faults.Seen // INBOX after the deliveries
}

func (h *house) seat(t *testing.T, cl client) *seat {
	t.Helper()
	need(t, cl.needs...)
	s := &seat{T: t, h: h, cl: cl, account: h.accounts[cl.name], dir: t.TempDir()}
	s.relay = newRelay(t, func() []string {
		var out []string
		for _, n := range h.fall.targets() {
			out = append(out, n.IMAPS)
		}
		return out
	})
	h.fall.join(s.relay)
	t.Cleanup(h.fall.leave)
	return s
}

// begin fills the INBOX: half of it arrives by SMTP at one node or another,
// half by APPEND.
func (s *seat) begin() {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), playTime+time.Duration(s.cl.messages)*150*time.Millisecond)
	s.Cleanup(cancel)
	s.ctx = ctx
	cl := s.dial(s.h.Nodes[0])
	defer cl.Close()
	raws := messages(s.account.Address, s.cl.messages)
	for i, raw := range raws {
		if i%2 == 0 {
			if o, err := faults.Deliver(s.h.Nodes[i%3].SMTP, s.account.Address, raw); o != faults.Answered {
				s.Fatal(err)
			}
		} else if _, o, err := faults.Append(cl, "INBOX", raw); o != faults.Answered {
			s.Fatal(err)
		}
	}
	s.validity, s.want = s.look("INBOX")
	if len(s.want) != len(raws) {
		s.Fatalf("%d messages, not %d", len(s.want), len(raws))
	}
	for i, m := range s.want {
		trace, ok := bytes.CutSuffix(m.Raw, raws[i])
		if !ok {
			s.Fatalf("message %d is not what was delivered", i)
		}
		if i%2 == 1 && len(trace) > 0 || i%2 == 0 && !bytes.HasPrefix(trace, []byte("Return-Path: ")) {
			s.Fatalf("message %d begins with %q", i, trace)
		}
	}
}

// messages are what mailboxes hold: lists, HTML, attachments, and what breaks
// careless clients.
func messages(key string, n int) [][]byte {
	seed := uint64(len(key))
	for _, c := range key {
		seed = seed*131 + uint64(c)
	}
	list, mixed := corpus.New(corpus.List, seed), corpus.New(corpus.Mixed, seed)
	odd := []string{
		"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n\r\n.",
		"Subject: mbox\r\n\r\nFrom the beginning\r\n>From here\r\n\r\nFrom nobody Thu Jan  1 00:00:00 1970\r\n",
		"Subject: nothing below\r\nMessage-ID: <nothing@example.org>\r\n\r\n",
		"Subject: octets\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\nsm\xf6rg\xe5sbord \xff\x80\r\n",
		"Subject: blanks  \r\nX-Empty:\r\nX-Folded:\r\n\tone\r\n  two\r\n\r\n trailing \t \r\n\t\r\n\r\n\r\n",
		"Subject: long\r\n\r\n" + strings.Repeat("x", 990) + "\r\n" + strings.Repeat("=", 76) + "\r\n",
	}
	out := make([][]byte, n)
	for i := range out {
		switch {
		case i < len(odd):
			out[i] = fmt.Appendf(nil, "From: odd@example.org\r\nTo: you@example.org\r\nDate: Mon, 5 Jan 2026 07:00:%02d +0100\r\nMIME-Version: 1.0\r\n%s", i, odd[i])
			if !bytes.HasSuffix(out[i], []byte("\r\n")) {
				out[i] = append(out[i], "\r\n"...)
			}
		case i%10 == 0:
			out[i] = mixed.Message(i)
		default:
			out[i] = list.Message(i)
		}
	}
	return out
}

// dial logs in to a node past the relay.
func (s *seat) dial(n *faults.Node) *imapclient.Client {
	s.Helper()
	cl, err := faults.Dial(n, s.account)
	if err != nil {
		s.Fatalf("%s: %v", n.Name, err)
	}
	return cl
}

// other is a node that lives and that the client does not talk to.
func (s *seat) other() *faults.Node {
	s.Helper()
	up := slices.DeleteFunc(s.h.fall.targets(), func(n *faults.Node) bool { return !n.Up() })
	if len(up) < 2 {
		s.Fatal("no second node is up")
	}
	return up[1]
}

// look lists a mailbox at a node that the client does not talk to.
func (s *seat) look(box string) (uint32, []faults.Seen) {
	s.Helper()
	cl := s.dial(s.other())
	defer cl.Close()
	validity, seen, err := faults.List(cl, box)
	if err != nil {
		s.Fatal(err)
	}
	return validity, seen
}

// flagElsewhere adds a flag to a message of INBOX at another node.
func (s *seat) flagElsewhere(uid uint32, flag imap.Flag) {
	s.Helper()
	cl := s.dial(s.other())
	defer cl.Close()
	if _, err := cl.Select("INBOX", nil).Wait(); err != nil {
		s.Fatal(err)
	}
	set := imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{flag}}
	if err := cl.Store(imap.UIDSetNum(imap.UID(uid)), &set, nil).Close(); err != nil {
		s.Fatal(err)
	}
}

// expungeElsewhere removes a message of INBOX at another node.
func (s *seat) expungeElsewhere(uid uint32) {
	s.Helper()
	s.flagElsewhere(uid, imap.FlagDeleted)
	cl := s.dial(s.other())
	defer cl.Close()
	if _, err := cl.Select("INBOX", nil).Wait(); err != nil {
		s.Fatal(err)
	}
	if err := cl.UIDExpunge(imap.UIDSetNum(imap.UID(uid))).Close(); err != nil {
		s.Fatal(err)
	}
}

// deliver hands a message in at another node.
func (s *seat) deliver(raw string) {
	s.Helper()
	if o, err := faults.Deliver(s.other().SMTP, s.account.Address, []byte(raw)); o != faults.Answered {
		s.Fatal(err)
	}
}

// middle waits until the relay holds what the client waits for, and returns
// when the node has been killed.
func (s *seat) middle(held <-chan struct{}, p *process) {
	s.Helper()
	select {
	case <-held:
	case <-p.done:
		s.Fatalf("%s ended before it came to the middle: %v\n%s", s.cl.name, p.err, p.output())
	case <-s.ctx.Done():
		s.Fatalf("%s does not come to the middle\n%s", s.cl.name, p.output())
	}
	s.fall()
}

// fall returns when the node the client talks to has been killed.
func (s *seat) fall() {
	s.Helper()
	if err := s.h.fall.await(s.ctx); err != nil {
		s.Fatal(err)
	}
}

// until polls a condition that must come true.
func (s *seat) until(within time.Duration, what string, cond func() bool) {
	s.Helper()
	if !s.soon(within, cond) {
		s.Fatalf("%s: %s within %s", s.cl.name, what, within)
	}
}

// soon polls a condition and tells whether it came true.
func (s *seat) soon(within time.Duration, cond func() bool) bool {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, within)
	defer cancel()
	return s.h.Wait(ctx, func() (bool, error) { return cond(), nil }) == nil
}

// file writes a file below the home and returns its path.
func (s *seat) file(name, text string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

// mkdir makes a directory below the home and returns its path.
func (s *seat) mkdir(name string) string {
	s.Helper()
	path := filepath.Join(s.dir, name)
	if err := os.MkdirAll(path, 0o700); err != nil {
		s.Fatal(err)
	}
	return path
}

// told writes what a script needs to know and returns the path.
func (s *seat) told(more map[string]any) string {
	s.Helper()
	all := map[string]any{
		"host": "localhost", "port": s.relay.port, "user": s.account.Address, "password": s.account.Password, "ca": s.h.ca,
		"out": s.mkdir("out"),
	}
	for k, v := range more {
		all[k] = v
	}
	b, err := json.Marshal(all)
	if err != nil {
		s.Fatal(err)
	}
	return s.file("told.json", string(b))
}

// process is a client's.
type process struct {
	out  bytes.Buffer
	done chan struct{} // closed when it has ended
	err  error         // how, after done
}

// output is what it printed; while it runs nobody may know.
func (p *process) output() string {
	select {
	case <-p.done:
		return p.out.String()
	default:
		return "(still running)"
	}
}

// command is a client with a home of its own that knows the authority.
func (s *seat) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(s.ctx, name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir+"/.config", "XDG_CACHE_HOME="+s.dir+"/.cache",
		"XDG_DATA_HOME="+s.dir+"/.local/share", "SSL_CERT_FILE="+s.h.ca, "LC_ALL=C.UTF-8", "TERM=xterm")
	cmd.WaitDelay = 5 * time.Second
	// Not on the terminal of whoever runs the tests.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// start starts a client.
func (s *seat) start(name string, args ...string) *process {
	s.Helper()
	cmd := s.command(name, args...)
	p := &process{done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	if err := cmd.Start(); err != nil {
		s.Fatal(err)
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	s.Cleanup(func() { <-p.done })
	return p
}

// end waits for a client and tells how it ended.
func (p *process) end() error {
	<-p.done
	return p.err
}

// run runs a client that must do well.
func (s *seat) run(name string, args ...string) string {
	s.Helper()
	p := s.start(name, args...)
	if err := p.end(); err != nil {
		s.Fatalf("%s: %v\n%s", name, err, p.out.String())
	}
	return p.out.String()
}

// again runs a client until it does well, as its timer would; a node that has
// just been killed may still lead for others.
func (s *seat) again(name string, args ...string) string {
	s.Helper()
	var out string
	s.until(time.Minute, name+" fails again and again", func() bool {
		p := s.start(name, args...)
		err := p.end()
		out = p.out.String()
		if err != nil {
			s.Logf("%s: %v\n%.2000s", name, err, out)
		}
		return err == nil
	})
	return out
}

// failed demands that a client noticed that its node has died.
func (s *seat) failed(p *process) {
	s.Helper()
	var ee *exec.ExitError
	if err := p.end(); !errors.As(err, &ee) {
		s.Fatalf("%s did not notice that its node was killed: %v\n%s", s.cl.name, err, p.out.String())
	}
}

// script is the path of a program of ours.
func script(s *seat, name string) string {
	s.Helper()
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		s.Fatal(err)
	}
	return path
}

// middleOf is middle for a client on a screen.
func (s *seat) middleOf(held <-chan struct{}, w *screen) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Minute)
	defer cancel()
	select {
	case <-held:
	case <-ctx.Done():
		s.Fatalf("%s does not come to the middle:\n%s", s.cl.name, w.text())
	}
	s.fall()
}
