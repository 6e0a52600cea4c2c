package lookup

import (
	"sort"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/state"
)

// View is one consistent state of an account. It is for one goroutine, and for
// no longer than one command.
type View struct {
	a *Account
	r *state.Reader

	row   state.AccountRow
	rowed bool
	box   mailstore.MailboxID // known to exist
	msg   mailstore.Message
	key   [32]byte // room for a set of keyword ids
	zone  int32
	where *time.Location
}

// Close ends the view. Closing twice is allowed.
func (v *View) Close() {
	if v.r != nil {
		v.a.d.close(v.r)
		v.r = nil
	}
}

// Index returns the index of the group's log that the view stands for.
func (v *View) Index() uint64 { return v.r.Index() }

// account returns the account's row, or mailstore.ErrNoAccount.
func (v *View) account() (*state.AccountRow, error) {
	if v.rowed {
		return &v.row, nil
	}
	row, ok, err := v.r.Account(v.a.id)
	if err != nil {
		return nil, err
	}
	if !ok || row.Closed {
		return nil, mailstore.ErrNoAccount
	}
	v.row, v.rowed = row, true
	return &v.row, nil
}

// HighestModSeq returns the account's modification sequence.
func (v *View) HighestModSeq() (mailstore.ModSeq, error) {
	row, err := v.account()
	if err != nil {
		return 0, err
	}
	return row.ModSeq, nil
}

// Quota is Account.Quota for this view.
func (v *View) Quota() (Quota, error) {
	row, err := v.account()
	if err != nil {
		return Quota{}, err
	}
	return Quota{
		UsedBytes: row.UsedBytes, LimitBytes: row.QuotaBytes,
		UsedMessages: row.UsedMessages, LimitMessages: row.QuotaMessages,
	}, nil
}

func (v *View) open(row *state.MailboxRow) (mailstore.Mailbox, error) {
	m := row.Mailbox
	var err error
	if m.Name, err = v.a.name(&row.NameRow); err != nil {
		return m, err
	}
	acc, err := v.account()
	if err != nil {
		return m, err
	}
	subs, err := v.a.subscribed(v.r, acc.List)
	if err != nil {
		return m, err
	}
	_, m.Subscribed = subs[row.Hash]
	return m, nil
}

// Mailboxes is Account.Mailboxes for this view.
func (v *View) Mailboxes() ([]mailstore.Mailbox, uint64, error) {
	acc, err := v.account()
	if err != nil {
		return nil, 0, err
	}
	rows, err := v.r.Mailboxes(v.a.id)
	if err != nil {
		return nil, 0, err
	}
	out := make([]mailstore.Mailbox, len(rows))
	for i := range rows {
		if out[i], err = v.open(&rows[i]); err != nil {
			return nil, 0, err
		}
	}
	sort.Slice(out, func(i, j int) bool { return nameLess(out[i].Name, out[j].Name) })
	return out, acc.List, nil
}

// Mailbox returns a mailbox, or mailstore.ErrNoMailbox.
func (v *View) Mailbox(id mailstore.MailboxID) (mailstore.Mailbox, error) {
	if _, err := v.account(); err != nil {
		return mailstore.Mailbox{}, err
	}
	row, ok, err := v.r.Mailbox(v.a.id, id)
	if err != nil {
		return mailstore.Mailbox{}, err
	}
	if !ok {
		return mailstore.Mailbox{}, mailstore.ErrNoMailbox
	}
	return v.open(&row)
}

// MailboxByName returns the mailbox of a name, or mailstore.ErrNoMailbox; a
// name that cannot exist does not.
func (v *View) MailboxByName(name string) (mailstore.Mailbox, error) {
	clean, err := CleanName(name)
	if err != nil {
		return mailstore.Mailbox{}, mailstore.ErrNoMailbox
	}
	if _, err := v.account(); err != nil {
		return mailstore.Mailbox{}, err
	}
	row, ok, err := v.r.MailboxByName(v.a.id, v.a.keys.NameHash(clean))
	if err != nil {
		return mailstore.Mailbox{}, err
	}
	if !ok {
		return mailstore.Mailbox{}, mailstore.ErrNoMailbox
	}
	return v.open(&row)
}

// exists returns mailstore.ErrNoMailbox or mailstore.ErrNoAccount for what was
// deleted: its rows may be there until they are purged, but nobody is served
// from them any more (H2).
func (v *View) exists(id mailstore.MailboxID) error {
	if v.box == id && id != 0 {
		return nil
	}
	if _, err := v.account(); err != nil {
		return err
	}
	_, ok, err := v.r.Mailbox(v.a.id, id)
	if err != nil {
		return err
	}
	if !ok {
		return mailstore.ErrNoMailbox
	}
	v.box = id
	return nil
}

