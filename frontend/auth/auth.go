package auth

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/semaphore"

	"altmail.se/altmail/crypto/passwd"
	"altmail.se/altmail/frontend/sasl"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// Authenticator checks logins. It is safe for concurrent use.
type Authenticator struct {
	lookup *lookup.Door
	cache  *passwd.Cache
	// work bounds the password derivations under way: each is about a tenth
	// of a second of a core, and mail is to flow beside them.
	work *semaphore.Weighted
}

var _ sasl.Authenticator = (*Authenticator)(nil)

const (
	cacheSize = 20000
	cacheTTL  = time.Hour
)

// New returns an Authenticator that derives at most parallel passwords at a
// time.
func New(d *lookup.Door, parallel int) (*Authenticator, error) {
	c, err := passwd.NewCache(cacheSize, cacheTTL)
	if err != nil {
		return nil, err
	}
	return &Authenticator{lookup: d, cache: c, work: semaphore.NewWeighted(int64(max(parallel, 1)))}, nil
}

// CacheStats returns the counters of the memory of right passwords.
func (a *Authenticator) CacheStats() passwd.CacheStats { return a.cache.Stats() }

// Plain checks a name and a password. A right one is remembered for the
// version of the account's credentials, so that a changed password, a removed
// credential or a suspension takes effect at once on every node.
func (a *Authenticator) Plain(ctx context.Context, user, password string) (sasl.Identity, error) {
	login, lerr := a.lookup.Login(ctx, user)
	pw := []byte(password)
	if errors.Is(lerr, mailstore.ErrNoAccount) {
		// The same work as for an account, so that time does not tell.
		if err := a.work.Acquire(ctx, 1); err != nil {
			return sasl.Identity{}, err
		}
		defer a.work.Release(1)
		passwd.FakeCheck(pw)
		return sasl.Identity{}, sasl.ErrCredentials
	}
	if lerr != nil && !errors.Is(lerr, mailstore.ErrSuspended) {
		return sasl.Identity{}, lerr
	}
	ok, err := a.check(ctx, login, pw)
	if err != nil {
		return sasl.Identity{}, err
	}
	if !ok {
		return sasl.Identity{}, sasl.ErrCredentials
	}
	return identity(login), lerr
}

func (a *Authenticator) check(ctx context.Context, l *lookup.Login, pw []byte) (bool, error) {
	if a.cache.Has(uint64(l.Account), l.Version, pw) {
		return true, nil
	}
	if err := a.work.Acquire(ctx, 1); err != nil {
		return false, err
	}
	defer a.work.Release(1)
	// Others may have waited with the same password: one derivation serves
	// all of a client's connections.
	if a.cache.Has(uint64(l.Account), l.Version, pw) {
		return true, nil
	}
	for _, c := range l.Checkers {
		if c.Check(pw) {
			a.cache.Add(uint64(l.Account), l.Version, pw)
			return true, nil
		}
	}
	return false, nil
}

// Scram returns what is needed to check a SCRAM proof.
func (a *Authenticator) Scram(ctx context.Context, user string) (*passwd.Verifier, sasl.Identity, error) {
	login, err := a.lookup.Login(ctx, user)
	switch {
	case errors.Is(err, mailstore.ErrNoAccount):
		return nil, sasl.Identity{}, sasl.ErrCredentials
	case err != nil && !errors.Is(err, mailstore.ErrSuspended):
		return nil, sasl.Identity{}, err
	case len(login.Verifiers) == 0:
		return nil, sasl.Identity{}, sasl.ErrCredentials
	}
	return login.Verifiers[0], identity(login), err
}

func identity(l *lookup.Login) sasl.Identity {
	return sasl.Identity{Account: l.Account, Group: l.Group, Address: l.Address, Version: l.Version}
}
