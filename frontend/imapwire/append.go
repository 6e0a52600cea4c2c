package imapwire

import "time"

// AppendMessage is one message of APPEND.
type AppendMessage struct {
	Flags []string
	Date  time.Time // zero when not given
	UTF8  bool      // given as UTF8 (~{...}), RFC 6855 section 4
	// Literal are the octets; nil when Parts are given.
	Literal *Literal
	// Parts are what CATENATE puts together (RFC 4469); nil without it.
	Parts []CatPart
}

// CatPart is a part of CATENATE: octets, or where they are.
type CatPart struct {
	Literal *Literal // TEXT, or UTF8 of RFC 6855 section 4
	URL     string   // when Literal is nil
}

// Append are the arguments of APPEND.
type Append struct {
	Mailbox  string
	Messages []AppendMessage
}

const (
	maxAppend = 1000    // messages of one APPEND
	maxParts  = 1000    // parts of one CATENATE
	maxURL    = 4 << 10 // octets
)

// Append reads the arguments of APPEND (RFC 9051 section 6.3.12, RFC 3502).
func (s *Scanner) Append() (a Append) {
	s.SP()
	a.Mailbox = s.Mailbox()
	for s.ok() && (len(a.Messages) == 0 || s.Peek(' ')) {
		s.SP()
		if len(a.Messages) > 0 && s.AtEnd() {
			break
		}
		r := appendReader{s: s}
		a.Messages = append(a.Messages, r.message())
		if len(a.Messages) > maxAppend {
			s.Fail("too many messages")
		}
	}
	return a
}

// Replace reads the arguments of REPLACE (RFC 8508 section 5): a set of one
// number, and an Append of one message.
func (s *Scanner) Replace() (what NumSet, a Append) {
	s.SP()
	what = s.oneNumber()
	s.SP()
	a.Mailbox = s.Mailbox()
	s.SP()
	r := appendReader{s: s}
	a.Messages = []AppendMessage{r.message()}
	return what, a
}

// oneNumber reads a seq-number.
func (s *Scanner) oneNumber() NumSet {
	n := s.seqNumber()
	return NumSet{Ranges: []NumRange{{n, n}}}
}

// AppendSoFar reads the arguments of an APPEND up to the literal that a Gate
// is asked for: what of it is known. The literal that comes next is of the
// message with this number, counted from 1; 0: it is not of a message.
func (s *Scanner) AppendSoFar() (mailbox string, message int, err error) {
	s.SP()
	return s.appendSoFar()
}

// ReplaceSoFar is AppendSoFar for REPLACE.
func (s *Scanner) ReplaceSoFar() (what NumSet, mailbox string, message int, err error) {
	s.SP()
	what = s.oneNumber()
	s.SP()
	mailbox, message, err = s.appendSoFar()
	return what, mailbox, message, err
}

func (s *Scanner) appendSoFar() (mailbox string, message int, err error) {
	if s.AtLiteral() && len(s.f.Literals) == 0 {
		return "", 0, s.err
	}
	mailbox = s.Mailbox()
	r := appendReader{s: s, soFar: true}
	for s.ok() && !r.stopped {
		s.SP()
		r.message()
		if message++; message > maxAppend {
			s.Fail("too many messages")
		}
	}
	if r.url || s.err != nil {
		message = 0
	}
	return mailbox, message, s.err
}

// appendReader reads messages of an APPEND, with soFar up to the literal that
// is not there yet.
type appendReader struct {
	s              *Scanner
	soFar, stopped bool
	url            bool // stopped at a literal that is a URL
}

// going reports whether to go on.
func (r *appendReader) going() bool { return r.s.ok() && !r.stopped }

func (r *appendReader) message() (m AppendMessage) {
	s := r.s
	if s.Peek('(') {
		m.Flags = s.Flags(false)
		s.SP()
	}
	if s.Peek('"') {
		m.Date = s.DateTime()
		s.SP()
	}
	switch s.PeekWord() {
	case "UTF8":
		m.UTF8 = true
		m.Literal = r.utf8()
	case "CATENATE":
		s.Atom()
		s.SP()
		m.Parts = r.parts()
	default:
		m.Literal = r.literal()
	}
	return m
}

func (r *appendReader) literal() *Literal {
	s := r.s
	if r.soFar && s.lit == len(s.f.Literals) {
		if !s.AtLiteral() {
			s.Fail("expected a literal")
		}
		r.stopped = s.ok()
		return nil
	}
	return s.Literal()
}

// utf8 reads the UTF8 data extension of RFC 6855 section 4.
func (r *appendReader) utf8() *Literal {
	s := r.s
	s.Atom()
	s.SP()
	s.Need('(')
	l := r.literal()
	if r.going() {
		s.Need(')')
	}
	return l
}

// parts reads what CATENATE is of (RFC 4469 section 5).
func (r *appendReader) parts() []CatPart {
	s := r.s
	parts := []CatPart{}
	s.Need('(')
	for r.going() {
		var p CatPart
		switch s.PeekWord() {
		case "TEXT":
			s.Atom()
			s.SP()
			p.Literal = r.literal()
		case "UTF8":
			p.Literal = r.utf8()
		case "URL":
			s.Atom()
			s.SP()
			if r.soFar && s.AtLiteral() && s.lit == len(s.f.Literals) {
				r.stopped, r.url = true, true
				return nil
			}
			if p.URL = string(s.Astring()); len(p.URL) > maxURL {
				s.Fail("URL too long")
			}
		default:
			s.Fail("unknown part")
		}
		if parts = append(parts, p); len(parts) > maxParts {
			s.Fail("too many parts")
		}
		if !r.going() || s.Take(')') {
			break
		}
		s.SP()
	}
	return parts
}
