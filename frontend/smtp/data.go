package smtp

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"
)

// readChunk gives octets of a BDAT. A connection that breaks inside one must
// not look like its end: the engine would take the message for complete.
func (l *link) readChunk(p []byte) (int, error) {
	if l.a == l.b {
		if err := l.fillData(); err != nil {
			return 0, err
		}
	}
	n := copy(p[:min(int64(len(p)), l.chunk)], l.in[l.a:l.b])
	l.a += n
	l.took += int64(n)
	if l.chunk -= int64(n); l.chunk == 0 {
		l.mode = modeCommand
	}
	return n, nil
}

// fillData reads more of a message. The client may pause for DataTimeout, and
// must keep up MinRate on the whole, so that no one holds memory for little.
func (l *link) fillData() error {
	now := time.Now()
	cfg := &l.srv.cfg
	deadline := now.Add(cfg.DataTimeout)
	least := l.started.Add(cfg.DataTimeout + time.Duration(float64(l.took)/float64(cfg.MinRate)*float64(time.Second)))
	if least.Before(deadline) {
		deadline = least
	}
	err := l.fill(deadline)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		l.bye(421, "4.4.2 timeout in message")
	default:
		l.mute()
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// startData begins the clock of a message and makes room to read it.
func (l *link) startData() {
	l.started, l.took = time.Now(), 0
	if len(l.in) < dataBuffer {
		l.swap(readBuffers.Get().(*[dataBuffer]byte)[:])
	}
}

var readBuffers = sync.Pool{New: func() any { return new([dataBuffer]byte) }}

// swap goes on reading in another buffer.
func (l *link) swap(in []byte) {
	old := l.in
	l.b = copy(in, old[l.a:l.b])
	l.a, l.in = 0, in
	if len(old) == dataBuffer {
		readBuffers.Put((*[dataBuffer]byte)(old))
	}
}

// readData reads the data of a DATA command up to its end, which is CRLF . CRLF
// and nothing else (RFC 5321 section 4.1.1.4), without the dots of section
// 4.5.2. What w refuses is read all the same and dropped, within bounds: only
// behind the end are there commands. After an error there is no way on.
func (l *link) readData(w io.Writer) error {
	l.startData()
	var refused error
	emit := func(n int) {
		if refused == nil {
			_, refused = w.Write(l.in[l.a : l.a+n])
		}
		l.a += n
		l.took += int64(n)
	}
	bol := true // at the beginning of a line
	for {
		have := l.in[l.a:l.b]
		switch {
		case !bol:
			if i := bytes.Index(have, lineDot); i >= 0 {
				emit(i + 2)
				bol = true
				continue
			}
			keep := 0
			if n := len(have); n > 0 && have[n-1] == '\r' {
				keep = 1
			} else if bytes.HasSuffix(have, lineDot[:2]) {
				bol = true
			}
			emit(len(have) - keep)
		case len(have) > 0 && have[0] != '.':
			bol = false
			continue
		case len(have) > 1 && have[1] != '\r', len(have) > 2 && have[2] != '\n':
			l.a++
			bol = false
			continue
		case len(have) > 2:
			l.a += 3
			l.mode = modeCommand
			l.pending = append(l.pending[:0], ".\r\n"...) // the end, for the engine
			return nil
		}
		if l.took > l.srv.cfg.MaxMessage+maxDrain {
			l.bye(552, "5.3.4 message is far too big")
			return errCut
		}
		if err := l.fillData(); err != nil {
			return err
		}
	}
}

var lineDot = []byte("\r\n.")

// inData reports whether the engine is answering a DATA, and not a BDAT.
func (l *link) inData() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.verb == "DATA"
}
