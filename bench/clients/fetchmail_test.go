//go:build e2e

package clients

import "fmt"

// fetchmail empties the mailbox into files, message by message, and is cut off
// in between. The message that was under way may come twice, none may be lost.
func fetchmail(s *seat) {
	out := s.mkdir("out")
	rc := s.file("fetchmailrc", fmt.Sprintf(`set no bouncemail
set invisible
set pidfile "%[1]s/pid"
poll localhost protocol IMAP port %[2]s timeout 240
  user "%[3]s" password "%[4]s" ssl sslproto "TLS1.2+" sslcertck sslcertfile "%[5]s"
  fetchall no rewrite no mimedecode pass8bits expunge 5
  mda "sh -c 'cat > %[6]s/tmp.$$ && mv %[6]s/tmp.$$ %[6]s/m.$$'"
`, s.dir, s.relay.port, s.account.Address, s.account.Password, s.h.ca, out))
	held := s.relay.hold(150 << 10)
	p := s.start("fetchmail", "-f", rc)
	s.middle(held, p)
	s.failed(p)
	if n := len(s.files("out/m.*")); n == 0 || n == len(s.want) {
		s.Errorf("%d of %d messages came before the kill", n, len(s.want))
	}
	s.again("fetchmail", "-f", rc)
	if err := compare(s.files("out/m.*"), unix(s.want), 2); err != nil {
		s.Errorf("fetchmail: %v", err)
	}
	if _, inbox := s.look("INBOX"); len(inbox) != 0 {
		s.Errorf("%d messages are left on the server", len(inbox))
	}
}
