package imapwire

// StoreMode says what STORE does with the flags it names.
type StoreMode uint8

// The modes of STORE.
const (
	StoreSet StoreMode = iota
	StoreAdd
	StoreRemove
)

// Store are the arguments of STORE.
type Store struct {
	Set            NumSet
	UnchangedSince *uint64 // RFC 7162 section 3.1.3
	Mode           StoreMode
	Silent         bool
	Flags          []string
}

// Store reads the arguments of STORE.
func (s *Scanner) Store() (st Store) {
	s.SP()
	st.Set = s.NumSet()
	s.SP()
	if s.Peek('(') {
		s.List(func() {
			if s.Word() != "UNCHANGEDSINCE" {
				s.Fail("unknown store modifier")
				return
			}
			s.SP()
			n := s.Number64()
			if st.UnchangedSince != nil {
				s.Fail("a store modifier is given twice") // RFC 7162 section 7
			}
			st.UnchangedSince = &n
		})
		s.SP()
	}
	switch {
	case s.Take('+'):
		st.Mode = StoreAdd
	case s.Take('-'):
		st.Mode = StoreRemove
	}
	switch s.Letters() {
	case "FLAGS":
	case "FLAGS.SILENT":
		st.Silent = true
	default:
		s.Fail("unknown store item")
	}
	s.SP()
	st.Flags = s.Flags(true)
	return st
}

// List are the arguments of LIST.
type List struct {
	Reference string
	Patterns  []string
	// Extended is set when the form of RFC 5258 is used in any way.
	Extended bool
	// What is selected.
	Subscribed, Remote, RecursiveMatch, SpecialUse bool
	// What is returned.
	ReturnSubscribed, ReturnChildren, ReturnSpecialUse bool
	// Rights asks for what the user may do with each (RFC 8440).
	Rights bool
	// Status are the items to return (RFC 5819), nil for none.
	Status []StatusItem
	// Metadata are the annotations to return (RFC 9590), nil for none.
	Metadata []string
}

// ListArgs reads the arguments of LIST.
func (s *Scanner) ListArgs() (l List) {
	s.SP()
	if s.Peek('(') {
		l.Extended = true
		s.List(func() {
			switch s.Word() {
			case "SUBSCRIBED":
				l.Subscribed = true
			case "REMOTE":
				l.Remote = true
			case "RECURSIVEMATCH":
				l.RecursiveMatch = true
			case "SPECIAL-USE":
				l.SpecialUse = true
			default:
				s.Fail("unknown list selection option")
			}
		})
		if l.RecursiveMatch && !l.Subscribed {
			// RFC 5258 section 3.1.
			s.Fail("RECURSIVEMATCH needs another selection option")
		}
		s.SP()
	}
	l.Reference = s.Mailbox()
	s.SP()
	if s.Peek('(') {
		l.Extended = true
		s.List(func() { l.Patterns = append(l.Patterns, s.ListMailbox()) })
		if len(l.Patterns) == 0 {
			s.Fail("expected a pattern")
		}
		if len(l.Patterns) > 1000 {
			s.Fail("too many patterns")
		}
	} else {
		l.Patterns = []string{s.ListMailbox()}
	}
	if !s.Peek(' ') {
		return l
	}
	s.SP()
	if s.AtEnd() {
		return l
	}
	if s.Word() != "RETURN" {
		s.Fail("expected RETURN")
		return l
	}
	l.Extended = true
	s.SP()
	s.List(func() {
		switch s.Word() {
		case "SUBSCRIBED":
			l.ReturnSubscribed = true
		case "CHILDREN":
			l.ReturnChildren = true
		case "SPECIAL-USE":
			l.ReturnSpecialUse = true
		case "STATUS":
			s.SP()
			l.Status = s.statusItems()
		case "MYRIGHTS":
			l.Rights = true
		case "METADATA":
			s.SP()
			l.Metadata = s.entries()
		default:
			s.Fail("unknown list return option")
		}
	})
	return l
}

// StatusItem is one thing STATUS asks for.
type StatusItem uint8

// The items of RFC 9051 section 6.3.11 and of extensions.
const (
	StatusMessages StatusItem = iota + 1
	StatusRecent
	StatusUIDNext
	StatusUIDValidity
	StatusUnseen
	StatusDeleted
	StatusSize
	StatusHighestModSeq
	StatusAppendLimit
	StatusMailboxID
	StatusDeletedStorage
)

var statusWords = map[string]StatusItem{
	"MESSAGES":        StatusMessages,
	"RECENT":          StatusRecent,
	"UIDNEXT":         StatusUIDNext,
	"UIDVALIDITY":     StatusUIDValidity,
	"UNSEEN":          StatusUnseen,
	"DELETED":         StatusDeleted,
	"SIZE":            StatusSize,          // RFC 8438
	"HIGHESTMODSEQ":   StatusHighestModSeq, // RFC 7162 section 3.1.7
	"APPENDLIMIT":     StatusAppendLimit,   // RFC 7889 section 3
	"MAILBOXID":       StatusMailboxID,     // RFC 8474 section 4.3
	"DELETED-STORAGE": StatusDeletedStorage,
}

func (s *Scanner) statusItems() (items []StatusItem) {
	s.List(func() {
		it, ok := statusWords[s.Word()]
		if !ok {
			s.Fail("unknown status item")
		}
		if len(items) > 50 {
			s.Fail("too many status items")
		}
		items = append(items, it)
	})
	if len(items) == 0 {
		s.Fail("expected status items")
	}
	return items
}

// Status reads the arguments of STATUS.
func (s *Scanner) Status() (mailbox string, items []StatusItem) {
	s.SP()
	mailbox = s.Mailbox()
	s.SP()
	return mailbox, s.statusItems()
}

// Create reads the arguments of CREATE.
func (s *Scanner) Create() (mailbox string, use []string) {
	s.SP()
	mailbox = s.Mailbox()
	if s.Peek(' ') {
		s.SP()
		if s.AtEnd() {
			return
		}
		s.List(func() {
			if s.Word() != "USE" { // RFC 6154 section 3
				s.Fail("unknown create parameter")
				return
			}
			s.SP()
			s.List(func() { use = append(use, s.Flag()) })
		})
	}
	return mailbox, use
}

// ID reads the arguments of ID (RFC 2971 section 3.1) as names and values in
// turn; a value of NIL is empty.
func (s *Scanner) ID() (pairs []string) {
	s.SP()
	if !s.Peek('(') {
		if s.Word() != "NIL" {
			s.Fail("expected a list or NIL")
		}
		return nil
	}
	s.List(func() {
		pairs = append(pairs, s.nstring())
		if len(pairs) > 60 {
			s.Fail("too many fields")
		}
	})
	if len(pairs)%2 != 0 {
		s.Fail("a field without a value")
	}
	return pairs
}

func (s *Scanner) nstring() string {
	if c := s.peek(); c == '"' || c == '{' {
		return string(s.Octets())
	}
	if s.Word() != "NIL" {
		s.Fail("expected a string or NIL")
	}
	return ""
}
