package member

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/crypto/pki"
)

// JoinALPN is the protocol name of the join call on the cluster port.
const JoinALPN = "altmail-join/1"

// maxJoinFrame bounds one message of the join call.
const maxJoinFrame = 256 << 10

// joinTimeout bounds the whole call.
const joinTimeout = 30 * time.Second

// authority is the cluster's CA as this node holds it.
type authority struct {
	ca *pki.CA
}

// joinRequest is what a new node says. The token's secret is never sent.
type joinRequest struct {
	Token   []byte `json:"token"` // its public id
	CSR     []byte `json:"csr"`
	Proof   []byte `json:"proof"`
	Node    string `json:"node"`
	Name    string `json:"name"`
	Address string `json:"address"`
	Level   uint32 `json:"level"`
}

// joinReply carries a joinGrant and the proof that it comes from who knows the
// token, or an error.
type joinReply struct {
	Error  string `json:"error,omitempty"`
	Grant  []byte `json:"grant,omitempty"`
	Answer []byte `json:"answer,omitempty"`
}

// joinGrant makes a member.
type joinGrant struct {
	Cluster string            `json:"cluster"`
	Cert    []byte            `json:"cert"`
	CA      []byte            `json:"ca"`
	Roots   map[uint32][]byte `json:"roots"`
	Current uint32            `json:"current"` // root epoch to seal under
	Index   []byte            `json:"index"`
	Nodes   []Node            `json:"nodes"`
	Groups  []cluster.GroupID `json:"groups"`
}

// Init makes a new cluster of one node in an empty keyring. Serving it begins
// the groups.
func Init(ring *keyring.Ring, name, address string, mailGroups, level uint32) (Identity, error) {
	if err := checkName(name); err != nil {
		return Identity{}, err
	}
	if mailGroups < 1 || mailGroups > 256 {
		return Identity{}, errors.New("member: between 1 and 256 mail groups")
	}
	var raw [8]byte
	if _, err := rand.Read(raw[:]); err != nil {
		return Identity{}, err
	}
	clusterID := hex.EncodeToString(raw[:]) + ".1"
	if _, err := ring.NewRoot(); err != nil {
		return Identity{}, err
	}
	ca, err := pki.NewCA(clusterID, time.Now())
	if err != nil {
		return Identity{}, err
	}
	caKey, err := ca.KeyPKCS8()
	if err != nil {
		return Identity{}, err
	}
	sealedCA, err := ring.SealRoot(keyring.KindCAKey, []byte(clusterID), caBlob(ca.Cert().Raw, caKey))
	if err != nil {
		return Identity{}, err
	}
	node, key, csr, err := newNode()
	if err != nil {
		return Identity{}, err
	}
	cert, err := ca.Sign(csr, node.String(), pki.NodeTTL, time.Now())
	if err != nil {
		return Identity{}, err
	}
	pub, err := pki.ParseCSR(csr)
	if err != nil {
		return Identity{}, err
	}
	id := Identity{
		Node: node, Name: name, Address: address, Cluster: clusterID, CA: ca.Cert().Raw,
		Seed:   &Seed{CAKey: sealedCA, MailGroups: mailGroups},
		Groups: []cluster.GroupID{cluster.Directory},
		Peers:  []Node{{ID: node, Name: name, Address: address, PublicKey: pub, Level: level}},
	}
	for g := uint32(1); g <= mailGroups; g++ {
		id.Groups = append(id.Groups, cluster.GroupID(g))
	}
	return id, keep(ring, id, key, cert)
}

// checkName refuses names that would be ambiguous or unreadable on a terminal.
func checkName(name string) error {
	ok := len(name) >= 1 && len(name) <= 63 && utf8.ValidString(name)
	for _, r := range name {
		ok = ok && unicode.IsPrint(r) && r != ' ' && r != '/'
	}
	if !ok {
		return errors.New("member: a node's name has 1 to 63 bytes, no spaces, slashes or control characters")
	}
	return nil
}

// newNode makes a node's id, key (PKCS #8) and certificate request.
func newNode() (node cluster.NodeID, keyDER, csr []byte, err error) {
	if _, err = rand.Read(node[:]); err != nil {
		return
	}
	key, err := pki.NewKey()
	if err != nil {
		return
	}
	if keyDER, err = pki.MarshalKey(key); err != nil {
		return
	}
	csr, err = pki.NewCSR(key)
	return
}

