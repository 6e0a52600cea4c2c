package lookup

import (
	"slices"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/state"
)

// Since is what changed in a mailbox since a modification sequence, by UIDs
// alone: what Changes tells, for mailboxes of any size.
type Since struct {
	// HighestModSeq and UIDNext are those of the view.
	HighestModSeq mailstore.ModSeq
	UIDNext       mailstore.UID
	// Changed are the messages with a greater MODSEQ, new ones included.
	Changed []mailstore.Range
	// Vanished are the UIDs expunged since; a superset is allowed for the
	// distant past (RFC 7162 section 3.2.6).
	Vanished []mailstore.Range
	// Reset tells that the modification sequence is one the mailbox never
	// had. Changed are all messages then, Vanished all other UIDs up to
	// UIDNext.
	Reset bool
}

// Since returns what changed in a mailbox after a modification sequence, or
// mailstore.ErrNoMailbox. All ranges are sorted, merged and disjoint.
func (v *View) Since(id mailstore.MailboxID, since mailstore.ModSeq) (Since, error) {
	var c Since
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
	if since > box.HighestModSeq {
		c.Reset = true
		uids, err := v.r.UIDs(v.a.id, id)
		if err != nil {
			return c, err
		}
		next := mailstore.UID(1)
		for _, u := range uids {
			if u > next {
				c.Vanished = append(c.Vanished, mailstore.Range{First: next, Last: u - 1})
			}
			next = u + 1
		}
		if next < c.UIDNext && next != 0 {
			c.Vanished = append(c.Vanished, mailstore.Range{First: next, Last: c.UIDNext - 1})
		}
		c.Changed = runs(uids)
		return c, nil
	}
	if since == box.HighestModSeq {
		return c, nil
	}
	var uids []mailstore.UID
	err = v.r.Changed(v.a.id, id, since, func(row *state.MessageRow) error {
		uids = append(uids, row.UID)
		return nil
	})
	if err != nil {
		return c, err
	}
	slices.Sort(uids) // they come by their modification sequences
	c.Changed = runs(uids)
	c.Vanished, err = v.r.Vanished(v.a.id, id, since)
	return c, err
}

// runs makes ranges of ascending UIDs.
func runs(uids []mailstore.UID) (rs []mailstore.Range) {
	for _, u := range uids {
		if k := len(rs) - 1; k >= 0 && rs[k].Last+1 == u {
			rs[k].Last = u
			continue
		}
		rs = append(rs, mailstore.Range{First: u, Last: u})
	}
	return rs
}

// Keywords returns the keywords that messages of the account have or had, as
// they were first spelled, oldest first.
func (v *View) Keywords() ([]string, error) {
	if _, err := v.account(); err != nil {
		return nil, err
	}
	rows, err := v.r.Keywords(v.a.id)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(rows))
	for i := range rows {
		if out[i], err = v.a.keywordText(&rows[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// keywordText returns the text of a keyword, from memory if it was opened
// before. The hash tells whether it is still the same one.
func (a *Account) keywordText(row *state.KeywordRow) (string, error) {
	a.mu.RLock()
	w, ok := a.words[row.ID]
	a.mu.RUnlock()
	if ok && w.hash == row.Hash {
		return w.text, nil
	}
	text, err := a.keys.openKeyword(row.Hash, row.Sealed)
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	a.words[row.ID] = keyword{row.Hash, text}
	a.mu.Unlock()
	return text, nil
}
