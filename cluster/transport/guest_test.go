package transport

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"altmail.se/altmail/crypto/pki"
)

// stranger makes a key with a certificate of its own.
func stranger(t *testing.T) (*tls.Certificate, []byte) {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	noErr(t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der := must[[]byte](t)(x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, key))
	leaf := must[*x509.Certificate](t)(x509.ParseCertificate(der))
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, leaf.RawSubjectPublicKeyInfo
}

// TestGuest: who shows a key that is known is served, nobody else; and a guest
// gets at nothing but its own protocol.
func TestGuest(t *testing.T) {
	const proto = "altmail-guest/1"
	w := newWorld(t)
	cert, known := stranger(t)
	other, _ := stranger(t)
	var revoked atomic.Bool
	cfg := w.config(1)
	cfg.Guest = &Guest{
		Proto: proto,
		Admit: func(spki []byte) error {
			if revoked.Load() || string(spki) != string(known) {
				return errors.New("unknown")
			}
			return nil
		},
		Serve: func(_ context.Context, conn net.Conn, spki []byte) {
			if _, err := conn.Write([]byte("welcome")); err != nil || string(spki) != string(known) {
				t.Errorf("another key is served, or %v", err)
			}
			if _, err := io.ReadAll(conn); err != nil {
				t.Error(err)
			}
		},
	}
	a := w.start(cfg)
	pin := pki.Fingerprint(w.ca.Cert().Raw)
	c := must[*GuestConn](t)(DialGuest(t.Context(), a.addr, proto, pin, cert))
	if c.Node != a.id || c.Cluster != "test.1" {
		t.Errorf("node %s of %s", c.Node, c.Cluster)
	}
	b := make([]byte, 7)
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "welcome" {
		t.Fatalf("%q: %v", b, err)
	}
	if c.Moved() < 500 {
		t.Errorf("%d bytes moved with the handshake", c.Moved())
	}
	noErr(t, c.Close())
	if _, err := DialGuest(t.Context(), a.addr, proto, [32]byte{1}, cert); !errors.Is(err, pki.ErrFingerprint) {
		t.Errorf("another cluster's node: %v", err)
	}
	refused := func(what, proto string, cert *tls.Certificate) {
		t.Helper()
		c, err := DialGuest(t.Context(), a.addr, proto, pin, cert)
		if err == nil {
			_, err = c.Read(b) // TLS 1.3: the refusal comes with the first read
			c.Close()
		}
		if err == nil {
			t.Errorf("%s was served", what)
		}
	}
	refused("another key", proto, other)
	refused("a guest among the members", alpnRPC, cert)
	refused("a guest in a group", alpnRaft, cert)
	revoked.Store(true)
	refused("a revoked key", proto, cert)
	plain := w.start(w.config(2))
	if c, err := DialGuest(t.Context(), plain.addr, proto, pin, cert); err == nil {
		c.Close()
		t.Error("a node without guests served one")
	}
}
