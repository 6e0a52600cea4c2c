package corpus

import (
	"encoding/base64"
	"encoding/binary"
	"strconv"
)

const (
	plainWidth = 72 // where text is wrapped by its writer
	qpWidth    = 75 // where quoted-printable breaks softly, RFC 2045 section 6.7
)

// pen writes prose in one form onto the end of a buffer.
type pen struct {
	r      rng
	v      *vocab
	form   form
	b      []byte
	col    int
	prefix string // before every line, for quotations; plain text only
	topic  [16]uint16
}

// newPen takes a language and what the text is about from the generator.
func newPen(r rng, v *vocab, f form, b []byte) *pen {
	p := &pen{r: r, v: v, form: f, b: b}
	for i := range p.topic {
		p.topic[i] = uint16(p.r.n(len(v.words)))
	}
	return p
}

// put writes a word that is written in the pen's form already.
func (p *pen) put(w []byte) {
	if p.form == utf8Plain {
		if p.col > 0 && p.col+1+len(w) > plainWidth {
			p.newline()
		}
		switch {
		case p.col > 0:
			p.b = append(p.b, ' ')
			p.col++
		case p.prefix != "":
			p.b = append(p.b, p.prefix...)
			p.col = len(p.prefix)
		}
	} else if p.col > 0 {
		p.fit(1 + len(w))
		p.b = append(p.b, ' ')
		p.col++
	}
	p.b = append(p.b, w...)
	p.col += len(w)
}

// fit breaks a quoted-printable line softly when n more octets would not fit.
func (p *pen) fit(n int) {
	if p.form != utf8Plain && p.col+n > qpWidth {
		p.b = append(p.b, "=\r\n"...)
		p.col = 0
	}
}

// raw writes octets without a space before them; they hold no line break and,
// in quoted-printable, are short enough for a line and encoded already.
func (p *pen) raw(s string) {
	p.fit(len(s))
	p.b = append(p.b, s...)
	p.col += len(s)
}

func (p *pen) newline() {
	p.b = append(p.b, "\r\n"...)
	p.col = 0
}

// sentence writes words and a full stop. About one word in four is of the
// message's topic, as text repeats itself; one in fifty is a number.
func (p *pen) sentence() {
	words, caps := &p.v.packed[p.form], &p.v.caps[p.form]
	n := 4 + p.r.n(16)
	for i := range n {
		x := p.r.next()
		w := p.v.zipf[x&(slots-1)]
		x >>= 16
		if x&0xff < 64 {
			w = p.topic[(x>>8&0xff)*uint64(len(p.topic))>>8]
		}
		x >>= 16
		switch {
		case i == 0:
			p.put(caps.get(w))
			continue
		case x&0xff < 5:
			var num [12]byte
			p.put(strconv.AppendUint(num[:0], x>>8&0xffff>>(x>>24&0xf), 10))
		default:
			p.put(words.get(w))
		}
		if x>>28&15 == 0 && i < n-1 {
			p.raw(",")
		}
	}
	switch x := p.r.n(16); x {
	case 0:
		p.raw("?")
	case 1:
		p.raw("!")
	default:
		p.raw(".")
	}
}

// paragraph writes sentences, a break and an empty line.
func (p *pen) paragraph() {
	for range p.r.between(1, 6) {
		p.sentence()
	}
	if p.r.n(8) == 0 {
		p.put([]byte("https"))
		p.raw("://")
		p.raw(pick(&p.r, p.v.asciiHosts()))
		p.raw("/")
		p.raw(p.token(22))
	}
	p.newline()
	p.b = append(p.b, p.prefix...)
	p.newline()
}

// prose writes paragraphs until the buffer is about size long, and at least a
// sentence.
func (p *pen) prose(size int) {
	begun := len(p.b)
	for len(p.b)+200 < size {
		p.paragraph()
	}
	if len(p.b)+30 < size || len(p.b) == begun {
		p.sentence()
		p.newline()
	}
}

const tokenLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// token returns n random letters: identifiers are what does not compress in
// the headers and links of real mail.
func (p *pen) token(n int) string { return token(&p.r, n) }

func token(r *rng, n int) string {
	var buf [128]byte
	b := buf[:0]
	for len(b) < n {
		x := r.next()
		for range min(10, n-len(b)) {
			b = append(b, tokenLetters[x&63])
			x >>= 6
		}
	}
	return string(b)
}

const hexLetters = "0123456789abcdef"

func hexToken(r *rng, n int) string {
	var buf [64]byte
	b := buf[:0]
	for len(b) < n {
		x := r.next()
		for range min(16, n-len(b)) {
			b = append(b, hexLetters[x&15])
			x >>= 4
		}
	}
	return string(b)
}

// The lengths of a base64 line before and after, RFC 2045 section 6.8.
const (
	lineIn  = 57
	lineOut = 76
)

// base64Lines appends src in lines.
func base64Lines(dst, src []byte) []byte {
	for len(src) > 0 {
		n := min(lineIn, len(src))
		dst = base64.StdEncoding.AppendEncode(dst, src[:n])
		dst = append(dst, "\r\n"...)
		src = src[n:]
	}
	return dst
}

// noiseLines appends about size octets of base64 lines of noise that begins
// with magic: photographs and documents are compressed already.
func noiseLines(dst []byte, r *rng, magic string, size int) []byte {
	const lines = 16
	var in [lines*lineIn + 8]byte
	for done := 0; done < size; {
		for i := 0; i < lines*lineIn; i += 8 {
			binary.LittleEndian.PutUint64(in[i:], r.next())
		}
		if done == 0 {
			copy(in[:], magic)
		}
		n := min(lines, (size-done+lineOut+1)/(lineOut+2))
		dst = base64Lines(dst, in[:n*lineIn])
		done += n * (lineOut + 2)
	}
	return dst
}
