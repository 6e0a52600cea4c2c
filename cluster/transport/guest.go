package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/pki"
)

// Guest is a protocol on the port for clients that are no members. They show a
// certificate of their own making: it is the key in it that is known or not.
type Guest struct {
	Proto string // ALPN (RFC 7301)
	// Admit returns an error unless the holder of this public key
	// (SubjectPublicKeyInfo) may talk to this node now.
	Admit func(spki []byte) error
	// Serve serves a connection until the client is done with it. The
	// connection is closed when it returns.
	Serve func(ctx context.Context, conn net.Conn, spki []byte)
}

// maxGuests bounds the connections of guests at a time.
const maxGuests = 32

func (t *Transport) guestConfig(g *Guest) *tls.Config {
	c := baseConfig()
	c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.cfg.Certificate() }
	c.NextProtos = []string{g.Proto}
	c.ClientAuth = tls.RequireAnyClientCert // whose key is judged here
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		if len(cs.PeerCertificates) == 0 {
			return fmt.Errorf("%w: no certificate", cluster.ErrNotMember)
		}
		return g.Admit(cs.PeerCertificates[0].RawSubjectPublicKeyInfo)
	}
	return c
}

// serveGuest hands the connection of a guest to its protocol.
func (t *Transport) serveGuest(g *Guest, tc *tls.Conn, raw *rawConn, ip string) {
	defer t.discard(raw.Conn)
	leave, ok := t.enter(&t.guests, maxGuests, "guest", ip)
	if !ok {
		return
	}
	defer leave()
	t.accepted.Add(1)
	g.Serve(t.ctx, &secureConn{Conn: tc, raw: raw}, tc.ConnectionState().PeerCertificates[0].RawSubjectPublicKeyInfo)
}

// GuestConn is a guest's connection to a node.
type GuestConn struct {
	net.Conn
	Node    cluster.NodeID // who answers
	Cluster string         // the cluster's id
	raw     *rawConn
}

// Moved returns how many bytes went over the network in both directions.
func (c *GuestConn) Moved() int64 { return int64(c.raw.in.Load() + c.raw.out.Load()) }

// DialGuest connects to a node as a guest with a certificate. The node must
// show the CA with the given fingerprint. ctx ends the handshake.
func DialGuest(ctx context.Context, addr, proto string, fingerprint [32]byte, cert *tls.Certificate) (*GuestConn, error) {
	d := &net.Dialer{KeepAliveConfig: keepAlive}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("transport: connect: %w", err)
	}
	gc := &GuestConn{raw: newRawConn(c)}
	cfg := baseConfig()
	cfg.NextProtos = []string{proto}
	cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	cfg.InsecureSkipVerify = true // replaced by the pin below
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		shown := make([][]byte, len(cs.PeerCertificates))
		for i, c := range cs.PeerCertificates {
			shown[i] = c.Raw
		}
		ca, p, err := pki.VerifyPinned(shown, fingerprint, cs.PeerCertificates[0].NotBefore)
		if err != nil {
			return err
		}
		gc.Cluster = ca.Subject.Organization[0]
		gc.Node, err = cluster.ParseNodeID(p.NodeID)
		return err
	}
	tc := tls.Client(gc.raw, cfg)
	err = tc.HandshakeContext(ctx)
	if err == nil && tc.ConnectionState().NegotiatedProtocol != proto {
		err = errors.New("the node does not serve this")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("transport: handshake: %w", refusal(err)), c.Close())
	}
	gc.Conn = &secureConn{Conn: tc, raw: gc.raw}
	return gc, nil
}
