package pki

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"
)

// NodeTTL is how long a node certificate is valid; it is renewed after two
// thirds of it (RenewAt).
const NodeTTL = 90 * 24 * time.Hour

const (
	caTTL = 30 * 365 * 24 * time.Hour
	// backdate lets a certificate be shown to a node whose clock is behind.
	backdate = time.Hour
	// nodeScheme begins the URI name of a node certificate.
	nodeScheme = "altmail-node"
	// maxDER bounds what is parsed of a peer.
	maxDER = 16 << 10
)

// The errors of this package.
var (
	// ErrCertificate: not a certificate a node of this cluster may show.
	ErrCertificate = errors.New("pki: not a node certificate of this CA")
	// ErrCluster: the certificate is of another cluster or an older
	// incarnation of this one.
	ErrCluster = errors.New("pki: certificate of another cluster incarnation")
	// ErrFingerprint: no certificate shown has the pinned fingerprint.
	ErrFingerprint = errors.New("pki: CA does not have the fingerprint named by the token")
	// ErrCSR: the certificate request is malformed or not signed by its key.
	ErrCSR = errors.New("pki: bad certificate request")
	// ErrToken: the text is not a join token, or was mistyped.
	ErrToken = errors.New("pki: not a join token")
)

// CA is the certificate authority of one cluster incarnation. It is safe for
// concurrent use.
type CA struct {
	cert *x509.Certificate
	key  ed25519.PrivateKey
}

// NewKey makes a key for a node or a CA. Ed25519 signs and verifies faster
// than P-256 here and cannot fail for want of randomness.
func NewKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("pki: new key: %w", err)
	}
	return key, nil
}

// NewCA makes the CA of a cluster incarnation, named by an id of 1 to 64
// printable ASCII characters.
func NewCA(clusterID string, now time.Time) (*CA, error) {
	if err := checkClusterID(clusterID); err != nil {
		return nil, err
	}
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{clusterID}, CommonName: "altmail cluster CA"},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(caTTL),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("pki: make CA: %w", err)
	}
	return parseCA(der, key)
}

// ParseCA reads a CA from its certificate and its PKCS #8 key.
func ParseCA(certDER, keyPKCS8 []byte) (*CA, error) {
	k, err := x509.ParsePKCS8PrivateKey(keyPKCS8)
	if err != nil {
		// The parser's error could quote key bytes.
		return nil, errors.New("pki: CA key is not PKCS #8")
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("pki: CA key is not Ed25519")
	}
	return parseCA(certDER, key)
}

func parseCA(certDER []byte, key ed25519.PrivateKey) (*CA, error) {
	cert, err := ParseCACert(certDER)
	if err != nil {
		return nil, err
	}
	if !key.Public().(ed25519.PublicKey).Equal(cert.PublicKey) {
		return nil, errors.New("pki: CA certificate and key do not belong together")
	}
	return &CA{cert: cert, key: key}, nil
}

// ParseCACert reads the certificate of a cluster CA.
func ParseCACert(der []byte) (*x509.Certificate, error) {
	cert, err := parseCert(der)
	if err != nil {
		return nil, err
	}
	if !cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage&x509.KeyUsageCertSign == 0 ||
		len(cert.Subject.Organization) != 1 {
		return nil, fmt.Errorf("%w: not a CA certificate", ErrCertificate)
	}
	if err := cert.CheckSignatureFrom(cert); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return cert, nil
}

// Cert returns the CA's certificate; it is shared, not to be changed.
func (ca *CA) Cert() *x509.Certificate { return ca.cert }

// ClusterID returns the cluster incarnation the CA belongs to.
func (ca *CA) ClusterID() string { return ca.cert.Subject.Organization[0] }

// KeyPKCS8 returns the private key for sealing.
func (ca *CA) KeyPKCS8() ([]byte, error) { return MarshalKey(ca.key) }

// MarshalKey returns the PKCS #8 form of a private key.
func MarshalKey(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("pki: marshal key: %w", err)
	}
	return der, nil
}

// NewCSR makes the certificate request of a node: it proves that the node has
// the key. The name in the certificate is chosen by who signs.
func NewCSR(key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return nil, fmt.Errorf("pki: make certificate request: %w", err)
	}
	return der, nil
}

// ParseCSR checks a request and returns the public key (SubjectPublicKeyInfo)
// it is for.
func ParseCSR(der []byte) (spki []byte, err error) {
	req, err := parseCSR(der)
	if err != nil {
		return nil, err
	}
	return req.RawSubjectPublicKeyInfo, nil
}

func parseCSR(der []byte) (*x509.CertificateRequest, error) {
	if len(der) > maxDER {
		return nil, fmt.Errorf("%w: too large", ErrCSR)
	}
	req, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSR, err)
	}
	if _, ok := req.PublicKey.(ed25519.PublicKey); !ok {
		return nil, fmt.Errorf("%w: key is not Ed25519", ErrCSR)
	}
	if err := req.CheckSignature(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCSR, err)
	}
	return req, nil
}

