//go:build e2e

package clients

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// screen is a terminal with a client in it, held by tmux.
type screen struct {
	s    *seat
	sock string
}

// show runs a client in a terminal of its own.
func (s *seat) show(name string, args ...string) *screen {
	s.Helper()
	w := &screen{s: s, sock: filepath.Join(s.dir, "screen")}
	w.tmux(append([]string{"-f", "/dev/null", "new-session", "-d", "-x", "150", "-y", "50", "--", name}, args...)...)
	s.Cleanup(w.close)
	return w
}

func (w *screen) tmux(args ...string) string {
	w.s.Helper()
	out, err := w.s.command("tmux", append([]string{"-S", w.sock}, args...)...).CombinedOutput()
	if err != nil {
		w.s.Fatalf("tmux %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// close ends the terminal and the client in it.
func (w *screen) close() {
	// It may have ended with the client.
	_ = exec.Command("tmux", "-S", w.sock, "kill-server").Run()
}

// open reports whether the client still runs.
func (w *screen) open() bool {
	return exec.Command("tmux", "-S", w.sock, "has-session").Run() == nil
}

// text is what the terminal shows.
func (w *screen) text() string {
	out, err := exec.Command("tmux", "-S", w.sock, "capture-pane", "-p").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("(%v: %s)", err, out)
	}
	return string(out)
}

// press presses keys, by tmux's names; what has none is text.
func (w *screen) press(keys ...string) {
	w.s.Helper()
	w.tmux(append([]string{"send-keys"}, keys...)...)
}

// enter types a text and the enter key.
func (w *screen) enter(text string) {
	w.s.Helper()
	w.tmux("send-keys", "-l", text)
	w.press("Enter")
}

// shows waits until the terminal shows one of the texts, and returns it.
func (w *screen) shows(texts ...string) string {
	w.s.Helper()
	var last, found string
	if !w.s.soon(40*time.Second, func() bool {
		last = w.text()
		for _, found = range texts {
			if strings.Contains(last, found) {
				return true
			}
		}
		return false
	}) {
		w.s.Fatalf("%s does not show %q:\n%s", w.s.cl.name, texts, last)
	}
	return found
}
