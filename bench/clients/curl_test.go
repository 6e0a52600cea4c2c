//go:build e2e

package clients

import (
	"fmt"
	"os"
	"path/filepath"
)

// curl fetches message after message into files; what was cut off it fetches
// again. Then it uploads one and searches.
func curl(s *seat) {
	rc := s.file("curlrc", fmt.Sprintf("user = \"%s:%s\"\ncacert = %q\nsilent\nshow-error\n", s.account.Address, s.account.Password, s.h.ca))
	s.mkdir("out")
	url := func(uid uint32) string { return fmt.Sprintf("imaps://localhost:%s/INBOX;UID=%d", s.relay.port, uid) }
	path := func(uid uint32) string { return filepath.Join(s.dir, "out", fmt.Sprint(uid)) }

	held := s.relay.hold(100 << 10)
	args := []string{"-K", rc, "--fail-early"}
	for _, m := range s.want {
		args = append(args, "-o", path(m.UID), url(m.UID))
	}
	p := s.start("curl", args...)
	s.middle(held, p)
	s.failed(p)
	cut := 0
	for _, m := range s.want {
		if info, err := os.Stat(path(m.UID)); err == nil && info.Size() == int64(len(m.Raw)) {
			continue
		}
		cut++
		s.again("curl", "-K", rc, "-o", path(m.UID), url(m.UID))
	}
	if cut == 0 || cut == len(s.want) {
		s.Errorf("%d of %d messages were left after the kill", cut, len(s.want))
	}
	s.same("INBOX", s.files("out/*"), raws(s.want))

	text := "Subject: from curl\r\n\r\nuploaded\r\n"
	s.run("curl", "-K", rc, "-T", s.file("up", text), fmt.Sprintf("imaps://localhost:%s/INBOX", s.relay.port))
	_, inbox := s.look("INBOX")
	s.same("INBOX on the server", raws(inbox), append(raws(s.want), []byte(text)))
	found := s.run("curl", "-K", rc, fmt.Sprintf("imaps://localhost:%s/INBOX?SUBJECT%%20%%22from%%20curl%%22", s.relay.port))
	if want := fmt.Sprintf("* SEARCH %d\r\n", len(inbox)); found != want {
		s.Errorf("search said %q, not %q", found, want)
	}
}
