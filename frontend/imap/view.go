package imap

import (
	"errors"
	"slices"
	"strconv"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/change"
	"altmail.se/altmail/mailstore/lookup"
)

// view is the selected mailbox as the client knows it.
type view struct {
	// owner is the account the mailbox is of, as this session's user may use it,
	// and rights what it may do. sub is the feed of another's account.
	owner       *lookup.Account
	rights      mailstore.Rights
	sub         *change.Subscription
	id          mailstore.MailboxID
	uidValidity uint32
	readOnly    bool
	// list holds the messages the client was told of, also those in gone.
	list uidList
	// gone are messages of list that were expunged and not announced yet,
	// ascending.
	gone []mailstore.UID
	// goneFrom is what modseq was when the first of gone was not in it.
	goneFrom mailstore.ModSeq
	// next is the UIDNEXT up to which new messages are in list.
	next mailstore.UID
	// modseq is the state that list, gone and what was announced stand for.
	modseq mailstore.ModSeq
	// account is the account's modification sequence when modseq was read.
	account mailstore.ModSeq
	// mutedFrom is what modseq was when flags changed that were not told,
	// because NOTIFY says so; 0 if none did.
	mutedFrom mailstore.ModSeq
	// shown is the greatest MODSEQ in a FETCH response since the last tagged
	// response, and lowered tells that the client was given a HIGHESTMODSEQ
	// below it. Both are settle's.
	shown   mailstore.ModSeq
	lowered bool
	// keywords are those in the FLAGS response, sorted.
	keywords []string
	// recentFrom is the first UID that is \Recent in this session (RFC 3501
	// section 2.3.2).
	recentFrom mailstore.UID
	// saved is the result of the last SEARCH with SAVE (RFC 5182), as UIDs.
	saved []mailstore.Range
	// contexts are the searches with UPDATE (RFC 5267).
	contexts []*searchContext
}

func (b *view) recent() uint32 { return b.list.n - b.list.before(b.recentFrom) }

func (b *view) isGone(u mailstore.UID) bool {
	_, ok := slices.BinarySearch(b.gone, u)
	return ok
}

// expunged notes what vanished. A message that was never announced is not
// missed: no EXPUNGE for it is ever sent.
func (b *view) expunged(rs []mailstore.Range) {
	n := len(b.gone)
	for _, r := range rs {
		b.list.each(r, func(u mailstore.UID) { b.gone = append(b.gone, u) })
	}
	if len(b.gone) > n {
		slices.Sort(b.gone)
		b.gone = slices.Compact(b.gone)
	}
}

// announce says how changes are told.
type announce struct {
	expunge bool // EXPUNGE may be sent now
	uid     bool // FETCH responses have the UID
	force   bool // look for changes even if nothing hinted at them
	// silent are messages of which new flags are not told, because the client
	// asked so; ascending. Later changes than silentTo are another's, and
	// told.
	silent   []mailstore.UID
	silentTo mailstore.ModSeq
	// own are the messages of which this session has just changed the flags,
	// ascending, and ownSeq is the modification sequence of that.
	own    []mailstore.UID
	ownSeq mailstore.ModSeq
	// told is called for messages of which the flags were told.
	told func(mailstore.UID)
}

// hinted reports whether the selected mailbox may have changed.
func (s *session) hinted() bool {
	if s.box.sub != nil {
		s.look(s.box.sub.Take())
	}
	select {
	case <-s.sub.C():
	default:
		if !s.signal {
			return s.stale
		}
	}
	s.signal = false
	if evs := s.take(); s.box.sub == nil {
		s.look(evs)
	}
	return s.stale
}

// look notes which of the events of an account are about its selected mailbox.
func (s *session) look(evs []mailstore.Event) {
	a := s.box.owner
	for _, ev := range evs {
		// An event without a mailbox is about the list of mailboxes: this one
		// may be gone.
		if ev.Reset && (ev.Account == 0 || ev.Account == a.ID()) && ev.Group == a.Group() ||
			ev.Mailbox == s.box.id || ev.Mailbox == 0 {
			s.stale = true
			s.reset = s.reset || ev.Reset
		}
	}
}

