package lookup

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/state"
)

// Groups finds the groups as this node takes part in them.
type Groups interface {
	Group(id cluster.GroupID) (cluster.Group, bool)
}

// Ring is what is needed of the keyring: *keyring.Ring.
type Ring interface {
	UnwrapAccount(id uint64, wrapped []byte) (*keyring.Account, error)
	DirectoryHash(kind keyring.Kind, data []byte) ([16]byte, error)
	OpenRoot(kind keyring.Kind, object, sealed []byte) ([]byte, error)
}

// Config is what a Door works with. What has no default is required.
type Config struct {
	Groups Groups
	Ring   Ring
	Bodies Bodies
	// Search finds texts without opening bodies; nil: it is not there, and
	// bodies are opened.
	Search Searcher
	// Directory and Mail are the states on this node.
	Directory *state.Directory
	Mail      func(cluster.GroupID) (*state.Mail, bool)
	// Accounts is how many accounts are kept open that no session uses;
	// 10,000 (about 2 KB each).
	Accounts int
	// Timeout is how long a caller without a deadline waits for a read index;
	// 5 s.
	Timeout time.Duration
	// Stale lets users log in by what this node knows where no quorum answers
	// (the operator's stale_reads). Nothing else is answered from what may be
	// old: sessions decide by the error of Account.Sync.
	Stale bool
}

// Door is the read door. It is safe for concurrent use.
type Door struct {
	cfg   Config
	zones sync.Map // minutes east (int32) → *time.Location
	// generation is raised when what accounts have opened may be wrong.
	generation atomic.Uint64
	uids       uidCache
	logins     remembered[*Login]
	routes     remembered[Target]

	mu    sync.Mutex
	open  map[mailstore.AccountID]*list.Element
	order *list.List // of *Account, the one used last in front

	stats struct{ syncs, failedSyncs, hits, misses, failedCloses atomic.Uint64 }
}

// New returns a door.
func New(cfg Config) *Door {
	if cfg.Accounts <= 0 {
		cfg.Accounts = 10_000
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	return &Door{cfg: cfg, open: map[mailstore.AccountID]*list.Element{}, order: list.New()}
}

// Stats are counters since the start.
type Stats struct {
	Syncs       uint64 // read indexes taken
	FailedSyncs uint64 // and not answered
	Hits        uint64 // accounts found open
	Misses      uint64 // accounts whose keys had to be opened
	Open        int    // accounts kept open
	// FailedCloses counts snapshots whose release failed: they may pin space.
	FailedCloses uint64
}

// Stats returns the door's counters.
func (d *Door) Stats() Stats {
	d.mu.Lock()
	n := d.order.Len()
	d.mu.Unlock()
	return Stats{d.stats.syncs.Load(), d.stats.failedSyncs.Load(), d.stats.hits.Load(), d.stats.misses.Load(), n, d.stats.failedCloses.Load()}
}

// close releases a reader. There is nothing a caller could do about a failure,
// so it is counted.
func (d *Door) close(r interface{ Close() error }) {
	if err := r.Close(); err != nil {
		d.stats.failedCloses.Add(1)
	}
}

// sync returns once this node has applied what was answered before the call.
func (d *Door) sync(ctx context.Context, id cluster.GroupID) error {
	g, ok := d.cfg.Groups.Group(id)
	if !ok {
		return fmt.Errorf("%w: group %v is not on this node", cluster.ErrUnavailable, id)
	}
	if _, ok := ctx.Deadline(); !ok {
		limited, cancel := context.WithTimeout(ctx, d.cfg.Timeout)
		defer cancel()
		ctx = limited
	}
	d.stats.syncs.Add(1)
	err := g.ReadIndex(ctx)
	if err == nil {
		return nil
	}
	d.stats.failedSyncs.Add(1)
	if !errors.Is(err, cluster.ErrUnavailable) && ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", cluster.ErrUnavailable, err)
	}
	return err
}

// SyncDirectory returns once this node's directory is at least as new as every
// change that was answered before the call, or cluster.ErrUnavailable.
func (d *Door) SyncDirectory(ctx context.Context) error { return d.sync(ctx, cluster.Directory) }