// Sign gives the key of a request the name of a node (32 hexadecimal digits).
// Nothing else is taken from the request.
func (ca *CA) Sign(csrDER []byte, nodeID string, ttl time.Duration, now time.Time) (certDER []byte, err error) {
	req, err := parseCSR(csrDER)
	if err != nil {
		return nil, err
	}
	if err := checkNodeID(nodeID); err != nil {
		return nil, err
	}
	if ttl <= 0 {
		return nil, fmt.Errorf("pki: lifetime of %v", ttl)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	tmpl := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{ca.ClusterID()}, CommonName: nodeID},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(ttl),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:              []string{nodeID},
		URIs:                  []*url.URL{{Scheme: nodeScheme, Opaque: nodeID}},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, ca.cert, req.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("pki: sign: %w", err)
	}
	return der, nil
}

// Fingerprint names a CA: the SHA-256 of its certificate.
func Fingerprint(caCertDER []byte) [32]byte { return sha256.Sum256(caCertDER) }

// RenewAt is when a certificate is to be renewed: after two thirds of its
// life.
func RenewAt(cert *x509.Certificate) time.Time {
	return cert.NotBefore.Add(cert.NotAfter.Sub(cert.NotBefore) / 3 * 2)
}

// Peer is what a verified certificate says of its holder.
type Peer struct {
	NodeID    string // 32 hexadecimal digits
	ClusterID string
	SPKI      []byte // public key, to be compared with the directory's
	Expired   bool   // outside its time; for the log, see the package comment
	Cert      *x509.Certificate
}

// VerifyPeer checks the certificates a peer showed in a handshake: the first
// must be a node certificate signed directly by one of the CAs, of the given
// cluster incarnation.
func VerifyPeer(shown [][]byte, cas []*x509.Certificate, clusterID string, now time.Time) (*Peer, error) {
	if len(shown) == 0 {
		return nil, fmt.Errorf("%w: none shown", ErrCertificate)
	}
	leaf, err := parseCert(shown[0])
	if err != nil {
		return nil, err
	}
	id, err := nodeName(leaf)
	if err != nil {
		return nil, err
	}
	// Told first, because a CA is new with each incarnation: "another
	// cluster" says more than "not signed by our CA".
	if leaf.Subject.Organization[0] != clusterID {
		return nil, fmt.Errorf("%w: %q, want %q", ErrCluster, leaf.Subject.Organization[0], clusterID)
	}
	for _, ca := range cas {
		if leaf.CheckSignatureFrom(ca) != nil {
			continue
		}
		return &Peer{
			NodeID:    id,
			ClusterID: clusterID,
			SPKI:      leaf.RawSubjectPublicKeyInfo,
			Expired:   now.Before(leaf.NotBefore) || now.After(leaf.NotAfter),
			Cert:      leaf,
		}, nil
	}
	return nil, fmt.Errorf("%w: not signed by the cluster's CA", ErrCertificate)
}

// VerifyPinned checks the certificates a node showed to one that wants to
// join: among them the CA with the fingerprint of the token, which signed the
// first. It returns the CA's certificate.
func VerifyPinned(shown [][]byte, fingerprint [32]byte, now time.Time) (ca *x509.Certificate, peer *Peer, err error) {
	for _, der := range shown {
		if Fingerprint(der) != fingerprint {
			continue
		}
		if ca, err = ParseCACert(der); err != nil {
			return nil, nil, err
		}
		peer, err = VerifyPeer(shown, []*x509.Certificate{ca}, ca.Subject.Organization[0], now)
		if err != nil {
			return nil, nil, err
		}
		return ca, peer, nil
	}
	return nil, nil, ErrFingerprint
}

// nodeName checks the form of a node certificate and returns the node id.
func nodeName(c *x509.Certificate) (string, error) {
	id := c.Subject.CommonName
	switch {
	case c.IsCA, c.KeyUsage&x509.KeyUsageDigitalSignature == 0, len(c.UnhandledCriticalExtensions) != 0:
		return "", fmt.Errorf("%w: wrong use", ErrCertificate)
	case checkNodeID(id) != nil, len(c.Subject.Organization) != 1, len(c.DNSNames) != 1 || c.DNSNames[0] != id,
		len(c.URIs) != 1 || c.URIs[0].Scheme != nodeScheme || c.URIs[0].Opaque != id,
		len(c.IPAddresses) != 0, len(c.EmailAddresses) != 0:
		return "", fmt.Errorf("%w: wrong names", ErrCertificate)
	}
	if _, ok := c.PublicKey.(ed25519.PublicKey); !ok {
		return "", fmt.Errorf("%w: key is not Ed25519", ErrCertificate)
	}
	return id, nil
}

func parseCert(der []byte) (*x509.Certificate, error) {
	if len(der) > maxDER {
		return nil, fmt.Errorf("%w: too large", ErrCertificate)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCertificate, err)
	}
	return c, nil
}

func checkNodeID(id string) error {
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != 16 || hex.EncodeToString(b) != id || bytes.Equal(b, make([]byte, 16)) {
		return errors.New("pki: node id is not 32 lower-case hexadecimal digits")
	}
	return nil
}

func checkClusterID(id string) error {
	if len(id) < 1 || len(id) > 64 {
		return errors.New("pki: cluster id must have 1 to 64 characters")
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c > '~' {
			return errors.New("pki: cluster id must be printable ASCII")
		}
	}
	return nil
}

func newSerial() (*big.Int, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return nil, fmt.Errorf("pki: new serial number: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40 // positive, and always of the same length
	return new(big.Int).SetBytes(b[:]), nil
}
