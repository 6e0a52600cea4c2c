package smtp

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/frontend/auth"
	"altmail.se/altmail/frontend/sasl"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
)

// Role is what a server is for.
type Role uint8

// The roles.
const (
	// MX takes mail for local recipients from anybody, without AUTH.
	MX Role = iota
	// Submission takes mail from accounts, which must log in under TLS.
	Submission
	// LMTP takes mail for local recipients from local programs, and answers
	// for each recipient.
	LMTP
)

func (r Role) String() string { return [...]string{"mx", "submission", "lmtp"}[r] }

// ErrNotLocal is returned by a Directory for a domain that is not served here.
var ErrNotLocal = errors.New("smtp: domain is not served here")

// Recipient is where mail for an address goes.
type Recipient struct {
	Account mailstore.AccountID
	Group   cluster.GroupID
	Mailbox string // "" is INBOX
}

// Directory knows addresses. Its methods may be called from any goroutine and
// return within the context's deadline.
type Directory interface {
	// Route resolves a recipient for a message of size octets (0: unknown).
	// It returns mailstore.ErrNoAddress only after a linearizable read (H8),
	// ErrNotLocal, mailstore.ErrOverQuota, mailstore.ErrTooBig, or
	// cluster.ErrUnavailable.
	Route(ctx context.Context, local, domain string, size int64) (Recipient, error)
	// Owns reports whether an account may send as an address.
	Owns(ctx context.Context, account mailstore.AccountID, address string) (bool, error)
}

// Deliverer stores messages; *commit.Door is one. It returns one error for
// each recipient, nil for stored. A context without a deadline gets the
// deliverer's own.
type Deliverer interface {
	Deliver(ctx context.Context, op cluster.OpID, m *commit.Message, to []commit.Recipient) []error
}

// Throttle slows down guessing (auth.Throttle).
type Throttle interface {
	// Begin returns when an attempt may be made, or an error when it is
	// refused. end is called with how it went.
	Begin(ctx context.Context, remote net.Addr) (end func(auth.Outcome), err error)
}

// Config says what a Server does. Hostname, Directory and Deliverer are
// required; a zero in any other field is its default.
type Config struct {
	Role      Role
	Hostname  string // in the greeting and in Received
	Directory Directory
	Deliverer Deliverer
	Log       *slog.Logger // default: none

	// TLS enables STARTTLS, or TLS from the first byte with Implicit.
	TLS      *tls.Config
	Implicit bool
	// Auth is required for Submission. Its Binding is made for each
	// connection.
	Auth *sasl.Options
	// Throttle slows down guessing; nil for none.
	Throttle Throttle
	// Certificate returns the certificate that is served under a name, for
	// the tls-server-end-point binding; nil if there is no telling.
	Certificate func(name string) *x509.Certificate
	// InsecureAuth allows AUTH without TLS, for tests and loopback.
	InsecureAuth bool

	// PostmasterDomain completes RCPT TO:<postmaster> (RFC 5321 section
	// 4.5.1). Default: Hostname.
	PostmasterDomain string

	MaxMessage    int64 // octets, default 50 MiB
	MaxRecipients int   // of one message, default 500
	// Memory bounds the octets of messages being taken in. It may be shared
	// by servers. Default: a budget of 256 MiB.
	Memory *Budget

	MaxConns      int // default 1000
	MaxConnsPerIP int // default 50; not for LMTP

	// RouteTimeout bounds each question to the Directory: default 5 s.
	RouteTimeout time.Duration
	// CommandTimeout is how long a client may take for its next command
	// (RFC 5321 section 4.5.3.2.7), default 5 min.
	CommandTimeout time.Duration
	// DataTimeout is how long a client may send nothing within a message,
	// default 3 min.
	DataTimeout time.Duration
	// MinRate is the average a client must reach within a message after its
	// first DataTimeout, in octets per second, default 100.
	MinRate int64
	// HandshakeTimeout bounds a TLS handshake, default 30 s.
	HandshakeTimeout time.Duration
	// WriteTimeout bounds the writing of a batch of replies, default 1 min.
	WriteTimeout time.Duration

	// now is the clock of trace headers, for tests.
	now func() time.Time
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Hostname == "" || c.Directory == nil || c.Deliverer == nil:
		return c, fmt.Errorf("smtp: hostname, directory and deliverer are required")
	case c.Role > LMTP:
		return c, fmt.Errorf("smtp: unknown role %d", c.Role)
	case c.Role == Submission && (c.Auth == nil || c.Auth.Auth == nil):
		return c, fmt.Errorf("smtp: submission without an authenticator")
	case c.Role == Submission && c.TLS == nil && !c.InsecureAuth:
		return c, fmt.Errorf("smtp: submission without TLS")
	case c.Implicit && c.TLS == nil:
		return c, fmt.Errorf("smtp: implicit TLS without a TLS configuration")
	}
	def(&c.PostmasterDomain, c.Hostname)
	def(&c.MaxMessage, 50<<20)
	def(&c.MaxRecipients, 500)
	def(&c.MaxConns, 1000)
	def(&c.MaxConnsPerIP, 50)
	def(&c.RouteTimeout, 5*time.Second)
	def(&c.CommandTimeout, 5*time.Minute)
	def(&c.DataTimeout, 3*time.Minute)
	def(&c.MinRate, 100)
	def(&c.HandshakeTimeout, 30*time.Second)
	def(&c.WriteTimeout, time.Minute)
	if c.Memory == nil {
		c.Memory = NewBudget(256 << 20)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c, nil
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