// Route finds the account an address belongs to. An address that is found
// here is answered at once: one removed a moment ago still takes mail (H14).
// mailstore.ErrNoAddress is certain: it is answered only after this node has
// caught up (H8), and cluster.ErrUnavailable when it cannot.
func (d *Door) Route(ctx context.Context, local, domain string) (Target, error) {
	_, key, err := CleanAddress(local, domain)
	if err != nil {
		return Target{}, err
	}
	t, err := d.route(key)
	if err == nil && (t.Status == Active || t.Status == Suspended) || err != nil && !errors.Is(err, mailstore.ErrNoAddress) && !errors.Is(err, errOpening) {
		return t, err
	}
	// That it is unknown or not open yet may be old news here.
	if err := d.SyncDirectory(ctx); err != nil {
		return Target{}, err
	}
	return d.route(key)
}

func (d *Door) route(key string) (Target, error) {
	h, err := d.AddressHash(key)
	if err != nil {
		return Target{}, err
	}
	at := d.now()
	if t, ok := d.routes.get(h, at); ok {
		return t, nil
	}
	r := d.cfg.Directory.Read()
	defer d.close(r)
	addr, ok, err := r.AddressByHash(h)
	if err != nil {
		return Target{}, err
	}
	if !ok {
		return Target{}, mailstore.ErrNoAddress
	}
	row, ok, err := r.Account(addr.Account)
	if err != nil {
		return Target{}, err
	}
	if !ok || Status(row.Status) >= Closing {
		return Target{}, mailstore.ErrNoAddress
	}
	if Status(row.Status) == Opening {
		return Target{}, errOpening
	}
	a, err := d.account(r, &row)
	if err != nil {
		return Target{}, err
	}
	shown, err := a.keys.openAddress(h, addr.Sealed)
	if err != nil {
		return Target{}, err
	}
	t := Target{Account: row.ID, Group: row.Group, Status: Status(row.Status), Address: shown}
	at.index = r.Index()
	d.routes.put(h, at, t)
	return t, nil
}

// errOpening: its mail group does not know the account yet, but will soon.
var errOpening = fmt.Errorf("%w: the account is being made", cluster.ErrUnavailable)

// AddressHash returns the hash by which the directory matches the key of an
// address, as CleanAddress gives it.
func (d *Door) AddressHash(key string) (mailstore.Hash, error) {
	h, err := d.cfg.Ring.DirectoryHash(keyring.KindAddress, []byte(key))
	if err != nil {
		return h, fmt.Errorf("lookup: %w", err)
	}
	return h, nil
}

// Owns reports whether an address is the account's own, certainly.
func (d *Door) Owns(ctx context.Context, a mailstore.AccountID, address string) (bool, error) {
	local, domain, ok := SplitAddress(address)
	if !ok {
		return false, nil
	}
	t, err := d.Route(ctx, local, domain)
	if errors.Is(err, mailstore.ErrNoAddress) {
		return false, nil
	}
	if err != nil || t.Account == a {
		return err == nil, err
	}
	// Somebody else's here: it may have changed hands.
	if err := d.SyncDirectory(ctx); err != nil {
		return false, err
	}
	t, err = d.Route(ctx, local, domain)
	if errors.Is(err, mailstore.ErrNoAddress) {
		return false, nil
	}
	return err == nil && t.Account == a, err
}

// Open returns an account with its keys open, from the cache where the
// directory still has the same keys. mailstore.ErrNoAccount is certain.
func (d *Door) Open(ctx context.Context, id mailstore.AccountID) (*Account, error) {
	index, _ := d.cfg.Directory.Applied()
	d.mu.Lock()
	if e, ok := d.open[id]; ok {
		// Nothing in the directory has changed since its row was looked at.
		if a := e.Value.(*Account); a.checked == index {
			d.order.MoveToFront(e)
			d.mu.Unlock()
			d.stats.hits.Add(1)
			return a, nil
		}
	}
	d.mu.Unlock()
	a, err := d.openLocal(id)
	if !errors.Is(err, mailstore.ErrNoAccount) {
		return a, err
	}
	if err := d.SyncDirectory(ctx); err != nil {
		return nil, err
	}
	return d.openLocal(id)
}

func (d *Door) openLocal(id mailstore.AccountID) (*Account, error) {
	index, _ := d.cfg.Directory.Applied() // before the row is read: it is no newer
	r := d.cfg.Directory.Read()
	defer d.close(r)
	row, ok, err := r.Account(id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, mailstore.ErrNoAccount
	}
	a, err := d.account(r, &row)
	if errors.Is(err, mailstore.ErrNoAccount) {
		d.Forget(id)
	}
	if err == nil {
		d.mu.Lock()
		a.checked = max(a.checked, index)
		d.mu.Unlock()
	}
	return a, err
}

