package smtp

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// NewDirectory makes a Directory of the read door. Served reports whether a
// domain is served here at all, which only chooses the words of a refusal; nil
// for unknown.
func NewDirectory(door *lookup.Door, served func(ctx context.Context, domain string) (bool, error)) Directory {
	return &doorDirectory{door: quotaDoor{door}, served: served}
}

// reader is the read door, as far as it is needed here.
type reader interface {
	Route(ctx context.Context, local, domain string) (lookup.Target, error)
	Owns(ctx context.Context, a mailstore.AccountID, address string) (bool, error)
	Quota(ctx context.Context, a mailstore.AccountID) (lookup.Quota, error)
}

type quotaDoor struct{ *lookup.Door }

func (d quotaDoor) Quota(ctx context.Context, id mailstore.AccountID) (lookup.Quota, error) {
	a, err := d.Open(ctx, id)
	if err != nil {
		return lookup.Quota{}, err
	}
	q, err := a.Quota()
	if errors.Is(err, mailstore.ErrNoAccount) {
		// The account may be so new that its mail group has not heard of it
		// on this node: no answer from here may be negative before it has (H8).
		if err := a.Sync(ctx); err != nil {
			return lookup.Quota{}, err
		}
		return a.Quota()
	}
	return q, err
}

type doorDirectory struct {
	door   reader
	served func(ctx context.Context, domain string) (bool, error)
}

// Route tries the address as it is, then without what follows the first "+"
// of the local part.
func (d *doorDirectory) Route(ctx context.Context, local, domain string, size int64) (Recipient, error) {
	t, err := d.door.Route(ctx, local, domain)
	if user, _, tagged := strings.Cut(local, "+"); tagged && user != "" && errors.Is(err, mailstore.ErrNoAddress) {
		t, err = d.door.Route(ctx, user, domain)
	}
	if errors.Is(err, mailstore.ErrNoAddress) && d.served != nil {
		if ok, serr := d.served(ctx, domain); serr == nil && !ok {
			return Recipient{}, ErrNotLocal
		}
	}
	if err != nil {
		return Recipient{}, err
	}
	switch t.Status {
	case lookup.Opening:
		return Recipient{}, fmt.Errorf("smtp: account is being opened: %w", cluster.ErrUnavailable)
	case lookup.Closing, lookup.Closed:
		return Recipient{}, mailstore.ErrNoAddress
	}
	if err := d.room(ctx, t.Account, size); err != nil {
		return Recipient{}, err
	}
	return Recipient{Account: t.Account, Group: t.Group}, nil
}

// room refuses for quota: here and nowhere later (H14).
func (d *doorDirectory) room(ctx context.Context, id mailstore.AccountID, size int64) error {
	q, err := d.door.Quota(ctx, id)
	if err != nil {
		return err
	}
	octets := uint64(max(size, 0))
	switch {
	case q.LimitBytes > 0 && octets > q.LimitBytes:
		return mailstore.ErrTooBig
	case q.LimitBytes > 0 && (q.UsedBytes >= q.LimitBytes || octets > q.LimitBytes-q.UsedBytes),
		q.LimitMessages > 0 && q.UsedMessages >= q.LimitMessages:
		return mailstore.ErrOverQuota
	}
	return nil
}

// Owns asks the door.
func (d *doorDirectory) Owns(ctx context.Context, account mailstore.AccountID, address string) (bool, error) {
	return d.door.Owns(ctx, account, address)
}
