package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"altmail.se/altmail/bench/corpus"
)

// TLSMode says when a connection is encrypted.
type TLSMode string

// The modes. The empty one is TLSNone.
const (
	TLSNone     TLSMode = "none"
	TLSStartTLS TLSMode = "starttls"
	TLSImplicit TLSMode = "implicit"
)

// Proto is how mail is delivered.
type Proto string

// The protocols of delivery. The empty one is SMTP.
const (
	SMTP Proto = "smtp"
	LMTP Proto = "lmtp"
)

// Delivery is where mail is handed in. Connections are spread over the
// addresses in turn; node i of a cluster is address i.
type Delivery struct {
	Proto Proto    // SMTP or LMTP
	Addrs []string // host:port or unix:/path
	TLS   TLSMode
}

// IMAP is where mail is read, spread as in Delivery.
type IMAP struct {
	Addrs []string // host:port or unix:/path
	TLS   TLSMode
}

// Account is a mailbox owner known to the server.
type Account struct {
	Address  string // the recipient of deliveries
	User     string // login name; empty: Address
	Password string
}

func (a Account) user() string {
	if a.User != "" {
		return a.User
	}
	return a.Address
}

// Target is a server or a cluster to be measured.
type Target struct {
	Name     string // as reports call it
	Delivery Delivery
	IMAP     IMAP
	Accounts []Account
	// PIDs returns the server's processes; their descendants are counted with
	// them. Nil: no figures of CPU and memory.
	PIDs func() []int
	// DataDirs are the directories the server keeps mail in, one a node; none:
	// no figures of disk. Sockets and logs in them count too, so name the
	// narrowest.
	DataDirs []string
	// InsecureTLS accepts any certificate: for servers on loopback.
	InsecureTLS bool
	// Nodes can be killed by Failover; nil elsewhere.
	Nodes Nodes
}

// Nodes kills and starts the nodes of a target. Node i answers at address i of
// Delivery.
type Nodes interface {
	// Leader tells which node's death interrupts the account's writes.
	Leader(ctx context.Context, a Account) (int, error)
	// Kill ends a node at once, as kill -9 does.
	Kill(node int) error
	// Restart starts a node that was killed and returns once it is whole.
	Restart(ctx context.Context, node int) error
}

// Options are common to all works.
type Options struct {
	Connections int           // at the same time; 0: 1
	Duration    time.Duration // how long to measure; 0: until Count
	Count       int           // operations to measure; 0: until Duration
	Warmup      time.Duration // worked before, not counted
	// Rate is the number of operations begun per second over all connections.
	// Latency is then counted from when an operation was due, also if it had
	// to wait for a connection to become free, so that a stalled server can't
	// hide behind clients that wait. 0: each connection begins the next
	// operation when it has the answer of the last.
	Rate float64
	// Progress is called about twice a second from another goroutine.
	Progress func(Progress)
}

// Progress is how far a work has come.
type Progress struct {
	Work    string
	Warming bool
	Done    int64
	Total   int64 // 0: not known
	Errors  int64
	Seconds float64
}

// DeliverOptions are those of Deliver.
type DeliverOptions struct {
	Options
	Source corpus.Source
	// PoolBytes bounds the messages made before the clock starts; later ones
	// repeat them under other Message-IDs. 0: 128 MiB.
	PoolBytes int
	From      string // envelope sender; empty: one at example.org
	BDAT      bool   // RFC 3030 CHUNKING instead of DATA
	// FirstAccount and Accounts choose recipients: connection c delivers to
	// Accounts[FirstAccount + (c + n·Connections) mod Accounts] in turn.
	// 0 Accounts: all.
	FirstAccount, Accounts int
}

// AppendOptions are those of Append.
type AppendOptions struct {
	Options
	Source    corpus.Source
	PoolBytes int    // as in DeliverOptions
	Mailbox   string // empty: INBOX
	Flags     string // inside the parentheses; empty: none
}

// StoreOptions are those of Store. The mailboxes must hold messages (Fill).
type StoreOptions struct {
	Options
	Mailbox string // empty: INBOX
	// SameAccount makes all connections change one mailbox; else each has the
	// account of its number.
	SameAccount bool
	Silent      bool // FLAGS.SILENT
}

// ReadOptions are those of Read.
type ReadOptions struct {
	Mailbox string // empty: INBOX
	Account int    // index in Target.Accounts
	Node    int    // index in IMAP.Addrs
	// Repeat is how often each work is done, the first time included; 0: 5.
	Repeat int
	// Patience ends the repetitions of a work that has taken so long; the
	// second is always done. 0: never.
	Patience time.Duration
	// Connections is how many read the whole mailbox at once in the work
	// "body-all"; each the whole of it. 0: 1.
	Connections int
	// Random is how many single messages "body-random" fetches; 0: 500.
	Random int
	// Works names what to do, in order; none: ReadWorks.
	Works []string
	// Word is what the searches look for; empty: one that the corpus has.
	Word     string
	Timeout  time.Duration // of one command; 0: 10 minutes
	Progress func(Progress)
}

// ReadWorks are the works of Read in the order they are done when none are
// named.
var ReadWorks = []string{
	"select", "flags", "envelope", "bodystructure", "headers",
	"search-subject", "search-from", "search-text", "search-body", "body-random", "body-all",
}

// IdleOptions are those of Idle: message after message is delivered at address
// DeliverNode and awaited by an IDLE at IMAP address IMAPNode.
type IdleOptions struct {
	Options // Connections, Rate: of deliveries
	Source  corpus.Source
	// DeliverNode and IMAPNode are indexes in Delivery.Addrs and IMAP.Addrs.
	DeliverNode, IMAPNode int
	Mailbox               string        // empty: INBOX
	Timeout               time.Duration // an EXISTS later than this is missed; 0: 10 s
}

// IdleMemoryOptions are those of IdleMemory.
type IdleMemoryOptions struct {
	Connections int // 0: 1000
	Mailbox     string
	Settle      time.Duration // waited before each measurement; 0: 2 s
	Progress    func(Progress)
}

// IdleCrowdOptions are those of IdleCrowd.
type IdleCrowdOptions struct {
	IdleMemoryOptions
	Source  corpus.Source
	Rounds  int           // messages to every account; 0: 3
	Timeout time.Duration // an EXISTS later than this is missed; 0: 10 s
}

// LoginOptions are those of Login.
type LoginOptions struct {
	Options
	Plain bool // AUTHENTICATE PLAIN instead of LOGIN
}

// FailoverOptions are those of Failover.
type FailoverOptions struct {
	Kills   int // 0: 10
	Source  corpus.Source
	Probes  int           // writers at every survivor; 0: 2
	Timeout time.Duration // a kill not survived within it is an error; 0: 30 s
	// Pause is how long all nodes work together before each kill; 0: 1 s.
	Pause    time.Duration
	Progress func(Progress)
}

// FillOptions are those of Fill.
type FillOptions struct {
	Count       int
	Source      corpus.Source
	Mailbox     string // with Append; empty: INBOX
	Account     int
	Connections int  // 0: 4
	Append      bool // by IMAP instead of delivery
	Progress    func(Progress)
}

// ErrTarget is what is wrong with a Target or with options, as opposed to what
// is wrong with the server.
var ErrTarget = errors.New("load: cannot be measured so")

// ErrUnreachable is a server that no connection could be made to.
var ErrUnreachable = errors.New("load: can't connect")

func badTarget(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrTarget, fmt.Sprintf(format, a...))
}
