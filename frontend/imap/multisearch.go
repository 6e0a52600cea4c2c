package imap

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
)

// cmdMultiSearch is ESEARCH (RFC 7377). It tells UIDs always, of each mailbox
// in which something was found.
func cmdMultiSearch(c *call) error {
	q := c.args.MultiSearch()
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	selected := func(src imapwire.SearchSource) bool { return src.Filter == imapwire.NotifySelected }
	alone := !slices.ContainsFunc(q.Sources, func(src imapwire.SearchSource) bool { return !selected(src) })
	if s.box == nil && (alone || slices.ContainsFunc(q.Sources, selected)) {
		return bad("No mailbox is selected")
	}
	if !alone {
		// Section 2.1: they are of the selected mailbox.
		switch {
		case q.Return&imapwire.ReturnSave != 0:
			return bad("SAVE is for the selected mailbox")
		case q.Numbered || q.Saved:
			return bad("Only UIDs mean anything in several mailboxes")
		}
		return c.searchMany(&q)
	}
	r, err := c.search(&q.Search, false)
	if err != nil {
		c.notSaved(&q.Search)
		return err
	}
	r.order = r.found
	box, err := s.box.owner.MailboxByID(s.box.id)
	if errors.Is(err, mailstore.ErrNoMailbox) {
		return errBoxGone
	}
	if err != nil {
		return err
	}
	s.asSeen(&box, s.box.owner)
	where := s.where(&box)
	if q.Return&imapwire.ReturnSave != 0 {
		s.box.saved = r.toSave(&q.Search)
	}
	if q.Return&imapwire.ReturnUpdate != 0 {
		r.follow(nil, where)
	}
	if len(r.order) > 0 {
		r.extended(&q.Search, where)
	}
	return nil
}

// where names a mailbox in an ESEARCH response (RFC 7377 section 2.1).
func (s *session) where(box *mailstore.Mailbox) string {
	out := append([]byte(nil), " MAILBOX "...)
	out = imapwire.AppendMailbox(out, box.Name, s.utf8)
	out = append(out, " UIDVALIDITY "...)
	return string(strconv.AppendUint(out, uint64(box.UIDValidity), 10))
}

// searchMany searches in several mailboxes, one after the other.
func (c *call) searchMany(q *imapwire.MultiSearch) error {
	s := c.s
	if q.ModSeq {
		s.enableCondstore()
	}
	boxes, err := c.sources(q.Sources)
	if err != nil {
		return err
	}
	if q.Return&imapwire.ReturnUpdate != 0 {
		s.noUpdate("Only for the selected mailbox")
	}
	total := 0
	for _, box := range boxes {
		total += int(box.box.Exists)
	}
	told, seen := s.progress(total), 0
	ctx, stop, err := s.watched(c.ctx)
	if err != nil {
		return err
	}
	for _, box := range boxes {
		if err = c.searchOne(ctx, q, box, told, &seen); err != nil {
			break
		}
	}
	if serr := stop(); serr != nil {
		return serr
	}
	return err
}

// searchOne searches in one mailbox and tells what was found there. seen counts
// what was looked at.
func (c *call) searchOne(ctx context.Context, q *imapwire.MultiSearch, f *found, told *progress, seen *int) error {
	s := c.s
	if err := ctx.Err(); err != nil {
		return err
	}
	b, box := s.box, &f.box
	if !s.selects(f.owner, box.ID) {
		if box.Exists == 0 {
			return nil
		}
		v := f.owner.Read()
		uids, err := v.UIDs(box.ID)
		v.Close()
		if errors.Is(err, mailstore.ErrNoMailbox) {
			return nil // deleted since
		}
		if err != nil {
			return err
		}
		// What no session was told of is \Recent, and stays so: only SELECT
		// takes it (RFC 7377 section 2).
		b = &view{owner: f.owner, rights: f.rights, id: box.ID, list: newUIDList(uids), recentFrom: box.RecentFrom}
	}
	r := &searchRun{c: c, box: b, modseq: q.ModSeq, progress: told, scored: q.Relevancy}
	var err error
	if r.root, err = c.compile(&q.Search, b); err != nil {
		return err
	}
	uids := r.candidates()
	if *seen += b.count(uids); s.most > 0 && *seen > int(s.most) {
		// A UID to go on from would not say in which mailbox.
		return s.tooMany()
	}
	err = r.look(ctx, uids)
	if errors.Is(err, errBoxGone) && b != s.box {
		return nil
	}
	if err != nil {
		return err
	}
	if r.order = r.found; len(r.order) > 0 {
		r.extended(&q.Search, s.where(box))
	}
	if s.w.Err() != nil {
		return &connError{s.w.Err()}
	}
	return nil
}

// sources returns the mailboxes that are to be searched, each once, in the
// order of LIST. Names without a mailbox are passed over (RFC 7377 section
// 2.2).
func (c *call) sources(srcs []imapwire.SearchSource) ([]*found, error) {
	nodes, err := c.everything([]string{"*"})
	if err != nil {
		return nil, err
	}
	var out []*found
	for _, n := range nodes {
		if n.box != nil && n.rights.Has(mailstore.RightRead) && slices.ContainsFunc(srcs, func(src imapwire.SearchSource) bool { return c.sourceHas(&src, n) }) {
			out = append(out, n.found())
		}
	}
	return out, nil
}

// sourceHas reports whether a mailbox is in a source.
func (c *call) sourceHas(src *imapwire.SearchSource, n *node) bool {
	switch src.Filter {
	case imapwire.NotifySelected:
		return c.s.selects(n.owner, n.box.ID)
	case imapwire.NotifySubtreeOne:
		return slices.ContainsFunc(src.Mailboxes, func(top string) bool {
			rest, below := strings.CutPrefix(n.name, top+"/")
			return n.name == top || below && !strings.Contains(rest, "/")
		})
	}
	if own := src.Filter == imapwire.NotifyPersonal || src.Filter == imapwire.NotifyInboxes; own && c.s.shared(n.owner) {
		return false
	}
	return groupMatches(&imapwire.NotifyGroup{Filter: src.Filter, Mailboxes: src.Mailboxes}, n.name, n.subscribed)
}
