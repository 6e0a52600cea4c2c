package imap

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
)

// notify is what a client asked to be told of with NOTIFY (RFC 5465), and what
// it knows of the mailboxes that are not selected. The feed says where to look;
// what is told is the difference to what was told before.
type notify struct {
	groups []imapwire.NotifyGroup // but the one about the selected mailbox
	events imapwire.NotifyEvents  // of all of these

	selected imapwire.NotifyEvents
	delayed  bool // SELECTED-DELAYED
	atts     []imapwire.FetchAtt

	boxes map[mailstore.MailboxID]watched
	subs  map[string]struct{}
	// metadata are the annotations of those mailboxes of which they matter,
	// and of the account (0).
	metadata map[mailstore.MailboxID]noted

	pending map[mailstore.MailboxID]struct{}
	list    bool // the list of mailboxes or subscriptions
	all     bool // everything is to be compared

	// What this session did itself is not told to it: messages it added to
	// the selected mailbox, and names it changed.
	mine     []mailstore.Range
	ownNames map[string]struct{}
}

// watched is a mailbox as the client was told of it last.
type watched struct {
	name           string
	next           mailstore.UID
	modseq         mailstore.ModSeq
	exists, unseen uint32
}

func watch(m *mailstore.Mailbox) watched {
	return watched{m.Name, m.UIDNext, m.HighestModSeq, m.Exists, m.Unseen}
}

const (
	// maxPending is how many that changed are kept apart.
	maxPending = 500
	// maxMine bounds what is remembered of what the session added itself.
	maxMine = 100
)

// badEvent lists what can be told (section 3.1).
const badEvent = "BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)"

// cmdNotify is of RFC 5465 section 3.1.
func cmdNotify(c *call) error {
	q := c.args.Notify()
	if err := c.args.End(); err != nil {
		return err
	}
	n := &notify{pending: map[mailstore.MailboxID]struct{}{}, ownNames: map[string]struct{}{}}
	for _, g := range q.Groups {
		if q.Unknown {
			return no(badEvent, "Not all of these events can be told")
		}
		if g.Filter == imapwire.NotifySelected || g.Filter == imapwire.NotifySelectedDelayed {
			n.selected, n.delayed = g.Events, g.Filter == imapwire.NotifySelectedDelayed
			n.atts = peeking(g.Atts)
			continue
		}
		n.groups = append(n.groups, g)
		n.events |= g.Events
	}
	if _, err := c.sync(); err != nil {
		return err
	}
	s := c.s
	old := s.notify
	s.notify = nil
	if s.box != nil && len(q.Groups) > 0 {
		// It is a NOOP too.
		if err := s.announce(announce{expunge: true, uid: c.uid(), force: true}); err != nil {
			s.notify = old
			return err
		}
	}
	// What happens from here on is compared with what is read now.
	s.notify = n
	if err := c.beginNotify(q.Status); err != nil {
		if s.notify = old; old != nil {
			old.all = true // its events were taken for the new one
		}
		return err
	}
	return nil
}

// peeking makes fetch items such that they mark nothing as read (section 5.2).
func peeking(atts []imapwire.FetchAtt) []imapwire.FetchAtt {
	for i := range atts {
		if sec := atts[i].Section; sec != nil {
			sec.Peek = true
		}
	}
	return atts
}

// beginNotify reads what the client is taken to know, and tells it if asked.
func (c *call) beginNotify(status bool) error {
	s := c.s
	n := s.notify
	if n.events == 0 {
		return nil
	}
	nodes, err := c.hierarchy(nil)
	if err != nil {
		return err
	}
	n.boxes, n.subs = n.snapshot(nodes)
	if len(n.boxes) > s.srv.cfg.Limits.Watched {
		return no("NOTIFICATIONOVERFLOW", "Too many mailboxes to watch")
	}
	if err := n.noteMetadata(s.account, nodes); err != nil || !status {
		return err
	}
	for _, node := range nodes {
		if node.box == nil || s.selects(s.account, node.box.ID) {
			continue
		}
		var items []imapwire.StatusItem
		ev := n.of(node.name, node.subscribed)
		if ev&imapwire.NotifyMessages != 0 {
			items = append(items, imapwire.StatusMessages, imapwire.StatusUIDNext, imapwire.StatusUIDValidity)
		}
		if ev&imapwire.NotifyFlags != 0 {
			items = append(items, imapwire.StatusHighestModSeq)
		}
		if len(items) > 0 {
			s.statusItems(s.account, node.box, items, 0)
		}
	}
	return nil
}

