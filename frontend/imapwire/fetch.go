package imapwire

import "strconv"

// FetchItem is one thing FETCH asks for.
type FetchItem uint8

// The items of RFC 9051 section 6.4.5 and of extensions.
const (
	FetchFlags FetchItem = iota + 1
	FetchUID
	FetchInternalDate
	FetchSize // RFC822.SIZE
	FetchModSeq
	FetchEmailID
	FetchThreadID
	FetchSaveDate
	FetchEnvelope
	FetchBody          // BODY without a section
	FetchBodyStructure // BODYSTRUCTURE
	FetchSection       // BODY[...], and the RFC822 items
	FetchBinary        // BINARY[...]
	FetchBinarySize    // BINARY.SIZE[...]
	FetchPreview       // RFC 8970
	FetchPreviewLazy   // PREVIEW (LAZY)
)

// Section is what FetchSection and FetchBinary ask for.
type Section struct {
	// Name is how the answer calls it, with section and origin.
	Name string
	Path []int
	Text SectionText
	// Fields are the names of HEADER.FIELDS and HEADER.FIELDS.NOT.
	Fields []string
	Peek   bool
	// Partial tells that only Length octets from Offset are wanted.
	Partial        bool
	Offset, Length uint64
}

// SectionText is the kind of a section.
type SectionText uint8

// The kinds of section.
const (
	SectionAll SectionText = iota
	SectionHeader
	SectionHeaderFields
	SectionHeaderFieldsNot
	SectionBody
	SectionMIME
)

// FetchAtt is one item with its section.
type FetchAtt struct {
	Item    FetchItem
	Section *Section
}

// Fetch are the arguments of FETCH.
type Fetch struct {
	Set  NumSet
	Atts []FetchAtt
	// ChangedSince and Vanished are of RFC 7162.
	ChangedSince *uint64
	Vanished     bool
	// Partial is of RFC 9394 section 3.3: places among the messages of Set.
	Partial *Partial
}

// fetchWords maps the plain items. Extensions add theirs here.
var fetchWords = map[string]FetchItem{
	"FLAGS":         FetchFlags,
	"UID":           FetchUID,
	"INTERNALDATE":  FetchInternalDate,
	"RFC822.SIZE":   FetchSize,
	"MODSEQ":        FetchModSeq,   // RFC 7162 section 3.1.5
	"EMAILID":       FetchEmailID,  // RFC 8474 section 5.1
	"THREADID":      FetchThreadID, // RFC 8474 section 5.2
	"SAVEDATE":      FetchSaveDate, // RFC 8514 section 4.2
	"ENVELOPE":      FetchEnvelope,
	"BODYSTRUCTURE": FetchBodyStructure,
}

// The macros of RFC 9051 section 6.4.5.
var fetchMacros = map[string][]FetchItem{
	"ALL":  {FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope},
	"FAST": {FetchFlags, FetchInternalDate, FetchSize},
	"FULL": {FetchFlags, FetchInternalDate, FetchSize, FetchEnvelope, FetchBody},
}

const maxAtts = 200

// Fetch reads the arguments of FETCH.
func (s *Scanner) Fetch() (f Fetch) {
	s.SP()
	f.Set = s.NumSet()
	s.SP()
	if s.Peek('(') {
		s.List(func() { f.att(s) })
		if len(f.Atts) == 0 {
			s.Fail("expected fetch items")
		}
	} else if macro, ok := fetchMacros[s.PeekWord()]; ok {
		s.Atom()
		for _, it := range macro {
			f.Atts = append(f.Atts, FetchAtt{Item: it})
		}
	} else {
		f.att(s)
	}
	if s.ok() && s.Peek(' ') {
		s.SP()
		if s.AtEnd() {
			return f
		}
		s.List(func() {
			switch w := s.Word(); w {
			case "CHANGEDSINCE":
				s.SP()
				n := s.Number64()
				if f.ChangedSince != nil {
					s.Fail("a fetch modifier is given twice")
				}
				f.ChangedSince = &n
			case "VANISHED":
				f.Vanished = true
			case "PARTIAL":
				s.SP()
				p := s.Partial()
				if f.Partial != nil {
					s.Fail("a fetch modifier is given twice")
				}
				f.Partial = &p
			default:
				s.Fail("unknown fetch modifier")
			}
		})
	}
	return f
}

func (f *Fetch) att(s *Scanner) {
	if len(f.Atts) >= maxAtts {
		s.Fail("too many fetch items")
		return
	}
	word := s.Letters()
	if it, ok := fetchWords[word]; ok {
		f.Atts = append(f.Atts, FetchAtt{Item: it})
		return
	}
	switch word {
	case "BODY":
		if !s.Peek('[') {
			f.Atts = append(f.Atts, FetchAtt{Item: FetchBody})
			return
		}
		f.section(s, FetchSection, false)
	case "BODY.PEEK":
		f.section(s, FetchSection, true)
	case "BINARY":
		f.section(s, FetchBinary, false)
	case "BINARY.PEEK":
		f.section(s, FetchBinary, true)
	case "BINARY.SIZE":
		f.section(s, FetchBinarySize, true)
	case "PREVIEW":
		f.Atts = append(f.Atts, FetchAtt{Item: s.preview()})
	// RFC 3501 section 6.4.5; gone from RFC 9051 but asked for all the same.
	case "RFC822":
		f.Atts = append(f.Atts, FetchAtt{FetchSection, &Section{Name: "RFC822"}})
	case "RFC822.HEADER":
		f.Atts = append(f.Atts, FetchAtt{FetchSection, &Section{Name: "RFC822.HEADER", Text: SectionHeader, Peek: true}})
	case "RFC822.TEXT":
		f.Atts = append(f.Atts, FetchAtt{FetchSection, &Section{Name: "RFC822.TEXT", Text: SectionBody}})
	default:
		s.Fail("unknown fetch item")
	}
}

