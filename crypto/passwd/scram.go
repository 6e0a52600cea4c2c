package passwd

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of the exchange, in bytes.
const (
	maxScramMessage = 4096
	maxScramName    = 1024
	maxScramNonce   = 512
	serverNonce     = 18
)

var (
	// ErrUnknownUser is what a Lookup returns for a name without a verifier.
	// The exchange then goes on to its end against a made-up one.
	ErrUnknownUser = errors.New("passwd: unknown user")
	// ErrBadCredentials means that the proof was wrong or the user unknown.
	ErrBadCredentials = errors.New("passwd: wrong user or password")
	// ErrProtocol means that the client broke the syntax of RFC 5802.
	ErrProtocol = errors.New("passwd: malformed SCRAM message")
	// ErrBinding means that the client's channel binding is not this
	// connection's, or was talked out of using one (RFC 5802 section 6).
	ErrBinding = errors.New("passwd: channel binding does not match")
)

// ScramConfig is what a SCRAM exchange needs from its surroundings.
type ScramConfig struct {
	// Lookup returns the verifier of a login name, ErrUnknownUser where
	// there is none, or another error, which Next returns as it is.
	Lookup func(ctx context.Context, name string) (*Verifier, error)
	// FakeSecret makes the salts shown for unknown users. It is the same on
	// every node and for all time, or the change of a salt would tell.
	FakeSecret [32]byte
	// Canonical brings a login name to the form in which Lookup compares
	// it, so that an unknown name has one salt however it is spelled. Nil
	// folds the case.
	Canonical func(name string) string
	// Plus is set when the client chose SCRAM-SHA-256-PLUS.
	Plus bool
	// PlusOffered is set when the server offered it on this connection.
	PlusOffered bool
	// Binding returns the connection's data for a channel binding type,
	// "tls-exporter" (RFC 9266) or "tls-server-end-point" (RFC 5929), and
	// false for a type it has not. Used with Plus only.
	Binding func(name string) ([]byte, bool)
}

// ScramServer is the server side of one SCRAM-SHA-256 exchange (RFC 5802
// section 5, RFC 7677). It serves one goroutine.
type ScramServer struct {
	cfg   ScramConfig
	nonce func() (string, error)
	step  int

	gs2, bare   string // the two halves of client-first-message
	serverFirst string
	fullNonce   string
	bindingName string
	name, authz string
	verifier    *Verifier
	fake        bool
	clientKey   [32]byte
}

// NewScramServer begins an exchange.
func NewScramServer(cfg ScramConfig) *ScramServer {
	if cfg.Canonical == nil {
		cfg.Canonical = strings.ToLower
	}
	return &ScramServer{cfg: cfg, nonce: randomNonce}
}

func randomNonce() (string, error) {
	b := make([]byte, serverNonce)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("passwd: random nonce: %w", err)
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

// Name returns the login name the client gave; it is proved only after done.
func (s *ScramServer) Name() string { return s.name }

// AuthzID returns the identity the client wants to act as, "" for its own.
func (s *ScramServer) AuthzID() string { return s.authz }

// ClientKey returns the client's key after the exchange is done.
func (s *ScramServer) ClientKey() [32]byte { return s.clientKey }

// Next takes the client's next message and returns the server's answer. With
// done the client is authenticated, and the answer (server-final-message) must
// still reach it, as additional data or as one more challenge. After an error
// the exchange is over.
func (s *ScramServer) Next(ctx context.Context, in []byte) (out []byte, done bool, err error) {
	step := s.step
	s.step = 2
	if len(in) > maxScramMessage {
		return nil, false, fmt.Errorf("%w: %d bytes", ErrProtocol, len(in))
	}
	switch step {
	case 0:
		if err := s.first(ctx, string(in)); err != nil {
			return nil, false, err
		}
		s.step = 1
		return []byte(s.serverFirst), false, nil
	case 1:
		if out, err = s.final(string(in)); err != nil {
			return nil, false, err
		}
		return out, true, nil
	}
	return nil, false, fmt.Errorf("%w: message after the end", ErrProtocol)
}

func (s *ScramServer) first(ctx context.Context, in string) error {
	if err := s.parseFirst(in); err != nil {
		return err
	}
	v, err := s.cfg.Lookup(ctx, s.name)
	if errors.Is(err, ErrUnknownUser) {
		v, s.fake = s.fakeVerifier(), true
	} else if err != nil {
		return err
	}
	s.verifier = v
	own, err := s.nonce()
	if err != nil {
		return err
	}
	s.fullNonce += own
	s.serverFirst = "r=" + s.fullNonce + ",s=" + base64.StdEncoding.EncodeToString(v.salt) +
		",i=" + strconv.Itoa(v.iterations)
	return nil
}

// fakeVerifier looks like an unknown user's verifier would, always the same
// for one name.
func (s *ScramServer) fakeVerifier() *Verifier {
	name := s.cfg.Canonical(s.name)
	v := &Verifier{iterations: Iterations, salt: mac(s.cfg.FakeSecret[:], "salt\x00", name)[:saltSize]}
	copy(v.stored[:], mac(s.cfg.FakeSecret[:], "stored\x00", name))
	copy(v.server[:], mac(s.cfg.FakeSecret[:], "server\x00", name))
	return v
}

// parseFirst reads client-first-message (RFC 5802 section 7).
func (s *ScramServer) parseFirst(in string) error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", ErrProtocol, what) }
	flag, rest, ok := strings.Cut(in, ",")
	authz, bare, ok2 := strings.Cut(rest, ",")
	if !ok || !ok2 {
		return bad("gs2 header")
	}
	name, binds := strings.CutPrefix(flag, "p=")
	switch {
	case binds && !s.cfg.Plus:
		return fmt.Errorf("%w: binding with a mechanism without", ErrBinding)
	case !binds && s.cfg.Plus:
		return fmt.Errorf("%w: no binding with a mechanism that has it", ErrBinding)
	case flag == "y" && s.cfg.PlusOffered:
		// Someone removed PLUS from the list that the client saw.
		return fmt.Errorf("%w: client did not see the offer", ErrBinding)
	case !binds && flag != "y" && flag != "n":
		return bad("gs2 flag")
	}
	s.bindingName = name
	if !binds {
		s.bindingName = ""
	}
	if authz != "" {
		v, ok := strings.CutPrefix(authz, "a=")
		if !ok {
			return bad("authorization identity")
		}
		if s.authz, ok = saslName(v); !ok {
			return bad("authorization identity")
		}
	}
	s.gs2, s.bare = in[:len(in)-len(bare)], bare
	// An extension that must be understood comes first, as "m="; there is
	// none, so it is refused with the rest that is not "n=".
	user, rest, ok := strings.Cut(bare, ",")
	if !ok || !strings.HasPrefix(user, "n=") {
		return bad("user name")
	}
	if s.name, ok = saslName(user[2:]); !ok {
		return bad("user name")
	}
	nonce, _, _ := strings.Cut(rest, ",")
	if !strings.HasPrefix(nonce, "r=") || !printable(nonce[2:]) || len(nonce)-2 > maxScramNonce {
		return bad("nonce")
	}
	s.fullNonce = nonce[2:]
	return nil
}

