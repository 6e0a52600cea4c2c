package sasl

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"unicode/utf8"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/passwd"
	"altmail.se/altmail/mailstore"
)

// MaxMessage bounds one message of an exchange, decoded; its base64 line is
// a third longer. A protocol that reads lines must allow that (RFC 4954
// section 4 wants 12288 octets at least).
const MaxMessage = 48 << 10

// maxName bounds user names and passwords, in bytes.
const maxName = 1024

// The errors of an exchange, besides those of the Authenticator that say that
// nothing could be decided: cluster.ErrUnavailable and mailstore.ErrSuspended.
var (
	// ErrCredentials: the name or the password is wrong. Which, is not told.
	ErrCredentials = errors.New("sasl: authentication failed")
	// ErrMalformed: the client's message is not one of the mechanism.
	ErrMalformed = errors.New("sasl: malformed message")
	// ErrMechanism: there is no such mechanism here.
	ErrMechanism = errors.New("sasl: unknown mechanism")
)

// Identity is who logged in.
type Identity struct {
	Account mailstore.AccountID
	Group   cluster.GroupID
	Address string // the account's own
	// Version changes with the account's credentials: a session may compare
	// it to find out that they were changed.
	Version uint64
}

// Authenticator knows the users. Its methods may be called from any
// goroutine. They return ErrCredentials for a wrong name or password alike,
// after the same work, mailstore.ErrSuspended after a right one, and
// cluster.ErrUnavailable when a negative answer would be a guess (H8).
type Authenticator interface {
	Plain(ctx context.Context, user, password string) (Identity, error)
	// Scram returns what is needed to check a proof; ErrCredentials for a user
	// who has none, and the exchange goes on against a made-up verifier, so
	// that existence does not show.
	Scram(ctx context.Context, user string) (*passwd.Verifier, Identity, error)
}

// The mechanisms, as the protocols announce them.
const (
	Plain       = "PLAIN"
	Login       = "LOGIN"
	ScramSHA256 = "SCRAM-SHA-256"
	ScramPlus   = "SCRAM-SHA-256-PLUS"
)

// Options is what an exchange needs from its surroundings.
type Options struct {
	Auth Authenticator
	// Binding returns the connection's data for a channel binding type (RFC
	// 5056), see TLSBinding; nil without TLS. With it, -PLUS is offered.
	Binding func(name string) ([]byte, bool)
	// FakeSecret makes the salts that SCRAM shows for unknown users. It is the
	// same on every node and for ever, or a changing salt would tell.
	FakeSecret [32]byte
}

// Mechanisms returns what can be offered, the strongest first.
func (o *Options) Mechanisms() []string {
	if o.Binding != nil {
		return []string{ScramPlus, ScramSHA256, Plain, Login}
	}
	return []string{ScramSHA256, Plain, Login}
}

// Exchange is one authentication in progress. It is for one goroutine.
type Exchange struct {
	auth Authenticator
	step step
	id   Identity
	done bool
}

// step takes one client message and returns the next challenge and step; a
// nil step ends the exchange.
type step func(ctx context.Context, e *Exchange, msg []byte) (challenge []byte, next step, err error)

// Start begins an exchange. The mechanism name is compared without case.
func (o *Options) Start(mechanism string) (*Exchange, error) {
	e := &Exchange{auth: o.Auth}
	switch strings.ToUpper(mechanism) {
	case Plain:
		e.step = plain
	case Login:
		e.step = loginName
	case ScramSHA256:
		e.step = o.scram(false)
	case ScramPlus:
		if o.Binding == nil {
			return nil, ErrMechanism
		}
		e.step = o.scram(true)
	default:
		return nil, ErrMechanism
	}
	return e, nil
}

// Next takes the client's message and returns the challenge to send, or done.
// The first call may have a nil message, which stands for no initial response
// (RFC 4422 section 3); an empty one is not nil. After done or an error the
// exchange is over.
func (e *Exchange) Next(ctx context.Context, msg []byte) (challenge []byte, done bool, err error) {
	if e.step == nil || len(msg) > MaxMessage {
		e.step = nil
		return nil, false, ErrMalformed
	}
	challenge, e.step, err = e.step(ctx, e, msg)
	if err != nil {
		e.step, e.id = nil, Identity{}
		return nil, false, err
	}
	if e.step == nil {
		e.done = true
		return nil, true, nil
	}
	return challenge, false, nil
}

// Identity returns who logged in; ok is false before Next has reported done.
func (e *Exchange) Identity() (id Identity, ok bool) { return e.id, e.done }

// plain takes authzid NUL authcid NUL password (RFC 4616 section 2).
func plain(ctx context.Context, e *Exchange, msg []byte) ([]byte, step, error) {
	if msg == nil {
		return []byte{}, plain, nil
	}
	f := bytes.Split(msg, []byte{0})
	if len(f) != 3 || len(f[1]) == 0 || len(f[2]) == 0 {
		return nil, nil, ErrMalformed
	}
	// Nobody may act for another here, so only one's own name may stand as
	// the identity to act as.
	if len(f[0]) != 0 && !bytes.Equal(f[0], f[1]) {
		return nil, nil, ErrCredentials
	}
	return nil, nil, e.check(ctx, f[1], f[2])
}

func (e *Exchange) check(ctx context.Context, user, password []byte) (err error) {
	if len(user) > maxName || len(password) > maxName || !utf8.Valid(user) {
		return ErrCredentials
	}
	e.id, err = e.auth.Plain(ctx, string(user), string(password))
	return err
}

// loginName asks for the name, and for the password after that. Clients
// compare the prompts.
func loginName(_ context.Context, _ *Exchange, msg []byte) ([]byte, step, error) {
	if msg == nil {
		return []byte("Username:"), loginName, nil
	}
	if len(msg) == 0 {
		return nil, nil, ErrMalformed
	}
	user := bytes.Clone(msg)
	return []byte("Password:"), func(ctx context.Context, e *Exchange, msg []byte) ([]byte, step, error) {
		if len(msg) == 0 || bytes.IndexByte(msg, 0) >= 0 || bytes.IndexByte(user, 0) >= 0 {
			return nil, nil, ErrMalformed
		}
		return nil, nil, e.check(ctx, user, msg)
	}, nil
}