// announce tells the client what changed in the selected mailbox.
func (s *session) announce(o announce) error {
	b := s.box
	if !o.force && s.notify.mutes() {
		return nil
	}
	var n news
	if s.hinted() || o.force {
		s.stale = false
		var err error
		n, err = s.readNews(&o)
		if errors.Is(err, mailstore.ErrNoMailbox) || errors.Is(err, mailstore.ErrNoAccount) {
			return errBoxGone
		}
		if err != nil {
			s.stale = true
			return err
		}
		s.reset, b.account = false, n.account
		if len(b.gone) == 0 {
			b.goneFrom = b.modseq
		}
		b.expunged(n.Vanished)
	}
	if o.expunge {
		s.tellGone()
	}
	ch := &n.Changes
	if ch.HighestModSeq == 0 {
		return nil
	}
	if n.keywords != nil {
		s.tellKeywords(n.keywords)
	}
	exists := b.list.n
	changed := ch.Messages[:0]
	for i := range ch.Messages {
		m := ch.Messages[i]
		if m.UID >= b.next {
			if n.uids == nil {
				b.list.add(m.UID)
			}
			continue
		}
		changed = append(changed, m)
	}
	for _, u := range n.uids {
		if u >= b.next {
			b.list.add(u)
		}
	}
	first := b.next
	b.next = max(b.next, ch.UIDNext)
	modseq := b.modseq
	b.modseq = ch.HighestModSeq
	if b.list.n != exists {
		s.w.UntaggedNum(b.list.n, "EXISTS").CRLF()
		if !s.rev2 {
			s.w.UntaggedNum(b.recent(), "RECENT").CRLF()
			s.touchRecent()
		}
	}
	if !o.force && len(changed) > 0 && s.notify.mutesFlags() {
		// They are not told, so the client does not know everything up to here.
		b.untold(modseq)
		changed = nil
	}
	cur := cursor{list: &b.list}
	silent := o.silent
	for i := range changed {
		m := &changed[i]
		for len(silent) > 0 && silent[0] < m.UID {
			silent = silent[1:]
		}
		hush := len(silent) > 0 && silent[0] == m.UID && m.ModSeq <= o.silentTo
		seq := cur.seq(m.UID)
		if seq == 0 || b.isGone(m.UID) || hush && !s.condst {
			continue
		}
		s.tellFlags(seq, m, o.uid || s.condst || s.notify != nil, hush) // RFC 5465 section 5.1
		if o.told != nil {
			o.told(m.UID)
		}
	}
	if err := s.tellNew(first); err != nil {
		return err
	}
	return s.tellUpdates()
}

// news is what there is to announce.
type news struct {
	lookup.Changes
	// account is the modification sequence of the account.
	account mailstore.ModSeq
	// uids are all messages, when the state was exchanged.
	uids []mailstore.UID
	// keywords are those of the account, when one of them is new.
	keywords []string
}

