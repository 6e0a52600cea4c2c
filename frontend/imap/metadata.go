package imap

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
)

// adminEntry is set by the server (RFC 5464 section 3.2.1.1).
const adminEntry = "/shared/admin"

// tooLong is the answer to an annotation that is too long.
func tooLong() error {
	return no("METADATA MAXSIZE "+strconv.Itoa(lookup.MaxMetadataValue), "Annotation is too long")
}

// metadataLiteral refuses a value that is too long before it is sent.
func metadataLiteral(_ *session, _ *imapwire.Frame, l *imapwire.Literal) error {
	if l.Size > lookup.MaxMetadataValue {
		return tooLong()
	}
	return nil
}

// cleanEntries returns the names of annotations in their one form.
func cleanEntries(names []string) ([]string, error) {
	out := make([]string, len(names))
	for i, n := range names {
		var err error
		if out[i], err = lookup.CleanEntry(n); err != nil {
			// RFC 5464 section 3.2: BAD in any command.
			return nil, &imapwire.SyntaxError{Text: "No such name of an annotation is possible"}
		}
	}
	return out, nil
}

// annotated returns what annotations are of: the mailbox of a name, or the
// account.
func (c *call) annotated(name string, need mailstore.Rights) (*lookup.Account, mailstore.MailboxID, error) {
	if _, err := c.sync(); err != nil || name == "" {
		return c.s.account, 0, err
	}
	f, err := c.find(name, need)
	return f.owner, f.box.ID, err
}

// cmdGetMetadata is of RFC 5464 section 4.2.
func cmdGetMetadata(c *call) error {
	g := c.args.GetMetadata()
	if err := c.args.End(); err != nil {
		return err
	}
	if g.Depth != 0 {
		// What is above any annotation is no name of one, but asked for.
		for i, e := range g.Entries {
			g.Entries[i] = e + "/x/x/x"
		}
	}
	entries, err := cleanEntries(g.Entries)
	if err != nil {
		return err
	}
	if g.Depth != 0 {
		for i, e := range entries {
			entries[i] = strings.TrimSuffix(e, "/x/x/x")
		}
	}
	owner, box, err := c.annotated(g.Mailbox, mailstore.RightRead)
	if err != nil {
		return err
	}
	all, err := owner.Metadata(box)
	if err != nil {
		return err
	}
	shown, longest := pickMetadata(all, entries, g.Depth, g.MaxSize)
	c.s.tellMetadata(g.Mailbox, shown)
	if longest > 0 {
		c.code = fmt.Sprintf("METADATA LONGENTRIES %d", longest)
	}
	return nil
}

// pickMetadata returns what is asked for: the entries themselves, without a
// value if they are not there, and those that are there down to a depth (-1:
// all). longest is the size of the longest value over a limit, all of which are
// left out.
func pickMetadata(all []lookup.Metadata, entries []string, depth int, limit *uint32) (shown []lookup.Metadata, longest int) {
	byName := make(map[string]*lookup.Metadata, len(all))
	for i := range all {
		byName[all[i].Name] = &all[i]
	}
	told := make(map[string]bool, len(entries))
	add := func(m *lookup.Metadata) {
		if told[m.Name] {
			return
		}
		told[m.Name] = true
		if limit != nil && uint64(len(m.Value)) > uint64(*limit) {
			longest = max(longest, len(m.Value))
			return
		}
		shown = append(shown, *m)
	}
	for _, e := range entries {
		switch m := byName[e]; {
		case m != nil:
			add(m)
		case depth == 0:
			add(&lookup.Metadata{Name: e})
		}
		for i := range all {
			below, ok := strings.CutPrefix(all[i].Name, e+"/")
			if ok && (depth < 0 || strings.Count(below, "/") < depth) {
				add(&all[i])
			}
		}
	}
	return shown, longest
}

// tellMetadata writes a METADATA response with values (section 4.4.1).
func (s *session) tellMetadata(mailbox string, shown []lookup.Metadata) {
	if len(shown) == 0 {
		return // the grammar wants one at least
	}
	w := s.w
	w.Untagged("METADATA ").Mailbox(mailbox).SP().Open()
	for i := range shown {
		m := &shown[i]
		w.Item().Astring(m.Name).SP()
		switch {
		case m.Value == nil:
			w.NIL()
		case bytes.IndexByte(m.Value, 0) >= 0:
			w.SetBuf(append(w.Literal8(int64(len(m.Value))).Buf(), m.Value...))
		default:
			w.String(string(m.Value))
		}
	}
	w.Close().CRLF()
}

