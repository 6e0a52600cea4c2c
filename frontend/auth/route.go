package auth

import (
	"context"
	"errors"
	"strings"

	"altmail.se/altmail/frontend/smtp"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// Router answers SMTP servers where mail goes. It is safe for concurrent use.
type Router struct{ lookup *lookup.Door }

var _ smtp.Directory = (*Router)(nil)

// NewRouter returns a Router.
func NewRouter(d *lookup.Door) *Router { return &Router{d} }

// Route resolves a recipient. "user+tag" goes where "user" goes unless it is
// an address of its own. A full account is refused here, early; what was
// accepted is delivered (mail-and-crypto-hazards 14).
func (r *Router) Route(ctx context.Context, local, domain string, size int64) (smtp.Recipient, error) {
	t, err := r.lookup.Route(ctx, local, domain)
	if base, _, tagged := strings.Cut(local, "+"); tagged && base != "" && errors.Is(err, mailstore.ErrNoAddress) {
		t, err = r.lookup.Route(ctx, base, domain)
	}
	if errors.Is(err, mailstore.ErrNoAddress) || errors.Is(err, mailstore.ErrBadName) {
		ours, derr := r.lookup.HasDomain(ctx, domain)
		switch {
		case derr != nil && !errors.Is(derr, mailstore.ErrBadName):
			return smtp.Recipient{}, derr
		case !ours:
			return smtp.Recipient{}, smtp.ErrNotLocal
		}
		return smtp.Recipient{}, mailstore.ErrNoAddress
	}
	if err != nil {
		return smtp.Recipient{}, err
	}
	if t.Status != lookup.Active && t.Status != lookup.Suspended {
		return smtp.Recipient{}, mailstore.ErrNoAddress
	}
	a, err := r.lookup.Open(ctx, t.Account)
	if err != nil {
		return smtp.Recipient{}, err
	}
	q, err := a.Quota()
	if err != nil {
		return smtp.Recipient{}, err
	}
	if q.LimitBytes > 0 && uint64(size) > q.LimitBytes {
		return smtp.Recipient{}, mailstore.ErrTooBig
	}
	if q.LimitBytes > 0 && q.UsedBytes+uint64(size) > q.LimitBytes ||
		q.LimitMessages > 0 && q.UsedMessages >= q.LimitMessages {
		return smtp.Recipient{}, mailstore.ErrOverQuota
	}
	return smtp.Recipient{Account: t.Account, Group: t.Group}, nil
}

// Owns reports whether an account may send as an address, a tagged one of its
// own included.
func (r *Router) Owns(ctx context.Context, account mailstore.AccountID, address string) (bool, error) {
	ok, err := r.lookup.Owns(ctx, account, address)
	if ok || err != nil {
		return ok, err
	}
	i := strings.LastIndexByte(address, '@')
	if i < 0 {
		return false, nil
	}
	base, _, tagged := strings.Cut(address[:i], "+")
	if !tagged || base == "" {
		return false, nil
	}
	return r.lookup.Owns(ctx, account, base+address[i:])
}
