package lookup

import (
	"context"
	"io"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

// Door is the read door.
type Door struct{}

// Login is what is needed to let a user in.
type Login struct {
	Account mailstore.AccountID
	Group   cluster.GroupID
	Address string
	// Version changes with the account's credentials and status: caches of
	// successful logins are keyed by it.
	Version uint64
}

func (d *Door) Route(ctx context.Context, local, domain string) (Target, error) { panic("") }
func (d *Door) Login(ctx context.Context, user string) (*Login, error)          { panic("") }
func (d *Door) Owns(ctx context.Context, a mailstore.AccountID, address string) (bool, error) {
	panic("")
}
func (d *Door) Open(ctx context.Context, a mailstore.AccountID) (*Account, error) { panic("") }

// Account is an account whose keys are open.
type Account struct{}

func (a *Account) ID() mailstore.AccountID        { panic("") }
func (a *Account) Group() cluster.GroupID         { panic("") }
func (a *Account) Address() string                { panic("") }
func (a *Account) Sync(ctx context.Context) error { panic("") }
func (a *Account) Quota() (Quota, error)          { panic("") }

func (a *Account) Mailboxes() ([]mailstore.Mailbox, uint64, error)               { panic("") }
func (a *Account) Mailbox(name string) (mailstore.Mailbox, error)                { panic("") }
func (a *Account) MailboxByID(id mailstore.MailboxID) (mailstore.Mailbox, error) { panic("") }
func (a *Account) Subscriptions() ([]string, error)                              { panic("") }
func (a *Account) Read() *View                                                   { panic("") }

// View is one consistent state of an account.
type View struct{}

func (v *View) Close()                                                    { panic("") }
func (v *View) Mailbox(id mailstore.MailboxID) (mailstore.Mailbox, error) { panic("") }
func (v *View) UIDs(id mailstore.MailboxID) ([]mailstore.UID, error)      { panic("") }
func (v *View) Messages(id mailstore.MailboxID, ranges []mailstore.Range, fn func(*mailstore.Message) error) error {
	panic("")
}
func (v *View) Changes(id mailstore.MailboxID, since mailstore.ModSeq) (Changes, error) { panic("") }
func (v *View) Contents(msgs []mailstore.ContentID, fn func(id mailstore.ContentID, c *Content) error) error {
	panic("")
}
func (v *View) Content(id mailstore.ContentID) (*Content, error)        { panic("") }
func (v *View) OpenBody(ctx context.Context, c *Content) (*Body, error) { panic("") }

// Content is the immutable part of a message, its summary opened.
type Content struct {
	Prefix  []byte // header lines of this recipient alone, before the shared octets
	Summary []byte // message.Index encoding of the shared octets
	Size    uint32 // RFC822.SIZE, prefix included
}

// Body reads a message's octets.
type Body struct{}

func (b *Body) Size() int64                                { panic("") }
func (b *Body) ReadAt(p []byte, off int64) (int, error)    { panic("") }
func (b *Body) WriteRange(w io.Writer, off, n int64) error { panic("") }
func (b *Body) Close() error                               { panic("") }
