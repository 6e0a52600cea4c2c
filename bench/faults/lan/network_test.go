//go:build linux

package lan

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// need opens a network; only a machine that can't have one skips.
func need(t *testing.T) *Network {
	t.Helper()
	n, err := Open(7, slog.New(slog.NewTextHandler(t.Output(), nil)))
	if errors.Is(err, os.ErrPermission) || errors.Is(err, os.ErrNotExist) {
		t.Skipf("no root or no TUN: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func host(t *testing.T, n *Network, name string) *Host {
	t.Helper()
	h, err := n.AddHost(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// listen opens a listener inside a host.
func listen(t *testing.T, h *Host) net.Listener {
	t.Helper()
	var l net.Listener
	if err := h.do(func() error {
		var err error
		l, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(h.Addr, 0)))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// echo answers every connection with what it sends.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			if _, err := io.Copy(c, c); err != nil {
				return
			}
		}()
	}
}

// ping sends a line and waits for it.
func ping(c net.Conn, within time.Duration) (time.Duration, error) {
	begin := time.Now()
	if err := c.SetDeadline(begin.Add(within)); err != nil {
		return 0, err
	}
	if _, err := c.Write([]byte("ping")); err != nil {
		return 0, err
	}
	var b [4]byte
	_, err := io.ReadFull(c, b[:])
	return time.Since(begin), err
}

func TestWires(t *testing.T) {
	n := need(t)
	a := host(t, n, "a")
	l := listen(t, a)
	go echo(l)
	c, err := net.DialTimeout("tcp", l.Addr().String(), 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := ping(c, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	n.Set(n.Here(), a, Rule{Delay: 20 * time.Millisecond})
	n.Set(a, n.Here(), Rule{Delay: 30 * time.Millisecond})
	if d, err := ping(c, 5*time.Second); err != nil || d < 50*time.Millisecond {
		t.Errorf("there and back took %s, %v; want at least 50 ms", d, err)
	}
	for _, cut := range [][2]*Host{{n.Here(), a}, {a, n.Here()}} {
		n.Set(cut[0], cut[1], Rule{Cut: true})
		if _, err := ping(c, 300*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("cut %s to %s: %v", cut[0].Name, cut[1].Name, err)
		}
		n.Set(cut[0], cut[1], Rule{})
		// TCP sends again what was lost.
		var b [4]byte
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, b[:]); err != nil {
			t.Errorf("healed: %v", err)
		}
	}
	hurt := Rule{Delay: 2 * time.Millisecond, Jitter: time.Millisecond, Loss: 0.02, Duplicate: 0.02, Reorder: 0.05}
	n.Set(n.Here(), a, hurt)
	n.Set(a, n.Here(), hurt)
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	go func() {
		if _, err := c.Write(sent); err != nil {
			t.Error(err)
		}
	}()
	got := make([]byte, len(sent))
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("through loss, doubles and disorder: %v", err)
	}
	if n.Stats().Dropped == 0 {
		t.Error("nothing was lost")
	}
}

func TestStart(t *testing.T) {
	n := need(t)
	a, b := host(t, n, "a"), host(t, n, "b")
	for _, h := range []*Host{a, b} {
		cmd := exec.Command("cat", "/proc/net/fib_trie")
		var out bytes.Buffer
		cmd.Stdout = &out
		if err := h.Start(cmd); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		for _, other := range []*Host{a, b, n.Here()} {
			if has := strings.Contains(out.String(), other.Addr.String()+"\n"); has != (other == h) {
				t.Errorf("in %s the address of %s is there: %v", h.Name, other.Name, has)
			}
		}
	}
}

func BenchmarkThroughput(b *testing.B) {
	n, err := Open(7, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Skip(err)
	}
	defer n.Close()
	h, err := n.AddHost("a")
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range []Rule{{}, {Delay: time.Millisecond}} {
		b.Run(r.String(), func(b *testing.B) {
			n.Set(n.Here(), h, r)
			n.Set(h, n.Here(), r)
			var l net.Listener
			if err := h.do(func() error {
				var err error
				l, err = net.Listen("tcp4", netip.AddrPortFrom(h.Addr, 0).String())
				return err
			}); err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			done := make(chan error)
			go func() {
				c, err := l.Accept()
				if err == nil {
					_, err = io.Copy(io.Discard, c)
				}
				done <- err
			}()
			c, err := net.Dial("tcp", l.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			buf := make([]byte, 1<<20)
			b.SetBytes(1 << 20)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Write(buf); err != nil {
					b.Fatal(err)
				}
			}
			if err := c.Close(); err != nil {
				b.Fatal(err)
			}
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