// account returns the account of a directory row, opened.
func (d *Door) account(r *state.DirectoryReader, row *state.DirectoryAccount) (*Account, error) {
	if len(row.WrappedKeys) == 0 {
		return nil, mailstore.ErrNoAccount // shredded
	}
	d.mu.Lock()
	if e, ok := d.open[row.ID]; ok {
		a := e.Value.(*Account)
		if bytes.Equal(a.wrapped, row.WrappedKeys) && a.group == row.Group {
			d.order.MoveToFront(e)
			d.mu.Unlock()
			d.stats.hits.Add(1)
			return a, nil
		}
		d.order.Remove(e)
		delete(d.open, row.ID)
	}
	d.mu.Unlock()
	d.stats.misses.Add(1)
	a, err := d.unwrap(r, row)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if e, ok := d.open[row.ID]; ok {
		// Another goroutine opened it meanwhile; sessions had better share.
		if first := e.Value.(*Account); bytes.Equal(first.wrapped, a.wrapped) {
			return first, nil
		}
		e.Value = a
		d.order.MoveToFront(e)
		return a, nil
	}
	d.open[row.ID] = d.order.PushFront(a)
	for d.order.Len() > d.cfg.Accounts {
		old := d.order.Remove(d.order.Back()).(*Account)
		delete(d.open, old.id)
	}
	return a, nil
}

// unwrap opens an account's keys.
func (d *Door) unwrap(r *state.DirectoryReader, row *state.DirectoryAccount) (*Account, error) {
	mail, ok := d.cfg.Mail(row.Group)
	if !ok {
		return nil, fmt.Errorf("%w: mail group %v is not on this node", cluster.ErrUnavailable, row.Group)
	}
	k, err := d.cfg.Ring.UnwrapAccount(uint64(row.ID), row.WrappedKeys)
	if err != nil {
		return nil, damaged("an account's keys", err)
	}
	a := &Account{opened: &opened{
		d: d, id: row.ID, group: row.Group, mail: mail, keys: Keys{k},
		wrapped: bytes.Clone(row.WrappedKeys),
		names:   map[mailstore.Hash]string{}, words: map[uint16]keyword{}, sets: map[string][]string{},
	}}
	a.inbox = a.keys.NameHash(Inbox)
	main, ok, err := r.AddressByHash(row.Main)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: an account without its main address", mailstore.ErrDamaged)
	}
	a.address, err = a.keys.openAddress(main.Hash, main.Sealed)
	return a, err
}

// Forget closes the keys of an account that no session uses. Sessions that
// hold the account keep it.
func (d *Door) Forget(id mailstore.AccountID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e, ok := d.open[id]; ok {
		d.order.Remove(e)
		delete(d.open, id)
	}
}

// Reset makes every account forget the names it has opened. It is to be called
// when the state of a group was replaced (mailstore.Event.Reset): a state from
// elsewhere may give a keyword's id to another keyword.
func (d *Door) Reset() { d.generation.Add(1) }

// location returns the zone of so many minutes east.
func (d *Door) location(minutes int32) *time.Location {
	if minutes == 0 {
		return time.UTC
	}
	if l, ok := d.zones.Load(minutes); ok {
		return l.(*time.Location)
	}
	l, _ := d.zones.LoadOrStore(minutes, time.FixedZone("", int(minutes)*60))
	return l.(*time.Location)
}

// HasDomain reports whether the cluster takes mail for a domain; false is
// certain.
func (d *Door) HasDomain(ctx context.Context, domain string) (bool, error) {
	clean, err := CleanDomain(domain)
	if err != nil {
		return false, nil
	}
	h, err := d.cfg.Ring.DirectoryHash(keyring.KindDomain, []byte(clean))
	if err != nil {
		return false, fmt.Errorf("lookup: %w", err)
	}
	if ok, err := d.hasDomain(h); ok || err != nil {
		return ok, err
	}
	if err := d.SyncDirectory(ctx); err != nil {
		return false, err
	}
	return d.hasDomain(h)
}

func (d *Door) hasDomain(h mailstore.Hash) (bool, error) {
	r := d.cfg.Directory.Read()
	defer d.close(r)
	_, ok, err := r.Domain(h)
	return ok, err
}
