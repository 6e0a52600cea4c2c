package smtp

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"altmail.se/altmail/frontend/proxyproto"
)

// Behind a proxy it is the client's address that is traced and counted.
func TestProxied(t *testing.T) {
	w := &world{}
	_, addr := startOn(t, w, MX, func(c *Config) { c.MaxConnsPerIP = 1 }, func(l net.Listener) net.Listener {
		return proxyproto.Listen(l, proxyproto.Config{From: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	})
	through := func(client string) *client {
		c := dial(t, addr)
		c.send("PROXY TCP4 " + client + " 127.0.0.1 4711 25\r\n")
		return c
	}
	c := through("192.0.2.1")
	c.talk(`
S: 220 mx.here.example ESMTP
C: EHLO client.example
S: 250-Hello client.example
C: MAIL FROM:<x@far.example>
S: 250 2.1.0
C: RCPT TO:<anna@here.example>
S: 250 2.1.5
C: DATA
S: 354
C: Subject: hi\n\nx\n.
S: 250 2.0.0 queued as 
`)
	if raw := w.got()[0].raw; !strings.HasPrefix(raw, "Received: from client.example ([192.0.2.1])\r\n") {
		t.Errorf("%q", raw)
	}
	through("192.0.2.1").want("421 4.7.0 too many connections from your address")
	through("192.0.2.2").want("220")
}
