//go:build e2e

package faults

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// run runs a client and returns what it printed; a client that fails, fails
// the test.
func run(t *testing.T, stdin string, name string, args ...string) string {
	t.Helper()
	need(t, name)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

// TestClients lets real clients deliver at one node and read at others.
func TestClients(t *testing.T) {
	c := start(t, 3)
	one, three := c.Nodes[0], c.Nodes[2]
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()

	t.Run("swaks delivers to node 1", func(t *testing.T) {
		out := run(t, "", "swaks", "--server", one.SMTP, "--to", c.Account.Address, "--from", "you@example.org",
			"--header", "Subject: by swaks", "--body", "swaks body")
		if !strings.Contains(out, "250 2.0.0") {
			t.Errorf("no 250:\n%s", out)
		}
	})
	t.Run("swaks submits with TLS and a password", func(t *testing.T) {
		for _, auth := range []string{"PLAIN", "LOGIN"} {
			run(t, "", "swaks", "--server", one.Submission, "--tls", "--auth", auth, "--auth-user", c.Account.Address,
				"--auth-password", c.Account.Password, "--to", c.Account.Address, "--from", c.Account.Address, "--header", "Subject: submitted "+auth)
		}
	})
	t.Run("curl delivers to node 1", func(t *testing.T) {
		run(t, "Subject: by curl\r\n\r\ncurl body\r\n", "curl", "-sS", "smtp://"+one.SMTP, "--mail-from", "you@example.org", "--mail-rcpt", c.Account.Address, "-T", "-")
	})
	t.Run("curl reads on node 3", func(t *testing.T) {
		user := c.Account.Address + ":" + c.Account.Password
		out := run(t, "", "curl", "-sSk", "imaps://"+three.IMAPS+"/INBOX", "-u", user, "-X", "FETCH 1:* (ENVELOPE)")
		for _, want := range []string{"by swaks", "by curl", "submitted PLAIN", "submitted LOGIN"} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is not there:\n%s", want, out)
			}
		}
		body := run(t, "", "curl", "-sSk", "imaps://"+three.IMAPS+"/INBOX;MAILINDEX=1", "-u", user)
		if !strings.Contains(body, "swaks body") {
			t.Errorf("the first message is\n%s", body)
		}
	})
	t.Run("mutt reads on node 3", func(t *testing.T) {
		dir := t.TempDir()
		out := filepath.Join(dir, "piped")
		rc := filepath.Join(dir, "muttrc")
		text := fmt.Sprintf("set imap_user=%q\nset imap_pass=%q\nset folder=imaps://%s/\nset spoolfile=imaps://%s/INBOX\nset ssl_starttls=no\nset ssl_force_tls=yes\nset certificate_file=%s\nset ssl_verify_host=no\nset header_cache=%s\nset wait_key=no\nset pipe_decode=no\n",
			c.Account.Address, c.Account.Password, three.IMAPS, three.IMAPS, certificate(t, three, dir), filepath.Join(dir, "cache"))
		if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		need(t, "mutt")
		need(t, "script")
		keys := fmt.Sprintf("<first-entry><pipe-message>cat > %s<enter><exit>y", out)
		cmd := exec.CommandContext(ctx, "script", "-qec", fmt.Sprintf("mutt -n -F %s -e 'push %q'", rc, keys), "/dev/null")
		cmd.Env = append(os.Environ(), "TERM=xterm", "HOME="+dir)
		// mutt talks to a terminal of its own and needs nobody to type.
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		var screen bytes.Buffer
		cmd.Stdout, cmd.Stderr = &screen, &screen
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		wctx, stop := context.WithTimeout(ctx, 30*time.Second)
		defer stop()
		err = c.Wait(wctx, func() (bool, error) {
			b, err := os.ReadFile(out)
			return err == nil && bytes.Contains(b, []byte("swaks body")), nil
		})
		if err != nil {
			t.Errorf("mutt did not show the message: %v\n%s", err, screen.String())
			if err := cmd.Process.Kill(); err != nil {
				t.Error(err)
			}
		}
		// How mutt leaves is its own affair.
		var ee *exec.ExitError
		if err := cmd.Wait(); err != nil && !asExit(err, &ee) {
			t.Error(err)
		}
	})
	t.Run("IDLE on node 3 hears of a delivery at node 1", func(t *testing.T) { idle(t, c) })
}

func asExit(err error, ee **exec.ExitError) bool {
	e, ok := err.(*exec.ExitError)
	*ee = e
	return ok
}

