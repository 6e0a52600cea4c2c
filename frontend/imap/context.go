package imap

import (
	"slices"
	"strconv"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
)

// searchContext is a result that the client is told the changes of (RFC 5267
// section 4.3).
type searchContext struct {
	tag    string
	where  string // what else its responses are marked with
	uid    bool
	root   *matcher
	keys   []imapwire.SortKey // of a SORT
	result []mailstore.UID    // in order
	// modseq is up to where changes of the mailbox are in result.
	modseq mailstore.ModSeq
}

// Bounds of the contexts of a session.
const (
	maxContexts      = 16
	maxContextResult = 100000 // messages
)

// tagInUse refuses a search with UPDATE under the tag of another (RFC 5267
// section 4.3).
func (c *call) tagInUse(q *imapwire.Search) error {
	if q.Return&imapwire.ReturnUpdate != 0 {
		for _, x := range c.s.box.contexts {
			if x.tag == c.s.frame.Tag {
				return bad("Tag is in use by an update")
			}
		}
	}
	return nil
}

// follow begins to tell the changes of a result, or says that it does not.
func (r *searchRun) follow(keys []imapwire.SortKey, where string) {
	s := r.c.s
	refuse := ""
	switch {
	case len(s.box.contexts) >= maxContexts:
		refuse = "Too many contexts"
	case len(r.order) > maxContextResult, r.c.cut:
		refuse = "Too many messages"
	case r.scored:
		refuse = "Not by relevancy"
	case r.root.cost >= costBody:
		refuse = "Not for searches of bodies"
	}
	if refuse != "" {
		s.noUpdate(refuse)
		return
	}
	s.box.contexts = append(s.box.contexts, &searchContext{
		tag: s.frame.Tag, where: where, uid: r.c.uid(), root: r.root, keys: keys, result: slices.Clone(r.order), modseq: s.box.modseq,
	})
}

// noUpdate says that a result is not followed (RFC 5267 section 4.3.1): the
// search itself goes on.
func (s *session) noUpdate(why string) {
	s.w.Status("*", "NO", `NOUPDATE "`+s.frame.Tag+`"`, why)
}

// cmdCancelUpdate is of RFC 5267 section 4.3.5.
func cmdCancelUpdate(c *call) error {
	var tags []string
	for c.args.Err() == nil && !c.args.AtEnd() {
		c.args.SP()
		if !c.args.Peek('"') {
			c.args.Fail("expected a quoted tag")
		}
		tags = append(tags, string(c.args.Octets()))
		if len(tags) > maxContexts {
			c.args.Fail("too many tags")
		}
	}
	if len(tags) == 0 {
		c.args.Fail("expected a quoted tag")
	}
	if err := c.args.End(); err != nil {
		return err
	}
	b := c.s.box
	for _, t := range tags {
		if !slices.ContainsFunc(b.contexts, func(x *searchContext) bool { return x.tag == t }) {
			return bad("No update has that tag")
		}
	}
	b.contexts = slices.DeleteFunc(b.contexts, func(x *searchContext) bool { return slices.Contains(tags, x.tag) })
	return nil
}

// tellRemoved tells what leaves the results because it is expunged: before
// that is told, so that sequence numbers are still those (section 4.3.4).
func (s *session) tellRemoved() {
	for _, x := range s.box.contexts {
		x.remove(s, s.box.gone)
	}
}

// tellUpdates tells what changed in the results since they were last told. It
// looks at the messages that changed and at no others. A result that cannot be
// followed any more ends with a NOUPDATE.
func (s *session) tellUpdates() error {
	b := s.box
	for _, x := range slices.Clone(b.contexts) {
		if x.modseq >= b.modseq {
			continue
		}
		err := x.update(s)
		x.modseq = b.modseq
		if fatal(err) {
			return err
		}
		if err != nil {
			s.srv.log.Warn("imap: search cannot be followed", "err", err)
			b.contexts = slices.DeleteFunc(b.contexts, func(y *searchContext) bool { return x == y })
			s.w.Status("*", "NO", `NOUPDATE "`+x.tag+`"`, "No more updates")
		}
	}
	return s.w.Err()
}

