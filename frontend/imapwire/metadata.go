package imapwire

// GetMetadata are the arguments of GETMETADATA.
type GetMetadata struct {
	Mailbox string // "": the server
	MaxSize *uint32
	Depth   int // levels below; -1: all
	Entries []string
}

// MetadataValue is one annotation of SETMETADATA; a nil Value removes it.
type MetadataValue struct {
	Entry string
	Value []byte
}

// maxEntries bounds the annotations of one command.
const maxEntries = 100

// GetMetadata reads the arguments of GETMETADATA (RFC 5464 section 5). Its
// options stand before the mailbox in the grammar there and behind it in the
// examples: both are taken.
func (s *Scanner) GetMetadata() (g GetMetadata) {
	s.SP()
	options := s.Peek('(')
	if options {
		s.metadataOptions(&g)
		s.SP()
	}
	g.Mailbox = s.Mailbox()
	s.SP()
	if !options && s.Peek('(') {
		at := s.pos
		s.pos++
		w := s.PeekWord()
		if s.pos = at; w == "MAXSIZE" || w == "DEPTH" {
			s.metadataOptions(&g)
			s.SP()
		}
	}
	g.Entries = s.entries()
	return g
}

func (s *Scanner) metadataOptions(g *GetMetadata) {
	seen := map[string]bool{}
	s.List(func() {
		w := s.Word()
		if seen[w] {
			s.Fail("an option is given twice")
		}
		seen[w] = true
		s.SP()
		switch w {
		case "MAXSIZE":
			n := s.Number()
			g.MaxSize = &n
		case "DEPTH":
			switch s.Word() {
			case "0":
			case "1":
				g.Depth = 1
			case "INFINITY":
				g.Depth = -1
			default:
				s.Fail("unknown depth")
			}
		default:
			s.Fail("unknown option")
		}
	})
	if len(seen) == 0 {
		s.Fail("expected options")
	}
}

// entries reads the names of annotations.
func (s *Scanner) entries() (names []string) {
	if !s.Peek('(') {
		return []string{string(s.Astring())}
	}
	s.List(func() {
		if names = append(names, string(s.Astring())); len(names) > maxEntries {
			s.Fail("too many entries")
		}
	})
	if len(names) == 0 {
		s.Fail("expected entries")
	}
	return names
}

// SetMetadata reads the arguments of SETMETADATA (RFC 5464 section 5).
func (s *Scanner) SetMetadata() (mailbox string, values []MetadataValue) {
	s.SP()
	mailbox = s.Mailbox()
	s.SP()
	s.List(func() {
		v := MetadataValue{Entry: string(s.Astring())}
		s.SP()
		switch c := s.peek(); {
		case c == '~':
			if l := s.Literal(); l != nil {
				v.Value = append([]byte{}, l.Data...)
			}
		case c == '"' || c == '{':
			v.Value = append([]byte{}, s.Octets()...)
		case s.Word() != "NIL":
			s.Fail("expected a string or NIL")
		}
		if values = append(values, v); len(values) > maxEntries {
			s.Fail("too many entries")
		}
	})
	if len(values) == 0 {
		s.Fail("expected entries")
	}
	return mailbox, values
}