// keep writes certificate and identity; the identity comes last, because its
// presence means the node is one.
func keep(ring *keyring.Ring, id Identity, key, cert []byte) error {
	if err := ring.SetIdentity(key, cert); err != nil {
		return err
	}
	l := &Local{facts: ring}
	return l.Update(func(i *Identity) { *i = id })
}

// pendingFact keeps the key of a join under way, so that the same command can
// be given again after a lost answer: a token is bound to the first key.
const pendingFact = "member-pending"

type pending struct {
	Node cluster.NodeID `json:"node"`
	Key  []byte         `json:"key"`
}

// Join makes this node a member of the token's cluster: it asks the token's
// nodes in turn until one grants it. It may be repeated with the same token.
func Join(ctx context.Context, ring *keyring.Ring, tok *pki.Token, name, address string, level uint32) (Identity, error) {
	var p pending
	if b, ok := ring.Get(pendingFact); ok {
		if err := json.Unmarshal(b, &p); err != nil {
			return Identity{}, fmt.Errorf("member: join under way: %w", err)
		}
	} else {
		node, key, _, err := newNode()
		if err != nil {
			return Identity{}, err
		}
		p = pending{node, key}
		b, err := json.Marshal(p)
		if err != nil {
			return Identity{}, err
		}
		if err := ring.Put(pendingFact, b); err != nil {
			return Identity{}, err
		}
	}
	key, err := x509.ParsePKCS8PrivateKey(p.Key)
	if err != nil {
		return Identity{}, fmt.Errorf("member: join under way: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return Identity{}, errors.New("member: join under way: not a signing key")
	}
	csr, err := pki.NewCSR(signer)
	if err != nil {
		return Identity{}, err
	}
	var errs []error
	for _, addr := range tok.Addrs {
		grant, err := askToJoin(ctx, addr, tok, joinRequest{
			Token: tok.ID[:], CSR: csr, Node: p.Node.String(), Name: name, Address: address, Level: level,
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", addr, err))
			continue
		}
		return accept(ring, grant, p, name, address)
	}
	return Identity{}, fmt.Errorf("member: no node of the token let this one join: %w", errors.Join(errs...))
}

func accept(ring *keyring.Ring, g *joinGrant, p pending, name, address string) (Identity, error) {
	epochs := make([]uint32, 0, len(g.Roots))
	for e := range g.Roots {
		epochs = append(epochs, e)
	}
	slices.Sort(epochs)
	for _, e := range epochs {
		if len(g.Roots[e]) != keyring.KeySize {
			return Identity{}, errors.New("member: root key of a wrong size")
		}
		if err := ring.AddRoot(keyring.Epoch(e), [32]byte(g.Roots[e])); err != nil {
			return Identity{}, err
		}
	}
	if err := ring.UseRoot(keyring.Epoch(g.Current)); err != nil {
		return Identity{}, err
	}
	if len(g.Index) != keyring.KeySize {
		return Identity{}, errors.New("member: index key of a wrong size")
	}
	if err := ring.SetIndexKey([32]byte(g.Index)); err != nil {
		return Identity{}, err
	}
	id := Identity{
		Node: p.Node, Name: name, Address: address, Cluster: g.Cluster, CA: g.CA,
		Groups: g.Groups, Peers: g.Nodes,
	}
	return id, keep(ring, id, p.Key, g.Cert)
}

// askToJoin makes the join call to one address.
func askToJoin(ctx context.Context, addr string, tok *pki.Token, req joinRequest) (*joinGrant, error) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	d := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{JoinALPN},
		// The chain is checked against the token's fingerprint instead.
		InsecureSkipVerify: true,
		VerifyPeerCertificate: func(shown [][]byte, _ [][]*x509.Certificate) error {
			_, _, err := pki.VerifyPinned(shown, tok.CA, time.Now())
			return err
		},
	}}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	conn, ok := c.(*tls.Conn)
	if !ok {
		return nil, errors.New("member: not a TLS connection")
	}
	if dl, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(dl); err != nil {
			return nil, err
		}
	}
	state := conn.ConnectionState()
	exporter, err := state.ExportKeyingMaterial(pki.ExporterLabel, nil, 32)
	if err != nil {
		return nil, err
	}
	proof, err := tok.Prove(exporter, req.CSR)
	if err != nil {
		return nil, err
	}
	req.Proof = proof[:]
	if err := writeFrame(conn, req); err != nil {
		return nil, err
	}
	var reply joinReply
	if err := readFrame(conn, &reply); err != nil {
		return nil, err
	}
	if reply.Error != "" {
		return nil, errors.New(reply.Error)
	}
	ok, err = tok.VerifyAnswer(exporter, reply.Grant, reply.Answer)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, errors.New("member: the answer does not come from who knows the token")
	}
	var g joinGrant
	if err := json.Unmarshal(reply.Grant, &g); err != nil {
		return nil, err
	}
	if ca, err := pki.ParseCACert(g.CA); err != nil || pki.Fingerprint(ca.Raw) != tok.CA {
		return nil, pki.ErrFingerprint
	}
	return &g, nil
}

