package fulltext

import (
	"html"
	"io"
	"strings"
)

// htmlReader gives of HTML what is shown as text: without tags, comments,
// scripts and styles, with character references replaced and white space as a
// browser has it. It reads as browsers do (the tokenizer of the HTML standard)
// as far as that matters, never fails by itself, and holds a bounded part.
type htmlReader struct {
	r   io.Reader
	err error
	in  []byte
	out []byte
	o   int // out[o:] is not read yet

	state   htmlState
	name    []byte // of the tag, small
	closing bool
	afterEq bool   // the value of an attribute may begin
	raw     string // script or style, whose end is waited for
	dashes  int    // of the end of a comment
	ref     []byte // a character reference
	space   byte   // white space that is due before the next text; 0: none
	any     bool   // text was written
}

type htmlState uint8

const (
	htmlText      htmlState = iota
	htmlOpen                // after "<"
	htmlOpenEnd             // after "</"
	htmlDeclare             // after "<!"
	htmlDash                // after "<!-"
	htmlComment             // in a comment
	htmlBogus               // to the next ">"
	htmlName                // in the name of a tag
	htmlAttrs               // in a tag, behind its name
	htmlDouble              // in a value in double quotes
	htmlSingle              // in single quotes
	htmlReference           // after "&"
	htmlRaw                 // in a script or style
	htmlRawOpen             // after "<" in it
	htmlRawName             // after "</" in it
)

// maxName bounds what is kept of the name of a tag, maxRef a reference.
const (
	maxName = 16
	maxRef  = 33
)

func newHTMLReader(r io.Reader) *htmlReader {
	return &htmlReader{r: r, in: make([]byte, 16<<10)}
}

// Read implements io.Reader.
func (h *htmlReader) Read(p []byte) (int, error) {
	for tries := 0; h.o == len(h.out); tries++ {
		if h.err != nil {
			return 0, h.err
		}
		if tries == 1000 {
			return 0, nil // much that is not shown: let the caller look up
		}
		n, err := h.r.Read(h.in)
		h.out, h.o = h.out[:0], 0
		h.feed(h.in[:n])
		if err != nil {
			h.end()
			h.err = err
		}
	}
	n := copy(p, h.out[h.o:])
	h.o += n
	return n, nil
}

// put writes text.
func (h *htmlReader) put(text ...byte) {
	if h.space != 0 {
		if h.any {
			h.out = append(h.out, h.space)
		}
		h.space = 0
	}
	h.any = true
	h.out = append(h.out, text...)
}

// part has white space come before the next text: a line end counts more than
// a space.
func (h *htmlReader) part(c byte) {
	if h.space != '\n' {
		h.space = c
	}
}

