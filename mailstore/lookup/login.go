package lookup

import (
	"context"
	"errors"
	"fmt"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/passwd"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/state"
)

// Login is what is needed to let a user in.
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
	// of imported passwords included.
	Verifiers []*passwd.Verifier
	Checkers  []passwd.Checker
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
	r := d.cfg.Directory.Read()
	defer d.close(r)
	addr, ok, err := r.AddressByHash(h)
	if err != nil {
		return nil, err
	}
	if !ok && stale {
		return nil, cluster.ErrUnavailable // it may exist by now
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
		l.Checkers = append(l.Checkers, check)
		if v, ok := check.(*passwd.Verifier); ok {
			l.Verifiers = append(l.Verifiers, v)
		}
	}
	return nil
}
