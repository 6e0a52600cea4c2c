package imap

import (
	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
)

// partial returns which of the messages in a set a PARTIAL of UID FETCH means
// (RFC 9394 section 3.3).
func (c *call) partial(uids []mailstore.Range, p imapwire.Partial) ([]mailstore.Range, error) {
	if !c.uid() {
		return nil, bad("PARTIAL is for UID FETCH")
	}
	list := &c.s.box.list
	from, to := p.Of(c.s.box.count(uids))
	if from == to {
		return nil, nil
	}
	_, rest := list.cut(uids, uint32(from))
	head, _ := list.cut(rest, uint32(to-from))
	return head, nil
}
