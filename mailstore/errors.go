package mailstore

import "errors"

// What a mail operation can be refused for. The doors return these (wrapped);
// each protocol maps them to its own replies in one place.
var (
	ErrNoAccount     = errors.New("mailstore: no such account")
	ErrNoAddress     = errors.New("mailstore: no such address")
	ErrSuspended     = errors.New("mailstore: account suspended")
	ErrNoMailbox     = errors.New("mailstore: no such mailbox")
	ErrMailboxExists = errors.New("mailstore: mailbox exists")
	ErrBadName       = errors.New("mailstore: mailbox name not allowed")
	ErrNotPermitted  = errors.New("mailstore: not permitted")
	ErrOverQuota     = errors.New("mailstore: over quota")
	ErrTooBig        = errors.New("mailstore: message too big")
	ErrLimit         = errors.New("mailstore: a limit is reached")
	ErrConflict      = errors.New("mailstore: changed meanwhile")
	ErrExpired       = errors.New("mailstore: operation too old to be executed")
	ErrExpunged      = errors.New("mailstore: message was expunged")
	ErrDamaged       = errors.New("mailstore: stored bytes are damaged")
	ErrExists        = errors.New("mailstore: exists already")
)
