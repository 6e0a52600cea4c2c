package lookup

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/passwd"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/state"
)

// Login is what is needed to let a user in. It is shared: nobody changes it.
type Login struct {
	Account mailstore.AccountID
	Group   cluster.GroupID
	// Address is the account's main address.
	Address string
	// Version changes with every change of the account's status, credentials
	// or addresses: what is remembered of successful logins is remembered for
	// one version.
	Version uint64
	// Verifiers are the records SCRAM can use; Checkers all of them, those
	// of imported passwords included, and Credentials their ids.
	Verifiers   []*passwd.Verifier
	Checkers    []passwd.Checker
	Credentials [][16]byte
}

// Login returns the account that a user, by any of its addresses, may log in
// to. It is certain: this node catches up first (H8). Errors are
// mailstore.ErrNoAccount and cluster.ErrUnavailable; with
// mailstore.ErrSuspended the Login is returned as well, so that a wrong
// password can be answered first and tells nothing.
func (d *Door) Login(ctx context.Context, user string) (*Login, error) {
	local, domain, ok := SplitAddress(user)
	if !ok {
		return nil, mailstore.ErrNoAccount
	}
	_, key, err := CleanAddress(local, domain)
	if err != nil {
		return nil, mailstore.ErrNoAccount
	}
	h, err := d.AddressHash(key)
	if err != nil {
		return nil, err
	}
	stale := false
	if err := d.SyncDirectory(ctx); err != nil {
		if stale = d.cfg.Stale && errors.Is(err, cluster.ErrUnavailable); !stale {
			return nil, err
		}
	}
	// Of the directory's every index there is one state: what was read at this
	// one is what there is.
	at := d.now()
	if l, ok := d.logins.get(h, at); ok {
		return l, nil
	}
	r := d.cfg.Directory.Read()
	defer d.close(r)
	l, err := d.readLogin(r, h)
	if errors.Is(err, mailstore.ErrNoAccount) && stale {
		return nil, cluster.ErrUnavailable // it may exist by now
	}
	if err == nil {
		at.index = r.Index()
		d.logins.put(h, at, l)
	}
	return l, err
}

// readLogin reads who may log in with an address.
func (d *Door) readLogin(r *state.DirectoryReader, h mailstore.Hash) (*Login, error) {
	addr, ok, err := r.AddressByHash(h)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, mailstore.ErrNoAccount
	}
	row, ok, err := r.Account(addr.Account)
	if err != nil {
		return nil, err
	}
	if !ok || Status(row.Status) >= Closing {
		return nil, mailstore.ErrNoAccount
	}
	if Status(row.Status) == Opening {
		return nil, errOpening
	}
	a, err := d.account(r, &row)
	if err != nil {
		return nil, err
	}
	l := &Login{Account: a.id, Group: a.group, Address: a.address, Version: row.Version}
	creds, err := r.Credentials(a.id)
	if err != nil {
		return nil, err
	}
	if err := l.fill(a, creds); err != nil {
		return nil, err
	}
	if Status(row.Status) == Suspended {
		return l, mailstore.ErrSuspended
	}
	return l, nil
}

// directoryAt is a state of the directory: of every index there is one.
type directoryAt struct{ index, generation uint64 }

// now returns the state that readers see.
func (d *Door) now() directoryAt {
	at := directoryAt{generation: d.generation.Load()}
	at.index, _ = d.cfg.Directory.Applied()
	return at
}

// remembered keeps what was read from one state of the directory, by the hash
// of an address. The next state begins with nothing.
type remembered[T any] struct {
	mu sync.Mutex
	at directoryAt
	by map[mailstore.Hash]T
}

// maxRemembered bounds it, at about a KiB each.
const maxRemembered = 4096

func (c *remembered[T]) get(h mailstore.Hash, at directoryAt) (v T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at != at {
		return v, false
	}
	v, ok = c.by[h]
	return v, ok
}

func (c *remembered[T]) put(h mailstore.Hash, at directoryAt, v T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at.index == 0 || at.generation < c.at.generation || at.generation == c.at.generation && at.index < c.at.index {
		return // the index could not be read, or it is history
	}
	if c.by == nil || c.at != at || len(c.by) >= maxRemembered {
		c.at, c.by = at, map[mailstore.Hash]T{}
	}
	c.by[h] = v
}

func (l *Login) fill(a *Account, creds []state.CredentialRow) error {
	for i := range creds {
		c := &creds[i]
		text, err := a.keys.openVerifier(c.ID[:], c.Verifier)
		if err != nil {
			return err
		}
		check, err := passwd.ParseChecker(text)
		if err != nil {
			return fmt.Errorf("%w: a credential: %w", mailstore.ErrDamaged, err)
		}
		l.Checkers, l.Credentials = append(l.Checkers, check), append(l.Credentials, c.ID)
		if v, ok := check.(*passwd.Verifier); ok {
			l.Verifiers = append(l.Verifiers, v)
		}
	}
	return nil
}
