package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/frontend/migrate"
	"altmail.se/altmail/mailstore"
)

// ErrFormat means that a file is not in mbox form.
var ErrFormat = errors.New("mbox: not a file in mbox form")

// ErrTooLong means that a message is longer than migrate.MaxMessage; reading
// goes on after it.
var ErrTooLong = errors.New("mbox: a message is too long")

// Reader reads the messages of a file one after the other. Its memory is that of
// the longest message.
type Reader struct {
	r    *bufio.Reader
	from []byte // the "From " line of the next message, nil at the end
	err  error
}

// NewReader begins reading. An empty file has no messages.
func NewReader(r io.Reader) (*Reader, error) {
	m := &Reader{r: bufio.NewReaderSize(r, 64<<10)}
	for {
		line, err := m.line(maxFromLine)
		if len(bytes.TrimRight(line, "\r\n")) == 0 && err == nil {
			continue // empty lines before the first message
		}
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return m, nil
		}
		if !bytes.HasPrefix(line, fromLine) {
			return nil, ErrFormat
		}
		m.from = line
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return m, nil
	}
}

var fromLine = []byte("From ")

// maxFromLine bounds what is kept of a "From " line.
const maxFromLine = 1000

// line reads a line with its end; of one longer than limit it returns the
// beginning.
func (m *Reader) line(limit int) ([]byte, error) {
	var out []byte
	for {
		part, err := m.r.ReadSlice('\n')
		if room := limit - len(out); len(part) > room {
			out = append(out, part[:max(room, 0)]...)
		} else {
			out = append(out, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return out, err
		}
	}
}

// Next returns the next message with CRLF at its line ends, its flags taken out
// of its header; io.EOF: there is none.
func (m *Reader) Next() (*migrate.Message, error) {
	if m.err != nil {
		return nil, m.err
	}
	if m.from == nil {
		return nil, io.EOF
	}
	out := &migrate.Message{Date: fromDate(m.from)}
	raw, err := m.body()
	if err != nil {
		return nil, err
	}
	out.Raw = migrate.Wire(raw)
	takeFlags(out)
	if out.Date.IsZero() {
		if d, ok := message.ParseDate(message.Lookup(out.Raw[:message.Parse(out.Raw).HeaderLen], "Date")); ok {
			out.Date = d
		}
	}
	return out, nil
}

// body reads up to the next "From " line after an empty one.
func (m *Reader) body() ([]byte, error) {
	var raw []byte
	m.from = nil
	empty, start, long := true, true, false
	for {
		part, err := m.r.ReadSlice('\n')
		whole := err == nil
		if start && empty && bytes.HasPrefix(part, fromLine) {
			m.from = bytes.Clone(part[:min(len(part), maxFromLine)])
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = m.r.ReadSlice('\n')
			}
			if err != nil && !errors.Is(err, io.EOF) {
				m.err = err
				return nil, err
			}
			break
		}
		switch {
		case start:
			empty = whole && len(bytes.TrimRight(part, "\r\n")) == 0
			if len(part) > 0 && part[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(part, ">"), fromLine) {
				part = part[1:]
			}
		default:
			empty = false
		}
		start = whole
		if len(raw)+len(part) > migrate.MaxMessage {
			long, raw = true, nil
		}
		if !long {
			raw = append(raw, part...)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			m.err = err
			return nil, err
		}
	}
	if long {
		return nil, ErrTooLong
	}
	// The empty line before the next "From " belongs to the form.
	if t, ok := bytes.CutSuffix(raw, []byte("\n\r\n")); ok {
		raw = append(t, '\n')
	} else if t, ok := bytes.CutSuffix(raw, []byte("\n\n")); ok {
		raw = append(t, '\n')
	}
	return raw, nil
}

// fromDate reads the date at the end of a "From " line, which is in UTC.
func fromDate(line []byte) time.Time {
	text := strings.TrimRight(string(line), "\r\n")
	if n := len(time.ANSIC); len(text) > n {
		if t, err := time.Parse(time.ANSIC, text[len(text)-n:]); err == nil {
			return t
		}
	}
	return time.Time{}
}

// flagFields are header fields that the form adds to a message.
var flagFields = []string{"status", "x-status", "x-keywords", "x-uid", "x-imap", "x-imapbase", "content-length"}

// takeFlags reads the flags and removes the fields they stand in.
func takeFlags(m *migrate.Message) {
	h := message.Parse(m.Raw).HeaderLen
	var kept []byte
	removed := false
	for at := 0; at < h; {
		end := fieldEnd(m.Raw[:h], at)
		field := m.Raw[at:end]
		name, value, ok := bytes.Cut(field, []byte(":"))
		lower := strings.ToLower(strings.TrimRight(string(name), " \t"))
		if ok && isFlagField(lower) {
			addFlags(m, lower, string(value))
			if !removed {
				removed, kept = true, append(kept, m.Raw[:at]...)
			}
		} else if removed {
			kept = append(kept, field...)
		}
		at = end
	}
	if removed {
		m.Raw = append(kept, m.Raw[h:]...)
	}
}

func isFlagField(name string) bool {
	for _, f := range flagFields {
		if f == name {
			return true
		}
	}
	return false
}

// fieldEnd returns where the field that begins at an offset ends: before the
// next line that is not folded.
func fieldEnd(header []byte, at int) int {
	for i := at; i < len(header); i++ {
		if header[i] == '\n' && (i+1 == len(header) || header[i+1] != ' ' && header[i+1] != '\t') {
			return i + 1
		}
	}
	return len(header)
}

func addFlags(m *migrate.Message, name, value string) {
	value = strings.TrimSpace(value)
	switch name {
	case "status":
		if strings.Contains(value, "R") {
			m.Flags |= mailstore.FlagSeen
		}
	case "x-status":
		for _, c := range value {
			switch c {
			case 'A':
				m.Flags |= mailstore.FlagAnswered
			case 'F':
				m.Flags |= mailstore.FlagFlagged
			case 'D':
				m.Flags |= mailstore.FlagDeleted
			case 'T':
				m.Flags |= mailstore.FlagDraft
			}
		}
	case "x-keywords":
		m.Keywords = append(m.Keywords, strings.Fields(value)...)
	}
}

// count returns the number of messages of a file.
func count(r io.Reader) (int, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	n, empty, start := 0, true, true
	for {
		part, err := br.ReadSlice('\n')
		if start && empty && bytes.HasPrefix(part, fromLine) {
			n++
		}
		whole := err == nil
		empty = start && whole && len(bytes.TrimRight(part, "\r\n")) == 0
		start = whole
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return n, fmt.Errorf("mbox: %w", err)
		}
	}
}