func idle(t *testing.T, c *Cluster) {
	one, three := c.Nodes[0], c.Nodes[2]
	heard := make(chan uint32, 100)
	cl, err := dialWith(three, c.Account, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
		Mailbox: func(d *imapclient.UnilateralDataMailbox) {
			if d.NumMessages != nil {
				heard <- *d.NumMessages
			}
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	sel, err := cl.Select("INBOX", nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	idling, err := cl.Idle()
	if err != nil {
		t.Fatal(err)
	}
	var waits []time.Duration
	n := sel.NumMessages
	for i := range 20 {
		raw := fmt.Appendf(nil, "Subject: idle %d\r\n\r\nx\r\n", i)
		if o, err := Deliver(one.SMTP, c.Account.Address, raw); o != Answered {
			t.Fatal(err)
		}
		answered := time.Now()
		n++
		for {
			select {
			case got := <-heard:
				if got < n {
					continue
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("delivery %d: nothing heard", i)
			}
			break
		}
		waits = append(waits, time.Since(answered))
	}
	slices.Sort(waits)
	t.Logf("answered at node 1 to EXISTS at node 3: median %s, longest %s", waits[len(waits)/2], waits[len(waits)-1])
	if err := idling.Close(); err != nil {
		t.Fatal(err)
	}
	if err := idling.Wait(); err != nil {
		t.Fatal(err)
	}
}

// tuid is the header line by which mbsync finds its copies again.
var tuid = regexp.MustCompile(`(?m)^X-TUID: .*\n`)

// TestMbsync mirrors a mailbox of 2,000 messages through node 2, changes both
// sides, and mirrors again.
func TestMbsync(t *testing.T) {
	c := start(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	h := NewHistory()
	const count = 2000
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for range count / 8 {
				id, raw := h.New("INBOX", 1500)
				o, err := Deliver(c.Nodes[w%3].SMTP, c.Account.Address, raw)
				h.Done(id, o)
				if o != Answered {
					t.Errorf("delivery: %v", err)
				}
			}
		})
	}
	wg.Wait()
	m := newMirror(t, c, c.Nodes[1])
	if err := m.run(ctx); err != nil {
		t.Fatal(err)
	}
	files := m.files(t, "INBOX")
	if len(files) != count {
		t.Fatalf("%d files, not %d", len(files), count)
	}
	want := map[string][]byte{}
	cl, err := Dial(c.Nodes[0], c.Account)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	validity, seen, err := List(cl, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Verify("INBOX", validity, seen); err != nil {
		t.Fatal(err)
	}
	for _, s := range seen {
		want[subject(s.Raw)] = bytes.ReplaceAll(s.Raw, []byte("\r\n"), []byte("\n"))
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		b = tuid.ReplaceAll(b, nil)
		id := subject(bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")))
		if !bytes.Equal(b, want[id]) {
			t.Fatalf("%s differs from the server's %s:\n%q\n---\n%q", f, id, b, want[id])
		}
	}

	// Here: one flagged, one removed, one new. There: one seen, one removed.
	flagged, gone, goneThere := files[0], files[1], files[2]
	read := func(f string) string {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		return subject(bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n")))
	}
	flaggedID, goneID, goneThereID := read(flagged), read(gone), read(goneThere)
	base, _, _ := strings.Cut(filepath.Base(flagged), ":")
	if err := os.Rename(flagged, filepath.Join(m.dir, "mail", "INBOX", "cur", base+":2,F")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	local := "Subject: written here\nMessage-ID: <here@example.org>\n\nlocal\n"
	if err := os.WriteFile(filepath.Join(m.dir, "mail", "INBOX", "new", "1.here.host"), []byte(local), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	var goneUID imap.UID
	for _, s := range seen {
		if subject(s.Raw) == goneThereID {
			goneUID = imap.UID(s.UID)
		}
	}
	if err := cl.Store(imap.UIDSetNum(goneUID), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if err := cl.UIDExpunge(imap.UIDSetNum(goneUID)).Close(); err != nil {
		t.Fatal(err)
	}
	if err := cl.Create("Made there", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := m.run(ctx); err != nil {
		t.Fatal(err)
	}
	_, seen, err = List(cl, "INBOX")
	if err != nil {
		t.Fatal(err)
	}
	after := map[string][]string{}
	for _, s := range seen {
		after[subject(s.Raw)] = s.Flags
	}
	if f, ok := after[flaggedID]; !ok || !slices.Contains(f, `\Flagged`) {
		t.Errorf("the flag set in the Maildir did not arrive: %v %v", f, ok)
	}
	if _, ok := after[goneID]; ok {
		t.Error("a message removed in the Maildir is still on the server")
	}
	if _, ok := after["written here"]; !ok {
		t.Error("a message written in the Maildir did not arrive")
	}
	if len(seen) != count-1 {
		t.Errorf("%d messages on the server, not %d", len(seen), count-1)
	}
	if got := len(m.files(t, "INBOX")); got != count-1 {
		t.Errorf("%d files in the mirror, not %d", got, count-1)
	}
	if _, err := os.Stat(filepath.Join(m.dir, "mail", "Made there", "cur")); err != nil {
		t.Errorf("the new mailbox was not mirrored: %v", err)
	}
	// And once more: nothing is left to do.
	before := m.snapshot(t)
	if err := m.run(ctx); err != nil {
		t.Fatal(err)
	}
	if m.snapshot(t) != before {
		t.Error("a third run still changes something")
	}
}
