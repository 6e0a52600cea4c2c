package imap

import (
	"cmp"
	"slices"
	"strings"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// maxWildcards bounds the work of matching one name.
const maxWildcards = 32

// node is one name of the hierarchy: a mailbox, a subscribed name without one,
// or a name that only has inferiors.
type node struct {
	name       string
	box        *mailstore.Mailbox // nil if it does not exist
	owner      *lookup.Account    // of box
	rights     mailstore.Rights   // on box
	subscribed bool
	children   bool // has inferiors
	// subscribedBelow is set when an inferior is subscribed.
	subscribedBelow bool
}

// found returns the mailbox of a node that has one.
func (n *node) found() *found { return &found{owner: n.owner, box: *n.box, rights: n.rights} }

// hierarchy returns all names there are, and their superiors, in order: of the
// account's own mailboxes, and of others' as they are given.
func (c *call) hierarchy(others []found) ([]*node, error) {
	a := c.s.account
	boxes, _, err := a.Mailboxes()
	if err != nil {
		return nil, err
	}
	subs, err := a.Subscriptions()
	if err != nil {
		return nil, err
	}
	byName := make(map[string]*node, len(boxes)+8)
	var nodes []*node
	get := func(name string) *node {
		n := byName[name]
		if n == nil {
			n = &node{name: name}
			byName[name] = n
			nodes = append(nodes, n)
		}
		return n
	}
	for i := range boxes {
		n := get(boxes[i].Name)
		n.box, n.owner, n.rights = &boxes[i], a, mailstore.AllRights
	}
	for i := range others {
		if n := get(others[i].box.Name); n.box == nil {
			n.box, n.owner, n.rights = &others[i].box, others[i].owner, others[i].rights
		}
	}
	for _, name := range subs {
		get(name).subscribed = true
	}
	// Superiors, which are appended behind what is looked at.
	for i := 0; i < len(nodes); i++ {
		n := nodes[i]
		at := strings.LastIndexByte(n.name, '/')
		if at <= 0 {
			continue
		}
		up := get(n.name[:at])
		// Only mailboxes make a name a superior; a subscription alone does
		// not.
		up.children = up.children || n.box != nil || n.children
		up.subscribedBelow = up.subscribedBelow || n.subscribed || n.subscribedBelow
	}
	// A superior may have been made before its inferior's own came.
	for i := len(nodes) - 1; i >= 0; i-- {
		n := nodes[i]
		if at := strings.LastIndexByte(n.name, '/'); at > 0 {
			up := byName[n.name[:at]]
			up.children = up.children || n.box != nil || n.children
			up.subscribedBelow = up.subscribedBelow || n.subscribed || n.subscribedBelow
		}
	}
	slices.SortFunc(nodes, func(a, b *node) int { return cmp.Compare(sortKey(a.name), sortKey(b.name)) })
	return nodes, nil
}

// everything is hierarchy with others' mailboxes, if any of the patterns may be
// about them, after this node knows of every change.
func (c *call) everything(pats []string) ([]*node, error) {
	if !slices.ContainsFunc(pats, mayBeOther) {
		if _, err := c.sync(); err != nil {
			return nil, err
		}
		return c.hierarchy(nil)
	}
	stale, err := c.syncAll()
	if err != nil {
		return nil, err
	}
	if stale {
		return c.hierarchy(nil) // what others share may have been taken back
	}
	others, err := c.othersMailboxes()
	if err != nil {
		return nil, err
	}
	return c.hierarchy(others)
}

// mayBeOther reports whether a pattern may match a name of the namespace of
// other users.
func mayBeOther(pat string) bool {
	fixed := pat
	if i := strings.IndexAny(pat, "*%"); i >= 0 {
		fixed = pat[:i]
	}
	n := min(len(fixed), len(otherUsers))
	return fixed[:n] == otherUsers[:n] && (len(fixed) <= n || fixed[n] == '/') && (len(fixed) >= len(otherUsers) || fixed != pat)
}

// sortKey puts INBOX first and inferiors behind their superior.
func sortKey(name string) string {
	key := strings.ReplaceAll(name, "/", "\x01")
	if name == "INBOX" || strings.HasPrefix(name, "INBOX/") {
		return "\x00" + key
	}
	return key
}

// patterns joins reference and patterns (RFC 9051 section 6.3.9): the
// reference is what the pattern begins with.
func patterns(ref string, pats []string) ([]string, error) {
	out := make([]string, len(pats))
	for i, p := range pats {
		p = imapwire.CanonicalName(ref + p)
		if strings.Count(p, "*")+strings.Count(p, "%") > maxWildcards || len(p) > 2000 {
			return nil, no("LIMIT", "Pattern is too complicated")
		}
		out[i] = p
	}
	return out, nil
}

func matchAny(pats []string, name string) bool {
	for _, p := range pats {
		if matchPattern(p, name) {
			return true
		}
	}
	return false
}

// matchPattern matches a name: "*" stands for anything, "%" for anything
// without the hierarchy separator. Its work is bounded by the product of the
// lengths.
func matchPattern(pat, name string) bool {
	i := 0
	for i < len(pat) && pat[i] != '*' && pat[i] != '%' {
		i++
	}
	if i == len(pat) {
		return pat == name
	}
	if !strings.HasPrefix(name, pat[:i]) {
		return false
	}
	pat, name = pat[i:], name[i:]
	// reach[j]: the pattern so far matches name[:j].
	var room [256]bool
	reach := room[:]
	if len(name)+1 > len(reach) {
		reach = make([]bool, len(name)+1)
	}
	reach = reach[:len(name)+1]
	reach[0] = true
	for k := range len(pat) {
		switch c := pat[k]; c {
		case '*', '%':
			for j := 1; j <= len(name); j++ {
				if reach[j-1] && (c == '*' || name[j-1] != '/') {
					reach[j] = true
				}
			}
		default:
			for j := len(name); j > 0; j-- {
				reach[j] = reach[j-1] && name[j-1] == c
			}
			reach[0] = false
		}
	}
	return reach[len(name)]
}

// cmdList is LIST of RFC 9051 section 6.3.9, RFC 5258, RFC 5819 and RFC 6154.
func cmdList(c *call) error {
	l := c.args.ListArgs()
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	if l.Metadata != nil {
		var err error
		if l.Metadata, err = cleanEntries(l.Metadata); err != nil {
			return err
		}
	}
	if len(l.Patterns) == 1 && l.Patterns[0] == "" && !l.Extended {
		// Asked for the separator and the root of the reference.
		s.w.Untagged(`LIST (\Noselect) "/" ""`).CRLF()
		return nil
	}
	pats, err := patterns(l.Reference, l.Patterns)
	if err != nil {
		return err
	}
	nodes, err := c.everything(pats)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if !matchAny(pats, n.name) {
			continue
		}
		// RFC 5258 section 3.5: with RECURSIVEMATCH a name is listed also for
		// the inferiors that do not match the pattern themselves.
		childInfo := l.Subscribed && l.RecursiveMatch && n.subscribedBelow
		if l.Subscribed && !n.subscribed && !childInfo {
			continue
		}
		if l.SpecialUse && (n.box == nil || n.box.SpecialUse == 0) {
			continue
		}
		if n.box == nil && !n.children && !l.Subscribed {
			continue // subscribed, but not there
		}
		s.listResponse("LIST", n, &l, childInfo)
		if n.box == nil {
			continue
		}
		if l.Rights && n.rights&anyRight != 0 {
			s.tellRights(n.name, n.rights) // RFC 8440
		}
		if !n.rights.Has(mailstore.RightRead) {
			continue
		}
		if l.Status != nil {
			if err := s.status(n.found(), l.Status); err != nil {
				return err
			}
		}
		if l.Metadata != nil {
			if err := s.listMetadata(n.found(), l.Metadata); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *session) listResponse(what string, n *node, l *imapwire.List, childInfo bool) {
	s.listHead(what, n, l)
	if childInfo {
		s.w.Raw(` (CHILDINFO ("SUBSCRIBED"))`)
	}
	s.w.CRLF()
}

// listHead writes a LIST response but for its extended items and its end.
func (s *session) listHead(what string, n *node, l *imapwire.List) {
	w := s.w
	w.Untagged(what).SP().Open()
	if n.box == nil {
		w.Item()
		// RFC 5258 section 3: \NonExistent implies \Noselect; plain RFC 3501
		// clients know only the latter.
		if l.Extended || s.rev2 {
			w.Raw(`\NonExistent`)
		} else {
			w.Raw(`\Noselect`)
		}
	}
	if n.subscribed && (l.Subscribed || l.ReturnSubscribed) {
		w.Item().Raw(`\Subscribed`)
	}
	w.Item()
	if n.children {
		w.Raw(`\HasChildren`)
	} else {
		w.Raw(`\HasNoChildren`)
	}
	if n.box != nil {
		// RFC 6154 section 2 allows them in any LIST, and clients that never
		// ask look for them.
		for _, u := range specialUses {
			if n.box.SpecialUse&u.bit != 0 {
				w.Item().Raw(u.name)
			}
		}
	}
	w.Close().Raw(` "/" `).Mailbox(n.name)
}

// cmdLsub is of RFC 3501 section 6.3.9.
func cmdLsub(c *call) error {
	c.args.SP()
	ref := c.args.Mailbox()
	c.args.SP()
	pat := c.args.ListMailbox()
	if err := c.args.End(); err != nil {
		return err
	}
	pats, err := patterns(ref, []string{pat})
	if err != nil {
		return err
	}
	nodes, err := c.everything(pats)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		switch {
		case !matchAny(pats, n.name):
		case n.subscribed:
			attr := ""
			if n.box == nil {
				attr = `\Noselect`
			}
			c.s.w.Untagged("LSUB (" + attr + `) "/" `).Mailbox(n.name).CRLF()
		case n.subscribedBelow && strings.HasSuffix(pat, "%"):
			// Named because of an inferior that "%" stops short of.
			c.s.w.Untagged(`LSUB (\Noselect) "/" `).Mailbox(n.name).CRLF()
		}
	}
	return nil
}
