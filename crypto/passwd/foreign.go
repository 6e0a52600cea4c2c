package passwd

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"

	"github.com/go-crypt/x/crypt"
	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// ErrCleartext means that a password field holds the password itself.
var ErrCleartext = errors.New("passwd: the password is stored as it is, in the clear")

// What a hash from elsewhere may cost to check: a record must not let logins
// take the machine down.
const (
	minShaRounds    = 1000
	maxShaRounds    = 2_000_000
	shaRounds       = 5000 // where none are given
	maxShaSalt      = 16
	maxBcryptCost   = 15
	maxPBKDF2Rounds = 1_000_000
)

// Foreign is a hash in one of Dovecot's schemes that this package does not make
// itself. It serves PLAIN only, until a login with the right password exchanges
// it for a Verifier. It is immutable.
type Foreign struct {
	scheme string // in capitals
	text   string // as it stands behind the scheme
	check  func(pw []byte) bool
}

// Check tells whether pw is the password, as it was typed or as RFC 8265
// prepares it.
func (f *Foreign) Check(pw []byte) bool {
	prepared, err := prepare(pw)
	if err != nil {
		return false
	}
	return f.check(pw) || prepared != string(pw) && f.check([]byte(prepared))
}

// Encode returns the scheme in braces and the hash, as in a passwd-file.
func (f *Foreign) Encode() string { return "{" + f.scheme + "}" + f.text }

