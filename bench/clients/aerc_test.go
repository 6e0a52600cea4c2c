//go:build e2e

package clients

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// aerc exports the whole folder; it comes back by itself after the kill and is
// asked again.
func aerc(s *seat) {
	s.file(".config/aerc/aerc.conf", "[general]\nlog-level = debug\nlog-file = "+s.dir+"/log\n[ui]\nindex-columns = subject\n")
	s.file(".config/aerc/binds.conf", "[messages]\n")
	source := url.URL{Scheme: "imaps", User: url.UserPassword(s.account.Address, s.account.Password), Host: "localhost:" + s.relay.port}
	s.file(".config/aerc/accounts.conf", fmt.Sprintf(`[altmail]
source = %s
default = INBOX
from = Anna <%s>
connection-timeout = 10s
reconnect-maxwait = 2s
cache-headers = true
`, source.String(), s.account.Address))
	w := s.show("aerc")
	w.shows("dots", "Subject: dots", "mbox")
	export := func(name string) {
		w.enter(":export-mbox " + filepath.Join(s.dir, name))
	}
	held := s.relay.hold(100 << 10)
	export("first")
	s.middleOf(held, w)
	// It quotes lines that begin a message, but no quoted ones: which was which
	// can't be told afterwards.
	want := unix(s.want)
	for i := range want {
		want[i] = quotedFrom.ReplaceAll(want[i], []byte("$1"))
	}
	// The export that was cut off may go on by itself.
	name := "first"
	tries := 0
	s.until(90*time.Second, "the export never works", func() bool {
		if s.soon(10*time.Second, func() bool { return compare(mbox(s, name), want, 1) == nil }) {
			return true
		}
		s.Logf("%s: %v", name, compare(mbox(s, name), want, 1))
		tries++
		name = fmt.Sprintf("again%d", tries)
		export(name)
		return false
	})
	s.deliver("From: a@example.org\r\nSubject: heard by idle\r\n\r\nnew\r\n")
	w.shows("heard by idle")
}

// fromLine begins a message in an mbox.
var fromLine = regexp.MustCompile(`(?m)^From .*\n`)

// mbox are the messages of an mbox file; none when it is not there.
func mbox(s *seat, name string) [][]byte {
	s.Helper()
	b, err := os.ReadFile(filepath.Join(s.dir, name))
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		s.Fatal(err)
	}
	var out [][]byte
	at := fromLine.FindAllIndex(b, -1)
	for i, m := range at {
		end := len(b)
		if i+1 < len(at) {
			end = at[i+1][0]
		}
		text := lf(b[m[1]:end])
		out = append(out, bytes.TrimSuffix(quotedFrom.ReplaceAll(text, []byte("$1")), []byte("\n\n")))
	}
	return out
}

// quotedFrom is a line that would begin a message, and is kept from it.
var quotedFrom = regexp.MustCompile(`(?m)^>(>*From )`)
