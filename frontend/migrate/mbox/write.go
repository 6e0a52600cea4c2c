package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"altmail.se/altmail/frontend/migrate"
	"altmail.se/altmail/mailstore"
)

// Writer writes a file for each mailbox below a directory.
type Writer struct {
	dir string
	m   migrate.Mailbox
	f   *os.File
	w   *bufio.Writer
	rel string
}

// Create makes a new directory of mailboxes. It must not exist, or be empty.
func Create(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty: nothing is written over", dir)
	}
	return &Writer{dir: dir}, nil
}

// Mailbox ends the mailbox before and begins one.
func (w *Writer) Mailbox(m migrate.Mailbox) error {
	if err := w.finish(); err != nil {
		return err
	}
	levels := strings.Split(m.Name, "/")
	for i, l := range levels {
		// A level can be "." or "..", or begin with a dot.
		if l = url.PathEscape(l); strings.HasPrefix(l, ".") {
			l = "%2E" + l[1:]
		}
		levels[i] = l
	}
	w.rel = filepath.Join(levels...) + suffix
	path := filepath.Join(w.dir, w.rel)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w.m, w.f, w.w = m, f, bufio.NewWriterSize(f, 256<<10)
	return nil
}

// Message writes one and returns the path of its file below the directory. In
// the fields before the message are what the form has no other place for.
func (w *Writer) Message(m *migrate.Message) (path string, lost []string, err error) {
	fmt.Fprintf(w.w, "From MAILER-DAEMON %s\r\n", m.Date.UTC().Format(time.ANSIC))
	status, x := "", ""
	if m.Flags&mailstore.FlagSeen != 0 {
		status = "R"
	}
	for _, f := range []struct {
		flag   mailstore.Flags
		letter string
	}{{mailstore.FlagAnswered, "A"}, {mailstore.FlagFlagged, "F"}, {mailstore.FlagDraft, "T"}, {mailstore.FlagDeleted, "D"}} {
		if m.Flags&f.flag != 0 {
			x += f.letter
		}
	}
	fmt.Fprintf(w.w, "Status: %sO\r\nX-UID: %d\r\n", status, m.UID)
	if x != "" {
		fmt.Fprintf(w.w, "X-Status: %s\r\n", x)
	}
	if len(m.Keywords) > 0 {
		fmt.Fprintf(w.w, "X-Keywords: %s\r\n", strings.Join(m.Keywords, " "))
	}
	for line := range bytes.Lines(m.Raw) {
		if bytes.HasPrefix(bytes.TrimLeft(line, ">"), fromLine) {
			w.w.WriteByte('>')
		}
		w.w.Write(line)
	}
	if !bytes.HasSuffix(m.Raw, []byte("\n")) {
		w.w.WriteString("\r\n")
	}
	w.w.WriteString("\r\n")
	// A bufio.Writer keeps its first error until it is flushed.
	return w.rel, nil, nil
}

func (w *Writer) finish() error {
	if w.f == nil {
		return nil
	}
	err := errors.Join(w.w.Flush(), w.f.Close())
	w.f = nil
	return err
}

// Close ends the last mailbox. The form has no place for subscriptions.
func (w *Writer) Close([]string) error { return w.finish() }
