// Package grant keeps who may pull backups: names, the public keys they show,
// and the age recipients that what they pull is sealed to. The list is one
// sealed setting of the directory. The private key never leaves the file that
// it was made in.
package grant

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"altmail.se/altmail/crypto/keyring"
)

// Setting is the name of the setting in the directory. Frozen.
const Setting = "backup/grants"

// Limits of a list.
const (
	MaxGrants     = 100
	MaxRecipients = 16
	maxText       = 4 << 10
)

// The errors of this package.
var (
	ErrName       = errors.New("grant: a name has 1 to 63 letters, digits, dots and dashes")
	ErrExists     = errors.New("grant: there is one of that name: revoke it first")
	ErrUnknown    = errors.New("grant: no such grant")
	ErrRecipients = errors.New("grant: at least one age recipient is needed")
	ErrLimit      = errors.New("grant: too many")
	ErrFile       = errors.New("grant: not a credential for pulling backups")
	ErrRefused    = errors.New("grant: this credential was never granted, or is revoked")
)

// Grant lets the holder of a key pull backups, and do nothing else.
type Grant struct {
	Name string `json:"name"`
	Key  []byte `json:"key"` // SubjectPublicKeyInfo
	// Recipients are who can read what is pulled, as age writes them.
	Recipients []string `json:"recipients"`
	Created    int64    `json:"created"` // ms
}

// Check refuses a grant that could not be used.
func (g *Grant) Check() error {
	ok := len(g.Name) >= 1 && len(g.Name) <= 63
	for _, r := range g.Name {
		ok = ok && (r == '-' || r == '.' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	}
	if !ok {
		return ErrName
	}
	k, err := x509.ParsePKIXPublicKey(g.Key)
	if err != nil {
		return fmt.Errorf("grant: key: %w", err)
	}
	if _, ok := k.(ed25519.PublicKey); !ok {
		return errors.New("grant: key: not Ed25519")
	}
	_, err = Recipients(g.Recipients)
	return err
}

// Recipients reads age recipients.
func Recipients(text []string) ([]age.Recipient, error) {
	if len(text) == 0 {
		return nil, ErrRecipients
	}
	if len(text) > MaxRecipients {
		return nil, fmt.Errorf("%w: %d recipients", ErrLimit, len(text))
	}
	var out []age.Recipient
	for _, t := range text {
		if len(t) > maxText || strings.ContainsAny(t, "\r\n") {
			return nil, fmt.Errorf("%w: a recipient is one line", ErrRecipients)
		}
		rs, err := age.ParseRecipients(strings.NewReader(t))
		if err != nil || len(rs) != 1 {
			return nil, fmt.Errorf("%w: %q is not one", ErrRecipients, t)
		}
		out = append(out, rs[0])
	}
	return out, nil
}

// Ring seals the list: *keyring.Ring.
type Ring interface {
	SealRoot(kind keyring.Kind, object, plaintext []byte) ([]byte, error)
	OpenRoot(kind keyring.Kind, object, sealed []byte) ([]byte, error)
}

// Seal returns the setting's value.
func Seal(r Ring, list []Grant) ([]byte, error) {
	b, err := json.Marshal(list)
	if err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	return r.SealRoot(keyring.KindBackup, []byte(Setting), b)
}

// Open reads it; an empty value is an empty list.
func Open(r Ring, sealed []byte) (list []Grant, err error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	b, err := r.OpenRoot(keyring.KindBackup, []byte(Setting), sealed)
	if err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	return list, nil
}

// Add returns the list with one more.
func Add(list []Grant, g Grant) ([]Grant, error) {
	if err := g.Check(); err != nil {
		return nil, err
	}
	if len(list) >= MaxGrants {
		return nil, fmt.Errorf("%w: %d grants", ErrLimit, len(list))
	}
	for _, h := range list {
		if h.Name == g.Name || bytes.Equal(h.Key, g.Key) {
			return nil, ErrExists
		}
	}
	return append(slices.Clone(list), g), nil
}

// Remove returns the list without one.
func Remove(list []Grant, name string) ([]Grant, error) {
	i := slices.IndexFunc(list, func(g Grant) bool { return g.Name == name })
	if i < 0 {
		return nil, ErrUnknown
	}
	return slices.Delete(slices.Clone(list), i, i+1), nil
}

// ByKey finds who shows a key.
func ByKey(list []Grant, spki []byte) (Grant, error) {
	for _, g := range list {
		if bytes.Equal(g.Key, spki) {
			return g, nil
		}
	}
	return Grant{}, ErrRefused
}

// Credential is the file that a puller has.
type Credential struct {
	Version int      `json:"version"`
	Name    string   `json:"name"`
	Cluster string   `json:"cluster"`
	CA      string   `json:"ca"`    // fingerprint, hexadecimal
	Nodes   []string `json:"nodes"` // addresses
	Key     []byte   `json:"key"`   // PKCS #8
}

// NewKey makes the key of a credential, and what of it is granted.
func NewKey() (pkcs8, spki []byte, err error) {
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("grant: new key: %w", err)
	}
	if pkcs8, err = x509.MarshalPKCS8PrivateKey(key); err != nil {
		return nil, nil, fmt.Errorf("grant: new key: %w", err)
	}
	if spki, err = x509.MarshalPKIXPublicKey(pub); err != nil {
		return nil, nil, fmt.Errorf("grant: new key: %w", err)
	}
	return pkcs8, spki, nil
}

// Encode writes the file.
func (c *Credential) Encode() ([]byte, error) {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("grant: %w", err)
	}
	return append(b, '\n'), nil
}

// ParseCredential reads it. Its errors never quote the file.
func ParseCredential(b []byte) (*Credential, error) {
	c := &Credential{}
	if len(b) > 64<<10 || json.Unmarshal(b, c) != nil || c.Version != 1 {
		return nil, ErrFile
	}
	if _, err := c.Fingerprint(); err != nil {
		return nil, err
	}
	if _, err := c.Certificate(time.Now()); err != nil {
		return nil, err
	}
	return c, nil
}

// Fingerprint is that of the CA which the nodes must show.
func (c *Credential) Fingerprint() (fp [32]byte, err error) {
	b, err := hex.DecodeString(c.CA)
	if err != nil || len(b) != len(fp) {
		return fp, ErrFile
	}
	return [32]byte(b), nil
}

// Certificate makes what the puller shows: its key counts, nothing else.
func (c *Credential) Certificate(now time.Time) (*tls.Certificate, error) {
	k, err := x509.ParsePKCS8PrivateKey(c.Key)
	if err != nil {
		return nil, ErrFile // the parser's error could quote key bytes
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, ErrFile
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "altmail backup"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("grant: certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