// saslName undoes the escapes of a saslname: "=2C" and "=3D" and no other.
func saslName(v string) (string, bool) {
	if v == "" || len(v) > maxScramName || !utf8.ValidString(v) || strings.ContainsRune(v, 0) {
		return "", false
	}
	out := strings.NewReplacer("=2C", ",", "=3D", "=").Replace(v)
	if strings.Count(v, "=") != strings.Count(v, "=2C")+strings.Count(v, "=3D") {
		return "", false
	}
	return out, true
}

// printable tells whether s is a nonce: at least one visible character, no
// comma.
func printable(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == ',' {
			return false
		}
	}
	return s != ""
}

// final checks client-final-message and returns server-final-message.
func (s *ScramServer) final(in string) ([]byte, error) {
	bad := func(what string) ([]byte, error) { return nil, fmt.Errorf("%w: %s", ErrProtocol, what) }
	// The proof is last; what stands before it is what it proves.
	i := strings.LastIndex(in, ",p=")
	if i < 0 {
		return bad("proof")
	}
	without, proof64 := in[:i], in[i+3:]
	binding, rest, ok := strings.Cut(without, ",")
	nonce, _, _ := strings.Cut(rest, ",")
	if !ok || !strings.HasPrefix(binding, "c=") || !strings.HasPrefix(nonce, "r=") {
		return bad("fields")
	}
	sent, err := base64.StdEncoding.Strict().DecodeString(binding[2:])
	if err != nil {
		return bad("channel binding")
	}
	proof, err := base64.StdEncoding.Strict().DecodeString(proof64)
	if err != nil || len(proof) != sha256.Size {
		return bad("proof")
	}
	if nonce[2:] != s.fullNonce {
		return nil, fmt.Errorf("%w: nonce", ErrBadCredentials)
	}
	want := []byte(s.gs2)
	if s.bindingName != "" {
		var data []byte
		if s.cfg.Binding != nil {
			data, ok = s.cfg.Binding(s.bindingName)
		} else {
			ok = false
		}
		if !ok {
			return nil, fmt.Errorf("%w: type not known", ErrBinding)
		}
		want = append(want, data...)
	}
	if subtle.ConstantTimeCompare(sent, want) != 1 {
		return nil, ErrBinding
	}
	message := s.bare + "," + s.serverFirst + "," + without
	signature := mac(s.verifier.stored[:], message)
	for i := range proof {
		s.clientKey[i] = proof[i] ^ signature[i]
	}
	stored := sha256.Sum256(s.clientKey[:])
	if subtle.ConstantTimeCompare(stored[:], s.verifier.stored[:]) != 1 || s.fake {
		clear(s.clientKey[:])
		return nil, ErrBadCredentials
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(mac(s.verifier.server[:], message))), nil
}
