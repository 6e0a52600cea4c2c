package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/pki"
)

// The protocols of the port (RFC 7301). A change of a protocol is a new name.
const (
	alpnRaft = "altmail-raft/1"
	alpnRPC  = "altmail-rpc/1"
	alpnJoin = "altmail-join/1"
)

// baseConfig: TLS 1.3 only; no resumption, because each handshake must ask
// Admit with the peer's certificate; full records from the start.
func baseConfig() *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		SessionTicketsDisabled:      true,
		DynamicRecordSizingDisabled: true,
	}
}

func (t *Transport) serverConfig() *tls.Config {
	member := baseConfig()
	member.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return t.cfg.Certificate() }
	member.NextProtos = []string{alpnRaft, alpnRPC}
	member.ClientAuth = tls.RequireAnyClientCert // checked by VerifyConnection
	member.VerifyConnection = func(cs tls.ConnectionState) error {
		_, err := t.admit(cs)
		return err
	}
	join := baseConfig()
	join.GetCertificate = member.GetCertificate
	join.NextProtos = []string{alpnJoin}
	member.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if g := t.cfg.Guest; g != nil && slices.Contains(hello.SupportedProtos, g.Proto) {
			return t.guestConfig(g), nil
		}
		if !slices.Contains(hello.SupportedProtos, alpnJoin) {
			return nil, nil
		}
		if t.cfg.Join == nil {
			return nil, errors.New("transport: this node takes no joins")
		}
		return join, nil
	}
	return member
}

// clientConfig is for a connection to one node.
func (t *Transport) clientConfig(to cluster.NodeID, proto string) *tls.Config {
	c := baseConfig()
	c.NextProtos = []string{proto}
	// The name to check is the node id, and the trust is membership's; so the
	// library's check is replaced by VerifyConnection, not left out.
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(cs tls.ConnectionState) error {
		id, err := t.admit(cs)
		if err != nil {
			return err
		}
		if id != to {
			return fmt.Errorf("%w: node %s answers where %s was expected", ErrAddress, id, to)
		}
		return nil
	}
	c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.cfg.Certificate() }
	return c
}

// ErrAddress: another node listens at the address the resolver gave.
var ErrAddress = errors.New("transport: wrong node at this address")

// admit decides whether the holder of the certificates just shown may be
// talked to.
func (t *Transport) admit(cs tls.ConnectionState) (cluster.NodeID, error) {
	p, err := t.verify(cs)
	if err != nil {
		return cluster.NodeID{}, err
	}
	id, err := cluster.ParseNodeID(p.NodeID)
	if err != nil {
		return id, err
	}
	if id == t.cfg.Self {
		// A copy of this node's data directory is running elsewhere.
		return id, fmt.Errorf("%w: peer shows this node's own id", cluster.ErrNotMember)
	}
	if err := t.cfg.Admit(id, p.SPKI); err != nil {
		return id, fmt.Errorf("transport: node %s not admitted: %w", id, err)
	}
	if p.Expired {
		t.log.warn("certificate of a member is outside its time", "node", id.String(),
			"not_before", p.Cert.NotBefore, "not_after", p.Cert.NotAfter)
	}
	return id, nil
}

// refusal tells a peer's refusal of our certificate from other errors. TLS 1.3
// ends the client's handshake before the server has judged its certificate
// (RFC 8446 section 4.4.2.4), so the alert comes with the first read: a node
// that was evicted learns in this way that it is no member any more.
func refusal(err error) error {
	var oe *net.OpError
	if errors.As(err, &oe) && oe.Op == "remote error" && oe.Err.Error() == "tls: bad certificate" {
		return fmt.Errorf("%w: %w", cluster.ErrNotMember, err)
	}
	return err
}

// peerID reads the id that admit has checked in the handshake.
func peerID(cs tls.ConnectionState) (cluster.NodeID, error) {
	if len(cs.PeerCertificates) == 0 {
		return cluster.NodeID{}, fmt.Errorf("%w: no certificate", cluster.ErrNotMember)
	}
	return cluster.ParseNodeID(cs.PeerCertificates[0].Subject.CommonName)
}

