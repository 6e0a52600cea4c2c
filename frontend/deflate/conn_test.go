package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

func pair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	a, b = net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

// TestConn sends pieces of all sizes both ways; each is there when it was
// written, and Go's reader agrees.
func TestConn(t *testing.T) {
	a, b := pair(t)
	x, y := NewConn(a), NewConn(b)
	var wire bytes.Buffer
	x.Conn = tee{a, io.MultiWriter(a, &wire)}
	var all []byte
	for i, n := range []int{1, 20, 127, 128, 400, 5000, 70000, 3, 33000, 60, 200000, 9, 1 << 16, 40} {
		p := text(n, uint64(i))
		all = append(all, p...)
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := x.Write(p); err != nil {
				t.Error(err)
			}
		})
		got := make([]byte, n)
		if _, err := io.ReadFull(y, got); err != nil || !bytes.Equal(got, p) {
			t.Fatalf("piece %d: %v", i, err)
		}
		wg.Wait()
		// The answer.
		wg.Go(func() {
			if _, err := y.Write(p[:1]); err != nil {
				t.Error(err)
			}
		})
		if _, err := io.ReadFull(x, got[:1]); err != nil || got[0] != p[0] {
			t.Fatalf("answer %d: %v", i, err)
		}
		wg.Wait()
	}
	got, err := io.ReadAll(io.LimitReader(flate.NewReader(&wire), int64(len(all))))
	if err != nil || !bytes.Equal(got, all) {
		t.Fatalf("Go reads %d octets: %v", len(got), err)
	}
}

type tee struct {
	net.Conn
	w io.Writer
}

func (c tee) Write(p []byte) (int, error) { return c.w.Write(p) }

// TestReadBufferEdges: commands as long as the buffers, and longer.
func TestReadBufferEdges(t *testing.T) {
	for _, stored := range []int{idleBuffer - 6, idleBuffer - 5, idleBuffer - 4, readBuffer, readBuffer + idleBuffer, 3 * readBuffer} {
		a, b := pair(t)
		y := NewConn(b)
		p := text(stored, 1)
		src := deflated(0, p)
		go func() {
			for len(src) > 0 { // as a network would
				n := min(len(src), 1000)
				if _, err := a.Write(src[:n]); err != nil {
					return
				}
				src = src[n:]
			}
		}()
		got, err := io.ReadAll(y)
		if err != nil || !bytes.Equal(got, p) {
			t.Fatalf("%d: %d octets, %v", stored, len(got), err)
		}
	}
}

// TestDeadline: a read that was interrupted goes on where it was.
func TestDeadline(t *testing.T) {
	for _, s := range zlibStreams(t) {
		a, b := pair(t)
		y := NewConn(b)
		all := slices.Concat(s.pieces...)
		var got []byte
		room := make([]byte, 40)
		for i := 0; i < len(all); i += 25 {
			if err := y.SetReadDeadline(time.Unix(1, 0)); err != nil {
				t.Fatal(err)
			}
			if _, err := y.Read(room); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			if err := y.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := a.Write(all[i:min(i+25, len(all))])
				// All is with the reader; it must not wait for more.
				done <- errors.Join(err, y.SetReadDeadline(time.Unix(1, 0)))
			}()
			for {
				n, err := y.Read(room)
				got = append(got, room[:n]...)
				if errors.Is(err, io.EOF) || errors.Is(err, os.ErrDeadlineExceeded) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(got, s.plain) {
			t.Fatalf("%s: %d octets, want %d", s.name, len(got), len(s.plain))
		}
	}
}

// TestCorruptConn: what came before is delivered, then the error, for good.
func TestCorruptConn(t *testing.T) {
	a, b := pair(t)
	y := NewConn(b)
	go func() {
		if _, err := a.Write([]byte{0, 2, 0, 0xfd, 0xff, 'h', 'i', 7}); err != nil {
			t.Error(err)
		}
	}()
	room := make([]byte, 10)
	if n, err := y.Read(room); err != nil || string(room[:n]) != "hi" {
		t.Fatalf("%q, %v", room[:n], err)
	}
	for range 2 {
		var bad *CorruptError
		if _, err := y.Read(room); !errors.As(err, &bad) {
			t.Fatal(err)
		}
	}
}

// TestRest: while a Read waits nobody's compressor is held.
func TestRest(t *testing.T) {
	a, b := pair(t)
	x, y := NewConn(a), NewConn(b)
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, y)
		done <- err
	}()
	held := func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.out.c != nil
	}
	if _, err := x.Write(text(1000, 1)); err != nil {
		t.Fatal(err)
	}
	if !held() {
		t.Fatal("given away in the middle of a response")
	}
	if err := x.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if held() {
		t.Fatal("held by a connection that waits")
	}
	x.mu.Lock()
	x.waiting = true // as in IDLE
	x.mu.Unlock()
	if _, err := x.Write(text(1000, 2)); err != nil {
		t.Fatal(err)
	}
	if held() {
		t.Fatal("held by a connection in IDLE")
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// TestBrokenWrite: after a piece that did not get through there is no going
// on.
func TestBrokenWrite(t *testing.T) {
	a, b := pair(t)
	x := NewConn(a)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := x.Write([]byte("a")); err == nil {
		t.Fatal("written")
	}
	x.Conn = struct{ net.Conn }{x.Conn}
	if n, err := x.Write([]byte("b")); err == nil || n != 0 {
		t.Fatal("went on")
	}
}