// readNews reads what changed since the client was told last. What it cannot
// be told in this session is errBoxGone.
func (s *session) readNews(o *announce) (n news, err error) {
	b := s.box
	v := b.owner.Read()
	defer v.Close()
	// A closed account is served no further, though its rows and this
	// session's keys are still there (H2).
	if n.account, err = v.HighestModSeq(); err != nil {
		return n, err
	}
	rights := mailstore.AllRights
	if s.shared(b.owner) {
		if rights, err = v.Rights(b.id); err != nil {
			return n, err
		}
	}
	if !rights.Has(mailstore.RightRead) {
		// RFC 4314 section 5.1.1 lets the connection end. As if the mailbox
		// were gone: it is for this user.
		return n, errBoxGone
	}
	if s.onlyOwn(o, n.account) {
		n.HighestModSeq, n.UIDNext = o.ownSeq, b.next
		n.Messages = make([]mailstore.Message, 0, len(o.own))
		var own []mailstore.Range
		for _, u := range o.own {
			own = addUID(own, u)
		}
		err = v.Messages(b.id, own, func(m *mailstore.Message) error {
			n.Messages = append(n.Messages, *m)
			return nil
		})
	} else {
		n.Changes, err = v.Changes(b.id, b.modseq)
	}
	if err != nil {
		return n, err
	}
	if n.Reset {
		return n, errBoxGone
	}
	if s.reset {
		box, err := v.Mailbox(b.id)
		if err != nil {
			return n, err
		}
		if n.uids, err = v.UIDs(b.id); err != nil {
			return n, err
		}
		missing, ok := b.replaced(n.uids, n.UIDNext)
		if !ok || box.UIDValidity != b.uidValidity {
			return n, errBoxGone
		}
		n.Vanished = missing
	}
	changed := rights != b.rights
	b.rights = rights
	for i := range n.Messages {
		changed = changed || !b.knowsKeywords(n.Messages[i].Keywords)
	}
	if changed {
		n.keywords, err = s.keywordsOf(v, b.id)
	}
	return n, err
}

// keywordsOf returns the keywords that the client is told of with a mailbox.
func (s *session) keywordsOf(v *lookup.View, box mailstore.MailboxID) (words []string, err error) {
	if s.shared(s.box.owner) {
		words, err = keywordsIn(v, box)
	} else {
		words, err = v.Keywords()
	}
	if words == nil {
		words = []string{} // that there are none is told as well
	}
	return words, err
}

// onlyOwn reports whether a small change of this session is all that happened
// in the account, which is at the modification sequence now, since it looked
// last: then the rows of those messages are the news.
func (s *session) onlyOwn(o *announce, now mailstore.ModSeq) bool {
	return len(o.own) > 0 && len(o.own) <= 16 && o.ownSeq == now && s.box.account+1 == now && !s.reset
}

// touchRecent has the messages that this session was told of be \Recent for
// no other. It is not waited for (H23).
func (s *session) touchRecent() {
	if b := s.box; !b.readOnly && b.next > b.recentFrom {
		s.srv.cfg.Commit.TouchRecent(b.owner, b.id, b.next)
	}
}

// tellGone announces what was expunged.
func (s *session) tellGone() {
	b := s.box
	if len(b.gone) == 0 {
		return
	}
	s.tellRemoved()
	if s.qresync || s.uidonly {
		// RFC 7162 section 3.2.10.2, RFC 9586 section 3.3.
		var rs []mailstore.Range
		for _, u := range b.gone {
			rs = addUID(rs, u)
		}
		s.tellVanished(false, rs)
	} else {
		// From the end, so that each number is the one the client knows.
		for _, u := range slices.Backward(b.gone) {
			s.w.UntaggedNum(b.list.seq(u), "EXPUNGE").CRLF()
		}
	}
	b.list.remove(b.gone)
	b.gone = nil
}

// tellFlags writes a FETCH response with the flags of a message. With modseq
// alone the flags are left out (RFC 7162 section 3.1.3 on .SILENT).
func (s *session) tellFlags(seq uint32, m *mailstore.Message, uid, modseqOnly bool) {
	out := s.beginFetch(s.w.Buf(), seq, m.UID)
	if uid && !s.uidonly {
		out = append(out, "UID "...)
		out = strconv.AppendUint(out, uint64(m.UID), 10)
		out = append(out, ' ')
	}
	if !modseqOnly {
		out = append(out, "FLAGS ("...)
		out = s.appendFlags(out, m)
		out = append(out, ')')
	}
	if s.condst {
		if !modseqOnly {
			out = append(out, ' ')
		}
		out = append(out, "MODSEQ ("...)
		out = strconv.AppendUint(out, uint64(m.ModSeq), 10)
		out = append(out, ')')
		s.box.shown = max(s.box.shown, m.ModSeq)
	}
	s.w.SetBuf(append(out, ")\r\n"...))
}