// special tells the octets at which text is more than itself.
var special = [256]bool{'<': true, '&': true, ' ': true, '\t': true, '\n': true, '\r': true, '\f': true}

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func (h *htmlReader) feed(b []byte) {
	for i := 0; i < len(b); {
		c := b[i]
		switch h.state {
		case htmlText:
			n := i
			for n < len(b) && !special[b[n]] {
				n++
			}
			if n > i {
				h.put(b[i:n]...)
				i = n
				continue
			}
			switch c {
			case '<':
				h.state = htmlOpen
			case '&':
				h.state, h.ref = htmlReference, append(h.ref[:0], c)
			default:
				h.part(' ')
			}
		case htmlReference:
			if (letter(c) || c >= '0' && c <= '9' || c == '#' && len(h.ref) == 1) && len(h.ref) < maxRef {
				h.ref = append(h.ref, c)
				break
			}
			if c == ';' {
				h.ref = append(h.ref, c)
				i++
			}
			h.reference()
			continue
		case htmlOpen:
			switch {
			case letter(c):
				h.state, h.closing, h.name = htmlName, false, h.name[:0]
				continue
			case c == '/':
				h.state = htmlOpenEnd
			case c == '!':
				h.state = htmlDeclare
			case c == '?':
				h.state = htmlBogus
			default:
				h.put('<')
				h.state = htmlText
				continue
			}
		case htmlOpenEnd:
			if letter(c) {
				h.state, h.closing, h.name = htmlName, true, h.name[:0]
				continue
			}
			if h.state = htmlBogus; c == '>' {
				h.state = htmlText
			}
		case htmlDeclare:
			if h.state = htmlBogus; c == '-' {
				h.state = htmlDash
			} else if c == '>' {
				h.state = htmlText
			}
		case htmlDash:
			// "<!-->" is all of a comment.
			if h.state, h.dashes = htmlBogus, 2; c == '-' {
				h.state = htmlComment
			} else if c == '>' {
				h.state = htmlText
			}
		case htmlComment:
			switch {
			case c == '-':
				h.dashes++
			case c == '>' && h.dashes >= 2:
				h.state = htmlText
			default:
				h.dashes = 0
			}
		case htmlBogus:
			if c == '>' {
				h.state = htmlText
			}
		case htmlName:
			switch c {
			case ' ', '\t', '\n', '\r', '\f', '/':
				h.state, h.afterEq = htmlAttrs, false
			case '>':
				h.tag()
			default:
				if len(h.name) < maxName {
					if c >= 'A' && c <= 'Z' {
						c |= 0x20
					}
					h.name = append(h.name, c)
				}
			}
		case htmlAttrs:
			switch c {
			case '>':
				h.tag()
			case '=':
				h.afterEq = true
			case ' ', '\t', '\n', '\r', '\f':
			case '"', '\'':
				if h.afterEq {
					if h.state = htmlDouble; c == '\'' {
						h.state = htmlSingle
					}
				}
				h.afterEq = false
			default:
				h.afterEq = false
			}
		case htmlDouble, htmlSingle:
			if c == '"' && h.state == htmlDouble || c == '\'' && h.state == htmlSingle {
				h.state = htmlAttrs
			}
		case htmlRaw:
			if c == '<' {
				h.state = htmlRawOpen
			}
		case htmlRawOpen:
			if h.state = htmlRaw; c == '/' {
				h.state, h.name = htmlRawName, h.name[:0]
			} else if c == '<' {
				h.state = htmlRawOpen
			}
		case htmlRawName:
			if letter(c) && len(h.name) < len(h.raw) {
				h.name = append(h.name, c|0x20)
				break
			}
			if string(h.name) == h.raw && !letter(c) {
				h.state, h.closing, h.afterEq = htmlAttrs, true, false
			} else {
				h.state = htmlRaw
			}
			continue
		}
		i++
	}
}

// reference writes what a character reference stands for.
func (h *htmlReader) reference() {
	h.state = htmlText
	text := html.UnescapeString(string(h.ref))
	if strings.TrimLeft(text, " \t\r\n\f\u00a0") == "" {
		h.part(' ')
		return
	}
	h.put([]byte(text)...)
}

// tag is called at the end of a tag.
func (h *htmlReader) tag() {
	h.state = htmlText
	name := string(h.name)
	switch {
	case name == "script" || name == "style":
		if !h.closing {
			h.state, h.raw = htmlRaw, name
		}
		h.part('\n')
	case name == "td" || name == "th":
		h.part(' ')
	case !inlineHTML[name] && !strings.Contains(name, ":"):
		h.part('\n')
	}
}

// end is called at the end of the HTML.
func (h *htmlReader) end() {
	switch h.state {
	case htmlReference:
		h.reference()
	case htmlOpen:
		h.put('<')
	}
}

// inlineHTML are the elements that do not part words.
var inlineHTML = map[string]bool{
	"a": true, "abbr": true, "acronym": true, "b": true, "bdi": true, "bdo": true, "big": true, "cite": true, "code": true,
	"del": true, "dfn": true, "em": true, "font": true, "i": true, "img": true, "ins": true, "kbd": true, "label": true, "mark": true,
	"nobr": true, "q": true, "s": true, "samp": true, "small": true, "span": true, "strike": true, "strong": true, "sub": true,
	"sup": true, "time": true, "tt": true, "u": true, "var": true, "wbr": true,
}
