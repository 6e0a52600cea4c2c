package imap

import (
	"bytes"
	"errors"
	"fmt"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// catenate puts together the messages that are given in parts (RFC 4469).
func (c *call) catenate(msgs []imapwire.AppendMessage) error {
	for i := range msgs {
		if msgs[i].Parts == nil {
			continue
		}
		raw, err := c.catenated(msgs[i].Parts)
		if err != nil {
			return err
		}
		// Binary: what was taken from stored messages may have a NUL.
		msgs[i].Literal = &imapwire.Literal{Data: raw, Binary: true}
	}
	return nil
}

func (c *call) catenated(parts []imapwire.CatPart) ([]byte, error) {
	var raw []byte
	limit := c.s.srv.cfg.Limits.MessageSize
	// room takes the memory for n octets more.
	room := func(n int64) error {
		if int64(len(raw))+n > limit {
			return no("TOOBIG", fmt.Sprintf("A message may have at most %d octets", limit))
		}
		if c.s.held+n > 3*limit {
			return no("LIMIT", "Too much for one command")
		}
		return c.s.grab(n)
	}
	for i := range parts {
		p := &parts[i]
		if p.Literal != nil {
			if !p.Literal.Binary && bytes.IndexByte(p.Literal.Data, 0) >= 0 {
				return nil, &imapwire.SyntaxError{Text: "NUL needs a binary literal"}
			}
			if err := room(int64(len(p.Literal.Data))); err != nil {
				return nil, err
			}
			raw = append(raw, p.Literal.Data...)
			continue
		}
		var err error
		if raw, err = c.appendURL(raw, p.URL, room); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// badURL is the answer to a URL that names nothing of this account.
func badURL(url, text string) error {
	return no("BADURL "+string(imapwire.AppendURL(nil, url)), text)
}

// appendURL appends what a URL names, as FETCH BODY[...] would give it. room
// is asked before the octets are read. \Seen is not set.
func (c *call) appendURL(raw []byte, url string, room func(int64) error) ([]byte, error) {
	u, ok := imapwire.ParseMessageURL(url)
	if !ok {
		return raw, badURL(url, "Not the URL of a message here")
	}
	owner, content, err := c.urlContent(&u)
	switch {
	case errors.Is(err, mailstore.ErrNoMailbox), errors.Is(err, mailstore.ErrExpunged), errors.Is(err, mailstore.ErrNotPermitted):
		return raw, badURL(url, "No such message")
	case err != nil:
		return raw, err
	}
	o, err := newOctets(c.ctx, owner, content)
	if err != nil {
		return raw, err
	}
	raw, ok, err = o.appendSection(raw, u.Section, room)
	if err = errors.Join(err, o.close()); errors.Is(err, mailstore.ErrExpunged) {
		return raw, badURL(url, "No such message")
	} else if err == nil && !ok {
		return raw, badURL(url, "No such part")
	}
	return raw, err
}

// urlContent returns the content of a message that a URL names.
func (c *call) urlContent(u *imapwire.MessageURL) (owner *lookup.Account, content *lookup.Content, err error) {
	s := c.s
	var box mailstore.Mailbox
	switch {
	case u.Mailbox != "":
		var f found
		f, err = c.find(u.Mailbox, mailstore.RightRead)
		owner, box = f.owner, f.box
	case s.box != nil:
		owner = s.box.owner
		box, err = owner.MailboxByID(s.box.id)
	default:
		err = mailstore.ErrNoMailbox
	}
	if err != nil {
		return nil, nil, err
	}
	if u.UIDValidity != 0 && u.UIDValidity != box.UIDValidity {
		return nil, nil, mailstore.ErrNoMailbox
	}
	v := owner.Read()
	defer v.Close()
	err = mailstore.ErrExpunged
	var id mailstore.ContentID
	uid := mailstore.UID(u.UID)
	if rerr := v.Messages(box.ID, []mailstore.Range{{First: uid, Last: uid}}, func(m *mailstore.Message) error {
		id, err = m.Content, nil
		return nil
	}); rerr != nil || err != nil {
		return nil, nil, errors.Join(rerr, err)
	}
	content, err = v.Content(id)
	return owner, content, err
}

// appendSection appends a section of the message; ok is false if it has none
// such.
func (o *octets) appendSection(raw []byte, sec *imapwire.Section, room func(int64) error) (_ []byte, ok bool, err error) {
	if isHeader(sec) || isFields(sec) {
		fields, ok, err := o.fields(nil, sec)
		if !ok || err != nil {
			return raw, ok, err
		}
		p := cut(sec, piece{0, int64(len(fields))})
		if err := room(p.n); err != nil {
			return raw, false, err
		}
		return append(raw, fields[p.off:p.off+p.n]...), true, nil
	}
	p, _, ok, err := o.section(sec)
	if !ok || err != nil {
		return raw, ok, err
	}
	if p = cut(sec, p); p.n == 0 {
		return raw, true, nil
	}
	if err := room(p.n); err != nil {
		return raw, false, err
	}
	if err := o.open(); err != nil {
		return raw, false, err
	}
	before := len(raw)
	if raw, err = o.body.AppendRange(raw, p.off, p.n); err == nil && int64(len(raw)-before) != p.n {
		err = fmt.Errorf("%w: a message is shorter than its summary says", mailstore.ErrDamaged)
	}
	return raw, true, err
}
