package imapwire

// Select are the arguments of SELECT and EXAMINE.
type Select struct {
	Mailbox   string
	CondStore bool     // RFC 7162 section 3.1.8
	QResync   *QResync // nil when not given
}

// QResync is what a client knows of the mailbox it opens (RFC 7162 section
// 3.2.5).
type QResync struct {
	UIDValidity uint32
	ModSeq      uint64 // not 0
	// Known are the UIDs that are of interest, sorted and merged; nil when
	// all are.
	Known []NumRange
	// MatchSeqs and MatchUIDs are samples of sequence numbers with the UIDs
	// they stood for: as many of the one as of the other, both ascending.
	MatchSeqs, MatchUIDs []NumRange
}

// Select reads the arguments of SELECT and EXAMINE.
func (s *Scanner) Select() (sel Select) {
	s.SP()
	sel.Mailbox = s.Mailbox()
	if !s.Peek(' ') {
		return sel
	}
	s.SP()
	if s.AtEnd() {
		return sel
	}
	s.List(func() {
		switch s.Word() {
		case "CONDSTORE":
			sel.CondStore = true
		case "QRESYNC":
			if sel.QResync != nil {
				s.Fail("QRESYNC is given twice")
			}
			s.SP()
			sel.QResync = s.qresync()
		default:
			s.Fail("unknown select parameter")
		}
	})
	return sel
}

func (s *Scanner) qresync() *QResync {
	q := new(QResync)
	s.Need('(')
	q.UIDValidity = s.NZNumber()
	s.SP()
	if q.ModSeq = s.Number64(); q.ModSeq == 0 {
		s.Fail("modification sequence must not be zero")
	}
	if s.Peek(' ') {
		s.SP()
		if !s.Peek('(') {
			q.Known = NumSet{Ranges: s.plainSet()}.Resolve(0)
			if s.Peek(' ') {
				s.SP()
				s.match(q)
			}
		} else {
			s.match(q)
		}
	}
	s.Need(')')
	return q
}

// match reads message sequence match data (RFC 7162 section 3.2.5.2).
func (s *Scanner) match(q *QResync) {
	s.Need('(')
	q.MatchSeqs = s.plainSet()
	s.SP()
	q.MatchUIDs = s.plainSet()
	s.Need(')')
	a, ok := ascending(q.MatchSeqs)
	b, ok2 := ascending(q.MatchUIDs)
	if !ok || !ok2 {
		s.Fail("match data must ascend")
	} else if a != b {
		s.Fail("match data must pair")
	}
}

// plainSet reads a set without "*" and "$".
func (s *Scanner) plainSet() []NumRange {
	set := s.NumSet()
	if set.Saved {
		s.Fail("expected a number")
	}
	for _, r := range set.Ranges {
		if r.First == Star || r.Last == Star {
			s.Fail(`"*" is not allowed here`)
			return nil
		}
	}
	return set.Ranges
}

// ascending reports whether a set ascends as it was written, and how many
// numbers are in it.
func ascending(rs []NumRange) (n uint64, ok bool) {
	last := uint32(0)
	for _, r := range rs {
		if r.First <= last || r.Last < r.First {
			return 0, false
		}
		last = r.Last
		n += uint64(r.Last-r.First) + 1
	}
	return n, true
}
