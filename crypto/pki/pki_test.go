package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite golden files")

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const node1 = "00112233445566778899aabbccddeeff"

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func sign(t testing.TB, ca *CA, id string) ([]byte, ed25519.PrivateKey) {
	t.Helper()
	key := must[ed25519.PrivateKey](t)(NewKey())
	csr := must[[]byte](t)(NewCSR(key))
	return must[[]byte](t)(ca.Sign(csr, id, NodeTTL, now)), key
}

func TestNodeCertificate(t *testing.T) {
	ca := must[*CA](t)(NewCA("cluster-a.1", now))
	pkcs8 := must[[]byte](t)(ca.KeyPKCS8())
	ca = must[*CA](t)(ParseCA(ca.Cert().Raw, pkcs8))
	der, key := sign(t, ca, node1)
	cas := []*x509.Certificate{ca.Cert()}
	p := must[*Peer](t)(VerifyPeer([][]byte{der}, cas, "cluster-a.1", now))
	want := must[[]byte](t)(x509.MarshalPKIXPublicKey(key.Public()))
	if p.NodeID != node1 || p.ClusterID != "cluster-a.1" || p.Expired || !bytes.Equal(p.SPKI, want) {
		t.Fatalf("peer %+v", p)
	}
	if at := RenewAt(p.Cert); at.Before(now.Add(59*24*time.Hour)) || at.After(now.Add(61*24*time.Hour)) {
		t.Errorf("renewed at %v", at)
	}
	// Expired members are told, not refused.
	if p := must[*Peer](t)(VerifyPeer([][]byte{der}, cas, "cluster-a.1", now.Add(NodeTTL+time.Hour))); !p.Expired {
		t.Error("expiry not reported")
	}
	if p := must[*Peer](t)(VerifyPeer([][]byte{der}, cas, "cluster-a.1", now.Add(-2*time.Hour))); !p.Expired {
		t.Error("certificate from the future not reported")
	}
	// Two CAs, while one replaces the other.
	other := must[*CA](t)(NewCA("cluster-a.1", now))
	must[*Peer](t)(VerifyPeer([][]byte{der}, []*x509.Certificate{other.Cert(), ca.Cert()}, "cluster-a.1", now))
	if _, err := ParseCA(other.Cert().Raw, pkcs8); err == nil {
		t.Error("CA with a foreign key was read")
	}
}

func TestVerifyPeerRefuses(t *testing.T) {
	ca := must[*CA](t)(NewCA("c", now))
	twin := must[*CA](t)(NewCA("c", now))
	next := must[*CA](t)(NewCA("c.2", now))
	good, _ := sign(t, ca, node1)
	forged, _ := sign(t, twin, node1)
	foreign, _ := sign(t, next, node1)
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1

	// A certificate of the right CA with one thing wrong.
	key := must[ed25519.PrivateKey](t)(NewKey())
	bent := func(change func(c *x509.Certificate)) []byte {
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(5), Subject: pkix.Name{Organization: []string{"c"}, CommonName: node1},
			NotBefore: now, NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
			BasicConstraintsValid: true, DNSNames: []string{node1},
			URIs: []*url.URL{{Scheme: nodeScheme, Opaque: node1}},
		}
		change(tmpl)
		return must[[]byte](t)(x509.CreateCertificate(rand.Reader, tmpl, ca.cert, key.Public(), ca.key))
	}
	must[*Peer](t)(VerifyPeer([][]byte{bent(func(*x509.Certificate) {})}, []*x509.Certificate{ca.Cert()}, "c", now))

	// Signed by a node certificate instead of the CA.
	leafKey := must[ed25519.PrivateKey](t)(NewKey())
	leaf := must[*x509.Certificate](t)(x509.ParseCertificate(
		must[[]byte](t)(ca.Sign(must[[]byte](t)(NewCSR(leafKey)), node1, NodeTTL, now))))
	tmpl := *leaf
	tmpl.SerialNumber = big.NewInt(9)
	below := must[[]byte](t)(x509.CreateCertificate(rand.Reader, &tmpl, leaf, key.Public(), leafKey))

	for _, tc := range []struct {
		name  string
		shown [][]byte
		want  error
	}{
		{"none", nil, ErrCertificate},
		{"garbage", [][]byte{{1, 2, 3}}, ErrCertificate},
		{"too large", [][]byte{make([]byte, maxDER+1)}, ErrCertificate},
		{"forged", [][]byte{forged}, ErrCertificate},
		{"forged, with the right CA beside it", [][]byte{forged, ca.Cert().Raw}, ErrCertificate},
		{"flipped", [][]byte{flipped}, ErrCertificate},
		{"another incarnation", [][]byte{foreign}, ErrCluster},
		{"the CA itself", [][]byte{ca.Cert().Raw}, ErrCertificate},
		{"signed by a node", [][]byte{below, leaf.Raw}, ErrCertificate},
		{"no URI", [][]byte{bent(func(c *x509.Certificate) { c.URIs = nil })}, ErrCertificate},
		{"two names", [][]byte{bent(func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, "x") })}, ErrCertificate},
		{"upper case", [][]byte{bent(func(c *x509.Certificate) { c.Subject.CommonName = strings.ToUpper(node1) })}, ErrCertificate},
		{"names differ", [][]byte{bent(func(c *x509.Certificate) { c.URIs[0].Opaque = strings.Repeat("1", 32) })}, ErrCertificate},
		{"a CA below", [][]byte{bent(func(c *x509.Certificate) { c.IsCA = true })}, ErrCertificate},
		{"no organization", [][]byte{bent(func(c *x509.Certificate) { c.Subject.Organization = nil })}, ErrCertificate},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, err := VerifyPeer(tc.shown, []*x509.Certificate{ca.Cert()}, "c", now)
			if !errors.Is(err, tc.want) || p != nil {
				t.Fatalf("%v, %v; want %v", p, err, tc.want)
			}
		})
	}
}

