package imap

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// datum is a piece of a response as the grammar of RFC 9051 section 9 has it.
type datum struct {
	kind datumKind
	text string
	kids []*datum
}

type datumKind uint8

const (
	datumNil datumKind = iota
	datumAtom
	datumString // quoted or literal: what it says is the same
	datumList
)

// String shows a datum in one way, whatever way it was sent in.
func (n *datum) String() string {
	switch n.kind {
	case datumNil:
		return "NIL"
	case datumAtom:
		return n.text
	case datumString:
		return strconv.Quote(n.text)
	}
	var b strings.Builder
	for _, k := range n.kids {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(k.String())
	}
	return "(" + b.String() + ")"
}

// strictReader reads a response by the letter of the grammar: one space
// between things, no octet in a string that it may not hold.
type strictReader struct {
	s    string
	utf8 bool // UTF-8 may stand in quoted strings
	nuls bool // NULs may stand in literals, as those of a message do in BODY[] (H22)
	err  error
}

func (r *strictReader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format+" before %.60q", append(args, r.s)...)
	}
	r.s = ""
}

func (r *strictReader) take(lit string) {
	rest, ok := strings.CutPrefix(r.s, lit)
	if !ok {
		r.fail("no %q", lit)
		return
	}
	r.s = rest
}

func (r *strictReader) has(lit string) bool {
	rest, ok := strings.CutPrefix(r.s, lit)
	if ok && r.err == nil {
		r.s = rest
	}
	return ok && r.err == nil
}

// run takes what ok allows, at least one octet.
func (r *strictReader) run(what string, ok func(byte) bool) string {
	n := 0
	for n < len(r.s) && ok(r.s[n]) {
		n++
	}
	if n == 0 {
		r.fail("no %s", what)
		return ""
	}
	t := r.s[:n]
	r.s = r.s[n:]
	return t
}

func isAtomChar(c byte) bool {
	return c > ' ' && c < 0x7f && !strings.ContainsRune(`(){%*"\]`, rune(c))
}

func (r *strictReader) number() uint64 {
	t := r.run("number", func(c byte) bool { return '0' <= c && c <= '9' })
	n, err := strconv.ParseUint(t, 10, 64)
	if err != nil && r.err == nil {
		r.err = err
	}
	if len(t) > 1 && t[0] == '0' {
		r.fail("number %s begins with 0", t)
	}
	return n
}

// value reads a string, NIL, an atom or a list of those.
func (r *strictReader) value() *datum { return r.valueIn(0) }

func (r *strictReader) valueIn(depth int) *datum {
	switch {
	case r.err != nil || r.s == "":
		r.fail("nothing")
	case depth > 300:
		r.fail("too deep")
	case r.s[0] == '(':
		n := &datum{kind: datumList}
		r.s = r.s[1:]
		for first := true; r.err == nil && !r.has(")"); first = false {
			// Bodies and addresses follow each other without a space.
			if !first && (!strings.HasPrefix(r.s, "(") || n.kids[len(n.kids)-1].kind != datumList) {
				r.take(" ")
			} else if !first {
				r.has(" ")
			}
			n.kids = append(n.kids, r.valueIn(depth+1))
		}
		return n
	case r.s[0] == '"' || r.s[0] == '{' || r.s[0] == '~':
		return &datum{kind: datumString, text: r.str()}
	case r.s[0] == '\\': // a flag
		r.s = r.s[1:]
		return &datum{kind: datumAtom, text: `\` + r.run("flag", isAtomChar)}
	default:
		t := r.run("atom", isAtomChar)
		if t == "NIL" {
			return &datum{}
		}
		return &datum{kind: datumAtom, text: t}
	}
	return &datum{}
}

func (r *strictReader) str() string {
	if !r.has(`"`) {
		eight := r.has("~")
		r.take("{")
		n := r.number()
		r.take("}\r\n")
		if n > uint64(len(r.s)) {
			r.fail("literal of %d is cut", n)
			return ""
		}
		t := r.s[:n]
		r.s = r.s[n:]
		if !eight && !r.nuls && strings.IndexByte(t, 0) >= 0 {
			r.fail("NUL in a literal")
		}
		return t
	}
	var b strings.Builder
	for i := 0; i < len(r.s); i++ {
		c := r.s[i]
		switch {
		case c == '"':
			r.s = r.s[i+1:]
			if !r.utf8 && !isASCII(b.String()) || !utf8.ValidString(b.String()) {
				r.fail("octets above 127 in a quoted string")
			}
			return b.String()
		case c == '\\':
			i++
			if i == len(r.s) || r.s[i] != '"' && r.s[i] != '\\' {
				r.fail("escape of something else in a quoted string")
				return ""
			}
			c = r.s[i]
		case c == 0 || c == '\r' || c == '\n':
			r.fail("%#x in a quoted string", c)
			return ""
		}
		b.WriteByte(c)
	}
	r.fail("quoted string without its end")
	return ""
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// readFetch reads "* n FETCH (...)" into the values of its items.
func readFetch(s string, utf8 bool) (seq uint32, items map[string]*datum, err error) {
	r := &strictReader{s: s, utf8: utf8, nuls: true}
	r.take("* ")
	seq = uint32(r.number())
	r.take(" FETCH (")
	items = map[string]*datum{}
	for first := true; r.err == nil && !r.has(")"); first = false {
		if !first {
			r.take(" ")
		}
		name := r.run("item", func(c byte) bool { return isAtomChar(c) && c != '[' && c != '<' })
		if strings.HasPrefix(r.s, "[") {
			i := strings.IndexByte(r.s, ']')
			if i < 0 {
				r.fail("no ]")
				break
			}
			name, r.s = name+r.s[:i+1], r.s[i+1:]
			if strings.HasPrefix(r.s, "<") {
				name += r.run("origin", func(c byte) bool { return c != ' ' })
			}
		}
		r.take(" ")
		if items[name] != nil {
			r.fail("%s comes twice", name)
		}
		items[name] = r.value()
	}
	if r.err == nil && r.s != "" {
		r.fail("more")
	}
	return seq, items, r.err
}

// bodyPart is a part of a BODYSTRUCTURE with its number.
type bodyPart struct {
	number string // "" is the message
	body   *datum
}

// partsOf numbers the parts of a BODYSTRUCTURE as RFC 9051 section 6.4.5.1
// does.
func partsOf(body *datum) []bodyPart {
	var all []bodyPart
	var walk func(n *datum, number string, entity bool)
	sub := func(number string, i int) string {
		if number == "" {
			return strconv.Itoa(i)
		}
		return number + "." + strconv.Itoa(i)
	}
	walk = func(n *datum, number string, entity bool) {
		if isMultipart(n) {
			if number != "" && !entity {
				all = append(all, bodyPart{number, n})
			}
			for i, k := range n.kids {
				if k.kind != datumList {
					break
				}
				walk(k, sub(number, i+1), false)
			}
			return
		}
		if entity {
			number = sub(number, 1)
		}
		all = append(all, bodyPart{number, n})
		if isMessage(n) {
			walk(n.kids[8], number, true)
		}
	}
	walk(body, "", true)
	return all
}

func isMultipart(n *datum) bool {
	return n.kind == datumList && len(n.kids) > 0 && n.kids[0].kind == datumList
}

func isMessage(n *datum) bool {
	return n.kind == datumList && len(n.kids) >= 10 && strings.EqualFold(n.kids[0].text, "message") && n.kids[7].kind == datumList && n.kids[8].kind == datumList
}
