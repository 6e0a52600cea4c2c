package imapwire

// SearchSource says in which mailboxes to search (RFC 7377 section 2.2).
type SearchSource struct {
	Filter    NotifyFilter
	Mailboxes []string // of the filters that name some
}

// MultiSearch are the arguments of ESEARCH. Without sources the selected
// mailbox is searched.
type MultiSearch struct {
	Search
	Sources []SearchSource
}

var sourceFilters = map[string]NotifyFilter{
	// Nothing is told later, so that the second is the first.
	"SELECTED": NotifySelected, "SELECTED-DELAYED": NotifySelected, "INBOXES": NotifyInboxes, "PERSONAL": NotifyPersonal,
	"SUBSCRIBED": NotifySubscribed, "SUBTREE": NotifySubtree, "SUBTREE-ONE": NotifySubtreeOne, "MAILBOXES": NotifyMailboxes,
}

// MultiSearch reads the arguments of ESEARCH (RFC 7377 section 5).
func (s *Scanner) MultiSearch() (q MultiSearch) {
	s.SP()
	// No search key is called so.
	if s.PeekWord() == "IN" {
		s.Atom()
		s.SP()
		q.sources(s)
		s.SP()
	}
	q.arguments(s)
	if !q.Extended {
		q.Extended, q.Return = true, ReturnAll
	}
	return q
}

func (q *MultiSearch) sources(s *Scanner) {
	names := 0
	s.List(func() {
		if s.Peek('(') {
			// Section 2.2 leaves them to later documents, and there are none.
			s.Fail("unknown scope option")
			return
		}
		src := SearchSource{Filter: sourceFilters[s.Word()]}
		switch src.Filter {
		case 0:
			s.Fail("unknown source")
		case NotifySubtree, NotifySubtreeOne, NotifyMailboxes:
			src.Mailboxes = s.oneOrMore()
		}
		q.Sources = append(q.Sources, src)
		if names += len(src.Mailboxes); names > maxNotifyNames || len(q.Sources) > maxNotifyGroups {
			s.Fail("too many sources")
		}
	})
	if len(q.Sources) == 0 {
		s.Fail("expected a source")
	}
}