func TestVerifyPinned(t *testing.T) {
	ca := must[*CA](t)(NewCA("c", now))
	evil := must[*CA](t)(NewCA("c", now))
	good, _ := sign(t, ca, node1)
	bad, _ := sign(t, evil, node1)
	pin := Fingerprint(ca.Cert().Raw)
	got, p, err := VerifyPinned([][]byte{good, ca.Cert().Raw}, pin, now)
	if err != nil || !bytes.Equal(got.Raw, ca.Cert().Raw) || p.NodeID != node1 {
		t.Fatal(p, err)
	}
	for _, shown := range [][][]byte{nil, {good}, {bad, evil.Cert().Raw}, {bad, ca.Cert().Raw}, {bad, evil.Cert().Raw, ca.Cert().Raw}} {
		if _, _, err := VerifyPinned(shown, pin, now); err == nil {
			t.Errorf("accepted %d certificates", len(shown))
		}
	}
}

func TestSignRefuses(t *testing.T) {
	ca := must[*CA](t)(NewCA("c", now))
	key := must[ed25519.PrivateKey](t)(NewKey())
	csr := must[[]byte](t)(NewCSR(key))
	for _, id := range []string{"", "x", node1[1:], node1 + "0", strings.ToUpper(node1), strings.Repeat("0", 32)} {
		if _, err := ca.Sign(csr, id, NodeTTL, now); err == nil {
			t.Errorf("signed for %q", id)
		}
	}
	broken := bytes.Clone(csr)
	broken[len(broken)-1] ^= 1
	ec := must[*ecdsa.PrivateKey](t)(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	for _, c := range [][]byte{nil, broken, make([]byte, maxDER+1), must[[]byte](t)(NewCSR(ec))} {
		if _, err := ca.Sign(c, node1, NodeTTL, now); !errors.Is(err, ErrCSR) {
			t.Errorf("signed a bad request: %v", err)
		}
	}
	if _, err := ca.Sign(csr, node1, 0, now); err == nil {
		t.Error("signed for no time")
	}
	for _, id := range []string{"", "a b", "é", strings.Repeat("x", 65)} {
		if _, err := NewCA(id, now); err == nil {
			t.Errorf("CA for %q", id)
		}
	}
	spki := must[[]byte](t)(ParseCSR(csr))
	if !bytes.Equal(spki, must[[]byte](t)(x509.MarshalPKIXPublicKey(key.Public()))) {
		t.Error("ParseCSR gives another key")
	}
}

func TestToken(t *testing.T) {
	tok := must[*Token](t)(NewToken([]string{"mail1.example:7420", "[2001:db8::1]:7420"}, [32]byte{9}))
	text := tok.Text()
	for _, s := range []string{text, " " + strings.ToUpper(text) + "\n", text[:40] + "\n" + text[40:]} {
		got := must[*Token](t)(ParseToken(s))
		if fmt.Sprint(got.Addrs) != fmt.Sprint(tok.Addrs) || got.CA != tok.CA || got.ID != tok.ID || got.secret != tok.secret {
			t.Fatalf("read %q as %v", s, got)
		}
	}
	for i := range text {
		c := byte('a')
		if text[i] == c {
			c = 'b'
		}
		if _, err := ParseToken(text[:i] + string(c) + text[i+1:]); !errors.Is(err, ErrToken) {
			t.Fatalf("changed letter %d: %v", i, err)
		}
		if _, err := ParseToken(text[:i]); !errors.Is(err, ErrToken) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	for _, addrs := range [][]string{nil, {""}, {strings.Repeat("x", 256)}, make([]string, 9)} {
		if _, err := NewToken(addrs, [32]byte{}); err == nil {
			t.Errorf("token for %d addresses", len(addrs))
		}
	}
	// The secret shows nowhere by accident.
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", tok)
	shown := log.String() + fmt.Sprintf("%v %+v %#v %s", tok, tok, tok, tok)
	if strings.Contains(shown, text[len(tokenPrefix)+20:len(tokenPrefix)+40]) || strings.Contains(shown, fmt.Sprintf("%x", tok.secret[:4])) ||
		strings.Contains(shown, fmt.Sprint(tok.secret[:4])[1:10]) {
		t.Fatalf("secret shown: %s", shown)
	}
}

func TestProof(t *testing.T) {
	tok := must[*Token](t)(NewToken([]string{"a:1"}, [32]byte{}))
	other := must[*Token](t)(NewToken([]string{"a:1"}, [32]byte{}))
	v := must[[32]byte](t)(tok.Verifier())
	w := must[[32]byte](t)(other.Verifier())
	proof := must[[32]byte](t)(tok.Prove([]byte("exporter"), []byte("csr")))
	if !VerifyProof(&v, []byte("exporter"), []byte("csr"), proof[:]) {
		t.Fatal("right proof refused")
	}
	for name, ok := range map[string]bool{
		"another secret":     VerifyProof(&w, []byte("exporter"), []byte("csr"), proof[:]),
		"another connection": VerifyProof(&v, []byte("Exporter"), []byte("csr"), proof[:]),
		"another request":    VerifyProof(&v, []byte("exporter"), []byte("csR"), proof[:]),
		"moved border":       VerifyProof(&v, []byte("exporte"), []byte("rcsr"), proof[:]),
		"cut":                VerifyProof(&v, []byte("exporter"), []byte("csr"), proof[:31]),
		"empty":              VerifyProof(&v, []byte("exporter"), []byte("csr"), nil),
	} {
		if ok {
			t.Errorf("%s: accepted", name)
		}
	}
	answer := Answer(&v, []byte("exporter"), []byte("reply"))
	if !must[bool](t)(tok.VerifyAnswer([]byte("exporter"), []byte("reply"), answer[:])) {
		t.Error("right answer refused")
	}
	mirrored := Answer(&v, []byte("exporter"), []byte("csr"))
	if mirrored == proof || must[bool](t)(other.VerifyAnswer([]byte("exporter"), []byte("reply"), answer[:])) {
		t.Error("wrong answer accepted")
	}
}

// TestGolden pins the text of a token, its verifier and a proof.
func TestGolden(t *testing.T) {
	tok := &Token{Addrs: []string{"mail1.example:7420", "10.0.0.2:7420"}}
	for i := range tok.CA {
		tok.CA[i], tok.secret[i] = byte(i), byte(0xf0-i)
	}
	copy(tok.ID[:], "token-id")
	v := must[[32]byte](t)(tok.Verifier())
	p := must[[32]byte](t)(tok.Prove([]byte("exporter"), []byte("csr")))
	a := Answer(&v, []byte("exporter"), []byte("reply"))
	got := fmt.Sprintf("%s\nverifier %x\nproof %x\nanswer %x\n", tok.Text(), v, p, a)
	path := filepath.Join("testdata", "token-v1.txt")
	if *update {
		if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(got), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if want := must[[]byte](t)(os.ReadFile(path)); string(want) != got {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func FuzzParseToken(f *testing.F) {
	tok, err := NewToken([]string{"a:1"}, [32]byte{1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tok.Text())
	f.Add(tokenPrefix)
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseToken(s)
		if err != nil {
			return
		}
		again, err := ParseToken(got.Text())
		if err != nil || again.Text() != got.Text() {
			t.Fatalf("%q does not survive: %v", s, err)
		}
	})
}

// TestSelfSigned does a handshake with it.
func TestSelfSigned(t *testing.T) {
	cert := must[*tls.Certificate](t)(SelfSigned([]string{"mail.example", "127.0.0.1"}, now))
	pool := x509.NewCertPool()
	pool.AddCert(cert.Leaf)
	for _, name := range []string{"mail.example", "127.0.0.1"} {
		a, b := net.Pipe()
		server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{*cert}})
		client := tls.Client(b, &tls.Config{RootCAs: pool, ServerName: name, Time: func() time.Time { return now }})
		done := make(chan error, 1)
		go func() { done <- server.Handshake() }()
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		a.Close()
		b.Close()
	}
	if _, err := SelfSigned(nil, now); err == nil {
		t.Error("certificate for nobody")
	}
}

func BenchmarkVerifyPeer(b *testing.B) {
	ca := must[*CA](b)(NewCA("c", now))
	der, _ := sign(b, ca, node1)
	for b.Loop() {
		if _, err := VerifyPeer([][]byte{der}, []*x509.Certificate{ca.cert}, "c", now); err != nil {
			b.Fatal(err)
		}
	}
}