// systemFlags are written in this order.
var systemFlags = []struct {
	bit  mailstore.Flags
	name string
}{
	{mailstore.FlagAnswered, `\Answered`}, {mailstore.FlagFlagged, `\Flagged`},
	{mailstore.FlagDeleted, `\Deleted`}, {mailstore.FlagSeen, `\Seen`}, {mailstore.FlagDraft, `\Draft`},
}

// flagTexts holds each combination of system flags as it is written.
var flagTexts = func() (t [mailstore.AllFlags + 1]string) {
	for f := range t {
		for _, sys := range systemFlags {
			if mailstore.Flags(f)&sys.bit != 0 {
				if t[f] != "" {
					t[f] += " "
				}
				t[f] += sys.name
			}
		}
	}
	return t
}()

// appendFlags appends the flags of a message without parentheses.
func (s *session) appendFlags(out []byte, m *mailstore.Message) []byte {
	n := len(out)
	out = append(out, flagTexts[m.Flags&mailstore.AllFlags]...)
	for _, k := range m.Keywords {
		if len(out) > n {
			out = append(out, ' ')
		}
		out = append(out, k...)
	}
	if !s.rev2 && m.UID >= s.box.recentFrom {
		if len(out) > n {
			out = append(out, ' ')
		}
		out = append(out, `\Recent`...)
	}
	return out
}

// pick returns the messages of a set that the client knows, as ranges of UIDs.
// missing tells that one of them, named by its sequence number, was expunged.
func (c *call) pick(set imapwire.NumSet) (uids []mailstore.Range, missing bool, err error) {
	b := c.s.box
	switch {
	case set.Saved:
		return b.known(b.saved), false, nil
	case c.uid():
		return b.pickUIDs(set), false, nil
	}
	for _, r := range set.Resolve(b.list.n) {
		// RFC 9051 section 9, seq-number.
		if r.Last > b.list.n {
			return nil, false, bad("No message has that sequence number")
		}
		uids = append(uids, mailstore.Range{First: b.list.at(r.First), Last: b.list.at(r.Last)})
	}
	for _, u := range b.gone {
		if inRanges(uids, u) {
			return uids, true, nil
		}
	}
	return uids, false, nil
}

// pickUIDs resolves a set of UIDs. Messages that were not announced yet are
// not in it.
func (b *view) pickUIDs(set imapwire.NumSet) []mailstore.Range {
	last := b.list.last()
	var uids []mailstore.Range
	for _, r := range set.Resolve(uint32(last)) {
		if f, l := mailstore.UID(r.First), min(mailstore.UID(r.Last), last); f <= l {
			uids = append(uids, mailstore.Range{First: f, Last: l})
		}
	}
	return uids
}

// known cuts ranges down to what the client knows.
func (b *view) known(rs []mailstore.Range) []mailstore.Range {
	last := b.list.last()
	var out []mailstore.Range
	for _, r := range rs {
		if r.Last = min(r.Last, last); r.First <= r.Last {
			out = append(out, r)
		}
	}
	return out
}

func inRanges(rs []mailstore.Range, u mailstore.UID) bool {
	_, ok := slices.BinarySearchFunc(rs, u, func(r mailstore.Range, u mailstore.UID) int {
		switch {
		case r.Last < u:
			return -1
		case r.First > u:
			return 1
		}
		return 0
	})
	return ok
}

// count returns how many messages the client knows in ranges.
func (b *view) count(rs []mailstore.Range) int {
	n := 0
	for _, r := range rs {
		n += int(b.list.count(r))
	}
	return n
}

// addUID appends a UID greater than all in the ranges.
func addUID(rs []mailstore.Range, u mailstore.UID) []mailstore.Range {
	if k := len(rs) - 1; k >= 0 && rs[k].Last+1 == u {
		rs[k].Last = u
		return rs
	}
	return append(rs, mailstore.Range{First: u, Last: u})
}

// numRanges makes wire ranges of ascending UIDs.
func numRanges(uids []mailstore.UID) []imapwire.NumRange {
	var b imapwire.SetBuilder
	for _, u := range uids {
		b.Add(uint32(u))
	}
	return b.Ranges
}
