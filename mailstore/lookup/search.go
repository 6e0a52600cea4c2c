package lookup

import (
	"context"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/search"
	"altmail.se/altmail/mailstore/state"
)

// Searcher is this node's full-text index: *search.Index.
type Searcher interface {
	Search(ctx context.Context, id mailstore.AccountID, keys search.Keys, needle []byte, body bool, messages int) (*search.Found, error)
}

// Found is what the full-text index knows of a search.
type Found = search.Found

// Search asks the full-text index for a text, folded as the index was told to
// fold, in so many of the account's messages; with body in bodies only. What
// it does not know has to be read. The only error is the context's.
func (a *Account) Search(ctx context.Context, text []byte, body bool, messages int) (*Found, error) {
	if a.d.cfg.Search == nil {
		return &Found{}, nil
	}
	return a.d.cfg.Search.Search(ctx, a.id, a.keys, text, body, messages)
}

// Extract appends the searchable text of a message to dst as one document, and
// returns where in it the text of the body begins. It asks no other node. With
// more than limit octets the error is ErrTooLong.
type Extract func(ctx context.Context, a *Account, c *Content, dst []byte, limit int) (text []byte, body int, err error)

// Indexed shows the accounts of this node to a search.Indexer.
func (d *Door) Indexed(extract Extract) search.Mail { return &indexed{d, extract} }

type indexed struct {
	d       *Door
	extract Extract
}

// Accounts implements search.Mail.
func (x *indexed) Accounts(fn func(mailstore.AccountID) error) error {
	r := x.d.cfg.Directory.Read()
	defer x.d.close(r)
	return r.Accounts(func(row *state.DirectoryAccount) error {
		if len(row.WrappedKeys) == 0 {
			return nil // shredded
		}
		if _, ok := x.d.cfg.Mail(row.Group); !ok {
			return nil
		}
		return fn(row.ID)
	})
}

// Account implements search.Mail. Nothing is certain here, so nobody else is
// asked: who has no keys on this node has no index.
func (x *indexed) Account(_ context.Context, id mailstore.AccountID) (search.MailAccount, error) {
	a, err := x.d.openLocal(id)
	if err != nil {
		return nil, err
	}
	return &indexedAccount{x, a}, nil
}

type indexedAccount struct {
	x *indexed
	a *Account
}

// Keys implements search.MailAccount.
func (x *indexedAccount) Keys() search.Keys { return x.a.keys }

// Contents implements search.MailAccount.
func (x *indexedAccount) Contents(since mailstore.ModSeq, fn func(mailstore.ContentID) error) (mailstore.ModSeq, error) {
	v := x.a.Read()
	defer v.Close()
	row, err := v.account()
	if err != nil {
		return 0, err
	}
	boxes, err := v.r.Mailboxes(x.a.id)
	if err != nil {
		return 0, err
	}
	each := func(m *state.MessageRow) error { return fn(m.Content) }
	for i := range boxes {
		switch box := &boxes[i]; {
		case since == 0:
			err = v.r.Messages(x.a.id, box.ID, []mailstore.Range{{First: 1, Last: 1<<32 - 1}}, each)
		case box.HighestModSeq > since:
			err = v.r.Changed(x.a.id, box.ID, since, each)
		}
		if err != nil {
			return 0, err
		}
	}
	return row.ModSeq, nil
}

// Text implements search.MailAccount.
func (x *indexedAccount) Text(ctx context.Context, id mailstore.ContentID, dst []byte, limit int) ([]byte, int, error) {
	v := x.a.Read()
	c, err := v.Content(id)
	v.Close()
	if err != nil {
		return dst, 0, err
	}
	return x.x.extract(ctx, x.a, c, dst, limit)
}

// EndOfText is the octet that ends each text of a document.
const EndOfText = search.EndOfText

// ErrTooLong is search.ErrTooLong.
var ErrTooLong = search.ErrTooLong
