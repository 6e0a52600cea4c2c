package message

import "bytes"

// Param is one parameter of a Content-Type or Content-Disposition, in the
// order of the message, duplicates kept. Value is without its quotes; neither
// RFC 2231 nor RFC 2047 encoding is undone.
type Param struct{ Name, Value []byte }

// maxParams bounds the parameters kept of one field.
const maxParams = 64

// scanner walks over a structured field value, leniently.
type scanner struct {
	b []byte
	i int
}

// skip passes white space and comments (RFC 5322 section 3.2.2). An unclosed
// comment runs to the end.
func (s *scanner) skip() {
	depth := 0
	for s.i < len(s.b) {
		switch c := s.b[s.i]; {
		case c == '(':
			depth++
		case depth > 0 && c == ')':
			depth--
		case depth > 0 && c == '\\':
			s.i++
		case depth == 0 && !isSpace(c):
			return
		}
		s.i++
	}
	s.i = min(s.i, len(s.b))
}

// token takes a run of bytes up to white space or one of stops.
func (s *scanner) token(stops string) []byte {
	start := s.i
	for s.i < len(s.b) && !isSpace(s.b[s.i]) && indexByte(stops, s.b[s.i]) < 0 {
		s.i++
	}
	return s.b[start:s.i:s.i]
}

func indexByte(s string, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return -1
}

// quoted takes a quoted string whose opening quote is at s.i, and returns its
// content unescaped and unfolded. An unclosed one runs to the end.
func (s *scanner) quoted() []byte {
	s.i++
	start := s.i
	plain := true
	for s.i < len(s.b) && s.b[s.i] != '"' {
		switch s.b[s.i] {
		case '\\':
			plain = false
			s.i++
		case '\r', '\n', 0:
			plain = false
		}
		s.i++
	}
	s.i = min(s.i, len(s.b))
	raw := s.b[start:s.i:s.i]
	if s.i < len(s.b) {
		s.i++
	}
	if plain {
		return raw
	}
	return appendUnquoted(make([]byte, 0, len(raw)), raw)
}

// appendUnquoted appends the content of a quoted string or comment without
// its escapes, line ends and NULs.
func appendUnquoted(dst, raw []byte) []byte {
	n := 0
	for n < len(raw) && quotable[raw[n]] {
		n++
	}
	dst, raw = append(dst, raw[:n]...), raw[n:]
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c == '\\' && i+1 < len(raw) {
			i++
			c = raw[i]
		}
		if c == '\r' || c == '\n' || c == 0 {
			continue
		}
		dst = append(dst, c)
	}
	return dst
}

// params reads "; name=value" pairs to the end of the value. A value without
// quotes runs to the next semicolon, so that the widespread `name=my file.pdf`
// keeps its name.
func (s *scanner) params() []Param {
	var out []Param
	for {
		// Anything before the next semicolon is noise.
		for s.i < len(s.b) && s.b[s.i] != ';' {
			if s.b[s.i] == '"' {
				s.quoted()
			} else if s.b[s.i] == '(' {
				s.skip()
			} else {
				s.i++
			}
		}
		if s.i >= len(s.b) || len(out) == maxParams {
			return out
		}
		s.i++
		s.skip()
		name := s.token("=;\"(")
		s.skip()
		if len(name) == 0 || s.i >= len(s.b) || s.b[s.i] != '=' {
			continue
		}
		s.i++
		s.skip()
		var value []byte
		if s.i < len(s.b) && s.b[s.i] == '"' {
			value = s.quoted()
		} else {
			start := s.i
			for s.i < len(s.b) && s.b[s.i] != ';' && s.b[s.i] != '(' {
				s.i++
			}
			value = Unfold(s.b[start:s.i:s.i])
		}
		out = append(out, Param{Name: name, Value: value})
	}
}

func isToken(b []byte) bool {
	for _, c := range b {
		// RFC 2045 section 5.1, tspecials.
		if c <= ' ' || c >= 0x7f || indexByte("()<>@,;:\\\"/[]?=", c) >= 0 {
			return false
		}
	}
	return len(b) > 0
}

// parseType reads a Content-Type. What is no type at all is text/plain (RFC
// 2045 section 5.2).
func (p *Part) parseType(v []byte) {
	s := scanner{b: v}
	s.skip()
	t := s.token("/;(")
	s.skip()
	if s.i < len(s.b) && s.b[s.i] == '/' {
		s.i++
		s.skip()
		if sub := s.token(";("); isToken(t) && isToken(sub) {
			p.Type, p.Subtype = t, sub
		}
	}
	p.Params = s.params()
}

func (p *Part) parseDisposition(v []byte) {
	s := scanner{b: v}
	s.skip()
	p.Disposition = s.token(";(")
	p.DispositionParams = s.params()
	if len(p.Disposition) == 0 {
		p.Disposition = nil
		if len(p.DispositionParams) > 0 {
			p.Disposition = []byte("attachment")
		}
	}
}

// parseLanguage reads the tags of a Content-Language (RFC 3282 section 2).
func (p *Part) parseLanguage(v []byte) {
	s := scanner{b: v}
	for len(p.Language) < maxParams {
		s.skip()
		if t := s.token(",("); len(t) > 0 {
			p.Language = append(p.Language, t)
		}
		s.skip()
		if s.i >= len(s.b) {
			return
		}
		if s.b[s.i] == ',' {
			s.i++
		}
	}
}

// fromHeader fills in what the part's own header says of it. The first of
// several fields counts.
func (p *Part) fromHeader(header []byte) {
	var seen uint8
	first := func(bit uint8) bool {
		ok := seen&bit == 0
		seen |= bit
		return ok
	}
	for f := range Fields(header) {
		if len(f.Name) < 10 || lower(f.Name[0]) != 'c' || lower(f.Name[7]) != '-' {
			continue
		}
		switch n := f.Name; {
		case equalFold(n, "content-type"):
			if first(1) {
				p.parseType(f.Value)
			}
		case equalFold(n, "content-transfer-encoding"):
			if first(2) {
				s := scanner{b: f.Value}
				s.skip()
				if t := s.token(";("); len(t) > 0 {
					p.Encoding = t
				}
			}
		case equalFold(n, "content-disposition"):
			if first(4) {
				p.parseDisposition(f.Value)
			}
		case equalFold(n, "content-id"):
			if first(8) {
				p.ID = Unfold(f.Value)
			}
		case equalFold(n, "content-description"):
			if first(16) {
				p.Description = Unfold(f.Value)
			}
		case equalFold(n, "content-md5"):
			if first(32) {
				p.MD5 = Unfold(f.Value)
			}
		case equalFold(n, "content-language"):
			if first(64) {
				p.parseLanguage(f.Value)
			}
		case equalFold(n, "content-location"):
			if first(128) {
				p.Location = Unfold(f.Value)
			}
		}
	}
}

// Param returns the value of the first Content-Type parameter with that name.
// A value that was cut into pieces is put together (RFC 2231 section 3).
func (p *Part) Param(name string) ([]byte, bool) {
	for _, q := range p.Params {
		if equalFold(q.Name, name) {
			return q.Value, true
		}
	}
	for _, q := range joinParams(p.Params) {
		if equalFold(q.Name, name) {
			return q.Value, true
		}
	}
	return nil, false
}

// boundary returns the delimiter of a multipart; empty if it names none.
func (p *Part) boundary() []byte {
	b, _ := p.Param("boundary")
	// RFC 2046 section 5.1.1: it may not end with white space, so what does
	// was padded on the way.
	return bytes.TrimRight(b, " \t")
}
