package member

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/keyring"
)

// MaxVoters is how many members vote in a group; further ones hold copies.
const MaxVoters = 5

// Node is a member as the directory records it.
type Node struct {
	ID        cluster.NodeID `json:"id"`
	Name      string         `json:"name"`
	Address   string         `json:"address"`    // host:port of the cluster port
	PublicKey []byte         `json:"public_key"` // SubjectPublicKeyInfo
	Level     uint32         `json:"level"`      // newest feature level it supports
	Leaving   bool           `json:"leaving,omitempty"`
}

// Token is what the directory keeps of a join token.
type Token struct {
	Verifier []byte // opens proofs made with the token's secret
	Expires  time.Time
	UsedBy   []byte // public key it is bound to, nil before the first use
}

// Errors a Roster tells apart.
var (
	ErrNameTaken = errors.New("member: a node of that name or id exists")
	ErrNoToken   = errors.New("member: no such join token, or it is used up or expired")
	ErrNoNode    = errors.New("member: no such node")
	ErrRemoved   = errors.New("member: this node was removed from its cluster; wipe its data directory and join again")
)

// Roster is the replicated list of nodes and what joining needs. Reads are
// local; Sync makes the next ones linearizable. Writes return once committed
// and applied here.
type Roster interface {
	Sync(ctx context.Context) error
	Nodes() ([]Node, error)
	PutNode(ctx context.Context, n Node, expectNew bool) error
	RemoveNode(ctx context.Context, id cluster.NodeID, stolen bool) error
	Groups() ([]cluster.GroupID, error)
	PutGroup(ctx context.Context, g cluster.GroupID) error
	PutToken(ctx context.Context, id []byte, t Token) error
	Token(id []byte) (Token, bool, error)
	UseToken(ctx context.Context, id, publicKey []byte) error
	// CA returns the cluster's certificate authority, sealed under the root
	// key; nil when there is none yet.
	CA() ([]byte, error)
	PutCA(ctx context.Context, sealed []byte) error
}

// Server is one replica in a group's Raft configuration.
type Server struct {
	ID    string // NodeID text, ".", incarnation
	Node  cluster.NodeID
	Voter bool
}

// Replica is the group a node hosts, as membership needs it.
type Replica interface {
	cluster.Group
	// ServerID is this node's own id in the group's configuration.
	ServerID() string
	Servers() ([]Server, error)
	AddNonvoter(ctx context.Context, serverID string) error
	Promote(ctx context.Context, serverID string) error
	Remove(ctx context.Context, serverID string) error
	// Transfer hands leadership to a node, or to any other for the zero id.
	Transfer(ctx context.Context, to cluster.NodeID) error
	Report() GroupReport
	// CheckDigests logs a check and returns every voter's digest at its index.
	CheckDigests(ctx context.Context) (DigestReport, error)
}

// GroupReport is one node's view of one group.
type GroupReport struct {
	Group    cluster.GroupID `json:"group"`
	ServerID string          `json:"server_id"`
	Leader   string          `json:"leader,omitempty"` // NodeID text
	Leads    bool            `json:"leads"`
	Term     uint64          `json:"term"`
	Commit   uint64          `json:"commit"`
	Applied  uint64          `json:"applied"`
	First    uint64          `json:"first"` // oldest entry in the log
	Last     uint64          `json:"last"`
	Whole    bool            `json:"whole"`
	Alarm    string          `json:"alarm,omitempty"`
}

// DigestReport compares the voters of a group at one index.
type DigestReport struct {
	Group   cluster.GroupID `json:"group"`
	Index   uint64          `json:"index"`
	Agree   int             `json:"agree"` // with the majority's digest
	Differ  int             `json:"differ"`
	Unknown int             `json:"unknown"` // did not answer
}

// Equal reports whether every voter answered with one and the same digest.
func (d DigestReport) Equal() bool { return d.Agree > 0 && d.Differ == 0 && d.Unknown == 0 }

