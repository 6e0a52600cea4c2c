package auth

import (
	"context"
	"errors"
	"log/slog"
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
	work    *semaphore.Weighted
	upgrade Upgrade
	log     *slog.Logger
}

// Upgrade exchanges the record of a password that came from elsewhere for one of
// our own; (*commit.Door).UpgradeCredential.
type Upgrade func(ctx context.Context, a mailstore.AccountID, credential [16]byte, password []byte) error

var _ sasl.Authenticator = (*Authenticator)(nil)

const (
	cacheSize = 20000
	cacheTTL  = time.Hour
)

// New returns an Authenticator that derives at most parallel passwords at a
// time. With upgrade, records that came from elsewhere are exchanged at the first
// login.
func New(d *lookup.Door, parallel int, upgrade Upgrade, log *slog.Logger) (*Authenticator, error) {
	c, err := passwd.NewCache(cacheSize, cacheTTL)
	if err != nil {
		return nil, err
	}
	return &Authenticator{lookup: d, cache: c, work: semaphore.NewWeighted(int64(max(parallel, 1))), upgrade: upgrade, log: log}, nil
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
	for i, c := range l.Checkers {
		if !c.Check(pw) {
			continue
		}
		a.cache.Add(uint64(l.Account), l.Version, pw)
		if _, ours := c.(*passwd.Verifier); !ours && a.upgrade != nil {
			a.exchange(ctx, l, l.Credentials[i], pw)
		}
		return true, nil
	}
	return false, nil
}

// upgradeTime bounds how long a login waits for its password's new record.
const upgradeTime = 5 * time.Second

// exchange replaces a record that came from elsewhere, now that the password is
// known, so that SCRAM can be used from now on. The login does not depend on it:
// what fails is tried again at the next one.
func (a *Authenticator) exchange(ctx context.Context, l *lookup.Login, credential [16]byte, pw []byte) {
	ctx, cancel := context.WithTimeout(ctx, upgradeTime)
	defer cancel()
	if err := a.upgrade(ctx, l.Account, credential, pw); err != nil {
		a.log.Info("an imported password keeps its old hash", "account", l.Account, "err", err)
		return
	}
	a.log.Info("an imported password has a new hash", "account", l.Account)
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
