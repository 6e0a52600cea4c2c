package passwd

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

// Limits and parameters.
const (
	// MaxPassword is the longest password taken, in bytes.
	MaxPassword = 1024
	// Iterations is the PBKDF2 count of new verifiers. Cyrus SASL, which
	// mbsync, mutt and others log in with, refuses to compute more than 65,536
	// rounds, and a client that is offered SCRAM does not fall back; see
	// DESIGN.md.
	Iterations = 60_000

	saltSize      = 16
	minIterations = 4096 // RFC 7677 section 4
	maxIterations = 10_000_000
	minSalt       = 8
	maxSalt       = 64
	maxEncoded    = 512
	scramScheme   = "SCRAM-SHA-256"
)

var (
	// ErrPassword means that a password cannot be used: empty, too long, or
	// with characters that no keyboard sends (RFC 8265 section 4.2).
	ErrPassword = errors.New("passwd: password not usable")
	// ErrFormat means that an encoded verifier or hash cannot be read.
	ErrFormat = errors.New("passwd: unknown or damaged password record")
)

// Checker is a stored password record of any kind.
type Checker interface {
	// Check tells whether pw is the password, in time that does not depend
	// on how much of it is right.
	Check(pw []byte) bool
	// Encode returns the record as text that ParseChecker reads.
	Encode() string
}

// Verifier is a SCRAM-SHA-256 record. It does not hold the password, and
// whoever steals it cannot log in with it, but can try passwords at Iterations
// rounds each. It is immutable.
type Verifier struct {
	salt       []byte
	iterations int
	stored     [32]byte // H(ClientKey)
	server     [32]byte
}

// NewVerifier makes a record with a fresh salt. It takes about a tenth of a
// second of one core.
func NewVerifier(pw []byte) (*Verifier, error) {
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, fmt.Errorf("passwd: random salt: %w", err)
	}
	return newVerifier(pw, salt, Iterations)
}

func newVerifier(pw, salt []byte, iterations int) (*Verifier, error) {
	prepared, err := prepare(pw)
	if err != nil {
		return nil, err
	}
	client, server, err := scramKeys(prepared, salt, iterations)
	if err != nil {
		return nil, err
	}
	return &Verifier{salt: salt, iterations: iterations, stored: sha256.Sum256(client[:]), server: server}, nil
}

// prepare applies the OpaqueString profile.
func prepare(pw []byte) (string, error) {
	if len(pw) == 0 || len(pw) > MaxPassword {
		return "", fmt.Errorf("%w: %d bytes", ErrPassword, len(pw))
	}
	if !utf8.Valid(pw) {
		return "", fmt.Errorf("%w: not UTF-8", ErrPassword)
	}
	b, err := precis.OpaqueString.Bytes(pw)
	if err != nil {
		// The cause is not shown: it may quote the password.
		return "", fmt.Errorf("%w: characters outside the OpaqueString profile", ErrPassword)
	}
	return string(b), nil
}

// scramKeys returns ClientKey and ServerKey (RFC 5802 section 3).
func scramKeys(pw string, salt []byte, iterations int) (client, server [32]byte, err error) {
	salted, err := pbkdf2.Key(sha256.New, pw, salt, iterations, sha256.Size)
	if err != nil {
		return client, server, fmt.Errorf("passwd: %w", err)
	}
	client = [32]byte(mac(salted, "Client Key"))
	server = [32]byte(mac(salted, "Server Key"))
	clear(salted)
	return client, server, nil
}

func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return h.Sum(nil)
}

// Check tells whether pw is the password.
func (v *Verifier) Check(pw []byte) bool {
	_, ok := v.ClientKey(pw)
	return ok
}

// ClientKey is Check that also returns SCRAM's ClientKey: a secret that the
// server sees at each login, by PLAIN as by SCRAM, but does not store.
func (v *Verifier) ClientKey(pw []byte) ([32]byte, bool) {
	prepared, err := prepare(pw)
	if err != nil {
		return [32]byte{}, false
	}
	client, server, err := scramKeys(prepared, v.salt, v.iterations)
	if err != nil {
		return [32]byte{}, false
	}
	stored := sha256.Sum256(client[:])
	if subtle.ConstantTimeCompare(stored[:], v.stored[:])&subtle.ConstantTimeCompare(server[:], v.server[:]) != 1 {
		return [32]byte{}, false
	}
	return client, true
}

// Encode returns the record as text in the syntax of RFC 5803 section 2.
func (v *Verifier) Encode() string {
	b64 := base64.StdEncoding.EncodeToString
	return scramScheme + "$" + strconv.Itoa(v.iterations) + ":" + b64(v.salt) +
		"$" + b64(v.stored[:]) + ":" + b64(v.server[:])
}

// Parse reads what Encode wrote.
func Parse(s string) (*Verifier, error) {
	bad := func(what string) (*Verifier, error) { return nil, fmt.Errorf("%w: %s", ErrFormat, what) }
	if len(s) > maxEncoded {
		return bad("too long")
	}
	rest, ok := strings.CutPrefix(s, scramScheme+"$")
	if !ok {
		return bad("scheme")
	}
	info, keys, ok := strings.Cut(rest, "$")
	count, salt64, ok1 := strings.Cut(info, ":")
	stored64, server64, ok2 := strings.Cut(keys, ":")
	if !ok || !ok1 || !ok2 {
		return bad("fields")
	}
	v := new(Verifier)
	var err error
	if v.iterations, err = strconv.Atoi(count); err != nil || strconv.Itoa(v.iterations) != count ||
		v.iterations < minIterations || v.iterations > maxIterations {
		return bad("iterations")
	}
	strict := base64.StdEncoding.Strict()
	if v.salt, err = strict.DecodeString(salt64); err != nil || len(v.salt) < minSalt || len(v.salt) > maxSalt {
		return bad("salt")
	}
	for _, k := range []struct {
		text string
		key  *[32]byte
	}{{stored64, &v.stored}, {server64, &v.server}} {
		b, err := strict.DecodeString(k.text)
		if err != nil || len(b) != len(k.key) {
			return bad("key")
		}
		copy(k.key[:], b)
	}
	if v.Encode() != s { // base64 skips line ends
		return bad("not as written")
	}
	return v, nil
}

// ParseChecker reads a record of any kind this package writes.
func ParseChecker(s string) (Checker, error) {
	if strings.HasPrefix(s, argonScheme) {
		return ParseArgon2id(s)
	}
	if strings.HasPrefix(s, "{") {
		c, err := ParseDovecot(s, "")
		if err == nil && c.Encode() != s {
			err = fmt.Errorf("%w: not as written", ErrFormat)
		}
		return c, err
	}
	return Parse(s)
}

// FakeCheck takes as long as Check against a Verifier with Iterations rounds.
// A PLAIN login for a name without a verifier calls it before it is refused,
// or the time would tell that there is no such name.
func FakeCheck(pw []byte) {
	v := Verifier{salt: make([]byte, saltSize), iterations: Iterations}
	v.Check(pw)
}
