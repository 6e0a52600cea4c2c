package sasl

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"
)

func TestTLSBinding(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	client := tls.Client(b, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- client.Handshake() }()
	if err := server.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	s := TLSBinding(server.ConnectionState(), leaf)
	c := TLSBinding(client.ConnectionState(), client.ConnectionState().PeerCertificates[0])
	for _, name := range []string{"tls-exporter", "tls-server-end-point"} {
		x, ok1 := s(name)
		y, ok2 := c(name)
		if !ok1 || !ok2 || len(x) != 32 || !bytes.Equal(x, y) {
			t.Errorf("%s: %x %v, %x %v", name, x, ok1, y, ok2)
		}
	}
	if x, _ := s("tls-server-end-point"); !bytes.Equal(x, func() []byte { h := sha256.Sum256(der); return h[:] }()) {
		t.Error("end point is not the hash of the certificate")
	}
	if _, ok := s("tls-unique"); ok {
		t.Error("tls-unique does not exist in TLS 1.3")
	}
	if _, ok := TLSBinding(server.ConnectionState(), nil)("tls-server-end-point"); ok {
		t.Error("an end point without a certificate")
	}
}