// of returns what is to be told of a mailbox that is not selected.
func (n *notify) of(name string, subscribed bool) (ev imapwire.NotifyEvents) {
	for i := range n.groups {
		if g := &n.groups[i]; groupMatches(g, name, subscribed) {
			ev |= g.Events
		}
	}
	return ev
}

// snapshot returns what is to be compared with later.
func (n *notify) snapshot(nodes []*node) (map[mailstore.MailboxID]watched, map[string]struct{}) {
	boxes, subs := make(map[mailstore.MailboxID]watched), map[string]struct{}(nil)
	if n.events&imapwire.NotifySubscription != 0 {
		subs = make(map[string]struct{})
	}
	for _, node := range nodes {
		// For MailboxName all are kept: one may get a name that matters.
		if node.box != nil && (n.events&imapwire.NotifyName != 0 || n.of(node.name, node.subscribed) != 0) {
			boxes[node.box.ID] = watch(node.box)
		}
		if node.subscribed && subs != nil {
			subs[node.name] = struct{}{}
		}
	}
	return boxes, subs
}

// note remembers where to look.
func (n *notify) note(evs []mailstore.Event) {
	for i := range evs {
		switch ev := &evs[i]; {
		case ev.Reset:
			n.all = true
		case ev.Mailbox == 0:
			n.list = true
		case len(n.pending) < maxPending:
			n.pending[ev.Mailbox] = struct{}{}
		default:
			n.all = true
		}
	}
}

// take returns what the feed hinted at.
func (s *session) take() []mailstore.Event {
	evs := s.sub.Take()
	if s.notify != nil {
		s.notify.note(evs)
	}
	return evs
}

// added notes that this session added messages to the selected mailbox.
func (n *notify) added(uids []mailstore.UID) {
	if n == nil || n.atts == nil {
		return
	}
	for _, u := range uids {
		n.mine = addUID(n.mine, u)
	}
	if k := len(n.mine) - maxMine; k > 0 {
		n.mine = n.mine[k:]
	}
}

// named notes that this session changed names.
func (n *notify) named(names ...string) {
	if n == nil {
		return
	}
	for _, name := range names {
		n.ownNames[name] = struct{}{}
	}
}

// mutes reports whether nothing of what others do in the selected mailbox is
// to be told.
func (n *notify) mutes() bool { return n != nil && n.selected == 0 }

// mutesFlags reports whether FlagChange is not to be told.
func (n *notify) mutesFlags() bool { return n != nil && n.selected&imapwire.NotifyFlags == 0 }

// tellNew tells what was asked for of messages that were just announced
// (section 5.2).
func (s *session) tellNew(from mailstore.UID) error {
	n, b := s.notify, s.box
	if n == nil || n.atts == nil || from >= b.next {
		return nil
	}
	rest := []mailstore.Range{{First: from, Last: b.next - 1}}
	for _, r := range n.mine {
		rest = without(rest, r)
	}
	n.mine = slices.DeleteFunc(n.mine, func(r mailstore.Range) bool { return r.Last < b.next })
	if b.count(rest) == 0 {
		return nil
	}
	f := fetcher{c: &call{s: s, ctx: s.ctx, cmd: commands["FETCH"]}, s: s}
	f.plan(&imapwire.Fetch{Atts: slices.Clone(n.atts)})
	f.markSeen = false
	err := f.run(rest, 0)
	if err != nil && !fatal(err) {
		// The message was announced; the client asks for the rest itself.
		s.srv.log.Warn("imap: a new message could not be told of", "error", err)
		return nil
	}
	return err
}

// without takes a range out of ascending ranges.
func without(rs []mailstore.Range, r mailstore.Range) (out []mailstore.Range) {
	for _, x := range rs {
		if x.First < r.First {
			out = append(out, mailstore.Range{First: x.First, Last: min(x.Last, r.First-1)})
		}
		if x.Last > r.Last {
			out = append(out, mailstore.Range{First: max(x.First, r.Last+1), Last: x.Last})
		}
	}
	return out
}

// tellAll tells everything that is new. With expunge, EXPUNGE may be sent.
func (s *session) tellAll(expunge bool) error {
	n := s.notify
	switch {
	case s.box == nil:
		s.signal = false
		s.take()
	case n.mutes():
		s.hinted()
	default:
		if err := s.announce(announce{expunge: expunge, uid: true}); err != nil {
			return err
		}
	}
	return s.tellElsewhere()
}

