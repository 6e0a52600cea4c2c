package message

import "bytes"

// Address is one address of an ENVELOPE (RFC 9051 section 7.5.2). A group is
// an address with a nil Host and the group's name as Mailbox, its members, and
// an address with neither. An address that lacks its mailbox or host has an
// empty one: nil is only for the group marks.
type Address struct{ Name, Route, Mailbox, Host []byte }

// Envelope is the ENVELOPE of a message. A nil text is an absent field. From,
// Sender and ReplyTo are as in the header; that ReplyTo and Sender default to
// From is left to AppendEnvelope. The texts share the bytes of the header or
// of the Envelope's own buffer, until its next use.
type Envelope struct {
	Date, Subject, InReplyTo, MessageID []byte

	From, Sender, ReplyTo, To, Cc, Bcc []Address

	arena []byte
	seen  uint16
}

// Reset empties the envelope and keeps its memory.
func (e *Envelope) Reset() {
	*e = Envelope{
		From: e.From[:0], Sender: e.Sender[:0], ReplyTo: e.ReplyTo[:0],
		To: e.To[:0], Cc: e.Cc[:0], Bcc: e.Bcc[:0], arena: e.arena[:0],
	}
}

// FromHeader fills the envelope from a header block, of which it looks at the
// first MiB.
func (e *Envelope) FromHeader(header []byte) {
	e.Reset()
	for f := range Fields(header) {
		if id := fieldID(f.Name); id != 0 && id <= lastEnvelope {
			e.set(id, f.Value)
		}
	}
}

// set takes in one field. The first of several counts, except that recipients
// are gathered from all (RFC 5322 section 4.5 allows such old messages).
func (e *Envelope) set(id byte, value []byte) {
	first := e.seen&(1<<id) == 0
	e.seen |= 1 << id
	text, list := (*[]byte)(nil), (*[]Address)(nil)
	switch id {
	case fieldDate:
		text = &e.Date
	case fieldSubject:
		text = &e.Subject
	case fieldInReplyTo:
		text = &e.InReplyTo
	case fieldMessageID:
		text = &e.MessageID
	case fieldFrom:
		list = &e.From
	case fieldSender:
		list = &e.Sender
	case fieldReplyTo:
		list = &e.ReplyTo
	case fieldTo:
		list, first = &e.To, true
	case fieldCc:
		list, first = &e.Cc, true
	case fieldBcc:
		list, first = &e.Bcc, true
	}
	switch {
	case !first:
	case text != nil:
		*text, e.arena = unfold(e.arena, value)
	case list != nil:
		*list, e.arena = appendAddresses(*list, e.arena, value)
	}
}

// ParseAddresses reads an address list leniently: it takes what can be
// understood and never fails.
func ParseAddresses(value []byte) []Address {
	list, _ := appendAddresses(nil, nil, value)
	return list
}

// addrParser reads an address list (RFC 5322 section 3.4, with the obsolete
// syntax of 4.4 and what mailers really send). Texts that are not a plain run
// of the header are built in arena.
type addrParser struct {
	scanner
	out   []Address
	arena []byte
	// comment is the last comment seen in the current address: old mailers
	// put the name there.
	comment []byte
	inGroup bool
}

func appendAddresses(out []Address, arena, value []byte) ([]Address, []byte) {
	p := addrParser{scanner: scanner{b: value}, out: out, arena: arena}
	for p.i < len(p.b) {
		p.address()
	}
	if p.inGroup {
		p.out = append(p.out, Address{})
	}
	return p.out, p.arena
}

// What a byte is in an address list: part of an atom, white space, the
// beginning of a quoted string or a comment, or what ends a run of words.
const (
	classAtom = iota
	classSpace
	classOpen
	classSpecial
)

var addrClass = func() (t [256]uint8) {
	for _, c := range " \t\r\n" {
		t[c] = classSpace
	}
	for _, c := range "\"(" {
		t[c] = classOpen
	}
	for _, c := range ",;:<>@" {
		t[c] = classSpecial
	}
	return t
}()

