package pki

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// The form of a token; FORMAT.md draws it.
const (
	tokenPrefix   = "altmail-join-"
	tokenVersion  = 1
	tokenChecksum = 4
	maxTokenAddrs = 8
	maxTokenAddr  = 255
	maxTokenText  = 8192
)

const (
	infoVerifier = "altmail join verifier v1"
	labelProof   = "altmail join proof v1\x00"
	labelReply   = "altmail join reply v1\x00"
)

// ExporterLabel is the label of the TLS exporter (RFC 8446 section 7.5) whose
// 32 bytes bind a proof to its connection.
const ExporterLabel = "EXPORTER-altmail-join-v1"

var tokenText = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Token lets one new node join. Whoever holds it can join once, so it never
// shows itself in a log: only Text gives it away.
type Token struct {
	Addrs  []string // host:port of nodes to ask, the best first
	CA     [32]byte // fingerprint of the cluster's CA
	ID     [8]byte  // names the token in the directory; not secret
	secret [32]byte
}

// NewToken makes a token.
func NewToken(addrs []string, ca [32]byte) (*Token, error) {
	if len(addrs) == 0 || len(addrs) > maxTokenAddrs {
		return nil, fmt.Errorf("pki: a token holds 1 to %d addresses, not %d", maxTokenAddrs, len(addrs))
	}
	for _, a := range addrs {
		if a == "" || len(a) > maxTokenAddr {
			return nil, errors.New("pki: address of a token is empty or too long")
		}
	}
	t := &Token{Addrs: append([]string(nil), addrs...), CA: ca}
	if _, err := rand.Read(t.ID[:]); err != nil {
		return nil, fmt.Errorf("pki: new token: %w", err)
	}
	if _, err := rand.Read(t.secret[:]); err != nil {
		return nil, fmt.Errorf("pki: new token: %w", err)
	}
	return t, nil
}

// Text returns the token as it is handed to the new node. It is secret.
func (t *Token) Text() string {
	b := []byte{tokenVersion}
	b = append(b, t.ID[:]...)
	b = append(b, t.secret[:]...)
	b = append(b, t.CA[:]...)
	b = append(b, byte(len(t.Addrs)))
	for _, a := range t.Addrs {
		b = append(b, byte(len(a)))
		b = append(b, a...)
	}
	sum := sha256.Sum256(b)
	return tokenPrefix + tokenText.EncodeToString(append(b, sum[:tokenChecksum]...))
}

// ParseToken reads a token; white space around and line breaks within it are
// ignored, and so is case.
func ParseToken(text string) (*Token, error) {
	if len(text) > maxTokenText {
		return nil, fmt.Errorf("%w: too long", ErrToken)
	}
	text, ok := strings.CutPrefix(strings.ToLower(strings.Join(strings.Fields(text), "")), tokenPrefix)
	if !ok {
		return nil, fmt.Errorf("%w: it begins with %s", ErrToken, tokenPrefix)
	}
	b, err := tokenText.DecodeString(text)
	// The decoder ignores spare bits of the last letter; one token has one text.
	if err != nil || len(b) < 1+8+32+32+1+tokenChecksum || tokenText.EncodeToString(b) != text {
		return nil, fmt.Errorf("%w: cut short or mistyped", ErrToken)
	}
	b, sum := b[:len(b)-tokenChecksum], b[len(b)-tokenChecksum:]
	if want := sha256.Sum256(b); string(sum) != string(want[:tokenChecksum]) {
		return nil, fmt.Errorf("%w: cut short or mistyped", ErrToken)
	}
	if b[0] != tokenVersion {
		return nil, fmt.Errorf("%w: made by another version of altmail", ErrToken)
	}
	t := new(Token)
	b = b[1:]
	b = b[copy(t.ID[:], b):]
	b = b[copy(t.secret[:], b):]
	b = b[copy(t.CA[:], b):]
	n := int(b[0])
	b = b[1:]
	if n < 1 || n > maxTokenAddrs {
		return nil, fmt.Errorf("%w: %d addresses", ErrToken, n)
	}
	for range n {
		if len(b) < 1 || b[0] == 0 || len(b) < 1+int(b[0]) {
			return nil, fmt.Errorf("%w: bad address", ErrToken)
		}
		t.Addrs = append(t.Addrs, string(b[1:1+b[0]]))
		b = b[1+b[0]:]
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%w: bytes left over", ErrToken)
	}
	return t, nil
}

// String names the token without its secret.
func (t *Token) String() string { return "join token " + hex.EncodeToString(t.ID[:]) }

// GoString names the token without its secret.
func (t *Token) GoString() string { return t.String() }

// LogValue names the token without its secret.
func (t *Token) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Verifier is what the cluster keeps to check a proof. It does not give the
// secret away, but it is the key of the proof: whoever reads it could join,
// so it is stored sealed.
func (t *Token) Verifier() ([32]byte, error) {
	var v [32]byte
	k, err := hkdf.Key(sha256.New, t.secret[:], t.ID[:], infoVerifier, len(v))
	if err != nil {
		return v, fmt.Errorf("pki: derive verifier: %w", err)
	}
	copy(v[:], k)
	return v, nil
}

// Prove shows, on one TLS connection and for one certificate request, that
// the caller has the secret. exporter is what ExporterLabel gave.
func (t *Token) Prove(exporter, csr []byte) ([32]byte, error) {
	v, err := t.Verifier()
	if err != nil {
		return v, err
	}
	return mac(&v, labelProof, exporter, csr), nil
}

// VerifyProof checks a proof in constant time.
func VerifyProof(verifier *[32]byte, exporter, csr, proof []byte) bool {
	want := mac(verifier, labelProof, exporter, csr)
	return hmac.Equal(want[:], proof)
}

// Answer is the proof in the other direction: that a reply (keys,
// certificate) on this connection comes from who knows the token.
func Answer(verifier *[32]byte, exporter, reply []byte) [32]byte {
	return mac(verifier, labelReply, exporter, reply)
}

// VerifyAnswer checks the server's proof in constant time.
func (t *Token) VerifyAnswer(exporter, reply, answer []byte) (bool, error) {
	v, err := t.Verifier()
	if err != nil {
		return false, err
	}
	want := Answer(&v, exporter, reply)
	return hmac.Equal(want[:], answer), nil
}

func mac(key *[32]byte, label string, exporter, data []byte) (out [32]byte) {
	m := hmac.New(sha256.New, key[:])
	m.Write([]byte(label))
	m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(exporter))))
	m.Write(exporter)
	m.Write(data)
	m.Sum(out[:0])
	return out
}
