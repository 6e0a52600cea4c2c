package imapwire

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxDepth is how deep arguments may be nested.
const MaxDepth = 50

// Scanner reads the arguments of a framed command. After the first error it
// gives zero values; Err tells.
type Scanner struct {
	f     *Frame
	b     []byte
	pos   int
	lit   int
	depth int
	err   error
	// UTF8 is set once the client enabled IMAP4rev2 or UTF8=ACCEPT: mailbox
	// names are UTF-8 then, and modified UTF-7 otherwise.
	UTF8 bool
}

// NewScanner reads the arguments of f.
func NewScanner(f *Frame, utf8 bool) *Scanner {
	return &Scanner{f: f, b: f.Text, pos: f.args, UTF8: utf8}
}

// Err returns the first error.
func (s *Scanner) Err() error { return s.err }

// Fail makes the command BAD, if nothing else did before.
func (s *Scanner) Fail(format string, args ...any) {
	if s.err == nil {
		s.err = syntax(format, args...)
	}
}

func (s *Scanner) ok() bool { return s.err == nil }

// peek returns the next octet; 0 at the end of a line or after an error.
func (s *Scanner) peek() byte {
	if s.err != nil || s.pos >= len(s.b) {
		return 0
	}
	c := s.b[s.pos]
	if c == '\r' || c == '\n' {
		return 0
	}
	return c
}

// Peek reports whether c comes next.
func (s *Scanner) Peek(c byte) bool { return c != 0 && s.peek() == c }

// AtEnd reports whether nothing comes any more.
func (s *Scanner) AtEnd() bool { return s.ok() && len(trimEOL(s.b[s.pos:])) == 0 }

// Take passes c if it comes next.
func (s *Scanner) Take(c byte) bool {
	if s.Peek(c) {
		s.pos++
		return true
	}
	return false
}

// Need passes c.
func (s *Scanner) Need(c byte) {
	if !s.Take(c) {
		s.Fail("expected %q", string(rune(c)))
	}
}

// SP passes one space.
func (s *Scanner) SP() {
	if !s.Take(' ') {
		s.Fail("expected a space")
		return
	}
	// Some clients send two.
	for s.Peek(' ') {
		s.pos++
	}
}

// End makes sure that nothing is left.
func (s *Scanner) End() error {
	for s.Peek(' ') { // trailing spaces are harmless and seen in the wild
		s.pos++
	}
	if s.ok() && (!s.AtEnd() || s.lit != len(s.f.Literals)) {
		s.Fail("unexpected text at the end")
	}
	return s.err
}

func (s *Scanner) enter() bool {
	if s.depth++; s.depth > MaxDepth {
		s.Fail("nested too deeply")
		return false
	}
	return s.ok()
}

func (s *Scanner) leave() { s.depth-- }

// List reads a parenthesized list and calls item for each element. An empty
// list is allowed.
func (s *Scanner) List(item func()) {
	s.Need('(')
	if !s.enter() {
		return
	}
	defer s.leave()
	if s.Take(')') {
		return
	}
	for s.ok() {
		at := s.pos
		item()
		if s.Take(')') {
			return
		}
		s.SP()
		if s.Take(')') { // "(a b )" is seen in the wild
			return
		}
		if s.pos == at {
			s.Fail("expected a list")
		}
	}
}

func (s *Scanner) run(class uint8) []byte {
	if s.err != nil {
		return nil
	}
	start := s.pos
	for s.pos < len(s.b) && classes[s.b[s.pos]]&class != 0 {
		s.pos++
	}
	return s.b[start:s.pos]
}

// Atom reads an atom.
func (s *Scanner) Atom() string {
	a := s.run(classAtom)
	if len(a) == 0 {
		s.Fail("expected an atom")
	}
	return string(a)
}

// Word reads an atom and returns it in capitals.
func (s *Scanner) Word() string { return strings.ToUpper(s.Atom()) }