// cmdSetMetadata is of RFC 5464 section 4.3.
func cmdSetMetadata(c *call) error {
	name, values := c.args.SetMetadata()
	if err := c.args.End(); err != nil {
		return err
	}
	changes := make([]commit.MetadataChange, len(values))
	for i, v := range values {
		entry, err := cleanEntries([]string{v.Entry})
		if err != nil {
			return err
		}
		if name == "" && entry[0] == adminEntry {
			return no("NOPERM", "This one is set by the operator")
		}
		if len(v.Value) > lookup.MaxMetadataValue {
			return tooLong()
		}
		changes[i] = commit.MetadataChange{Name: entry[0], Value: v.Value}
	}
	owner, box, err := c.annotated(name, mailstore.RightRead)
	if err != nil {
		return err
	}
	s := c.s
	if s.shared(owner) && slices.ContainsFunc(changes, func(m commit.MetadataChange) bool { return lookup.PrivateEntry(m.Name) }) {
		// RFC 5464 section 4.3: private ones of another are another's.
		return no("METADATA NOPRIVATE", "Private annotations are for the owner of a mailbox")
	}
	seq, err := s.srv.cfg.Commit.SetMetadata(c.ctx, owner, box, changes)
	switch {
	case errors.Is(err, mailstore.ErrTooBig):
		return tooLong()
	case errors.Is(err, mailstore.ErrLimit):
		return no("METADATA TOOMANY", "Too many annotations")
	case errors.Is(err, mailstore.ErrOverQuota):
		return no("METADATA TOOMANY", "No room for more annotations")
	case err != nil:
		return err
	}
	if !s.shared(owner) {
		s.notify.annotated(box, changes, seq)
	}
	return nil
}

// listMetadata is the METADATA of a LIST (RFC 9590).
func (s *session) listMetadata(f *found, entries []string) error {
	all, err := f.owner.Metadata(f.box.ID)
	if errors.Is(err, mailstore.ErrNoMailbox) {
		return nil // deleted right now
	}
	if err != nil {
		return err
	}
	shown, _ := pickMetadata(all, entries, 0, nil)
	s.tellMetadata(f.box.Name, shown)
	return nil
}

// noted is what a client was told of the annotations of a mailbox: their names
// and when they were set.
type noted map[string]mailstore.ModSeq

func note(all []lookup.Metadata) noted {
	n := make(noted, len(all))
	for i := range all {
		n[all[i].Name] = all[i].ModSeq
	}
	return n
}

// annotated notes what this session set itself, which is not told to it.
func (n *notify) annotated(box mailstore.MailboxID, changes []commit.MetadataChange, seq mailstore.ModSeq) {
	if n == nil {
		return
	}
	known, ok := n.metadata[box]
	if !ok {
		return
	}
	for i := range changes {
		if changes[i].Value == nil {
			delete(known, changes[i].Name)
		} else {
			known[changes[i].Name] = seq
		}
	}
}

// metadataEvent is the event of annotations of a mailbox, or of the account.
func metadataEvent(box mailstore.MailboxID) imapwire.NotifyEvents {
	if box == 0 {
		return imapwire.NotifyServerMetadata
	}
	return imapwire.NotifyMetadata
}

// noteMetadata reads what the client is taken to know of annotations.
func (n *notify) noteMetadata(a *lookup.Account, nodes []*node) error {
	n.metadata = map[mailstore.MailboxID]noted{}
	if n.events&(imapwire.NotifyMetadata|imapwire.NotifyServerMetadata) == 0 {
		return nil
	}
	v := a.Read()
	defer v.Close()
	if n.events&imapwire.NotifyServerMetadata != 0 {
		all, err := v.Metadata(0)
		if err != nil {
			return err
		}
		n.metadata[0] = note(all)
	}
	for _, node := range nodes {
		if node.box == nil || n.of(node.name, node.subscribed)&imapwire.NotifyMetadata == 0 {
			continue
		}
		all, err := v.Metadata(node.box.ID)
		if errors.Is(err, mailstore.ErrNoMailbox) {
			continue
		}
		if err != nil {
			return err
		}
		n.metadata[node.box.ID] = note(all)
	}
	return nil
}

// compareMetadata tells which annotations changed (RFC 5465 sections 5.6 and
// 5.7). A mailbox that was not known had none.
func (s *session) compareMetadata(box mailstore.MailboxID, name string, subscribed bool) error {
	n := s.notify
	if box != 0 && n.of(name, subscribed)&imapwire.NotifyMetadata == 0 || n.events&metadataEvent(box) == 0 {
		return nil
	}
	all, err := s.account.Metadata(box)
	if errors.Is(err, mailstore.ErrNoMailbox) {
		return nil
	}
	if err != nil {
		return err
	}
	now, old := note(all), n.metadata[box]
	n.metadata[box] = now
	var changed []string
	for i := range all {
		if old[all[i].Name] != all[i].ModSeq {
			changed = append(changed, all[i].Name)
		}
	}
	for entry := range old {
		if _, there := now[entry]; !there {
			changed = append(changed, entry)
		}
	}
	if len(changed) == 0 {
		return nil
	}
	w := s.w
	w.Untagged("METADATA ").Mailbox(name)
	slices.Sort(changed)
	for _, entry := range changed {
		w.SP().Astring(entry)
	}
	w.CRLF()
	return nil
}