// Messages calls fn for each message whose UID lies in one of the ranges,
// which are sorted and disjoint, by ascending UID. The message is reused
// between the calls, and its Keywords are shared: they must not be changed,
// but may be kept. A mailbox that is not there is mailstore.ErrNoMailbox.
func (v *View) Messages(id mailstore.MailboxID, ranges []mailstore.Range, fn func(*mailstore.Message) error) error {
	if err := v.exists(id); err != nil {
		return err
	}
	return v.r.Messages(v.a.id, id, ranges, func(row *state.MessageRow) error {
		if err := v.message(row); err != nil {
			return err
		}
		return fn(&v.msg)
	})
}

// message fills v.msg.
func (v *View) message(row *state.MessageRow) error {
	m := &v.msg
	m.UID, m.ModSeq, m.Flags, m.Size = row.UID, row.ModSeq, row.Flags, row.Size
	m.Content, m.Thread = row.Content, row.Thread
	if v.where == nil || row.Zone != v.zone {
		v.zone, v.where = row.Zone, v.a.d.location(row.Zone)
	}
	m.InternalDate = time.Unix(row.InternalDate, 0).In(v.where)
	m.SaveDate = time.Unix(row.SaveDate, 0).UTC()
	m.Keywords = nil
	if len(row.Keywords) > 0 {
		var err error
		if m.Keywords, err = v.a.keywords(v.r, v.key[:0], row.Keywords); err != nil {
			return err
		}
	}
	return nil
}

// Changes returns what changed in a mailbox after the modification sequence
// since: what a session that knew everything up to since has to be told.
func (v *View) Changes(id mailstore.MailboxID, since mailstore.ModSeq) (Changes, error) {
	var c Changes
	if _, err := v.account(); err != nil {
		return c, err
	}
	box, ok, err := v.r.Mailbox(v.a.id, id)
	if err != nil {
		return c, err
	}
	if !ok {
		return c, mailstore.ErrNoMailbox
	}
	c.HighestModSeq, c.UIDNext = box.HighestModSeq, box.UIDNext
	if since >= box.HighestModSeq {
		// A view that is older than what the session knows cannot be: the
		// state only grows (P3). Then the mailbox was restored from elsewhere.
		c.Reset = since > box.HighestModSeq
		return c, nil
	}
	err = v.r.Changed(v.a.id, id, since, func(row *state.MessageRow) error {
		if err := v.message(row); err != nil {
			return err
		}
		c.Messages = append(c.Messages, v.msg)
		return nil
	})
	if err != nil {
		return c, err
	}
	c.Vanished, err = v.r.Vanished(v.a.id, id, since)
	return c, err
}

// Content is the immutable part of a message with its summary opened.
type Content struct {
	Prefix  []byte // header lines of this recipient alone, before the shared octets
	Summary []byte // message.Index encoding of the shared octets
	Size    uint32 // RFC822.SIZE: prefix and shared octets

	id      mailstore.ContentID
	body    cluster.BodyRef
	wrapped [keyring.WrappedKeySize]byte
	wrapLen int
	plain   []byte // what Prefix and Summary are of
}

// ID returns the content's id.
func (c *Content) ID() mailstore.ContentID { return c.id }

// open fills the content from the fields of its row.
func (c *Content) open(k Keys, id mailstore.ContentID, body cluster.BodyRef, size uint32, wrapped, sealed []byte) error {
	c.id, c.body, c.Size = id, body, size
	c.wrapLen = copy(c.wrapped[:], wrapped)
	var err error
	c.plain, c.Prefix, c.Summary, err = k.openSummary(c.plain[:0], id, sealed)
	return err
}

// Content returns one content, or mailstore.ErrExpunged. It may be kept.
func (v *View) Content(id mailstore.ContentID) (*Content, error) {
	if _, err := v.account(); err != nil {
		return nil, err
	}
	row, ok, err := v.r.Content(v.a.id, id)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, mailstore.ErrExpunged
	}
	c := new(Content)
	return c, c.open(v.a.keys, row.ID, row.Body, row.Size, row.WrappedKey, row.Summary)
}

// List returns the account's mailbox-list counter: it grows with every change
// of names, mailboxes or subscriptions.
func (v *View) List() (uint64, error) {
	row, err := v.account()
	if err != nil {
		return 0, err
	}
	return row.List, nil
}