// Letters reads a run of letters, digits, "." and "-" in capitals: a name that
// a bracket or anything else may follow.
func (s *Scanner) Letters() string {
	if s.err != nil {
		return ""
	}
	start := s.pos
	for s.pos < len(s.b) {
		c := s.b[s.pos]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-') {
			break
		}
		s.pos++
	}
	if s.pos == start {
		s.Fail("expected a name")
	}
	return strings.ToUpper(string(s.b[start:s.pos]))
}

// PeekWord returns the next atom in capitals without passing it.
func (s *Scanner) PeekWord() string {
	at := s.pos
	w := strings.ToUpper(string(s.run(classAtom)))
	s.pos = at
	return w
}

// Number reads a number below 2^32.
func (s *Scanner) Number() uint32 {
	n := s.Number64()
	if n > 1<<32-1 {
		s.Fail("number too large")
		return 0
	}
	return uint32(n)
}

// NZNumber reads a number from 1 up.
func (s *Scanner) NZNumber() uint32 {
	n := s.Number()
	if n == 0 {
		s.Fail("number must not be zero")
	}
	return n
}

// Number64 reads a number below 2^63 (RFC 9051 section 9, number64).
func (s *Scanner) Number64() uint64 {
	if s.err != nil {
		return 0
	}
	start := s.pos
	var n uint64
	for s.pos < len(s.b) && s.b[s.pos] >= '0' && s.b[s.pos] <= '9' {
		d := uint64(s.b[s.pos] - '0')
		if n > (1<<63-1-d)/10 {
			s.Fail("number too large")
			return 0
		}
		n = n*10 + d
		s.pos++
	}
	if s.pos == start {
		s.Fail("expected a number")
	}
	return n
}

func (s *Scanner) literal() (*Literal, bool) {
	if s.err == nil && s.lit < len(s.f.Literals) && s.f.Literals[s.lit].Pos == s.pos {
		l := &s.f.Literals[s.lit]
		s.lit++
		s.pos = l.Next
		return l, true
	}
	return nil, false
}

// Literal reads a literal, of the binary kind too: what APPEND takes.
func (s *Scanner) Literal() *Literal {
	l, ok := s.literal()
	if !ok {
		s.Fail("expected a literal")
		return nil
	}
	return l
}

// AtLiteral reports whether the announcement of a literal comes next. In the
// frame given to a Gate it is the one that is asked for.
func (s *Scanner) AtLiteral() bool {
	return s.Peek('{') || s.Peek('~')
}

// Octets reads a string: quoted or literal. The bytes are shared with the
// frame where they can be.
func (s *Scanner) Octets() []byte {
	switch s.peek() {
	case '"':
		return s.quoted()
	case '{', '~':
		l, ok := s.literal()
		if !ok {
			s.Fail("malformed literal")
			return nil
		}
		if l.Binary {
			s.Fail("binary literal not allowed here")
			return nil
		}
		if bytes.IndexByte(l.Data, 0) >= 0 {
			// RFC 9051 section 9, CHAR8.
			s.Fail("NUL not allowed")
			return nil
		}
		return l.Data
	}
	s.Fail("expected a string")
	return nil
}

func (s *Scanner) quoted() []byte {
	s.pos++
	start := s.pos
	escaped := false
	for s.pos < len(s.b) {
		switch c := s.b[s.pos]; {
		case c == '"':
			b := s.b[start:s.pos]
			s.pos++
			if escaped {
				b = unescape(b)
			}
			return b
		case c == '\\':
			escaped = true
			s.pos++
			if n := s.peek(); n != '"' && n != '\\' {
				s.Fail("malformed quoted string")
				return nil
			}
		case c == '\r' || c == '\n' || c == 0:
			s.Fail("malformed quoted string")
			return nil
		}
		s.pos++
	}
	s.Fail("unfinished quoted string")
	return nil
}

func unescape(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == '\\' {
			i++
		}
		out = append(out, b[i])
	}
	return out
}