// NewToken makes a one-time join token that lives for ttl.
func (m *Manager) NewToken(ctx context.Context, ttl time.Duration) (*pki.Token, time.Time, error) {
	if ttl <= 0 {
		ttl = time.Hour
	}
	if err := m.Roster.Sync(ctx); err != nil {
		return nil, time.Time{}, err
	}
	nodes, err := m.Roster.Nodes()
	if err != nil {
		return nil, time.Time{}, err
	}
	var addrs []string
	for _, n := range nodes {
		if n.ID == m.Self {
			addrs = append([]string{n.Address}, addrs...)
		} else if !n.Leaving {
			addrs = append(addrs, n.Address)
		}
	}
	if len(addrs) == 0 {
		return nil, time.Time{}, fmt.Errorf("%w: the cluster has not begun yet", cluster.ErrUnavailable)
	}
	tok, err := pki.NewToken(addrs[:min(len(addrs), 5)], pki.Fingerprint(m.Local.Identity().CA))
	if err != nil {
		return nil, time.Time{}, err
	}
	verifier, err := tok.Verifier()
	if err != nil {
		return nil, time.Time{}, err
	}
	sealed, err := m.Ring.SealRoot(keyring.KindJoinToken, tok.ID[:], verifier[:])
	if err != nil {
		return nil, time.Time{}, err
	}
	expires := m.now().Add(ttl)
	return tok, expires, m.Roster.PutToken(ctx, tok.ID[:], Token{Verifier: sealed, Expires: expires})
}

// ServeJoin answers one join call on a connection whose TLS exporter value is
// given. It closes the connection.
func (m *Manager) ServeJoin(ctx context.Context, conn net.Conn, exporter []byte) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	if dl, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(dl); err != nil {
			return
		}
	}
	var req joinRequest
	if err := readFrame(conn, &req); err != nil {
		return
	}
	var reply joinReply
	grant, answer, err := m.grant(ctx, &req, exporter)
	if err != nil {
		// What a stranger says of itself stays out of the log.
		m.Log.Warn("a node was refused to join", "remote", conn.RemoteAddr(), "err", err)
		reply.Error = err.Error()
	} else {
		reply.Grant, reply.Answer = grant, answer
	}
	if err := writeFrame(conn, reply); err != nil {
		m.Log.Warn("answer to a joining node", "err", err)
	}
}

