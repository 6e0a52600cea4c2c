package commit

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/body"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/state"
)

// Groups finds the groups as this node takes part in them.
type Groups interface {
	Group(id cluster.GroupID) (cluster.Group, bool)
	// Mail lists the mail groups.
	Mail() []cluster.GroupID
}

// Bodies stores sealed bodies: *body.Store.
type Bodies interface {
	Put(ctx context.Context, g cluster.GroupID, id cluster.BodyID, data []byte) error
	Distribute(ctx context.Context, g cluster.GroupID, id cluster.BodyID, data []byte, peers []cluster.NodeID) *body.Spread
	Fetch(ctx context.Context, g cluster.GroupID, ref cluster.BodyRef) (*body.Handle, error)
}

// Ring is what is needed of the keyring: *keyring.Ring.
type Ring interface {
	WrapAccount(a *keyring.Account) ([]byte, error)
	SealRoot(kind keyring.Kind, object, plaintext []byte) ([]byte, error)
	DirectoryHash(kind keyring.Kind, data []byte) ([16]byte, error)
}

// Config is what a Door works with. What has no default is required.
type Config struct {
	Groups Groups
	// Members lists the other members of a group, to push bodies to.
	Members func(cluster.GroupID) []cluster.NodeID
	Bodies  Bodies
	Lookup  *lookup.Door
	Ring    Ring
	// Directory and Mail are the states on this node.
	Directory *state.Directory
	Mail      func(cluster.GroupID) (*state.Mail, bool)
	Logger    *slog.Logger
	// Timeout is how long a caller without a deadline waits; 5 s.
	Timeout time.Duration
	// HandoffTimeout is how long a delivery that is stored in one group goes
	// on trying to have the rest kept; 2 min.
	HandoffTimeout time.Duration
	// SealedMemory bounds the octets of messages that are sealed and on their
	// way at one time; who comes when they are in use waits, within its
	// deadline. A message larger than all of it goes alone. 256 MiB.
	SealedMemory int64
	// Now is the clock; time.Now.
	Now func() time.Time
}

// Door is the write door. It is safe for concurrent use.
type Door struct {
	cfg   Config
	stats stats
	// memory is what sealed copies hold, beside what the front ends hold of the
	// messages themselves.
	memory *memory

	ctx        context.Context // ends with Close
	cancel     context.CancelFunc
	background sync.WaitGroup
	wake       chan struct{} // tells the driver that there may be something to do

	touchMu  sync.Mutex
	touches  map[touch]mailstore.UID
	touching bool
	closed   bool // under touchMu

	countMu   sync.Mutex
	counts    map[cluster.GroupID]int // accounts of each group
	countedAt time.Time
}

// New returns a door. Close it.
func New(cfg Config) *Door {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.HandoffTimeout <= 0 {
		cfg.HandoffTimeout = 2 * time.Minute
	}
	if cfg.SealedMemory <= 0 {
		cfg.SealedMemory = 256 << 20
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Members == nil {
		cfg.Members = func(cluster.GroupID) []cluster.NodeID { return nil }
	}
	d := &Door{cfg: cfg, memory: newMemory(cfg.SealedMemory), wake: make(chan struct{}, 1), touches: map[touch]mailstore.UID{}}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	return d
}

// Close ends what the door does in the background and waits for it.
func (d *Door) Close() {
	d.touchMu.Lock()
	d.closed = true
	d.touchMu.Unlock()
	d.cancel()
	d.background.Wait()
}

// time returns the machine time of a group's state on this node.
func (d *Door) time(g cluster.GroupID) uint64 {
	if g == cluster.Directory {
		return d.cfg.Directory.Time()
	}
	m, ok := d.cfg.Mail(g)
	if !ok {
		return 0
	}
	return m.Time()
}

// countFor is how long the number of accounts in each group is believed.
const countFor = time.Minute

type stats struct {
	proposals, failures, proposeNanos atomic.Uint64
	sealedBytes, lateBodies, handoffs atomic.Uint64
	handoffsClosed, handoffsLost      atomic.Uint64
	lostTouches, plans                atomic.Uint64
}

// Stats are counters since the start.
type Stats struct {
	Proposals      uint64 // commands offered to a group
	Failures       uint64 // of those, not answered
	ProposeNanos   uint64 // time that answered proposals took, in total
	SealedBytes    uint64 // message octets sealed
	LateBodies     uint64 // bodies that were not written here before their command was committed
	Handoffs       uint64 // deliveries kept for another group
	HandoffsClosed uint64 // and brought to it
	HandoffsLost   uint64 // deliveries kept for an account that was gone when its group answered
	LostTouches    uint64 // marks of \Recent that were not stored
	Plans          uint64 // interrupted account commands brought to an end
	SealedMemory   int64  // octets of messages sealed and on their way now
}

// Stats returns the door's counters.
func (d *Door) Stats() Stats {
	s := &d.stats
	return Stats{
		Proposals: s.proposals.Load(), Failures: s.failures.Load(), ProposeNanos: s.proposeNanos.Load(),
		SealedBytes: s.sealedBytes.Load(), LateBodies: s.lateBodies.Load(),
		Handoffs: s.handoffs.Load(), HandoffsClosed: s.handoffsClosed.Load(), HandoffsLost: s.handoffsLost.Load(),
		LostTouches: s.lostTouches.Load(), Plans: s.plans.Load(), SealedMemory: d.memory.used.Load(),
	}
}

// spread is bodies on their way to this node's disk and the other members.
type spread struct {
	puts    chan error // outcomes of the writes here
	pending int        // not yet taken from puts
	failed  error      // the first that failed
	pushes  []*body.Spread
	others  int
}

// spread writes bodies here and pushes them to the group's other members, all
// at the same time.
func (d *Door) spread(ctx context.Context, g cluster.GroupID, bodies []*sealed) *spread {
	members := d.cfg.Members(g)
	sp := &spread{others: len(members), puts: make(chan error, len(bodies)), pending: len(bodies)}
	for _, s := range bodies {
		if len(members) > 0 {
			sp.pushes = append(sp.pushes, d.cfg.Bodies.Distribute(ctx, g, s.ref.ID, s.data, members))
		}
		go func() { sp.puts <- d.cfg.Bodies.Put(ctx, g, s.ref.ID, s.data) }()
	}
	return sp
}

// local waits for the writes on this node and returns the first error.
func (sp *spread) local() error {
	for ; sp.pending > 0; sp.pending-- {
		if err := <-sp.puts; err != nil && sp.failed == nil {
			sp.failed = err
		}
	}
	return sp.failed
}

// majority waits until a majority of the group's members, this node among
// them, has the bodies durably. It gives up early, without an error, when the
// pushes will not get that far: the members may still pull.
func (sp *spread) majority(ctx context.Context) error {
	if err := sp.local(); err != nil {
		return err
	}
	need := (sp.others + 1) / 2 // besides this node
	for _, p := range sp.pushes {
		if err := p.Wait(ctx, need); err != nil && ctx.Err() != nil {
			return err
		}
	}
	return nil
}
