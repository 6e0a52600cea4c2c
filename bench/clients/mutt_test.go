//go:build e2e

package clients

import (
	"bytes"
	"fmt"
	"time"

	"github.com/emersion/go-imap/v2"
)

// muttLike reads everything with mutt or neomutt, with a header cache and
// QRESYNC; its node is killed while messages come in. Later the same cache is
// brought up to date after changes elsewhere.
func muttLike(program string) func(*seat) {
	return func(s *seat) {
		rc := s.file("rc", fmt.Sprintf(`set imap_user="%[1]s"
set imap_pass="%[2]s"
set folder=imaps://localhost:%[3]s/
set spoolfile=imaps://localhost:%[3]s/INBOX
set ssl_force_tls=yes
set ssl_ca_certificates_file="%[4]s"
set header_cache="%[5]s/headers"
set message_cachedir="%[5]s/bodies"
set imap_qresync=yes
set imap_condstore=yes
set imap_idle=yes
set mail_check=1
set timeout=2
set sleep_time=0
set wait_key=no
set pipe_decode=no
set pipe_split=yes
set pipe_sep=""
set delete=yes
set move=no
set beep=no
set quit=yes
set sort=mailbox-order
set mark_old=no
set status_format="have=%%m here=%%M."
`, s.account.Address, s.account.Password, s.relay.port, s.h.ca, s.mkdir("cache")))
		s.mkdir("cache/headers")
		s.mkdir("cache/bodies")
		open := func() *screen { return s.show(program, "-n", "-F", rc) }
		// All messages, each piped into a file of its own.
		pipe := func(w *screen, dir string) {
			w.tmux("send-keys", "-l", "T~A")
			w.press("Enter")
			w.tmux("send-keys", "-l", fmt.Sprintf(";|cat >%s/$$", s.mkdir(dir)))
			w.press("Enter")
		}

		w := open()
		w.shows(fmt.Sprintf("have=%d here=", len(s.want)))
		first := s.relay.passed()
		held := s.relay.hold(100 << 10)
		pipe(w, "first")
		s.middleOf(held, w)
		if n := len(s.files("first/*")); n == len(s.want) {
			s.Error("all messages came before the kill")
		}
		tries := 0
		s.until(time.Minute, "messages don't come after the kill", func() bool {
			tries++
			dir := fmt.Sprintf("try%d", tries)
			w.press("Escape", "C-g")
			w.enter("c" + fmt.Sprintf("imaps://localhost:%s/INBOX", s.relay.port))
			w.shows(fmt.Sprintf("have=%d here=", len(s.want)))
			pipe(w, dir)
			if s.soon(15*time.Second, func() bool { return compare(s.files(dir+"/*"), unix(s.want), 1) == nil }) {
				return true
			}
			s.Logf("try %d: %v", tries, compare(s.files(dir+"/*"), unix(s.want), 1))
			return false
		})
		s.same("INBOX", s.files(fmt.Sprintf("try%d/*", tries)), unix(s.want))

		// New mail by IDLE, at the node it talks to now.
		text := "From: a@example.org\r\nSubject: heard by idle\r\n\r\nnew\r\n"
		s.deliver(text)
		w.shows(fmt.Sprintf("have=%d here=", len(s.want)+1))
		w.press("q")
		s.until(20*time.Second, "it does not end", func() bool { return !w.open() })

		// The cache is what was seen then; the rest comes by QRESYNC.
		s.expungeElsewhere(s.want[2].UID)
		s.flagElsewhere(s.want[7].UID, imap.FlagFlagged)
		s.deliver("From: a@example.org\r\nSubject: later\r\n\r\nlater\r\n")
		before := s.relay.passed()
		w = open()
		w.shows(fmt.Sprintf("have=%d here=", len(s.want)+1))
		again := s.relay.passed() - before
		s.Logf("opening took %d octets without a cache, %d with one", first, again)
		if again > first/2 {
			s.Error("the cache was of no use")
		}
		_, inbox := s.look("INBOX")
		pipe(w, "last")
		s.until(30*time.Second, "messages don't come", func() bool { return len(s.files("last/*")) >= len(inbox) })
		s.until(10*time.Second, "messages differ", func() bool { return compare(s.files("last/*"), unix(inbox), 1) == nil })
		w.press("l")
		w.enter("~F")
		w.shows("here=1.")
		pipe(w, "flagged")
		s.until(20*time.Second, "the flag set elsewhere does not show", func() bool {
			return compare(s.files("flagged/*"), [][]byte{lf(s.want[7].Raw)}, 1) == nil
		})
		if !bytes.Contains(bytes.Join(s.files("last/*"), nil), []byte("heard by idle")) {
			s.Error("what IDLE told of is not there")
		}
	}
}
