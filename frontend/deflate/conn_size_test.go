package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

// TestIdleMemory: what a connection that waits holds, after a session of a few
// commands and after a long one.
func TestIdleMemory(t *testing.T) {
	const conns = 50
	for _, c := range []struct {
		name               string
		received, sent, kb int
	}{{"fresh", 0, 0, 3}, {"short", 1 << 10, 4 << 10, 9}, {"long", 100 << 10, 1 << 20, 40}} {
		var wire bytes.Buffer
		w, err := flate.NewWriter(&wire, 6)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(text(c.received, 1)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		said := text(c.sent, 2)
		var all []*Conn
		before := heap()
		for range conns {
			a, b := net.Pipe()
			t.Cleanup(func() { a.Close(); b.Close() })
			y := NewConn(script{b, bytes.NewReader(wire.Bytes())})
			if c.sent > 0 {
				if _, err := y.Write(said); err != nil {
					t.Fatal(err)
				}
			}
			room := make([]byte, 4096)
			for n := 0; n < c.received; {
				m, err := y.Read(room)
				if err != nil {
					t.Fatal(err)
				}
				n += m
			}
			// It waits, and is interrupted.
			y.Conn = b
			if err := y.SetReadDeadline(time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			if _, err := y.Read(room); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			all = append(all, y)
		}
		each := (heap() - before) / conns
		t.Logf("%s: %d octets, window %d", c.name, each, len(all[0].in.win.b))
		if each > c.kb<<10 {
			t.Errorf("%s: %d octets, want at most %d KiB", c.name, each, c.kb)
		}
		runtime.KeepAlive(all)
		runtime.KeepAlive(said)
		runtime.KeepAlive(wire)
	}
}

// script gives what was recorded and takes everything.
type script struct {
	net.Conn
	r *bytes.Reader
}

func (s script) Read(p []byte) (int, error)  { return s.r.Read(p) }
func (s script) Write(p []byte) (int, error) { return len(p), nil }

func heap() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
