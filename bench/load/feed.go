package load

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
	"time"

	"altmail.se/altmail/bench/corpus"
)

const defaultPool = 128 << 20

// ready is a message made ready for sending.
type ready struct {
	raw     []byte // as the corpus has it
	stuffed []byte // for DATA: dots doubled, RFC 5321 section 4.5.2; mostly raw itself
	// Where, in raw and in stuffed, a prefix to the Message-ID goes; 0: before
	// everything, as a header of its own.
	rawID, stuffedID int
	eight            bool // has octets over 127
}

// feed holds messages in memory and gives each operation one. Past its end it
// repeats them under other Message-IDs, so that no server sees one twice.
type feed struct {
	msgs []ready
	tag  string // of this run
}

// newFeed makes up to count messages (0: no limit) of at most size bytes.
func newFeed(src corpus.Source, count, size int) (*feed, error) {
	if src == nil {
		return nil, badTarget("no corpus")
	}
	if size <= 0 {
		size = defaultPool
	}
	if n := src.Len(); n > 0 && (count == 0 || n < count) {
		count = n
	}
	f := &feed{tag: strconv.FormatInt(time.Now().UnixNano(), 36)}
	batch := make([]ready, 16*runtime.GOMAXPROCS(0))
	for used := 0; used < size && (count == 0 || len(f.msgs) < count); {
		n := len(batch)
		if count > 0 {
			n = min(n, count-len(f.msgs))
		}
		var wg sync.WaitGroup
		for w := range runtime.GOMAXPROCS(0) {
			wg.Go(func() {
				for k := w; k < n; k += runtime.GOMAXPROCS(0) {
					batch[k] = prepare(src.Message(len(f.msgs) + k))
				}
			})
		}
		wg.Wait()
		for _, m := range batch[:n] {
			if len(m.raw) == 0 {
				return nil, errSource
			}
			f.msgs = append(f.msgs, m)
			if used += len(m.raw); used >= size {
				break
			}
		}
	}
	return f, nil
}

// sending is one message on its way: its parts are written one after the
// other.
type sending struct {
	m      *ready
	prefix []byte // before the rest of the Message-ID, or a header; empty: none
}

// get returns what operation i sends.
func (f *feed) get(i int64) sending {
	n := int64(len(f.msgs))
	s := sending{m: &f.msgs[i%n]}
	if i >= n {
		s.prefix = f.mark(s.m.rawID == 0, i)
	}
	return s
}

func (f *feed) mark(header bool, i int64) []byte {
	b := make([]byte, 0, 48)
	if header {
		b = append(b, "X-Bench: "...)
	}
	b = append(b, f.tag...)
	b = append(b, '.')
	b = strconv.AppendInt(b, i, 36)
	if header {
		return append(b, "\r\n"...)
	}
	return append(b, '.')
}

// size is the number of octets of the message itself.
func (s *sending) size() int { return len(s.m.raw) + len(s.prefix) }

// parts returns what is written, dots doubled or not.
func (s *sending) parts(dots bool) [3][]byte {
	b, at := s.m.raw, s.m.rawID
	if dots {
		b, at = s.m.stuffed, s.m.stuffedID
	}
	return [3][]byte{b[:at], s.prefix, b[at:]}
}

func prepare(raw []byte) ready {
	m := ready{raw: raw, stuffed: raw}
	if bytes.Contains(raw, []byte("\r\n.")) || bytes.HasPrefix(raw, []byte(".")) {
		s := bytes.ReplaceAll(raw, []byte("\r\n."), []byte("\r\n.."))
		if s[0] == '.' {
			s = append([]byte{'.'}, s...)
		}
		m.stuffed = s
	}
	m.rawID, m.stuffedID = idAt(m.raw), idAt(m.stuffed)
	for _, b := range raw {
		if b >= 0x80 {
			m.eight = true
			break
		}
	}
	return m
}

// idAt is where the Message-ID begins behind its "<", 0 when there is none.
func idAt(b []byte) int {
	head := b
	if i := bytes.Index(b, []byte("\r\n\r\n")); i >= 0 {
		head = b[:i+2]
	}
	const name = "message-id:"
	for at := 0; at < len(head); {
		end := at + bytes.IndexByte(head[at:], '\n') + 1
		if end == at {
			break
		}
		if l := head[at:end]; len(l) > len(name) && bytes.EqualFold(l[:len(name)], []byte(name)) {
			if i := bytes.IndexByte(l, '<'); i >= 0 {
				return at + i + 1
			}
		}
		at = end
	}
	return 0
}
