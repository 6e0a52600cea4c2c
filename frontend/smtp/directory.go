package smtp

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

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
	roomy  roomy
}

// An account that could take ampleBytes and ampleMessages more is not looked at
// again for ampleFor: that is more than a node takes in so short a time.
const (
	ampleBytes    = 1 << 30
	ampleMessages = 1 << 20
	ampleFor      = time.Second
	maxRoomy      = 1 << 15 // accounts remembered, some 32 bytes each
)

// roomy remembers accounts that are far from their quota. Looking costs a read
// of the state, about 4 % of a delivery on three nodes.
type roomy struct {
	mu    sync.Mutex
	until map[mailstore.AccountID]time.Time
}

func (r *roomy) has(id mailstore.AccountID, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.until[id])
}

func (r *roomy) note(id mailstore.AccountID, until time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.until == nil {
		r.until = make(map[mailstore.AccountID]time.Time)
	}
	if len(r.until) >= maxRoomy {
		clear(r.until)
	}
	r.until[id] = until
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
	octets := uint64(max(size, 0))
	now := time.Now()
	if octets <= ampleBytes && d.roomy.has(id, now) {
		return nil
	}
	q, err := d.door.Quota(ctx, id)
	if err != nil {
		return err
	}
	switch {
	case q.LimitBytes > 0 && octets > q.LimitBytes:
		return mailstore.ErrTooBig
	case q.LimitBytes > 0 && (q.UsedBytes >= q.LimitBytes || octets > q.LimitBytes-q.UsedBytes),
		q.LimitMessages > 0 && q.UsedMessages >= q.LimitMessages:
		return mailstore.ErrOverQuota
	case (q.LimitBytes == 0 || q.LimitBytes-q.UsedBytes >= ampleBytes) &&
		(q.LimitMessages == 0 || q.LimitMessages-q.UsedMessages >= ampleMessages):
		d.roomy.note(id, now.Add(ampleFor))
	}
	return nil
}

// Owns asks the door.
func (d *doorDirectory) Owns(ctx context.Context, account mailstore.AccountID, address string) (bool, error) {
	return d.door.Owns(ctx, account, address)
}
