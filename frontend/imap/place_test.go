package imap

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"altmail.se/altmail/frontend/auth"
	"altmail.se/altmail/frontend/proxyproto"
)

// behind makes connections come through a proxy.
func behind(k *kit, set func(*Config), implicitTLS bool) {
	k.listen = func(l net.Listener) net.Listener {
		return proxyproto.Listen(l, proxyproto.Config{From: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	}
	k.serve(set, implicitTLS)
}

// through returns a connection of a client behind the proxy.
func (k *kit) through(client string) *client {
	k.t.Helper()
	c := k.dial()
	c.send("PROXY TCP4 " + client + " 127.0.0.1 4711 143\r\n")
	return c
}

// places is a Throttle that remembers who asked.
type places struct {
	mu    sync.Mutex
	asked []string
}

func (p *places) Begin(_ context.Context, remote net.Addr) (func(auth.Outcome), error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, remote.String())
	return func(auth.Outcome) {}, nil
}

// Behind a proxy it is the client's address that is throttled, counted and
// shown, also under TLS.
func TestProxied(t *testing.T) {
	p := &places{}
	k := newKit(t, nil)
	behind(k, func(c *Config) { c.Throttle = p }, false)
	c := k.through("192.0.2.1")
	c.line()
	c.ok("LOGIN alice@example.org secret")
	if ss := k.srv.Sessions(); len(ss) != 1 || ss[0].Remote != "192.0.2.1:4711" {
		t.Errorf("%+v", ss)
	}
	if fmt.Sprint(p.asked) != "[192.0.2.1:4711]" {
		t.Error(p.asked)
	}

	server, cfg := testTLS(t)
	behind(k, func(c *Config) { c.TLS, c.AllowPlaintext = server, false }, true)
	d := k.through("192.0.2.2")
	secure := tls.Client(d.conn, cfg)
	d.conn, d.r = secure, newReader(secure)
	d.line()
	d.ok("LOGIN alice@example.org secret")
	if ss := k.srv.Sessions(); len(ss) != 1 || ss[0].Remote != "192.0.2.2:4711" || !ss[0].TLS {
		t.Errorf("%+v", ss)
	}
}

// Strangers from one place cannot take all connections; who is logged in is not
// counted there.
func TestConnectionsFromOnePlace(t *testing.T) {
	k := newKit(t, nil)
	behind(k, func(c *Config) { c.Limits.ConnectionsPerIP = 2 }, false)
	one, two := k.through("192.0.2.1"), k.through("192.0.2.1")
	one.line()
	two.line()
	k.through("192.0.2.1").closed("* BYE [LIMIT] Too many connections from your address")
	other := k.through("192.0.2.9")
	if s := other.line(); !strings.HasPrefix(s, "* OK") {
		t.Error(s)
	}
	one.ok("LOGIN alice@example.org secret")
	three := k.through("192.0.2.1")
	three.line()
	// Without a login again, it counts; and who ends does not.
	one.ok("UNAUTHENTICATE")
	k.through("192.0.2.1").closed("* BYE [LIMIT]")
	one.ok("LOGOUT")
	two.ok("LOGOUT")
	eventually(t, "no room", func() bool { return k.srv.Stats().Open == 2 })
	k.through("192.0.2.1").line()

	// From loopback there is no such limit.
	k.listen = nil
	k.serve(func(c *Config) { c.Limits.ConnectionsPerIP = 1 }, false)
	for range 3 {
		k.dial().line()
	}
}