// tellElsewhere tells what is new in mailboxes that are not selected.
func (s *session) tellElsewhere() error {
	n := s.notify
	if !n.list && !n.all && len(n.pending) == 0 {
		return nil
	}
	pending, all := n.pending, n.all
	n.pending, n.all = map[mailstore.MailboxID]struct{}{}, false
	list := n.list || all
	n.list = false
	if n.events == 0 {
		return nil
	}
	err := s.compare(pending, list, all)
	if err == nil || fatal(err) {
		return err
	}
	// It is compared again when something happens again.
	s.srv.log.Warn("imap: news of mailboxes could not be read", "error", err)
	n.all = true
	return nil
}

func (s *session) compare(pending map[mailstore.MailboxID]struct{}, list, all bool) error {
	n := s.notify
	if list {
		nodes, err := (&call{s: s, ctx: s.ctx}).hierarchy(nil)
		if err != nil {
			return err
		}
		s.compareNames(nodes)
		fresh, subs := n.snapshot(nodes)
		for id, w := range fresh {
			if old, ok := n.boxes[id]; ok {
				old.name = w.name
				fresh[id] = old
			}
		}
		maps.DeleteFunc(n.metadata, func(id mailstore.MailboxID, _ noted) bool {
			_, there := fresh[id]
			return id != 0 && !there
		})
		if n.boxes, n.subs = fresh, subs; len(fresh) > s.srv.cfg.Limits.Watched {
			s.notify = &notify{pending: map[mailstore.MailboxID]struct{}{}, ownNames: map[string]struct{}{}}
			s.w.Status("*", "OK", "NOTIFICATIONOVERFLOW", "Too many mailboxes to watch: NOTIFY is off")
			return s.w.Err()
		}
	}
	if all {
		pending = make(map[mailstore.MailboxID]struct{}, len(n.boxes))
		for id := range n.boxes {
			pending[id] = struct{}{}
		}
	}
	if list {
		// What is of the account has no mailbox in its hint.
		if err := s.compareMetadata(0, "", false); err != nil {
			return err
		}
	}
	if n.events&(imapwire.NotifyMessageEvents|imapwire.NotifyMetadata) == 0 {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(pending)) {
		old, ok := n.boxes[id]
		if !ok {
			continue
		}
		box, err := s.account.MailboxByID(id)
		if errors.Is(err, mailstore.ErrNoMailbox) {
			continue // its name is compared when the list is
		}
		if err != nil {
			return err
		}
		if err := s.compareMetadata(id, box.Name, box.Subscribed); err != nil {
			return err
		}
		now := watch(&box)
		now.name = old.name
		n.boxes[id] = now
		if !s.selects(s.account, id) {
			s.tellStatus(&box, &old)
		}
	}
	return s.w.Err()
}

// tellStatus tells how a mailbox differs from what the client knows of it
// (sections 5.1 to 5.3).
func (s *session) tellStatus(box *mailstore.Mailbox, old *watched) {
	ev := s.notify.of(box.Name, box.Subscribed)
	var items []imapwire.StatusItem
	if ev&imapwire.NotifyMessages != 0 && (box.UIDNext != old.next || box.Exists != old.exists) {
		items = append(items, imapwire.StatusMessages, imapwire.StatusUIDNext)
		if s.condst {
			items = append(items, imapwire.StatusHighestModSeq)
		}
	}
	if ev&imapwire.NotifyFlags != 0 && box.HighestModSeq != old.modseq {
		if s.condst {
			items = append(items, imapwire.StatusHighestModSeq, imapwire.StatusUIDValidity)
		}
		if box.Unseen != old.unseen {
			items = append(items, imapwire.StatusUIDValidity, imapwire.StatusUnseen)
		}
	}
	if len(items) > 0 {
		slices.Sort(items)
		s.statusItems(s.account, box, slices.Compact(items), 0)
	}
}

// parent returns the name above another; "" if there is none.
func parent(name string) string {
	if at := strings.LastIndexByte(name, '/'); at > 0 {
		return name[:at]
	}
	return ""
}

