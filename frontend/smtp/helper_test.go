package smtp

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/passwd"
	"altmail.se/altmail/frontend/sasl"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
)

var testTime = time.Date(2026, 11, 23, 21, 20, 0, 0, time.FixedZone("", 3600))

// world is the directory, the store and the users of a test.
type world struct {
	mu    sync.Mutex
	route map[string]error // by address; nil is account 1
	store func(to []commit.Recipient) []error
	mails []mail
}

type mail struct {
	raw      string
	msg      commit.Message
	prefixes []string
}

func (w *world) Route(ctx context.Context, local, domain string, size int64) (Recipient, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	user, _, _ := strings.Cut(local, "+")
	for i, name := range []string{"anna", "bo", "c d", "postmaster", "søren"} {
		if user == name && domain == "here.example" {
			return Recipient{Account: mailstore.AccountID(i + 1), Group: 1}, w.route[user]
		}
	}
	if err, ok := w.route[local+"@"+domain]; ok {
		return Recipient{}, err
	}
	if domain != "here.example" {
		return Recipient{}, ErrNotLocal
	}
	return Recipient{}, mailstore.ErrNoAddress
}

func (w *world) Owns(_ context.Context, a mailstore.AccountID, address string) (bool, error) {
	if address == "down@here.example" {
		return false, cluster.ErrUnavailable
	}
	return a == 1 && (address == "anna@here.example" || address == "alias@here.example"), nil
}

func (w *world) Deliver(_ context.Context, _ cluster.OpID, m *commit.Message, to []commit.Recipient) []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	got := mail{raw: string(m.Raw), msg: *m}
	got.msg.Raw = nil
	for _, r := range to {
		got.prefixes = append(got.prefixes, string(r.Prefix))
	}
	errs := make([]error, len(to))
	if w.store != nil {
		errs = w.store(to)
	}
	for _, err := range errs {
		if err == nil {
			w.mails = append(w.mails, got)
			break
		}
	}
	return errs
}

func (w *world) got() []mail {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]mail(nil), w.mails...)
}

var verifier = sync.OnceValue(func() *passwd.Verifier {
	v, err := passwd.NewVerifier([]byte("secret"))
	if err != nil {
		panic(err)
	}
	return v
})

func (w *world) Plain(_ context.Context, user, password string) (sasl.Identity, error) {
	switch {
	case user == "down":
		return sasl.Identity{}, cluster.ErrUnavailable
	case user == "suspended":
		return sasl.Identity{}, mailstore.ErrSuspended
	case user != "anna" || password != "secret":
		return sasl.Identity{}, sasl.ErrCredentials
	}
	return sasl.Identity{Account: 1, Address: "anna@here.example"}, nil
}

func (w *world) Scram(_ context.Context, user string) (*passwd.Verifier, sasl.Identity, error) {
	if user != "anna" {
		return nil, sasl.Identity{}, sasl.ErrCredentials
	}
	return verifier(), sasl.Identity{Account: 1, Address: "anna@here.example"}, nil
}

var testCert = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mx.here.example"}, DNSNames: []string{"mx.here.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
})

func serverTLS() *tls.Config { return &tls.Config{Certificates: []tls.Certificate{testCert()}} }

func clientTLS() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(testCert().Leaf)
	return &tls.Config{RootCAs: pool, ServerName: "mx.here.example"}
}

// start serves a role for one test.
func start(t testing.TB, w *world, role Role, change func(*Config)) (*Server, string) {
	t.Helper()
	return startOn(t, w, role, change, func(l net.Listener) net.Listener { return l })
}

// startOn starts a server on a listener that wrap has changed.
func startOn(t testing.TB, w *world, role Role, change func(*Config), wrap func(net.Listener) net.Listener) (*Server, string) {
	t.Helper()
	cfg := Config{Role: role, Hostname: "mx.here.example", Directory: w, Deliverer: w, PostmasterDomain: "here.example",
		now: func() time.Time { return testTime }}
	if role == Submission {
		cfg.TLS = serverTLS()
		cfg.Auth = &sasl.Options{Auth: w}
		cfg.InsecureAuth = true
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(wrap(ln)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, ErrClosed) {
			t.Errorf("Serve: %v", err)
		}
		// A BDAT whose client is gone ends beside its connection.
		eventually(t, "memory is given back", func() bool { return s.Stats().MessageMemoryInUse == 0 })
	})
	return s, ln.Addr().String()
}

// client is one conversation.
type client struct {
	t  testing.TB
	nc net.Conn
	r  *bufio.Reader
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t}
	c.use(nc)
	t.Cleanup(func() { nc.Close() })
	return c
}

func (c *client) use(nc net.Conn) {
	c.nc, c.r = nc, bufio.NewReader(nc)
	if err := nc.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) send(s string) {
	c.t.Helper()
	if _, err := c.nc.Write([]byte(s)); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// reply reads one reply, all its lines.
func (c *client) reply() string {
	c.t.Helper()
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return b.String() + "EOF"
		}
		b.WriteString(line)
		if len(line) < 4 || line[3] != '-' {
			return b.String()
		}
	}
}

// want reads one reply for each prefix.
func (c *client) want(prefixes ...string) {
	c.t.Helper()
	for _, p := range prefixes {
		if got := c.reply(); !strings.HasPrefix(got, p) {
			c.t.Fatalf("got %q, want %q", got, p)
		}
	}
}

// talk runs a script: "C: " lines are sent, "S: " lines are prefixes of
// replies. "\n" within a C line is CRLF.
func (c *client) talk(script string) {
	c.t.Helper()
	for _, line := range strings.Split(strings.TrimSpace(script), "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "C: "):
			c.send(strings.ReplaceAll(line[3:], `\n`, "\r\n") + "\r\n")
		case line == "C:":
			c.send("\r\n")
		case strings.HasPrefix(line, "S: "):
			if got := c.reply(); !strings.HasPrefix(got, line[3:]) {
				c.t.Fatalf("got %q, want %q", got, line)
			}
		}
	}
}

func (c *client) startTLS() tls.ConnectionState {
	c.t.Helper()
	c.talk("C: STARTTLS\nS: 220 2.0.0")
	tc := tls.Client(c.nc, clientTLS())
	if err := tc.Handshake(); err != nil {
		c.t.Fatal(err)
	}
	c.use(tc)
	return tc.ConnectionState()
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// discard stores nothing.
type discard struct{ *world }

func (d discard) Deliver(_ context.Context, _ cluster.OpID, _ *commit.Message, to []commit.Recipient) []error {
	return make([]error, len(to))
}