// dial opens an authenticated connection to a node.
func (t *Transport) dial(ctx context.Context, to cluster.NodeID, proto string) (*secureConn, error) {
	addr, err := t.cfg.Resolver.Addr(to)
	if err != nil {
		return nil, fmt.Errorf("transport: address of node %s: %w", to, err)
	}
	c, err := t.cfg.Dial(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("transport: connect to node %s: %w", to, err)
	}
	stop := context.AfterFunc(t.ctx, func() { t.discard(c) })
	defer stop()
	raw := newRawConn(c)
	tc := tls.Client(raw, t.clientConfig(to, proto))
	if err := tc.HandshakeContext(ctx); err != nil {
		t.discard(c)
		for _, foreign := range []error{pki.ErrCluster, pki.ErrCertificate, cluster.ErrNotMember, ErrAddress} {
			if errors.Is(err, foreign) {
				t.log.warn("node refused", "node", to.String(), "error", err)
				break
			}
		}
		return nil, fmt.Errorf("transport: handshake with node %s: %w", to, err)
	}
	state := tc.ConnectionState()
	if state.NegotiatedProtocol != proto {
		t.discard(c)
		return nil, fmt.Errorf("transport: node %s does not speak %s", to, proto)
	}
	sc, err := t.register(tc, raw, state, false)
	if err != nil {
		t.discard(c)
		return nil, err
	}
	return sc, nil
}

// enter counts one more of a kind of connection that only so many may be of,
// until leave is called; ok is false, and that is logged, when there are enough.
func (t *Transport) enter(count *int, most int, kind, ip string) (leave func(), ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if *count >= most {
		t.refused.Add(1)
		t.log.warn(kind+" refused: too many at once", "from", ip)
		return nil, false
	}
	*count++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		*count--
	}, true
}

// serveJoin hands a connection without client certificate to the join
// handler.
func (t *Transport) serveJoin(tc *tls.Conn, raw *rawConn, ip string) {
	defer t.discard(raw.Conn)
	leave, ok := t.enter(&t.joins, maxJoins, "join", ip)
	if !ok {
		return
	}
	defer leave()
	exporter, err := exportJoin(tc)
	if err != nil {
		t.log.warn("join refused", "from", ip, "error", err)
		return
	}
	ctx, cancel := context.WithTimeout(t.ctx, joinTimeout)
	defer cancel()
	end, _ := ctx.Deadline()
	if err := tc.SetDeadline(end); err != nil {
		t.log.warn("join refused", "from", ip, "error", err)
		return
	}
	t.cfg.Join(ctx, &secureConn{Conn: tc, raw: raw}, exporter)
}

func exportJoin(tc *tls.Conn) ([]byte, error) {
	cs := tc.ConnectionState()
	b, err := cs.ExportKeyingMaterial(pki.ExporterLabel, nil, 32)
	if err != nil {
		return nil, fmt.Errorf("transport: TLS exporter: %w", err)
	}
	return b, nil
}

// JoinConn is the connection of a node that wants to join.
type JoinConn struct {
	net.Conn
	Exporter []byte            // binds proofs to this connection
	CA       *x509.Certificate // of the cluster, as pinned
	Node     cluster.NodeID    // who answers
}

// DialJoin connects to a node of a cluster this one does not belong to yet.
// The node must show the CA with the given fingerprint. ctx ends the
// handshake; deadlines after that are the caller's.
func DialJoin(ctx context.Context, addr string, fingerprint [32]byte) (*JoinConn, error) {
	d := &net.Dialer{KeepAliveConfig: keepAlive}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("transport: connect to join: %w", err)
	}
	jc := &JoinConn{}
	cfg := baseConfig()
	cfg.NextProtos = []string{alpnJoin}
	cfg.InsecureSkipVerify = true // replaced by the pin below
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		shown := make([][]byte, len(cs.PeerCertificates))
		for i, c := range cs.PeerCertificates {
			shown[i] = c.Raw
		}
		// The clock of a new machine may be anything; expiry is not judged.
		ca, p, err := pki.VerifyPinned(shown, fingerprint, cs.PeerCertificates[0].NotBefore)
		if err != nil {
			return err
		}
		jc.CA = ca
		jc.Node, err = cluster.ParseNodeID(p.NodeID)
		return err
	}
	raw := newRawConn(c)
	tc := tls.Client(raw, cfg)
	err = tc.HandshakeContext(ctx)
	if err == nil && tc.ConnectionState().NegotiatedProtocol != alpnJoin {
		err = errors.New("the node takes no joins")
	}
	if err == nil {
		jc.Exporter, err = exportJoin(tc)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("transport: handshake to join: %w", err), c.Close())
	}
	jc.Conn = &secureConn{Conn: tc, raw: raw}
	return jc, nil
}
