package passwd

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// New argon2id hashes take 19 MiB and two passes: the least that OWASP holds
// for sound, because a hundred logins at once must fit in memory.
const (
	argonTime      = 2
	argonMemoryKiB = 19 << 10
	argonThreads   = 1
	argonKey       = 32

	argonScheme       = "$argon2id$"
	maxArgonTime      = 32
	maxArgonMemoryKiB = 256 << 10
	maxArgonThreads   = 16
)

// Argon2id is an argon2id hash of a password, as other systems store them. It
// serves PLAIN only. It is immutable.
type Argon2id struct {
	time, memory uint32
	threads      uint8
	salt, hash   []byte
}

// NewArgon2id hashes a password with a fresh salt.
func NewArgon2id(pw []byte) (*Argon2id, error) {
	prepared, err := prepare(pw)
	if err != nil {
		return nil, err
	}
	a := &Argon2id{time: argonTime, memory: argonMemoryKiB, threads: argonThreads, salt: make([]byte, saltSize)}
	if _, err := rand.Read(a.salt); err != nil {
		return nil, fmt.Errorf("passwd: random salt: %w", err)
	}
	a.hash = argon2.IDKey([]byte(prepared), a.salt, a.time, a.memory, a.threads, argonKey)
	return a, nil
}

// Check tells whether pw is the password, as it was typed or as RFC 8265
// prepares it: other systems hash it as typed.
func (a *Argon2id) Check(pw []byte) bool {
	prepared, err := prepare(pw)
	if err != nil {
		return false
	}
	if a.matches([]byte(prepared)) {
		return true
	}
	return prepared != string(pw) && a.matches(pw)
}

func (a *Argon2id) matches(pw []byte) bool {
	got := argon2.IDKey(pw, a.salt, a.time, a.memory, a.threads, uint32(len(a.hash)))
	return subtle.ConstantTimeCompare(got, a.hash) == 1
}

// Encode returns the hash in the PHC string format.
func (a *Argon2id) Encode() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("%sv=%d$m=%d,t=%d,p=%d$%s$%s", argonScheme, argon2.Version,
		a.memory, a.time, a.threads, b64(a.salt), b64(a.hash))
}

// ParseArgon2id reads a PHC string. Parameters that would let a record take
// the machine down are refused.
func ParseArgon2id(s string) (*Argon2id, error) {
	bad := func(what string) (*Argon2id, error) { return nil, fmt.Errorf("%w: argon2id %s", ErrFormat, what) }
	if len(s) > maxEncoded {
		return bad("too long")
	}
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || "$"+parts[1]+"$" != argonScheme {
		return bad("fields")
	}
	a := new(Argon2id)
	var version int
	if _, err := fmt.Sscanf(parts[2], "v=%d", &version); err != nil || version != argon2.Version {
		return bad("version")
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &a.memory, &a.time, &a.threads); err != nil {
		return bad("parameters")
	}
	if a.time < 1 || a.time > maxArgonTime || a.memory < 8*uint32(a.threads) || a.memory > maxArgonMemoryKiB ||
		a.threads < 1 || a.threads > maxArgonThreads {
		return bad("parameters out of bounds")
	}
	strict := base64.RawStdEncoding.Strict()
	var err error
	if a.salt, err = strict.DecodeString(parts[4]); err != nil || len(a.salt) < minSalt || len(a.salt) > maxSalt {
		return bad("salt")
	}
	if a.hash, err = strict.DecodeString(parts[5]); err != nil || len(a.hash) < 16 || len(a.hash) > 64 {
		return bad("hash")
	}
	if a.Encode() != s {
		return bad("not as written")
	}
	return a, nil
}