func (m *Manager) grant(ctx context.Context, req *joinRequest, exporter []byte) (grant, answer []byte, err error) {
	if !m.joins.allow(m.now()) {
		return nil, nil, errors.New("member: too many join calls, try again in a minute")
	}
	node, err := cluster.ParseNodeID(req.Node)
	if err != nil {
		return nil, nil, err
	}
	if err := checkName(req.Name); err != nil {
		return nil, nil, err
	}
	if len(req.Address) > 255 {
		return nil, nil, errors.New("member: bad address")
	}
	if _, _, err := net.SplitHostPort(req.Address); err != nil {
		return nil, nil, fmt.Errorf("member: bad address: %w", err)
	}
	pub, err := pki.ParseCSR(req.CSR)
	if err != nil {
		return nil, nil, err
	}
	if err := m.Roster.Sync(ctx); err != nil {
		return nil, nil, err
	}
	tok, ok, err := m.Roster.Token(req.Token)
	if err != nil {
		return nil, nil, err
	}
	if !ok || m.now().After(tok.Expires) {
		return nil, nil, ErrNoToken
	}
	v, err := m.Ring.OpenRoot(keyring.KindJoinToken, req.Token, tok.Verifier)
	if err != nil {
		return nil, nil, err
	}
	if len(v) != 32 {
		return nil, nil, ErrNoToken
	}
	verifier := [32]byte(v)
	if !pki.VerifyProof(&verifier, exporter, req.CSR, req.Proof) {
		return nil, nil, ErrNoToken
	}
	// The first use binds the token to this key; the same key may repeat it
	// until it expires (mail-and-crypto-hazards 19).
	if err := m.Roster.UseToken(ctx, req.Token, pub); err != nil {
		return nil, nil, err
	}
	nodes, err := m.Roster.Nodes()
	if err != nil {
		return nil, nil, err
	}
	n := Node{ID: node, Name: req.Name, Address: req.Address, PublicKey: pub, Level: req.Level}
	if have, ok := find(nodes, node); !ok || string(have.PublicKey) != string(pub) {
		if err := m.Roster.PutNode(ctx, n, true); err != nil {
			return nil, nil, err
		}
		nodes = append(nodes, n)
		m.Log.Info("node joins", "node", node, "name", n.Name, "address", n.Address)
	}
	m.Kick()
	ca, err := m.authority()
	if err != nil {
		return nil, nil, err
	}
	cert, err := ca.Sign(req.CSR, req.Node, pki.NodeTTL, time.Now())
	if err != nil {
		return nil, nil, err
	}
	groups, err := m.Roster.Groups()
	if err != nil {
		return nil, nil, err
	}
	g := joinGrant{
		Cluster: m.Local.Identity().Cluster, Cert: cert, CA: ca.Cert().Raw, Roots: map[uint32][]byte{}, Current: uint32(m.Ring.CurrentRoot()),
		Nodes: nodes, Groups: append([]cluster.GroupID{cluster.Directory}, groups...),
	}
	for e, k := range m.Ring.Roots() {
		g.Roots[uint32(e)] = k[:]
	}
	index, ok := m.Ring.IndexKey()
	if !ok {
		return nil, nil, errors.New("member: no index key")
	}
	g.Index = index[:]
	b, err := json.Marshal(g)
	if err != nil {
		return nil, nil, err
	}
	a := pki.Answer(&verifier, exporter, b)
	return b, a[:], nil
}

// authority opens the cluster's CA.
func (m *Manager) authority() (*pki.CA, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ca != nil {
		return m.ca.ca, nil
	}
	sealed, err := m.Roster.CA()
	if err != nil {
		return nil, err
	}
	if sealed == nil {
		return nil, fmt.Errorf("%w: the cluster has no CA yet", cluster.ErrUnavailable)
	}
	blob, err := m.Ring.OpenRoot(keyring.KindCAKey, []byte(m.Local.Identity().Cluster), sealed)
	if err != nil {
		return nil, err
	}
	cert, key, ok := splitCA(blob)
	if !ok {
		return nil, errors.New("member: CA record damaged")
	}
	ca, err := pki.ParseCA(cert, key)
	if err != nil {
		return nil, err
	}
	m.ca = &authority{ca}
	return ca, nil
}

// Renew replaces this node's certificate when it is due and returns the new
// one, or nil when there is nothing to do.
func (m *Manager) Renew(now time.Time) ([]byte, error) {
	keyDER, certDER, ok := m.Ring.Identity()
	if !ok {
		return nil, errors.New("member: no certificate")
	}
	cert, err := x509.ParseCertificate(certDER)
	if err != nil {
		return nil, err
	}
	if now.Before(pki.RenewAt(cert)) {
		return nil, nil
	}
	ca, err := m.authority()
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(keyDER)
	if err != nil {
		return nil, err
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("member: not a signing key")
	}
	csr, err := pki.NewCSR(signer)
	if err != nil {
		return nil, err
	}
	next, err := ca.Sign(csr, m.Self.String(), pki.NodeTTL, now)
	if err != nil {
		return nil, err
	}
	return next, m.Ring.SetIdentity(keyDER, next)
}

// caBlob is the CA as it is sealed: length of the certificate, certificate,
// key.
func caBlob(cert, key []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(cert)))
	return append(append(b, cert...), key...)
}

func splitCA(b []byte) (cert, key []byte, ok bool) {
	if len(b) < 4 {
		return nil, nil, false
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(b)-4) {
		return nil, nil, false
	}
	return b[4 : 4+n], b[4+n:], true
}

// A frame of the join call is a big-endian length and that much JSON.
func writeFrame(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > maxJoinFrame {
		return errors.New("member: join message too long")
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func readFrame(r io.Reader, v any) error {
	var l [4]byte
	if _, err := io.ReadFull(r, l[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(l[:])
	if n > maxJoinFrame {
		return errors.New("member: join message too long")
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}
