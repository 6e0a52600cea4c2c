package smtp

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"
)

// pieces is a connection that gives its bytes in pieces of changing length.
type pieces struct {
	net.Conn
	b    []byte
	step []byte // lengths, in turn; 0 is all
	i    int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := len(p.b)
	if len(p.step) > 0 {
		if s := int(p.step[p.i%len(p.step)]); s > 0 {
			n = min(n, s)
		}
		p.i++
	}
	n = copy(b, p.b[:n])
	p.b = p.b[n:]
	return n, nil
}
func (p *pieces) SetReadDeadline(time.Time) error { return nil }

// unstuff is RFC 5321 section 4.5.2 read byte by byte: what the message is and
// what stands behind its end; false where there is no end.
func unstuff(b []byte) (msg, rest []byte, ended bool) {
	for line := 0; ; {
		// A line begins at line. Only CRLF ends one.
		if bytes.HasPrefix(b[line:], []byte(".\r\n")) {
			return msg, b[line+3:], true
		}
		at := line
		if at < len(b) && b[at] == '.' {
			at++
		}
		end := bytes.Index(b[at:], []byte("\r\n"))
		if end < 0 {
			return append(msg, b[at:]...), nil, false
		}
		msg = append(msg, b[at:at+end+2]...)
		line = at + end + 2
	}
}

// FuzzUnstuff compares readData, which moves whole stretches, with its naive
// twin, however the bytes come in.
func FuzzUnstuff(f *testing.F) {
	for _, s := range []string{
		"text\r\n.\r\nQUIT\r\n", ".\r\n", "..\r\n.\r\n", ".x\r\n\r\n.\r\n", "a\n.\n\r\n.\r\n", "a\r\n.\nb\r\n.\r\n",
		"a\r\r\n.\r\n", "a\r\n.\rQ\r\n.\r\n", "\r\n.\r\r\n.\r\n", "a\n.\r\nb\r\n.\r\n", "\r.\r\n\r\n.\r\n", "a\r\n..\r\n.\r\n", "a\r\n.", "a\r\n.\r", "\r\n",
	} {
		f.Add([]byte(s), []byte(nil))
		f.Add([]byte(s), []byte{1})
		f.Add(bytes.Repeat([]byte(s), 9), []byte{3, 0, 1})
	}
	w := &world{}
	s, err := New(Config{Role: LMTP, Hostname: "mx.example", Directory: w, Deliverer: w})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.cancel(); s.views.Close(); s.wg.Wait() })
	f.Fuzz(func(t *testing.T, in, step []byte) {
		want, rest, ended := unstuff(in)
		p := &pieces{b: append([]byte{}, in...), step: step}
		l := &link{srv: s, nc: p, muted: true}
		var got bytes.Buffer
		err := l.readData(&got)
		if (err == nil) != ended {
			t.Fatalf("%q in pieces of %v: %v, want an end: %v", in, step, err, ended)
		}
		if !ended {
			return // nothing of it is kept
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("%q in pieces of %v: got %q, want %q", in, step, got.Bytes(), want)
		}
		if left := append(append([]byte{}, l.in[l.a:l.b]...), p.b...); !bytes.Equal(left, rest) {
			t.Fatalf("%q in pieces of %v: left %q, want %q", in, step, left, rest)
		}
		if string(l.pending) != ".\r\n" || l.mode != modeCommand {
			t.Fatalf("the engine sees %q in mode %d", l.pending, l.mode)
		}
	})
}

// BenchmarkUnstuff reads an attachment's DATA.
func BenchmarkUnstuff(b *testing.B) {
	w := &world{}
	s, err := New(Config{Role: LMTP, Hostname: "mx.example", Directory: w, Deliverer: w})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.cancel(); s.views.Close(); s.wg.Wait() })
	in := append(bytes.Repeat([]byte("bm9ib2R5IGtub3dzIHdoYXQgdGhpcyBtZWFucyBidXQgaXQgaXMgYmFzZTY0IG9mIHRleHQgaG\r\n"), 12000), ".\r\n"...)
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		l := &link{srv: s, nc: &pieces{b: in}, muted: true}
		if err := l.readData(io.Discard); err != nil {
			b.Fatal(err)
		}
		l.swap(nil)
	}
}