// ParseDovecot reads the password field of a Dovecot passwd-file: a scheme in
// braces and a hash. scheme is that of a field without one, "" for CRYPT. A
// password that is not hashed is ErrCleartext; Cleartext returns it.
func ParseDovecot(field, scheme string) (Checker, error) {
	scheme, encoding, text, err := splitField(field, scheme)
	if err != nil {
		return nil, err
	}
	if cleartext(scheme) {
		return nil, ErrCleartext
	}
	bad := func(what string) (Checker, error) { return nil, fmt.Errorf("%w: %s: %s", ErrFormat, scheme, what) }
	if len(field) > maxEncoded {
		return bad("too long")
	}
	if scheme == "CRYPT" {
		// What crypt(3) calls so is told by how it begins.
		for prefix, s := range map[string]string{"$6$": "SHA512-CRYPT", "$5$": "SHA256-CRYPT", "$2": "BLF-CRYPT"} {
			if strings.HasPrefix(text, prefix) {
				scheme = s
			}
		}
	}
	f := &Foreign{scheme: scheme, text: text}
	switch scheme {
	case "ARGON2ID":
		return ParseArgon2id(text)
	case "SCRAM-SHA-256":
		return parseDovecotScram(text)
	case "ARGON2I":
		f.check, err = argon2i(text)
	case "SHA512-CRYPT":
		f.check, err = shaCrypt(text, "$6$", sha512.New, 86)
	case "SHA256-CRYPT":
		f.check, err = shaCrypt(text, "$5$", sha256.New, 43)
	case "BLF-CRYPT":
		f.check, err = blowfish(text)
	case "PBKDF2":
		f.check, err = dovecotPBKDF2(text)
	case "SSHA512", "SSHA256":
		f.check, err = f.salted(encoding)
	default:
		return nil, fmt.Errorf("%w: the scheme %q is not taken: SHA512-CRYPT, SHA256-CRYPT, BLF-CRYPT, ARGON2ID, ARGON2I, PBKDF2, SSHA512, SSHA256, SCRAM-SHA-256 are", ErrFormat, scheme)
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Cleartext returns the password of a field that holds it as it is.
func Cleartext(field, scheme string) ([]byte, bool) {
	scheme, _, text, err := splitField(field, scheme)
	if err != nil || !cleartext(scheme) || text == "" {
		return nil, false
	}
	return []byte(text), true
}

func cleartext(scheme string) bool {
	return scheme == "PLAIN" || scheme == "CLEAR" || scheme == "CLEARTEXT" || scheme == "PLAIN-TRUNC"
}

// splitField takes a field apart: {SCHEME.ENCODING}text.
func splitField(field, fallback string) (scheme, encoding, text string, err error) {
	text = field
	if scheme = fallback; scheme == "" {
		scheme = "CRYPT"
	}
	if rest, ok := strings.CutPrefix(field, "{"); ok {
		if scheme, text, ok = strings.Cut(rest, "}"); !ok {
			return "", "", "", fmt.Errorf("%w: a scheme without its closing brace", ErrFormat)
		}
	}
	scheme, encoding, _ = strings.Cut(strings.ToUpper(scheme), ".")
	if text == "" || text == "*" || strings.HasPrefix(text, "!") {
		return "", "", "", fmt.Errorf("%w: no password is set", ErrFormat)
	}
	for i := range len(text) {
		if c := text[i]; (c <= ' ' || c > '~') && !cleartext(scheme) {
			return "", "", "", fmt.Errorf("%w: %s: not a hash", ErrFormat, scheme)
		}
	}
	return scheme, encoding, text, nil
}

func foreignFormat(what string) error { return fmt.Errorf("%w: %s", ErrFormat, what) }

// shaCrypt reads $6$rounds=N$salt$hash.
func shaCrypt(text, prefix string, h func() hash.Hash, length int) (func([]byte) bool, error) {
	rest, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return nil, foreignFormat("SHA-crypt prefix")
	}
	rounds := shaRounds
	if r, ok := strings.CutPrefix(rest, "rounds="); ok {
		n, after, ok := strings.Cut(r, "$")
		v, err := strconv.Atoi(n)
		if !ok || err != nil || v < minShaRounds || v > maxShaRounds {
			return nil, foreignFormat("SHA-crypt rounds")
		}
		rounds, rest = v, after
	}
	salt, want, ok := strings.Cut(rest, "$")
	if !ok || len(salt) > maxShaSalt || len(want) != length {
		return nil, foreignFormat("SHA-crypt salt or hash")
	}
	return func(pw []byte) bool {
		return subtle.ConstantTimeCompare(crypt.KeySHACrypt(h, pw, []byte(salt), rounds), []byte(want)) == 1
	}, nil
}

func blowfish(text string) (func([]byte) bool, error) {
	cost, err := bcrypt.Cost([]byte(text))
	if err != nil || cost > maxBcryptCost || len(text) != 60 {
		return nil, foreignFormat("bcrypt hash, or its cost")
	}
	return func(pw []byte) bool { return bcrypt.CompareHashAndPassword([]byte(text), pw) == nil }, nil
}

// argon2i reads the PHC string of the variant that Argon2id does not compute.
func argon2i(text string) (func([]byte) bool, error) {
	rest, ok := strings.CutPrefix(text, "$argon2i$")
	if !ok {
		return nil, foreignFormat("argon2i prefix")
	}
	a, err := ParseArgon2id(argonScheme + rest)
	if err != nil {
		return nil, err
	}
	return func(pw []byte) bool {
		got := argon2.Key(pw, a.salt, a.time, a.memory, a.threads, uint32(len(a.hash)))
		return subtle.ConstantTimeCompare(got, a.hash) == 1
	}, nil
}

// dovecotPBKDF2 reads $1$salt$rounds$hash: HMAC-SHA-1, the salt as it is
// written, the hash in hexadecimal.
func dovecotPBKDF2(text string) (func([]byte) bool, error) {
	p := strings.Split(text, "$")
	if len(p) != 5 || p[0] != "" || p[1] != "1" || p[2] == "" {
		return nil, foreignFormat("PBKDF2 fields")
	}
	rounds, err := strconv.Atoi(p[3])
	if err != nil || rounds < 1 || rounds > maxPBKDF2Rounds {
		return nil, foreignFormat("PBKDF2 rounds")
	}
	want, err := hex.DecodeString(p[4])
	if err != nil || len(want) != sha1.Size {
		return nil, foreignFormat("PBKDF2 hash")
	}
	return func(pw []byte) bool {
		got, err := pbkdf2.Key(sha1.New, string(pw), []byte(p[2]), rounds, sha1.Size)
		return err == nil && hmac.Equal(got, want)
	}, nil
}

// salted reads a digest of password and salt with the salt behind it.
func (f *Foreign) salted(encoding string) (func([]byte) bool, error) {
	h, size := sha512.New, sha512.Size
	if f.scheme == "SSHA256" {
		h, size = sha256.New, sha256.Size
	}
	var b []byte
	var err error
	switch encoding {
	case "", "B64", "BASE64":
		b, err = base64.StdEncoding.Strict().DecodeString(f.text)
	case "HEX":
		b, err = hex.DecodeString(f.text)
	default:
		err = errors.New("encoding")
	}
	if err != nil || len(b) <= size || len(b) > size+maxSalt {
		return nil, foreignFormat(f.scheme + " hash")
	}
	f.text = base64.StdEncoding.EncodeToString(b)
	return func(pw []byte) bool {
		d := h()
		d.Write(pw)
		d.Write(b[size:])
		return hmac.Equal(d.Sum(nil), b[:size])
	}, nil
}

// parseDovecotScram reads iterations,salt,StoredKey,ServerKey: what a Verifier
// has, in other words.
func parseDovecotScram(text string) (Checker, error) {
	p := strings.Split(text, ",")
	if len(p) != 4 {
		return nil, foreignFormat("SCRAM-SHA-256 fields")
	}
	return Parse(scramScheme + "$" + p[0] + ":" + p[1] + "$" + p[2] + ":" + p[3])
}
