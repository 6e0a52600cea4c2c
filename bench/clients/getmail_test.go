//go:build e2e

package clients

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// getmail fetches new mail, hands it to a program (as root it refuses to write a
// Maildir), and knows by UIDVALIDITY and UID what
// it has: after the kill it must fetch the rest, and nothing twice but what was
// under way.
func getmail(s *seat) {
	for _, sub := range []string{"cur", "new", "tmp"} {
		s.mkdir("mail/" + sub)
	}
	s.mkdir("state")
	rc := s.file("getmailrc", fmt.Sprintf(`[retriever]
type = SimpleIMAPSSLRetriever
server = localhost
port = %[2]s
username = %[3]s
password = %[4]s
ca_certs = %[5]s
timeout = 240
mailboxes = ("INBOX",)

[destination]
type = MDA_external
path = /bin/sh
arguments = ("-c", "cat >mail/tmp/$$ && mv mail/tmp/$$ mail/new/$$")
unixfrom = false
allow_root_commands = true

[options]
read_all = false
delete = false
delivered_to = false
received = false
message_log = %[1]s/log
`, s.dir, s.relay.port, s.account.Address, s.account.Password, s.h.ca))
	args := []string{"--getmaildir", s.dir + "/state", "--rcfile", rc}
	held := s.relay.hold(150 << 10)
	p := s.start("getmail", args...)
	s.middle(held, p)
	if err := p.end(); err != nil {
		s.Logf("cut off: %v", err)
	}
	if n := len(s.maildir("mail")); n == 0 || n == len(s.want) {
		s.Errorf("%d of %d messages came before the kill", n, len(s.want))
	}
	s.again("getmail", args...)
	s.until(time.Minute, "the rest does not come", func() bool {
		if len(s.maildir("mail")) >= len(s.want) {
			return true
		}
		s.again("getmail", args...)
		return false
	})
	s.same("INBOX", gotten(s.maildir("mail")), gotten(unix(s.want)))
	s.deliver("Subject: later\r\n\r\nlater\r\n")
	s.again("getmail", args...)
	_, inbox := s.look("INBOX")
	s.same("INBOX with new mail", gotten(s.maildir("mail")), gotten(unix(inbox)))
}

// gotten is a message without what getmail does to headers: it folds them at
// other places, and adds a Return-Path and where the message was. Bodies stay
// as they are.
func gotten(list [][]byte) [][]byte {
	out := make([][]byte, len(list))
	for i, b := range list {
		head, body, _ := bytes.Cut(b, []byte("\n\n"))
		head = folds.ReplaceAll(head, []byte(" "))
		var keep [][]byte
		for line := range bytes.SplitSeq(head, []byte("\n")) {
			if !bytes.HasPrefix(line, []byte("Return-Path: ")) && !bytes.HasPrefix(line, []byte("X-getmail-")) {
				keep = append(keep, bytes.TrimRight(line, " "))
			}
		}
		out[i] = slices.Concat(bytes.Join(keep, []byte("\n")), []byte("\n\n"), body)
	}
	return out
}

var folds = regexp.MustCompile(`[ \t]*\n[ \t]+|\t| +`)
