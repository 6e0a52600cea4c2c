package commit

import (
	"context"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// Door is the write door.
type Door struct{}

func NewOp() cluster.OpID { panic("") }

func (d *Door) Deliver(ctx context.Context, op cluster.OpID, m *Message, to []Recipient) []error {
	panic("")
}
func (d *Door) Append(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, msgs []AppendMessage, replace mailstore.UID) (Appended, error) {
	panic("")
}
func (d *Door) Store(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, uids []mailstore.Range, ch FlagChange) (StoreResult, error) {
	panic("")
}
func (d *Door) Expunge(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, uids []mailstore.Range) ([]mailstore.Range, mailstore.ModSeq, error) {
	panic("")
}
func (d *Door) Copy(ctx context.Context, a *lookup.Account, box mailstore.MailboxID, uids []mailstore.Range, target mailstore.MailboxID, move bool) (Copied, error) {
	panic("")
}
func (d *Door) Create(ctx context.Context, a *lookup.Account, name string, use mailstore.SpecialUse) (mailstore.MailboxID, error) {
	panic("")
}
func (d *Door) Delete(ctx context.Context, a *lookup.Account, name string) error     { panic("") }
func (d *Door) Rename(ctx context.Context, a *lookup.Account, from, to string) error { panic("") }
func (d *Door) Subscribe(ctx context.Context, a *lookup.Account, name string, on bool) error {
	panic("")
}
func (d *Door) TouchRecent(a *lookup.Account, box mailstore.MailboxID, uid mailstore.UID) { panic("") }

func (d *Door) AddDomain(ctx context.Context, name string) error { panic("") }
func (d *Door) AddAccount(ctx context.Context, add AddAccount) (mailstore.AccountID, error) {
	panic("")
}
func (d *Door) SetPassword(ctx context.Context, a mailstore.AccountID, password []byte) error {
	panic("")
}
func (d *Door) AddAddress(ctx context.Context, a mailstore.AccountID, address string) error {
	panic("")
}
func (d *Door) RemoveAddress(ctx context.Context, a mailstore.AccountID, address string) error {
	panic("")
}
func (d *Door) CloseAccount(ctx context.Context, a mailstore.AccountID) error   { panic("") }
func (d *Door) SuspendAccount(ctx context.Context, a mailstore.AccountID) error { panic("") }
func (d *Door) ResumeAccount(ctx context.Context, a mailstore.AccountID) error  { panic("") }
func (d *Door) SetQuota(ctx context.Context, a mailstore.AccountID, bytes, messages uint64) error {
	panic("")
}
