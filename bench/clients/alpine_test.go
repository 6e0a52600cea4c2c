//go:build e2e

package clients

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// alpine saves all messages into a file of the format that keeps octets as
// they are; cut off, it is told to open the folder anew and save again.
func alpine(s *seat) {
	rc := s.file("pinerc", fmt.Sprintf(`personal-name=Anna
user-domain=altmail.example
inbox-path={localhost:%s/ssl/user=%s}INBOX
last-time-prune-questioned=126.11
last-version-used=6.26
feature-list=enable-aggregate-command-set,expunge-without-confirm,quit-without-confirm,save-will-not-delete,disable-password-caching,disable-password-file-saving
`, s.relay.port, s.account.Address))
	s.mkdir("mail")
	w := s.show("alpine", "-p", rc, "-i")
	login := func() {
		for {
			if w.shows("ENTER PASSWORD:", "opened with") != "ENTER PASSWORD:" {
				return
			}
			w.enter(s.account.Password)
			s.until(20*time.Second, "the password is not taken", func() bool { return !strings.Contains(w.text(), "ENTER PASSWORD:") })
		}
	}
	login()
	save := func(name string) {
		w.tmux("send-keys", "-l", `\;`)
		w.shows("SELECT criteria", "ALTER message selection")
		w.press("a")
		w.shows("messages selected", "APPLY")
		w.press("a")
		w.shows("APPLY command")
		w.press("s")
		w.shows("msgs to folder")
		w.enter("#driver.mbx/" + filepath.Join(s.dir, name))
		w.shows("exist.  Create?")
		w.press("y")
	}
	held := s.relay.hold(100 << 10)
	save("first")
	s.middleOf(held, w)
	if got, err := mbx(filepath.Join(s.dir, "first")); err == nil && len(got) == len(s.want) {
		s.Error("all messages were saved before the kill")
	}
	w.shows("CLOSED", "closed", "lost", "No Messages")
	w.press("g")
	w.shows("GOTO")
	w.press("C-u")
	w.enter("INBOX")
	login()
	save("second")
	// What it says of that it may take off the screen at once.
	s.until(30*time.Second, "it does not save all", func() bool {
		got, err := mbx(filepath.Join(s.dir, "second"))
		return err == nil && compare(got, raws(s.want), 1) == nil
	})

	// Mail that comes meanwhile is shown.
	s.deliver("From: a@example.org\r\nSubject: heard meanwhile\r\n\r\nnew\r\n")
	w.press("C-l")
	w.shows("heard meanwhile")
	w.press("q")
	s.until(20*time.Second, "it does not end", func() bool { return !w.open() })
}

// mbx are the messages of a file of c-client's format of that name: a header
// of 2,048 octets, then each message after a line with its date and size.
func mbx(path string) ([][]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if len(b) < 2048 || !bytes.HasPrefix(b, []byte("*mbx*")) {
		return nil, errors.New("not in the format mbx")
	}
	var out [][]byte
	for b = b[2048:]; len(b) > 0; {
		line, rest, ok := bytes.Cut(b, []byte("\r\n"))
		_, facts, ok2 := strings.Cut(string(line), ",")
		size, _, ok3 := strings.Cut(facts, ";")
		n, err := strconv.Atoi(size)
		if !ok || !ok2 || !ok3 || err != nil || n > len(rest) {
			return nil, fmt.Errorf("message %d of a file in the format mbx: %q", len(out), line)
		}
		out, b = append(out, rest[:n]), rest[n:]
	}
	return out, nil
}