// Astring reads an atom or a string.
func (s *Scanner) Astring() []byte { return s.astring(classAstring) }

func (s *Scanner) astring(class uint8) []byte {
	if c := s.peek(); c == '"' || c == '{' || c == '~' {
		return s.Octets()
	}
	at := s.pos
	a := s.run(class)
	// 8-bit atoms are no atoms, but clients that learned names from a UTF-8
	// LIST send them back so.
	for s.ok() && s.pos < len(s.b) && (classes[s.b[s.pos]]&class != 0 || s.b[s.pos] >= 0x80 && s.UTF8) {
		s.pos++
		a = s.b[at:s.pos]
	}
	if len(a) == 0 {
		s.Fail("expected a string")
	}
	return a
}

// Mailbox reads the name of a mailbox and returns it in UTF-8, INBOX in
// capitals.
func (s *Scanner) Mailbox() string {
	return s.mailbox(s.Astring())
}

// ListMailbox reads a mailbox name with wildcards (RFC 9051 section 6.3.9).
func (s *Scanner) ListMailbox() string {
	return s.mailbox(s.astring(classList))
}

func (s *Scanner) mailbox(raw []byte) string {
	if s.err != nil {
		return ""
	}
	name := string(raw)
	if !s.UTF8 {
		var ok bool
		if name, ok = DecodeUTF7(name); !ok {
			s.Fail("mailbox name is not in modified UTF-7")
			return ""
		}
	}
	if !utf8.ValidString(name) {
		s.Fail("mailbox name is not in UTF-8")
		return ""
	}
	return CanonicalName(name)
}

// CanonicalName writes INBOX in capitals, also as the parent of others (RFC
// 9051 section 5.1).
func CanonicalName(name string) string {
	if len(name) >= 5 && (len(name) == 5 || name[5] == '/') && strings.EqualFold(name[:5], "INBOX") {
		return "INBOX" + name[5:]
	}
	return name
}

// Flag reads a system flag, with its backslash, or a keyword.
func (s *Scanner) Flag() string {
	if s.Take('\\') {
		return `\` + s.Atom()
	}
	return s.Atom()
}

// Flags reads a list of flags, with or without its parentheses.
func (s *Scanner) Flags(bare bool) []string {
	var flags []string
	if s.Peek('(') || !bare {
		s.List(func() { flags = append(flags, s.Flag()) })
		return flags
	}
	flags = append(flags, s.Flag())
	for s.Peek(' ') {
		s.SP()
		if s.AtEnd() {
			break
		}
		flags = append(flags, s.Flag())
	}
	return flags
}

// Date reads a date (RFC 9051 section 9), quoted or not. Only its day counts.
func (s *Scanner) Date() time.Time {
	q := s.Take('"')
	a := s.run(classAtom)
	if q {
		s.Need('"')
	}
	if !s.ok() {
		return time.Time{}
	}
	t, err := time.Parse("2-Jan-2006", string(a))
	if err != nil {
		s.Fail("malformed date")
	}
	return t
}

// DateTime reads a date-time (RFC 9051 section 9).
func (s *Scanner) DateTime() time.Time {
	if !s.Peek('"') {
		s.Fail("expected a date and time")
		return time.Time{}
	}
	q := string(s.quoted())
	if !s.ok() {
		return time.Time{}
	}
	t, err := time.Parse("_2-Jan-2006 15:04:05 -0700", q)
	if err != nil {
		s.Fail("malformed date and time")
	}
	return t
}

// Base64 reads an initial response of AUTHENTICATE undecoded: base64 or "=".
func (s *Scanner) Base64() []byte {
	if s.err != nil {
		return nil
	}
	start := s.pos
	for c := s.peek(); c > ' ' && c < 0x7f; c = s.peek() {
		s.pos++
	}
	if s.pos == start {
		s.Fail("expected base64")
	}
	return s.b[start:s.pos]
}
