//go:build e2e

package clients

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// offlineLine is added by offlineimap to what it uploads without UIDPLUS.
var offlineLine = regexp.MustCompile(`(?m)^X-OfflineIMAP: .*\r\n`)

// offline is how offlineimap keeps messages: its library writes a blank after
// the colon of a header field that is empty or begins on the next line.
func offline(list [][]byte) [][]byte {
	out := make([][]byte, len(list))
	for i, b := range list {
		head, body, _ := bytes.Cut(b, []byte("\n\n"))
		out[i] = bytes.Join([][]byte{emptyField.ReplaceAll(head, []byte("$1 ")), body}, []byte("\n\n"))
	}
	return out
}

var emptyField = regexp.MustCompile(`(?m)^([!-9;-~]+:)$`)

// offlineimap mirrors both ways and is cut off while it pulls.
func offlineimap(s *seat) {
	rc := s.file("offlineimaprc", fmt.Sprintf(`[general]
metadata = %[1]s/meta
accounts = altmail
maxsyncaccounts = 1
socktimeout = 240
fsync = false

[Account altmail]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = %[1]s/mail
sep = /

[Repository far]
type = IMAP
ssl = yes
remotehost = localhost
remoteport = %[2]s
remoteuser = %[3]s
remotepass = %[4]s
sslcacertfile = %[5]s
maxconnections = 2
`, s.dir, s.relay.port, s.account.Address, s.account.Password, s.h.ca))
	sync := func() { s.again("offlineimap", "-c", rc, "-o", "-u", "basic", "-1") }

	held := s.relay.hold(150 << 10)
	p := s.start("offlineimap", "-c", rc, "-o", "-u", "basic")
	s.middle(held, p)
	if err := p.end(); err != nil {
		s.Logf("cut off: %v", err)
	}
	sync()
	s.same("INBOX", s.maildir("mail/INBOX"), offline(unix(s.want)))

	gone, flagged := s.want[3], s.want[4]
	s.expungeElsewhere(gone.UID)
	s.flagElsewhere(flagged.UID, imap.FlagFlagged)
	want := unix(slices.Delete(slices.Clone(s.want), 3, 4))
	path := s.paths("mail/INBOX/cur/*", "mail/INBOX/new/*")[0]
	for _, p := range s.paths("mail/INBOX/cur/*", "mail/INBOX/new/*") {
		b, err := os.ReadFile(p)
		if err != nil {
			s.Fatal(err)
		}
		if bytes.Equal(b, lf(s.want[5].Raw)) {
			path = p
		}
	}
	if err := os.Remove(path); err != nil {
		s.Fatal(err)
	}
	want = slices.DeleteFunc(want, func(w []byte) bool { return bytes.Equal(w, lf(s.want[5].Raw)) })
	text := "Subject: written here\nMessage-ID: <here@example.org>\n\nlocal\n"
	s.file("mail/INBOX/new/1.here.host", text)
	sync()
	_, inbox := s.look("INBOX")
	s.same("INBOX after changes on both sides", s.maildir("mail/INBOX"), offline(append(want, []byte(text))))
	for i := range inbox {
		if bytes.Contains(inbox[i].Raw, []byte("<here@example.org>")) {
			// It marks its uploads with a line of its own.
			inbox[i].Raw = offlineLine.ReplaceAll(inbox[i].Raw, nil)
		}
	}
	s.same("INBOX on the server", unix(inbox), append(want, []byte(text)))
	marked := 0
	for _, p := range s.paths("mail/INBOX/cur/*", "mail/INBOX/new/*") {
		if _, flags, _ := strings.Cut(filepath.Base(p), ":2,"); strings.Contains(flags, "F") {
			marked++
		}
	}
	if marked != 1 {
		s.Errorf("%d files carry the flag set there", marked)
	}
	before := s.names("mail")
	sync()
	if after := s.names("mail"); after != before {
		s.Errorf("offlineimap still changes something:\n%s\n---\n%s", before, after)
	}
}