// space passes white space and comments, keeping the last comment.
func (p *addrParser) space() {
	for p.i < len(p.b) {
		switch c := p.b[p.i]; {
		case isSpace(c):
			p.i++
		case c == '(':
			start := p.i + 1
			p.skipComment()
			end := p.i
			if end > start && p.b[end-1] == ')' {
				end--
			}
			p.comment = p.b[start:end]
		default:
			return
		}
	}
}

func (p *addrParser) skipComment() {
	depth := 0
	for p.i < len(p.b) {
		c := p.b[p.i]
		p.i++
		switch c {
		case '\\':
			p.i = min(p.i+1, len(p.b))
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return
			}
		}
	}
}

// text returns what was built in the arena since start.
func (p *addrParser) text(start int) []byte {
	return p.arena[start:len(p.arena):len(p.arena)]
}

// words reads atoms and quoted strings up to a special, joined by one space
// where white space stood between them, into the arena. lastWord is where the
// last of them begins.
func (p *addrParser) words() (text []byte, lastWord int) {
	start := len(p.arena)
	lastWord = start
	for first := true; ; first = false {
		before := p.i
		p.space()
		if p.i >= len(p.b) || addrClass[p.b[p.i]] == classSpecial {
			break
		}
		if p.i > before && !first && len(p.arena) > start {
			p.arena = append(p.arena, ' ')
			lastWord = len(p.arena)
		}
		if p.b[p.i] == '"' {
			p.i++
			q := p.i
			for p.i < len(p.b) && p.b[p.i] != '"' {
				if p.b[p.i] == '\\' {
					p.i++
				}
				p.i++
			}
			p.i = min(p.i, len(p.b))
			p.arena = appendUnquoted(p.arena, p.b[q:p.i])
			p.i = min(p.i+1, len(p.b))
			continue
		}
		q := p.i
		for p.i < len(p.b) && addrClass[p.b[p.i]] == classAtom {
			p.i++
		}
		atom := p.b[q:p.i]
		for i := bytes.IndexByte(atom, 0); i >= 0; i = bytes.IndexByte(atom, 0) {
			p.arena = append(p.arena, atom[:i]...)
			atom = atom[i+1:]
		}
		p.arena = append(p.arena, atom...)
	}
	return p.text(start), lastWord - start
}

// address reads one address, group start or group end, and its separator.
func (p *addrParser) address() {
	p.comment = nil
	start := len(p.arena)
	begin := p.i
	text, lastWord := p.words()
	if p.i >= len(p.b) {
		p.bare(text)
		return
	}
	switch c := p.b[p.i]; c {
	case ',', '>':
		p.i++
		p.bare(text)
	case ';':
		p.i++
		p.bare(text)
		if p.inGroup {
			p.inGroup = false
			p.out = append(p.out, Address{})
		}
	case ':':
		p.i++
		if !p.inGroup {
			p.inGroup = true
			p.out = append(p.out, Address{Mailbox: text})
		}
	case '<':
		p.i++
		p.angle(text)
	case '@':
		p.i++
		// RFC 5322 section 4.4 allows white space around the dots of a local
		// part; other words before it are a name without angle brackets.
		local, name := text, []byte(nil)
		if lastWord > 0 {
			if text[lastWord-2] == '.' || lastWord < len(text) && text[lastWord] == '.' {
				n := start
				for _, c := range text {
					if c != ' ' {
						p.arena[n] = c
						n++
					}
				}
				p.arena = p.arena[:n]
				local = p.text(start)
			} else {
				local, name = text[lastWord:], text[:lastWord-1:lastWord-1]
			}
		}
		host := p.host()
		p.space()
		if p.i < len(p.b) && p.b[p.i] == '<' {
			// An address as the display name of an address, without the quotes
			// it would need.
			name := Unfold(p.b[begin:p.i:p.i])
			p.i++
			p.angle(name)
			return
		}
		p.emit(name, nil, local, host)
		p.finish()
	}
}

