package imapwire

// NotifyFilter says which mailboxes a group of events is about (RFC 5465
// section 6).
type NotifyFilter uint8

// The filters.
const (
	NotifySelected NotifyFilter = iota + 1
	NotifySelectedDelayed
	NotifyInboxes
	NotifyPersonal
	NotifySubscribed
	NotifySubtree
	NotifyMailboxes
	// NotifySubtreeOne is a mailbox with those right below it. Only a search
	// has it (RFC 7377 section 2.2).
	NotifySubtreeOne
)

// NotifyEvents are kinds of events (RFC 5465 section 5).
type NotifyEvents uint8

// The kinds. MessageNew and MessageExpunge only come together.
const (
	NotifyMessages NotifyEvents = 1 << iota // MessageNew and MessageExpunge
	NotifyFlags                             // FlagChange
	NotifyName                              // MailboxName
	NotifySubscription
	NotifyMetadata // MailboxMetadataChange
	NotifyServerMetadata
)

// NotifyMessageEvents are the events that are about messages.
const NotifyMessageEvents = NotifyMessages | NotifyFlags

// NotifyGroup is what to tell about some mailboxes; no events for NONE.
type NotifyGroup struct {
	Filter    NotifyFilter
	Mailboxes []string // of NotifySubtree and NotifyMailboxes
	Events    NotifyEvents
	// Atts are what to tell of new messages; nil when not given.
	Atts []FetchAtt
}

// Notify are the arguments of NOTIFY. Without groups it is NOTIFY NONE.
type Notify struct {
	Status bool
	Groups []NotifyGroup
	// Unknown is set if an event was named that nobody here knows of.
	Unknown bool
}

const (
	maxNotifyGroups = 100
	maxNotifyNames  = 1000
	maxNotifyEvents = 50
)

// Notify reads the arguments of NOTIFY (RFC 5465 section 8).
func (s *Scanner) Notify() (n Notify) {
	s.SP()
	switch s.Word() {
	case "NONE":
		return n
	case "SET":
	default:
		s.Fail("expected SET or NONE")
		return n
	}
	s.SP()
	if s.PeekWord() == "STATUS" {
		s.Atom()
		s.SP()
		n.Status = true
	}
	names, selected := 0, false
	for s.ok() {
		g := s.notifyGroup(&n)
		if names += len(g.Mailboxes); names > maxNotifyNames || len(n.Groups) >= maxNotifyGroups {
			s.Fail("too much to notify of")
		}
		if g.Filter <= NotifySelectedDelayed {
			if selected {
				s.Fail("the selected mailbox is given twice") // section 6.1
			}
			selected = true
		}
		n.Groups = append(n.Groups, g)
		if !s.Peek(' ') {
			break
		}
		s.SP()
		if s.AtEnd() {
			break
		}
	}
	return n
}

var notifyFilters = map[string]NotifyFilter{
	"SELECTED": NotifySelected, "SELECTED-DELAYED": NotifySelectedDelayed, "INBOXES": NotifyInboxes, "PERSONAL": NotifyPersonal,
	"SUBSCRIBED": NotifySubscribed, "SUBTREE": NotifySubtree, "MAILBOXES": NotifyMailboxes,
}

func (s *Scanner) notifyGroup(n *Notify) (g NotifyGroup) {
	s.Need('(')
	g.Filter = notifyFilters[s.Word()]
	switch g.Filter {
	case 0:
		s.Fail("unknown mailbox filter")
	case NotifySubtree, NotifyMailboxes:
		g.Mailboxes = s.oneOrMore()
	}
	s.SP()
	if s.Peek('(') {
		s.notifyEvents(n, &g)
	} else if s.Word() != "NONE" {
		s.Fail("expected events or NONE")
	}
	s.Need(')')
	return g
}

// oneOrMore reads a mailbox or a list of them, after a space (RFC 5465 section
// 8).
func (s *Scanner) oneOrMore() (names []string) {
	s.SP()
	if !s.Peek('(') {
		return []string{s.Mailbox()}
	}
	s.List(func() {
		if names = append(names, s.Mailbox()); len(names) > maxNotifyNames {
			s.Fail("too many mailboxes")
		}
	})
	if len(names) == 0 {
		s.Fail("expected mailboxes")
	}
	return names
}

// notifyEvents reads the events of a group and which of them go together.
func (s *Scanner) notifyEvents(n *Notify, g *NotifyGroup) {
	var news, expunge, annotation, unknown bool
	count := 0
	s.List(func() {
		if count++; count > maxNotifyEvents {
			s.Fail("too many events")
		}
		switch s.Word() {
		case "MESSAGENEW":
			news = true
			s.notifyAtts(g)
		case "MESSAGEEXPUNGE":
			expunge = true
		case "FLAGCHANGE":
			g.Events |= NotifyFlags
		case "ANNOTATIONCHANGE":
			annotation = true
		case "MAILBOXNAME":
			g.Events |= NotifyName
		case "SUBSCRIPTIONCHANGE":
			g.Events |= NotifySubscription
		case "MAILBOXMETADATACHANGE":
			g.Events |= NotifyMetadata
		case "SERVERMETADATACHANGE":
			g.Events |= NotifyServerMetadata
		default:
			unknown = true
		}
	})
	if count == 0 {
		s.Fail("expected events")
	}
	selected := g.Filter == NotifySelected || g.Filter == NotifySelectedDelayed
	switch {
	case news != expunge, (g.Events&NotifyFlags != 0 || annotation) && !news:
		s.Fail("MessageNew and MessageExpunge go together, and FlagChange with both") // section 5
	case selected && g.Events&^NotifyMessageEvents != 0:
		s.Fail("only events of messages are of the selected mailbox") // section 6.1
	case !selected && g.Atts != nil:
		s.Fail("fetch items are for the selected mailbox") // section 8
	}
	if news {
		g.Events |= NotifyMessages
	}
	n.Unknown = n.Unknown || unknown || annotation
}

// notifyAtts reads the fetch items of MessageNew, if there are any.
func (s *Scanner) notifyAtts(g *NotifyGroup) {
	at := s.pos
	if !s.Take(' ') || !s.Peek('(') {
		if s.ok() {
			s.pos = at
		}
		return
	}
	f := Fetch{}
	s.List(func() { f.att(s) })
	if len(f.Atts) == 0 {
		s.Fail("expected fetch items")
	}
	g.Atts = f.Atts
}
