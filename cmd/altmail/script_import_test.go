package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"altmail.se/altmail/frontend/migrate"
	"altmail.se/altmail/frontend/migrate/maildir"
	"altmail.se/altmail/mailstore"
)

// cmdMailTree makes a Maildir of N messages, with gaps between UIDs, flags,
// keywords, dates and subscriptions, and the manifest that an export of it is
// to have: mailtree DIR N MANIFEST.
func cmdMailTree(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: mailtree DIR N MANIFEST")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	w, err := maildir.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	var m manifest
	ts.Check(m.create(ts.MkAbs(args[2])))
	words := []string{"$Forwarded", "NonJunk", "work"}
	// In the order of an export: INBOX, then by name.
	names := []string{"INBOX", "Archive", "Archive/2024", "Drafts", "Junk", "Räksmörgås", "Sent", "Trash"}
	for i, name := range names {
		count := n / 10
		if i == 0 {
			count = n - n/10*6
		}
		if name == "Junk" {
			count = 0
		}
		box := migrate.Mailbox{Name: name, UIDValidity: 1_300_000_000 + uint32(i)*7, UIDNext: uint32(3*count + 50)}
		ts.Check(w.Mailbox(box))
		ts.Check(m.line(manifestLine{Type: "mailbox", Mailbox: name, UIDValidity: box.UIDValidity, UIDNext: box.UIDNext}))
		for k := range count {
			msg := &migrate.Message{
				UID: uint32(3*k + 2), Flags: mailstore.Flags(k % 32), Date: time.Date(2011, 3, 13, 7, 6, 40, 0, time.UTC).Add(time.Duration(k) * time.Hour),
				Raw: fmt.Appendf(nil, "From: a%d@example.org\r\nTo: anna@example.org\r\nSubject: %s %d\r\nMessage-ID: <%d.%d@example.org>\r\n\r\n%s\r\n",
					k%50, "message", k, i, k, strings.Repeat("A line of the message.\r\n", 1+k%40)),
			}
			if k%3 == 0 {
				msg.Keywords = words[:1+k%len(words)]
			}
			_, _, err := w.Message(msg)
			ts.Check(err)
			sum := sha256.Sum256(msg.Raw)
			ts.Check(m.line(manifestLine{Type: "message", Mailbox: name, UID: msg.UID, Flags: flagNames(msg), Date: msg.Date.Format(time.RFC3339),
				Size: len(msg.Raw), SHA256: hex.EncodeToString(sum[:])}))
		}
	}
	subs := []string{"INBOX", "Archive/2024", "Räksmörgås", "Sent"}
	ts.Check(w.Close(subs))
	for _, s := range subs {
		ts.Check(m.line(manifestLine{Type: "subscription", Mailbox: s}))
	}
	ts.Check(m.close())
}

// cmdDovecot starts Debian's Dovecot on a Maildir and sets DOVECOT to its
// address: dovecot MAILDIR USER PASSWORD.
func cmdDovecot(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: dovecot MAILDIR USER PASSWORD")
	}
	var ports portList
	p, err := ports.take(1)
	ts.Check(err)
	ports.release()
	_, port, err := net.SplitHostPort(p[0])
	ts.Check(err)
	who, err := user.Lookup("mail")
	ts.Check(err)
	uid, err := strconv.Atoi(who.Uid)
	ts.Check(err)
	gid, err := strconv.Atoi(who.Gid)
	ts.Check(err)
	dir := ts.MkAbs("dovecot")
	ts.Check(os.MkdirAll(filepath.Join(dir, "run"), 0o755))
	root := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(root, func(p string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(p, uid, gid)
	}))
	for d := root; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		ts.Check(os.Chmod(d, 0o755))
	}
	conf := filepath.Join(dir, "conf")
	ts.Check(os.WriteFile(filepath.Join(dir, "users"), fmt.Appendf(nil, "%s:{PLAIN}%s\n", args[1], args[2]), 0o644))
	ts.Check(os.WriteFile(conf, fmt.Appendf(nil, `base_dir = %[1]s/run
state_dir = %[1]s/run
log_path = %[1]s/log
protocols = imap
ssl = no
disable_plaintext_auth = no
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:%[2]s
namespace inbox {
  inbox = yes
}
passdb {
  driver = passwd-file
  args = %[1]s/users
}
userdb {
  driver = static
  args = uid=%[3]d gid=%[4]d home=%[2]s
}
service imap-login {
  inet_listener imap {
    address = 127.0.0.1
    port = %[5]s
  }
  inet_listener imaps {
    port = 0
  }
}
`, dir, root, uid, gid, port), 0o644))
	cmd := exec.Command("/usr/sbin/dovecot", "-F", "-c", conf)
	ts.Check(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ts.Defer(func() {
		if err := cmd.Process.Signal(os.Interrupt); err == nil {
			<-ended
		}
	})
	poll(ts, func() bool {
		c, err := net.Dial("tcp", p[0])
		if err != nil {
			return false
		}
		return c.Close() == nil
	}, func() { ts.Fatalf("Dovecot does not come up") })
	ts.Setenv("DOVECOT", p[0])
}

// cmdHolds waits until an account holds so many messages: holds N ADDRESS CONFIG.
func cmdHolds(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: holds N ADDRESS CONFIG")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	poll(ts, func() bool {
		if altmail(ts, []string{"account", "show", args[1], "--json", "--config", args[2]}) != exitDone {
			return false
		}
		_, after, _ := strings.Cut(ts.ReadFile("stdout"), `"used_messages": "`)
		n, _, _ := strings.Cut(after, `"`)
		have, err := strconv.Atoi(n)
		return err == nil && have >= want
	}, func() { ts.Fatalf("%s does not get %d messages", args[1], want) })
}