func (x *searchContext) update(s *session) error {
	uids, err := s.changedSince(x.modseq)
	if err != nil || len(uids) == 0 {
		return err
	}
	c := &call{s: s, cmd: &command{uid: x.uid}, ctx: s.ctx}
	r := searchRun{c: c, box: s.box, root: x.root}
	r.cur.list = &s.box.list
	var rs []mailstore.Range
	for _, u := range uids {
		rs = addUID(rs, u)
	}
	if err := r.scan(s.ctx, rs); err != nil {
		return err
	}
	var left, come []mailstore.UID
	in := make(map[mailstore.UID]bool, len(x.result))
	for _, u := range x.result {
		in[u] = true
	}
	for _, u := range uids {
		_, matches := slices.BinarySearch(r.found, u)
		switch {
		case in[u] && !matches && !s.box.isGone(u):
			left = append(left, u)
		case !in[u] && matches:
			come = append(come, u)
		}
	}
	x.remove(s, left)
	if len(x.result)+len(come) > maxContextResult {
		return no("LIMIT", "Too many messages")
	}
	return x.add(c, come)
}

// changedSince returns which messages that the client knows changed or came
// since.
func (s *session) changedSince(m mailstore.ModSeq) ([]mailstore.UID, error) {
	v := s.box.owner.Read()
	defer v.Close()
	ch, err := v.Changes(s.box.id, m)
	if err != nil {
		return nil, err
	}
	var uids []mailstore.UID
	for i := range ch.Messages {
		if u := ch.Messages[i].UID; s.box.list.seq(u) != 0 {
			uids = append(uids, u)
		}
	}
	return uids, nil
}

// remove takes messages, ascending, out of the result and tells so.
func (x *searchContext) remove(s *session, uids []mailstore.UID) {
	var pairs []contextPair
	kept := x.result[:0]
	for i, u := range x.result {
		if _, ok := slices.BinarySearch(uids, u); ok {
			pairs = append(pairs, contextPair{uint32(i + 1), u})
		} else {
			kept = append(kept, u)
		}
	}
	x.result = kept
	// From the end: each place is the one the client knows.
	slices.Reverse(pairs)
	x.tell(s, "REMOVEFROM", pairs)
}

// add puts messages, ascending, into the result and tells so.
func (x *searchContext) add(c *call, uids []mailstore.UID) error {
	if len(uids) == 0 {
		return nil
	}
	all := slices.Concat(x.result, uids)
	slices.Sort(all)
	if len(x.keys) > 0 {
		var err error
		if all, err = c.sortedIn(c.ctx, all, x.keys, nil); err != nil {
			return err
		}
	}
	var pairs []contextPair
	for i, u := range all {
		if _, ok := slices.BinarySearch(uids, u); ok {
			pairs = append(pairs, contextPair{uint32(i + 1), u})
		}
	}
	x.result = all
	x.tell(c.s, "ADDTO", pairs)
	return nil
}

// contextPair is a message and its place in the result, from 1.
type contextPair struct {
	at  uint32
	uid mailstore.UID
}

// tell writes an ESEARCH response with changes, to be made in their order.
func (x *searchContext) tell(s *session, what string, pairs []contextPair) {
	if len(pairs) == 0 {
		return
	}
	out := append(s.w.Buf(), "* ESEARCH (TAG "...)
	out = imapwire.AppendString(out, x.tag, false)
	out = append(append(out, x.where...), ')')
	if x.uid {
		out = append(out, " UID"...)
	}
	out = append(out, ' ')
	out = append(append(out, what...), " ("...)
	r := searchRun{c: &call{s: s, cmd: &command{uid: x.uid}}, box: s.box}
	if len(x.keys) == 0 {
		// Sections 4.3.3 and 4.3.4: where the order is the mailbox's the place
		// may be left to the client.
		var uids []mailstore.UID
		for _, p := range pairs {
			uids = append(uids, p.uid)
		}
		slices.Sort(uids)
		out = r.appendOrder(append(out, "0 "...), uids)
	} else {
		for i, p := range pairs {
			if i > 0 {
				out = append(out, ' ')
			}
			out = append(strconv.AppendUint(out, uint64(p.at), 10), ' ')
			out = strconv.AppendUint(out, uint64(r.number(p.uid)), 10)
		}
	}
	s.w.SetBuf(append(out, ")\r\n"...))
}