// preview reads the modifiers of PREVIEW (RFC 8970 section 6). What else may
// follow in parentheses are modifiers of FETCH.
func (s *Scanner) preview() FetchItem {
	at := s.pos
	if !s.Take(' ') || !s.Take('(') || s.PeekWord() != "LAZY" {
		if s.ok() {
			s.pos = at
		}
		return FetchPreview
	}
	s.pos = at
	s.SP()
	s.List(func() {
		if s.Word() != "LAZY" {
			s.Fail("unknown preview modifier")
		}
	})
	return FetchPreviewLazy
}

const (
	maxPath   = 200
	maxFields = 200
)

func (f *Fetch) section(s *Scanner, item FetchItem, peek bool) {
	sec := &Section{Peek: peek}
	s.Need('[')
	for c := s.peek(); c >= '1' && c <= '9'; c = s.peek() {
		sec.Path = append(sec.Path, int(min(s.NZNumber(), 1<<30)))
		if len(sec.Path) > maxPath {
			s.Fail("section nested too deeply")
			return
		}
		if !s.Take('.') {
			break
		}
		if s.Peek(']') {
			s.Fail("malformed section")
		}
	}
	if item == FetchSection && !s.Peek(']') && s.ok() {
		if n := len(sec.Path); n > 0 && s.b[s.pos-1] != '.' {
			s.Fail("malformed section")
		}
		sec.text(s)
	}
	s.Need(']')
	if item != FetchBinarySize && s.Take('<') {
		sec.Partial = true
		sec.Offset = s.Number64()
		s.Need('.')
		sec.Length = s.Number64()
		if sec.Length == 0 {
			s.Fail("a partial fetch has at least one octet")
		}
		s.Need('>')
	}
	if !s.ok() {
		return
	}
	sec.Name = sec.name(item)
	f.Atts = append(f.Atts, FetchAtt{item, sec})
}

func (sec *Section) text(s *Scanner) {
	switch s.Letters() {
	case "HEADER":
		sec.Text = SectionHeader
	case "TEXT":
		sec.Text = SectionBody
	case "MIME":
		sec.Text = SectionMIME
		if len(sec.Path) == 0 {
			s.Fail("MIME needs a part number")
		}
	case "HEADER.FIELDS":
		sec.Text = SectionHeaderFields
	case "HEADER.FIELDS.NOT":
		sec.Text = SectionHeaderFieldsNot
	default:
		s.Fail("unknown section")
	}
	if sec.Text == SectionHeaderFields || sec.Text == SectionHeaderFieldsNot {
		s.SP()
		s.List(func() {
			sec.Fields = append(sec.Fields, string(s.Astring()))
			if len(sec.Fields) > maxFields {
				s.Fail("too many header fields")
			}
		})
		if len(sec.Fields) == 0 {
			s.Fail("expected header fields")
		}
	}
}

// name writes the section as the answer has it (RFC 9051 section 7.5.2).
func (sec *Section) name(item FetchItem) string {
	var b []byte
	switch item {
	case FetchSection:
		b = append(b, "BODY["...)
	case FetchBinary:
		b = append(b, "BINARY["...)
	case FetchBinarySize:
		b = append(b, "BINARY.SIZE["...)
	}
	for i, n := range sec.Path {
		if i > 0 {
			b = append(b, '.')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	if sec.Text != SectionAll && len(sec.Path) > 0 {
		b = append(b, '.')
	}
	switch sec.Text {
	case SectionHeader:
		b = append(b, "HEADER"...)
	case SectionBody:
		b = append(b, "TEXT"...)
	case SectionMIME:
		b = append(b, "MIME"...)
	case SectionHeaderFields, SectionHeaderFieldsNot:
		b = append(b, "HEADER.FIELDS"...)
		if sec.Text == SectionHeaderFieldsNot {
			b = append(b, ".NOT"...)
		}
		b = append(b, ' ', '(')
		for i, n := range sec.Fields {
			if i > 0 {
				b = append(b, ' ')
			}
			if IsAtom(n) {
				b = append(b, n...)
			} else {
				b = AppendString(b, n, false)
			}
		}
		b = append(b, ')')
	}
	b = append(b, ']')
	if sec.Partial {
		b = append(b, '<')
		b = strconv.AppendUint(b, sec.Offset, 10)
		b = append(b, '>')
	}
	return string(b)
}
