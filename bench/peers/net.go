package peers

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"altmail.se/altmail/bench/load"
)

// Servers listen below the range that the kernel draws clients' ports from, so
// that a port written into a configuration is still free at the next start.
const (
	firstPort = 20000
	lastPort  = 32000
)

// freePorts returns n loopback addresses nobody listens on.
func freePorts(n int) ([]string, error) {
	var out []string
	var held []net.Listener
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	for range 1000 {
		p, err := rand.Int(rand.Reader, big.NewInt(lastPort-firstPort))
		if err != nil {
			return nil, err
		}
		addr := fmt.Sprintf("127.0.0.1:%d", firstPort+p.Int64())
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		held = append(held, l)
		if out = append(out, addr); len(out) == n {
			return out, nil
		}
	}
	return nil, errors.New("peers: no free port")
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

// certificate makes a self-signed certificate and its key in dir, once; every
// peer has the same kind.
func certificate(dir string) (cert, key string, err error) {
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if _, err := os.Stat(key); err == nil {
		return cert, key, nil
	}
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(30 * 24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		return "", "", err
	}
	if err := os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return "", "", err
	}
	return cert, key, writeKey(key, k)
}

// writeKey writes a private key as PKCS #8.
func writeKey(path string, k *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return err
	}
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

// waitLogins waits until every account can log in and select its INBOX at
// every address (also what makes Cyrus and Dovecot create it), and until mail
// can be handed in. running fails when the server has ended.
func waitLogins(ctx context.Context, t *load.Target, running func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	for _, addr := range t.Delivery.Addrs {
		if err := waitFor(ctx, running, func() error { return greeting(ctx, addr, "220") }); err != nil {
			return fmt.Errorf("%s: delivery at %s: %w", t.Name, addr, err)
		}
	}
	for _, addr := range t.IMAP.Addrs {
		for i, a := range t.Accounts {
			if i > 0 && addr != t.IMAP.Addrs[0] {
				break // one login shows that a further node serves
			}
			if err := waitFor(ctx, running, func() error { return login(ctx, addr, a) }); err != nil {
				return fmt.Errorf("%s: login at %s: %w", t.Name, addr, err)
			}
		}
	}
	return nil
}

func waitFor(ctx context.Context, running func() error, try func() error) error {
	var last error
	err := poll(ctx, 20*time.Millisecond, func() (bool, error) {
		if err := running(); err != nil {
			return false, err
		}
		last = try()
		return last == nil, nil
	})
	if errors.Is(err, ctx.Err()) && last != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

// dial opens a connection that does not outlive a few seconds.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		network, addr = "unix", path
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(time.Now().Add(10 * time.Second))
}

func greeting(ctx context.Context, addr, want string) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, want) {
		return fmt.Errorf("greeted with %q", strings.TrimSpace(line))
	}
	_, err = fmt.Fprint(c, "QUIT\r\n")
	return err
}

func login(ctx context.Context, addr string, a load.Account) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	user := a.User
	if user == "" {
		user = a.Address
	}
	if _, err := fmt.Fprintf(c, "a LOGIN %s %s\r\nb SELECT INBOX\r\nc LOGOUT\r\n", user, a.Password); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		for _, tag := range []string{"a ", "b "} {
			if strings.HasPrefix(line, tag) && !strings.HasPrefix(line, tag+"OK") {
				return fmt.Errorf("answered %q", strings.TrimSpace(line))
			}
		}
		if strings.HasPrefix(line, "c ") {
			return nil
		}
	}
}