// host reads a domain or domain literal.
func (p *addrParser) host() []byte {
	p.space()
	start := p.i
	if p.i < len(p.b) && p.b[p.i] == '[' {
		for p.i < len(p.b) && p.b[p.i] != ']' && indexByte(",;<>", p.b[p.i]) < 0 {
			p.i++
		}
		if p.i < len(p.b) && p.b[p.i] == ']' {
			p.i++
		}
		return Unfold(p.b[start:p.i:p.i])
	}
	for {
		for p.i < len(p.b) && addrClass[p.b[p.i]] == classAtom {
			p.i++
		}
		end := p.i
		p.space()
		// White space may stand around dots, RFC 5322 section 4.4.
		if p.i < len(p.b) && end > start && addrClass[p.b[p.i]] < classOpen &&
			(p.b[p.i] == '.' || p.b[end-1] == '.') {
			continue
		}
		if host := p.b[start:end:end]; !hasSpace(host) {
			return host
		}
		return squeeze(p.b[start:end])
	}
}

func hasSpace(b []byte) bool {
	for _, c := range b {
		if isSpace(c) || c == 0 || c == '(' {
			return true
		}
	}
	return false
}

// squeeze drops white space, comments and NULs.
func squeeze(b []byte) []byte {
	out := make([]byte, 0, len(b))
	s := scanner{b: b}
	for {
		s.skip()
		if s.i >= len(b) {
			return out
		}
		if b[s.i] != 0 {
			out = append(out, b[s.i])
		}
		s.i++
	}
}

// angle reads what follows "<": an optional route, the address, ">".
func (p *addrParser) angle(name []byte) {
	p.space()
	var route []byte
	if p.i < len(p.b) && p.b[p.i] == '@' {
		// obs-route (RFC 5322 section 4.4) ends with a colon; without one it
		// is an address without a local part.
		start := p.i
		i := start
		for i < len(p.b) && indexByte(":<>;", p.b[i]) < 0 {
			i++
		}
		if i < len(p.b) && p.b[i] == ':' {
			route = Unfold(p.b[start:i:i])
			p.i = i + 1
		}
	}
	start := len(p.arena)
	local, _ := p.words()
	// A local part with a colon or comma in it is wrong, but it is one.
	for p.i < len(p.b) && (p.b[p.i] == ':' || p.b[p.i] == ';') {
		p.arena = append(p.arena, p.b[p.i])
		p.i++
		p.words()
		local = p.text(start)
	}
	host := emptyNotNil
	if p.i < len(p.b) && p.b[p.i] == '@' {
		p.i++
		host = p.host()
	}
	if name == nil {
		name = emptyNotNil
	}
	comment := p.comment
	for p.i < len(p.b) && indexByte(">,;", p.b[p.i]) < 0 {
		p.i++
	}
	if p.i < len(p.b) && p.b[p.i] == '>' {
		p.i++
	}
	p.comment = comment
	p.emit(name, route, local, host)
	p.finish()
}

// bare takes words that no "@" or "<" followed.
func (p *addrParser) bare(text []byte) {
	if len(text) > 0 {
		p.emit(nil, nil, text, emptyNotNil)
	}
}

func (p *addrParser) emit(name, route, local, host []byte) {
	if len(name) == 0 {
		name = nil
		if p.comment == nil {
			p.space() // foo@bar (Name)
		}
		if len(p.comment) > 0 {
			start := len(p.arena)
			p.arena = appendUnquoted(p.arena, p.comment)
			name = Unfold(p.text(start))
		}
	}
	if local == nil {
		local = emptyNotNil
	}
	if host == nil {
		host = emptyNotNil
	}
	p.out = append(p.out, Address{Name: name, Route: route, Mailbox: local, Host: host})
}

// finish passes what is left of an address and its comma. The semicolon that
// ends a group is left to be read.
func (p *addrParser) finish() {
	for p.i < len(p.b) {
		p.space()
		if p.i >= len(p.b) {
			return
		}
		switch p.b[p.i] {
		case ',':
			p.i++
			return
		case ';':
			return
		}
		p.i++
	}
}
