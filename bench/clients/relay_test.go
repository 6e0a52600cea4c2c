//go:build e2e

package clients

import (
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// relay is the address a client knows: it leads every new connection to a node
// that lives, as a name with several addresses or a balancer does. It can hold
// back what a node says from a given octet on, so that a node can be killed
// while the client waits for the rest.
type relay struct {
	addr string // host:port
	port string
	to   func() []string // addresses to try, in order

	mu    sync.Mutex
	conns map[net.Conn]bool
	made  int           // connections in all
	total int64         // octets that went to the client
	left  int64         // octets that may still pass; -1: all
	held  chan struct{} // closed once no more may pass
	cutc  chan struct{} // closed when the connections are cut
}

func newRelay(t *testing.T, to func() []string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: l.Addr().String(), to: to, conns: map[net.Conn]bool{}, left: -1, cutc: make(chan struct{})}
	if _, r.port, err = net.SplitHostPort(r.addr); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // it was closed
			}
			wg.Go(func() { r.serve(c) })
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		r.cut()
		wg.Wait()
	})
	return r
}

// hold lets n octets pass from nodes to the client, counted over all its
// connections from now on, and closes the channel when they have.
func (r *relay) hold(n int64) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left, r.held = n, make(chan struct{})
	return r.held
}

// cut ends all connections, and lets everything pass on new ones.
func (r *relay) cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.cutc)
	r.cutc = make(chan struct{})
	r.left = -1
	for c := range r.conns {
		_ = c.Close() // wakes whoever reads or writes; nobody cares how it ends
	}
}

// passed is how many octets have gone to the client.
func (r *relay) passed() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total
}

// connections is how many there have been.
func (r *relay) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.made
}

func (r *relay) serve(client net.Conn) {
	defer client.Close()
	var node net.Conn
	for _, addr := range r.to() {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			node = c
			break
		}
	}
	if node == nil {
		return
	}
	defer node.Close()
	r.mu.Lock()
	cut := r.cutc
	r.conns[client], r.conns[node] = true, true
	r.made++
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.conns, client)
		delete(r.conns, node)
		r.mu.Unlock()
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := io.Copy(node, client)
		if tc, ok := node.(*net.TCPConn); ok && err == nil {
			err = tc.CloseWrite()
		}
		if err != nil {
			node.Close()
		}
	}()
	r.down(client, node, cut)
	client.Close()
	<-done
}

// down carries what the node says, as far as it may.
func (r *relay) down(client, node net.Conn, cut <-chan struct{}) {
	buf := make([]byte, 16<<10)
	for {
		n, err := node.Read(buf)
		pass, held := r.pass(n)
		if _, werr := client.Write(buf[:pass]); werr != nil {
			return
		}
		if held {
			<-cut
			return
		}
		if err != nil {
			return
		}
	}
}

// pass tells how many of n octets may go on, and whether the rest is held.
func (r *relay) pass(n int) (int, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left < 0 {
		r.total += int64(n)
		return n, false
	}
	if int64(n) < r.left {
		r.left -= int64(n)
		r.total += int64(n)
		return n, false
	}
	n = int(r.left)
	r.left = 0
	r.total += int64(n)
	select {
	case <-r.held:
	default:
		close(r.held)
	}
	return n, true
}

// TestRelay: the relay leads to the first that lives, holds where it was told
// to, and leads on after the cut.
func TestRelay(t *testing.T) {
	talk := func(text string) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				if _, err := io.WriteString(c, text); err != nil {
					t.Error(err)
				}
				c.Close()
			}
		}()
		return l.Addr().String()
	}
	dead, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	targets := []string{dead.Addr().String(), talk("one"), talk("two")}
	r := newRelay(t, func() []string { return targets })
	read := func() (string, error) {
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			return "", err
		}
		defer c.Close()
		b, err := io.ReadAll(c)
		return string(b), err
	}
	if s, err := read(); s != "one" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	held := r.hold(2)
	got := make(chan string)
	go func() {
		s, err := read()
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			s += " " + err.Error()
		}
		got <- s
	}()
	<-held
	select {
	case s := <-got:
		t.Fatalf("%q although it is held", s)
	default:
	}
	targets = targets[2:]
	r.cut()
	if s := <-got; s != "on" {
		t.Errorf("%q passed, not what was allowed", s)
	}
	if s, err := read(); s != "two" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
	if n := r.connections(); n != 3 {
		t.Errorf("%d connections", n)
	}
}
