//go:build e2e

package peers

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/bench/load"
)

// TestPeers starts every installed peer twice on one directory, delivers and
// reads five messages each time, and demands that nothing of it is left.
func TestPeers(t *testing.T) {
	bin := os.Getenv("ALTMAIL_BIN") // one that was built already
	if bin == "" {
		bin = filepath.Join(t.TempDir(), "altmail")
		if out, err := exec.Command("go", "build", "-o", bin, "altmail.se/altmail/cmd/altmail").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	cfg := Config{Altmail: bin, Accounts: 3, Roots: []string{"/opt/altmail-peers"}}
	for name := range All(cfg) {
		t.Run(name, func(t *testing.T) {
			p := All(cfg)[name]
			v, err := p.Version(t.Context())
			if errors.Is(err, ErrNotInstalled) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Log(v)
			// Servers run as users of their own, which may not enter what
			// t.TempDir makes.
			dir, err := os.MkdirTemp("/tmp", "pe")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			defer os.RemoveAll(dir)
			for round := range 2 {
				before := time.Now()
				target, err := p.Start(t.Context(), filepath.Join(dir, "x"))
				if err != nil {
					t.Fatal(err)
				}
				t.Log("started in", time.Since(before))
				var all []proc
				for _, pid := range target.PIDs() {
					all = append(all, tree(pid)...)
				}
				if len(all) == 0 {
					t.Error("no process")
				}
				for i := range 5 {
					deliver(t, target, fmt.Sprintf("r%dm%d", round, i))
				}
				if err := p.Settle(t.Context()); err != nil {
					t.Error(err)
				}
				fetch(t, target.IMAP.Addrs[len(target.IMAP.Addrs)-1], target.Accounts[1], 5*(round+1))
				if len(IMAPS(p)) != len(target.IMAP.Addrs) {
					t.Errorf("addresses with TLS: %v", IMAPS(p))
				}
				if n, err := allocated(target.DataDirs); err != nil || n == 0 {
					t.Errorf("%d bytes on disk, %v", n, err)
				}
				before = time.Now()
				if err := p.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				t.Log("stopped in", time.Since(before))
				for _, q := range all {
					if q.alive() {
						t.Errorf("process %d is left", q.pid)
					}
				}
				if out, err := exec.Command("pgrep", "-fa", dir).Output(); err == nil {
					t.Errorf("left: %s", out)
				}
			}
		})
	}
}

// deliver hands in one message for the second account.
func deliver(t *testing.T, target *load.Target, id string) {
	t.Helper()
	c, err := net.Dial("tcp", target.Delivery.Addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	hello := "EHLO"
	if target.Delivery.Proto == load.LMTP {
		hello = "LHLO"
	}
	for _, step := range []struct{ send, want string }{
		{"", "220"}, {hello + " client.example", "250"}, {"MAIL FROM:<a@example.org>", "250"},
		{"RCPT TO:<" + target.Accounts[1].Address + ">", "250"}, {"DATA", "354"},
		{"From: a@example.org\r\nSubject: " + id + "\r\nMessage-ID: <" + id + "@example.org>\r\n\r\nbody of " + id + "\r\n.", "250"},
		{"QUIT", "221"},
	} {
		if step.send != "" {
			if _, err := fmt.Fprint(c, step.send+"\r\n"); err != nil {
				t.Fatal(err)
			}
		}
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(line, step.want) {
				t.Fatalf("%q: %q", step.send, line)
			}
			if line[3] == ' ' {
				break
			}
		}
	}
}

// fetch reads the account's INBOX and demands n messages.
func fetch(t *testing.T, addr string, a load.Account, n int) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "a LOGIN %s %s\r\nb SELECT INBOX\r\nc FETCH 1:* BODY.PEEK[]\r\nd LOGOUT\r\n", a.Address, a.Password); err != nil {
		t.Fatal(err)
	}
	got, bodies := 0, 0
	for s := bufio.NewScanner(c); s.Scan(); {
		line := s.Text()
		switch {
		case strings.Contains(line, " FETCH ("):
			got++
		case strings.HasPrefix(line, "body of r"):
			bodies++
		case strings.HasPrefix(line, "c ") && !strings.HasPrefix(line, "c OK"):
			t.Fatal(line)
		}
	}
	if got != n || bodies != n {
		t.Errorf("%d messages and %d bodies, want %d", got, bodies, n)
	}
}
