package imap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"time"

	"altmail.se/altmail/frontend/auth"
	"altmail.se/altmail/frontend/sasl"
	"altmail.se/altmail/mailstore/change"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
)

// Config is what a server needs.
type Config struct {
	Lookup *lookup.Door
	Commit *commit.Door
	Feed   *change.Feed
	Auth   sasl.Authenticator
	// FakeSecret makes what SCRAM shows for users that do not exist: the same
	// on every node (sasl.Options).
	FakeSecret [32]byte
	// Throttle may slow down or refuse attempts to log in; nil for none.
	Throttle Throttle
	// TLS is for STARTTLS and for implicit TLS; nil for none.
	TLS *tls.Config
	// Certificate returns what was served to a client that asked for a name,
	// for channel binding below TLS 1.3; nil for no such binding.
	Certificate func(serverName string) *x509.Certificate
	// AllowPlaintext lets clients log in without TLS. For tests and the demo.
	AllowPlaintext bool
	// StaleReads opens mailboxes read-only when there is no quorum (H7).
	StaleReads bool
	Logger     *slog.Logger
	Limits     Limits
}

// Limits bound what clients may use. A zero value means its default.
type Limits struct {
	Connections           int // of the server; 20000
	ConnectionsPerAccount int // 256
	// ConnectionsPerIP are those before login from one address, or /64 of
	// IPv6, but for loopback: strangers are not to take all there are; 100.
	ConnectionsPerIP   int
	MessagesPerCommand int   // what MESSAGELIMIT announces (RFC 9738); 0 for any number
	Watched            int   // mailboxes a session may be notified of; 5000
	MessageSize        int64 // APPEND; 64 MiB
	// AppendMemory is how many octets of messages may be on their way in at
	// a time, over all connections; 256 MiB.
	AppendMemory int64

	Handshake  time.Duration // for TLS; 5 s
	PreAuth    time.Duration // between two lines before login; 60 s
	Login      time.Duration // from the connection to the login; 5 min
	Idle       time.Duration // between two commands after login; 30 min (RFC 9051 section 5.4)
	Progress   time.Duration // for the next octets of a command or a response; 60 s
	StillHere  time.Duration // between two signs of life in IDLE; 2 min
	InProgress time.Duration // between two of a long command; 10 s
	Quorum     time.Duration // for a read index or a change; 5 s
	BadLogins  int           // per connection; 3
	BadPreAuth int           // BAD commands before login; 5
	Bad        int           // BAD commands in a row after login; 50
}

func (l *Limits) setDefaults() {
	def(&l.Connections, 20000)
	def(&l.ConnectionsPerAccount, 256)
	def(&l.ConnectionsPerIP, 100)
	def(&l.Watched, 5000)
	def(&l.MessageSize, 64<<20)
	def(&l.AppendMemory, 256<<20)
	def(&l.Handshake, 5*time.Second)
	def(&l.PreAuth, time.Minute)
	def(&l.Login, 5*time.Minute)
	def(&l.Idle, 30*time.Minute)
	def(&l.Progress, time.Minute)
	def(&l.StillHere, 2*time.Minute)
	def(&l.InProgress, 10*time.Second)
	def(&l.Quorum, 5*time.Second)
	def(&l.BadLogins, 3)
	def(&l.BadPreAuth, 5)
	def(&l.Bad, 50)
	// One message of the greatest size must always fit.
	l.AppendMemory = max(l.AppendMemory, l.MessageSize)
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// Throttle slows down guessing (auth.Throttle).
type Throttle interface {
	// Begin returns when an attempt may be made, or an error when it is
	// refused. end is called with how it went.
	Begin(ctx context.Context, remote net.Addr) (end func(auth.Outcome), err error)
}