// compareNames tells which mailboxes were made, deleted, renamed, subscribed
// and unsubscribed (sections 5.4 and 5.5).
func (s *session) compareNames(nodes []*node) {
	n := s.notify
	own := n.ownNames
	n.ownNames = map[string]struct{}{}
	if n.events&(imapwire.NotifyName|imapwire.NotifySubscription) == 0 {
		return
	}
	byName := make(map[string]*node, len(nodes))
	there := make(map[mailstore.MailboxID]*node, len(nodes))
	for _, node := range nodes {
		byName[node.name] = node
		if node.box != nil {
			there[node.box.ID] = node
		}
	}
	affected := map[string]string{} // to the old name of a renamed one
	affect := func(name, oldName string, what imapwire.NotifyEvents) {
		if _, mine := own[name]; mine || name == "" {
			return
		}
		node := byName[name]
		if ev := n.of(name, node != nil && node.subscribed); ev&what == 0 && (oldName == "" || n.of(oldName, false)&what == 0) {
			return
		}
		if oldName != "" || affected[name] == "" {
			affected[name] = oldName
		}
	}
	if n.events&imapwire.NotifyName != 0 {
		for id, node := range there {
			old, known := n.boxes[id]
			switch {
			case !known:
				affect(node.name, "", imapwire.NotifyName)
				affect(parent(node.name), "", imapwire.NotifyName)
			case old.name != node.name && !n.movedAlong(old.name, node.name, byName):
				affect(node.name, old.name, imapwire.NotifyName)
			}
		}
		for id, old := range n.boxes {
			if there[id] == nil {
				affect(old.name, "", imapwire.NotifyName)
				affect(parent(old.name), "", imapwire.NotifyName)
			}
		}
	}
	if n.events&imapwire.NotifySubscription != 0 {
		for _, node := range nodes {
			if _, was := n.subs[node.name]; was != node.subscribed {
				affect(node.name, "", imapwire.NotifySubscription)
			}
		}
		for name := range n.subs {
			if byName[name] == nil {
				affect(name, "", imapwire.NotifySubscription)
			}
		}
	}
	for _, name := range slices.SortedFunc(maps.Keys(affected), func(a, b string) int { return strings.Compare(sortKey(a), sortKey(b)) }) {
		at := byName[name]
		if at == nil {
			at = &node{name: name}
		}
		s.listHead("LIST", at, &imapwire.List{Extended: true, ReturnSubscribed: true})
		if oldName := affected[name]; oldName != "" {
			s.w.Raw(` ("OLDNAME" (`).Mailbox(oldName).Raw("))")
		}
		s.w.CRLF()
	}
}

// movedAlong reports whether a mailbox has a new name because one above it was
// renamed: that is told of the uppermost one alone.
func (n *notify) movedAlong(oldName, newName string, byName map[string]*node) bool {
	up := byName[parent(newName)]
	if up == nil || up.box == nil || oldName[len(parent(oldName)):] != newName[len(parent(newName)):] {
		return false
	}
	was, known := n.boxes[up.box.ID]
	return known && was.name == parent(oldName) && was.name != up.name
}

// await tells what happens while the client sends nothing. It returns when a
// command comes.
func (s *session) await() error {
	lim := &s.srv.cfg.Limits
	over := time.NewTimer(lim.Idle)
	defer over.Stop()
	// No sign of life: a client that does not ask for IDLE expects silence.
	for !s.rd.Buffered() {
		if err := s.tellAll(!s.notify.delayed); err != nil {
			return err
		}
		if err := s.w.Flush(); err != nil {
			return &connError{err}
		}
		if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
			return &connError{err}
		}
		if err := s.ending(); err != nil {
			return err
		}
		if err := s.awaitOnce(over.C); err != nil {
			return err
		}
	}
	return nil
}

// awaitOnce waits for the client or for news.
func (s *session) awaitOnce(over <-chan time.Time) (err error) {
	input := s.rd.Watch(false)
	defer func() {
		if rerr := s.rd.Unwatch(); err == nil && rerr != nil {
			err = &connError{rerr}
		}
		if err == nil {
			err = s.ending()
		}
	}()
	for {
		select {
		case <-input:
			return nil
		case <-s.boxNews():
			if err := s.tellAll(!s.notify.delayed); err != nil {
				return err
			}
			if err := s.w.Flush(); err != nil {
				return &connError{err}
			}
		case <-s.sub.C():
			s.signal = true
			if err := s.tellAll(!s.notify.delayed); err != nil {
				return err
			}
			if err := s.w.Flush(); err != nil {
				return &connError{err}
			}
		case <-over:
			return errIdleOver
		case <-s.srv.closing:
			return errShutdown
		case <-s.ctx.Done():
			return &connError{s.ctx.Err()}
		}
	}
}

// groupMatches reports whether a group is about a mailbox.
func groupMatches(g *imapwire.NotifyGroup, name string, subscribed bool) bool {
	switch g.Filter {
	case imapwire.NotifyPersonal, imapwire.NotifyInboxes:
		// All are personal, and a filter may deliver to any (section 6.3).
		return true
	case imapwire.NotifySubscribed:
		return subscribed
	case imapwire.NotifySubtree:
		return slices.ContainsFunc(g.Mailboxes, func(top string) bool {
			return name == top || strings.HasPrefix(name, top) && len(name) > len(top) && name[len(top)] == '/'
		})
	case imapwire.NotifyMailboxes:
		return slices.Contains(g.Mailboxes, name)
	}
	return false
}
