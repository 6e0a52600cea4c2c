package corpus

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxImport bounds one imported message; a larger one is left out.
const maxImport = 128 << 20

// Open returns the mail of an mbox file or a Maildir directory.
func Open(path string) (Imported, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	if st.IsDir() {
		return OpenMaildir(path)
	}
	return OpenMbox(path)
}

// Imported is a Source with an end that holds a file open.
type Imported interface {
	Source
	io.Closer
}

// Mbox is the messages of one file in the mboxrd form: a line "From …" begins
// a message, and ">From …" within one had its ">" added.
type Mbox struct {
	f  *os.File
	at []span
}

type span struct{ start, end int64 }

// OpenMbox reads through a file once to find its messages.
func OpenMbox(path string) (*Mbox, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	m := &Mbox{f: f}
	if err := m.index(); err != nil {
		f.Close()
		return nil, fmt.Errorf("corpus: %s: %w", path, err)
	}
	return m, nil
}

var fromLine = []byte("From ")

func (m *Mbox) index() error {
	r := bufio.NewReaderSize(m.f, 256<<10)
	var pos, start int64 = 0, -1
	empty, lineStart := true, true // as before the first line
	close := func(end int64) {
		if start >= 0 && end > start && end-start <= maxImport {
			m.at = append(m.at, span{start, end})
		}
	}
	for {
		line, err := r.ReadSlice('\n')
		if lineStart && bytes.HasPrefix(line, fromLine) && empty {
			close(pos)
			start = -2 // at the end of this line
		}
		pos += int64(len(line))
		whole := err == nil
		if start == -2 && whole {
			start = pos
		}
		if lineStart {
			empty = whole && len(bytes.TrimRight(line, "\r\n")) == 0
		} else {
			empty = false
		}
		lineStart = whole
		switch {
		case errors.Is(err, io.EOF):
			close(pos)
			if len(m.at) == 0 {
				return errors.New("holds no message in mbox form")
			}
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// Len is the number of messages.
func (m *Mbox) Len() int { return len(m.at) }

// Message reads a message.
func (m *Mbox) Message(i int) []byte {
	s := m.at[i%len(m.at)]
	b := make([]byte, s.end-s.start)
	if n, err := m.f.ReadAt(b, s.start); n < len(b) && err != nil {
		return nil
	}
	// The empty line before the next "From " belongs to the form.
	if t, ok := bytes.CutSuffix(b, []byte("\r\n\r\n")); ok {
		b = append(t, "\r\n"...)
	} else if t, ok := bytes.CutSuffix(b, []byte("\n\n")); ok {
		b = append(t, '\n')
	}
	return wire(b, true)
}

// Close closes the file.
func (m *Mbox) Close() error { return m.f.Close() }

// Maildir is the messages of a Maildir and of the folders in it.
type Maildir struct{ paths []string }

// OpenMaildir lists a directory's messages, in the order of their names, which
// begin with the time of delivery.
func OpenMaildir(dir string) (*Maildir, error) {
	m := &Maildir{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("corpus: %w", err)
	}
	boxes := []string{dir}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), ".") {
			boxes = append(boxes, filepath.Join(dir, e.Name()))
		}
	}
	for _, box := range boxes {
		for _, sub := range []string{"cur", "new"} {
			files, err := os.ReadDir(filepath.Join(box, sub))
			if errors.Is(err, os.ErrNotExist) {
				continue
			} else if err != nil {
				return nil, fmt.Errorf("corpus: %w", err)
			}
			for _, f := range files {
				info, err := f.Info()
				if errors.Is(err, os.ErrNotExist) {
					continue // a living Maildir changes while it is read
				} else if err != nil {
					return nil, fmt.Errorf("corpus: %w", err)
				}
				if info.Mode().IsRegular() && info.Size() > 0 && info.Size() <= maxImport {
					m.paths = append(m.paths, filepath.Join(box, sub, f.Name()))
				}
			}
		}
	}
	if len(m.paths) == 0 {
		return nil, fmt.Errorf("corpus: %s holds no message in cur or new", dir)
	}
	slices.SortFunc(m.paths, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	return m, nil
}

// Len is the number of messages.
func (m *Maildir) Len() int { return len(m.paths) }

// Message reads a message; nil when its file has gone meanwhile.
func (m *Maildir) Message(i int) []byte {
	b, err := os.ReadFile(m.paths[i%len(m.paths)])
	if err != nil || len(b) > maxImport {
		return nil
	}
	return wire(b, false)
}

// Close does nothing: files are opened one at a time.
func (m *Maildir) Close() error { return nil }

// wire makes every line end with CRLF, and takes back mboxrd's quoting.
func wire(b []byte, mboxrd bool) []byte {
	out := make([]byte, 0, len(b)+len(b)/32+2)
	for len(b) > 0 {
		i := bytes.IndexAny(b, "\r\n")
		line := b
		if i >= 0 {
			line = b[:i]
			if b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n' {
				i++
			}
			b = b[i+1:]
		} else {
			b = nil
		}
		if mboxrd && len(line) > 0 && line[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(line, ">"), fromLine) {
			line = line[1:]
		}
		out = append(append(out, line...), "\r\n"...)
	}
	return out
}
