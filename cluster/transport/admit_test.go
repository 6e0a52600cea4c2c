package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/pki"
)

// TestEviction: H6. The CA's signature alone admits to nothing; an evicted
// node is cut and not let in again, in either direction.
func TestEviction(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	a.Handle(cluster.MethodForward, echo)
	b.Handle(cluster.MethodForward, echo)
	ctx := t.Context()
	must[[]byte](t)(a.Call(ctx, b.id, cluster.MethodForward))
	must[[]byte](t)(b.Call(ctx, a.id, cluster.MethodForward))
	w.evict(b.id)
	a.Disconnect(b.id)
	until(t, "connections are cut", func() bool { return a.Stats().Open == 0 && b.Stats().Open == 0 })
	for range 50 {
		// It is told why: that is how it finds out that it was evicted.
		if _, err := b.Call(ctx, a.id, cluster.MethodForward); !errors.Is(err, ErrNotSent) || !errors.Is(err, cluster.ErrNotMember) {
			t.Fatalf("evicted node's call: %v", err)
		}
		if _, err := a.Call(ctx, b.id, cluster.MethodForward); !errors.Is(err, ErrNotSent) {
			t.Fatalf("call to an evicted node: %v", err)
		}
	}

	// The right id with another key of the same CA.
	cfg := w.config(3)
	forged, _ := identity(t, w.ca, cfg.Self)
	cfg.Certificate = func() (*tls.Certificate, error) { return forged, nil }
	c := w.start(cfg)
	if _, err := c.Call(ctx, a.id, cluster.MethodForward); !errors.Is(err, ErrNotSent) {
		t.Fatalf("call with a foreign key: %v", err)
	}
	if _, err := a.Call(ctx, c.id, cluster.MethodForward); !errors.Is(err, ErrNotSent) || !errors.Is(err, cluster.ErrNotMember) {
		t.Fatalf("call to a foreign key: %v", err)
	}
}

// TestOtherCluster: another incarnation is refused with a clear line (R23).
func TestOtherCluster(t *testing.T) {
	w := newWorld(t)
	a := w.start(w.config(1))
	old := w.config(2)
	oldCA := must[*pki.CA](t)(pki.NewCA("test.0", time.Now()))
	cert, _ := identity(t, oldCA, old.Self)
	old.ClusterID = "test.0"
	old.CAs = func() []*x509.Certificate { return []*x509.Certificate{oldCA.Cert()} }
	old.Certificate = func() (*tls.Certificate, error) { return cert, nil }
	b := w.start(old)
	if _, err := b.Call(t.Context(), a.id, cluster.MethodPing); !errors.Is(err, pki.ErrCluster) || !errors.Is(err, ErrNotSent) {
		t.Fatalf("old node's call: %v", err)
	}
	if _, err := a.Call(t.Context(), b.id, cluster.MethodPing); !errors.Is(err, pki.ErrCluster) {
		t.Fatalf("call to an old node: %v", err)
	}
	if s := w.log.String(); !strings.Contains(s, "node refused") || !strings.Contains(s, "another cluster incarnation") {
		t.Fatalf("no clear line is logged: %s", s)
	}
}

// TestOwnID: a copy of this node's data elsewhere is not talked to.
func TestOwnID(t *testing.T) {
	w := newWorld(t)
	a := w.start(w.config(1))
	copyOf := a.cfg
	twin := must[*Transport](t)(New(copyOf))
	defer func() { noErr(t, twin.Close()) }()
	if _, err := twin.dial(t.Context(), nodeID(2), alpnRPC); !errors.Is(err, errNoAddr) {
		t.Fatal(err)
	}
	w.setAddr(nodeID(2), a.addr)
	if _, err := twin.Call(t.Context(), nodeID(2), cluster.MethodPing); !errors.Is(err, ErrNotSent) || !errors.Is(err, cluster.ErrNotMember) {
		t.Fatalf("call to a twin: %v", err)
	}
}

// TestWrongAddress: a stale address leads to no misdirected call.
func TestWrongAddress(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	cfg := w.config(3)
	w.setAddr(cfg.Self, b.addr)
	if _, err := a.Call(t.Context(), cfg.Self, cluster.MethodPing); !errors.Is(err, ErrAddress) || !errors.Is(err, ErrNotSent) {
		t.Fatalf("stale address: %v", err)
	}
}

func TestJoin(t *testing.T) {
	w := newWorld(t)
	cfg := w.config(1)
	tok := must[*pki.Token](t)(pki.NewToken([]string{"x:1"}, pki.Fingerprint(w.ca.Cert().Raw)))
	verifier := must[[32]byte](t)(tok.Verifier())
	cfg.Join = func(ctx context.Context, conn net.Conn, exporter []byte) {
		msg := make([]byte, 32+3)
		if _, err := io.ReadFull(conn, msg); err != nil {
			t.Error(err)
			return
		}
		answer := "no"
		if pki.VerifyProof(&verifier, exporter, msg[32:], msg[:32]) {
			answer = "ok"
		}
		if _, err := conn.Write([]byte(answer)); err != nil {
			t.Error(err)
		}
	}
	a := w.start(cfg)
	jc := must[*JoinConn](t)(DialJoin(t.Context(), a.addr, tok.CA))
	defer jc.Close()
	if jc.Node != a.id || !bytes.Equal(jc.CA.Raw, w.ca.Cert().Raw) {
		t.Fatalf("joined at %v", jc.Node)
	}
	proof := must[[32]byte](t)(tok.Prove(jc.Exporter, []byte("csr")))
	must[int](t)(jc.Write(append(proof[:], "csr"...)))
	if got := must[[]byte](t)(io.ReadAll(jc)); string(got) != "ok" {
		t.Fatalf("answer %q", got)
	}
	if _, err := DialJoin(t.Context(), a.addr, [32]byte{1}); !errors.Is(err, pki.ErrFingerprint) {
		t.Fatalf("wrong pin: %v", err)
	}
	b := w.start(w.config(2))
	if c, err := DialJoin(t.Context(), b.addr, tok.CA); err == nil {
		c.Close()
		t.Fatal("a node without join handler took a join")
	}
}

// TestStrangers: no certificate, no TLS, a client of another protocol, and one
// that says nothing.
func TestStrangers(t *testing.T) {
	w := newWorld(t)
	a := w.start(w.config(1))
	cert, _ := identity(t, w.ca, nodeID(9))
	for name, cfg := range map[string]*tls.Config{
		"no certificate": {NextProtos: []string{alpnRPC}},
		"not a member":   {NextProtos: []string{alpnRPC}, Certificates: []tls.Certificate{*cert}},
		"TLS 1.2":        {NextProtos: []string{alpnRPC}, MaxVersion: tls.VersionTLS12},
		"other protocol": {NextProtos: []string{"h2"}},
		"no protocol":    {Certificates: []tls.Certificate{*cert}},
	} {
		cfg.InsecureSkipVerify = true
		c, err := tls.Dial("tcp", a.addr, cfg)
		if err == nil {
			_, err = c.Read(make([]byte, 1))
			c.Close()
		}
		if err == nil {
			t.Errorf("%s: was answered", name)
		}
	}
	c := must[net.Conn](t)(net.Dial("tcp", a.addr))
	must[int](t)(c.Write([]byte("GET / HTTP/1.1\r\n\r\n")))
	if _, err := io.ReadAll(c); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	c.Close()
	until(t, "all refusals are counted", func() bool { return a.Stats().Refused >= 6 })
	if n := a.Stats().Open; n != 0 {
		t.Errorf("%d connections stay open", n)
	}
}