// Host is the node that holds the replicas.
type Host interface {
	Replica(g cluster.GroupID) (Replica, bool)
	Replicas() []Replica
	// EnsureGroup starts hosting a group that the directory names.
	EnsureGroup(g cluster.GroupID) error
	// Drain refuses new clients and says goodbye to the connected ones.
	Drain(ctx context.Context) error
	// Disconnect cuts the connections to a node that is no member any more.
	Disconnect(id cluster.NodeID)
}

// Config is what a Manager works with; all fields but Now are needed.
type Config struct {
	Self    cluster.NodeID
	Version string
	Level   uint32
	Local   *Local
	Roster  Roster
	Host    Host
	Peers   cluster.Peers
	Ring    *keyring.Ring
	Log     *slog.Logger
	// Removed is called once when this node finds it is no member any more.
	Removed func()
	// Now is the clock that join tokens expire by; nil for time.Now.
	Now func() time.Time
}

// Manager runs membership on one node. Its methods may be called at any time.
type Manager struct {
	Config

	kick chan struct{}
	stop context.CancelFunc
	done sync.WaitGroup

	now func() time.Time

	// Only run touches these.
	shutOut int // ticks in a row
	spread  spread
	// met is, per node on the roster, an index of the directory that has it.
	met map[cluster.NodeID]uint64

	mu      sync.Mutex
	ca      *authority              // cached
	present map[cluster.NodeID]bool // on the roster at the last step
	held    map[cluster.GroupID]time.Time
	joins   limiter
	removed bool
}

// New returns a Manager and registers its RPC method. Start runs it.
func New(c Config) *Manager {
	m := &Manager{
		Config: c, kick: make(chan struct{}, 1), stop: func() {}, now: c.Now,
		present: map[cluster.NodeID]bool{}, held: map[cluster.GroupID]time.Time{},
		met: map[cluster.NodeID]uint64{},
	}
	if m.now == nil {
		m.now = time.Now
	}
	c.Peers.Handle(cluster.MethodMember, m.serve)
	return m
}

// Start begins to keep the groups this node leads in step with the roster.
func (m *Manager) Start() {
	ctx, cancel := context.WithCancel(context.Background())
	m.stop = cancel
	m.done.Go(func() { m.run(ctx) })
}

// Close stops the Manager and waits for it.
func (m *Manager) Close() {
	m.stop()
	m.done.Wait()
}

// Kick tells the Manager that the roster or a configuration may have changed.
func (m *Manager) Kick() {
	select {
	case m.kick <- struct{}{}:
	default:
	}
}

// Admit is the transport's question whether a peer that showed a valid
// certificate may talk to this node: its public key must be the one the
// directory has for a present member. A signature alone admits nobody.
func (m *Manager) Admit(id cluster.NodeID, spki []byte) error {
	nodes, err := m.Roster.Nodes()
	if err != nil {
		return err
	}
	n, ok := find(nodes, id)
	if !ok {
		// Before the directory has arrived here, the members are those the
		// join call told of.
		if _, self := find(nodes, m.Self); !self {
			n, ok = find(m.Local.Identity().Peers, id)
		}
	}
	if !ok {
		return cluster.ErrNotMember
	}
	if string(n.PublicKey) != string(spki) {
		return errors.New("member: the node's key is not the one it joined with")
	}
	return nil
}

// Addr is the transport's question for a member's address.
func (m *Manager) Addr(id cluster.NodeID) (string, error) {
	if nodes, err := m.Roster.Nodes(); err == nil {
		if n, ok := find(nodes, id); ok {
			return n.Address, nil
		}
	}
	if n, ok := find(m.Local.Identity().Peers, id); ok {
		return n.Address, nil
	}
	return "", cluster.ErrNotMember
}

func find(nodes []Node, id cluster.NodeID) (Node, bool) {
	for _, n := range nodes {
		if n.ID == id {
			return n, true
		}
	}
	return Node{}, false
}
