package corpus

import (
	"fmt"
	"math"
	"strings"
)

// Mix is what kind of mail a corpus holds.
type Mix string

// The mixes.
const (
	// Text is plain text of 2 to 12 KB, 7.2 KB in the mean.
	Text Mix = "text"
	// Mixed is 60 % text of 4 to 10 KB, 30 % text and HTML of 20 to 100 KB and
	// 10 % with attachments of 0.2 to 2 MB; 90 KB in the mean.
	Mixed Mix = "mixed"
	// List is threads of mailing lists, with quotations.
	List Mix = "list"
)

// Mixes are all of them.
var Mixes = []Mix{Text, Mixed, List}

// ParseMix reads a mix's name.
func ParseMix(s string) (Mix, error) {
	for _, m := range Mixes {
		if string(m) == s {
			return m, nil
		}
	}
	return "", fmt.Errorf("corpus: %q is none of text, mixed, list", s)
}

// Word is a word that some subjects and many texts of every mix hold, and
// NoWord one that none does: for searches.
const (
	Word   = "meeting"
	NoWord = "zqxjkvbp"
)

// Corpus is a Source without end. It is immutable.
type Corpus struct {
	mix  Mix
	seed uint64
}

// New returns the corpus of a mix and a seed.
func New(m Mix, seed uint64) *Corpus { return &Corpus{m, seed} }

// Len is 0: there is no end.
func (c *Corpus) Len() int { return 0 }

// Message makes message i. It takes about a millisecond for each 300 KB.
func (c *Corpus) Message(i int) []byte {
	if c.mix == List {
		return c.post(i)
	}
	r := c.rng(i, 0)
	kind := 0
	if c.mix == Mixed {
		kind = r.n(10)
	}
	switch {
	case c.mix == Text:
		return c.letter(i, &r, r.between(2400, 12000))
	case kind < 6:
		return c.letter(i, &r, r.between(4300, 10000))
	case kind < 9:
		return c.newsletter(i, &r, r.logBetween(20_500, 99_000))
	default:
		// Most attachments are small for attachments; the power makes the
		// mean of the mix what it is said to be.
		size := 210_000 * math.Exp(math.Pow(r.unit(), 1.3)*math.Log(1_990_000.0/210_000))
		return c.attachment(i, &r, int(size))
	}
}

// rng is the generator of one aspect of one message.
func (c *Corpus) rng(i int, aspect uint64) rng {
	return rng(mix(c.seed ^ mix(uint64(i)^mix(aspect+1))))
}

func (c *Corpus) messageID(i int, v *vocab) string {
	r := c.rng(i, 1)
	return "<" + hexToken(&r, 16) + "." + hexToken(&r, 8) + "@" + pick(&r, v.asciiHosts()) + ">"
}

// language picks by weight.
func language(r *rng) *vocab {
	x := r.n(100)
	for i, t := range tongues {
		if x -= t.weight; x < 0 {
			return vocabs[i]()
		}
	}
	return vocabs[0]()
}

// body says how a text part is written.
type body struct {
	form    form
	charset string
	cte     string
}

// dress picks how a language's text is sent: what clients do, not what would
// be nicest.
func dress(r *rng, v *vocab) body {
	x := r.n(10)
	switch {
	case v.ascii && x < 5:
		return body{utf8Plain, "us-ascii", "7bit"}
	case x < 5:
		return body{utf8Plain, "UTF-8", "8bit"}
	case x < 7 && v.latin1:
		return body{latin1QP, "ISO-8859-1", "quoted-printable"}
	case x < 9:
		return body{utf8QP, "UTF-8", "quoted-printable"}
	}
	return body{utf8Plain, "UTF-8", "base64"}
}

func (c *Corpus) envelope(i int, r *rng, v *vocab) *envelope {
	e := &envelope{id: c.messageID(i, v), date: sentAt(c.seed, i), from: v.person(r), to: []person{v.person(r)}}
	for r.n(3) == 0 && len(e.to) < 6 {
		e.to = append(e.to, v.person(r))
	}
	for r.n(4) == 0 && len(e.cc) < 6 {
		e.cc = append(e.cc, v.person(r))
	}
	e.subject = subject(r, v)
	if r.n(3) == 0 {
		other := c.rng(i, 2)
		e.inReplyTo = "<" + hexToken(&other, 24) + "@" + pick(&other, v.asciiHosts()) + ">"
		e.references = []string{e.inReplyTo}
		e.subject = "Re: " + e.subject
	}
	return e
}

func subject(r *rng, v *vocab) string {
	n := r.between(2, 8)
	words := make([]string, n)
	for i := range words {
		words[i] = v.words[v.zipf[r.n(slots)]]
	}
	if r.n(40) == 0 {
		words[r.n(n)] = Word
	}
	words[0] = capital(words[0])
	return strings.Join(words, " ")
}

// part appends a text part's headers, then what write writes into it.
func part(b []byte, r rng, v *vocab, d body, subtype string, size int, write func(*pen, int)) []byte {
	b = fmt.Appendf(b, "Content-Type: text/%s; charset=%s\r\nContent-Transfer-Encoding: %s\r\n\r\n", subtype, d.charset, d.cte)
	if d.cte == "base64" {
		p := newPen(r, v, utf8Plain, make([]byte, 0, size))
		write(p, (size-len(b))*lineIn/(lineOut+2))
		return base64Lines(b, p.b)
	}
	p := newPen(r, v, d.form, b)
	write(p, size)
	return p.b
}

// letter is plain text of about size octets, headers included.
func (c *Corpus) letter(i int, r *rng, size int) []byte {
	v := language(r)
	d := dress(r, v)
	e := c.envelope(i, r, v)
	b := e.head(make([]byte, 0, size+1024), r, v, d.form)
	return part(b, c.rng(i, 3), v, d, "plain", size, (*pen).prose)
}

// newsletter is multipart/alternative.
func (c *Corpus) newsletter(i int, r *rng, size int) []byte {
	v := language(r)
	d := dress(r, v)
	e := c.envelope(i, r, v)
	e.bulk = r.n(2) == 0
	b := e.head(make([]byte, 0, size+4096), r, v, d.form)
	sep := "=_" + hexToken(r, 30)
	b = fmt.Appendf(b, "Content-Type: multipart/alternative;\r\n\tboundary=\"%s\"\r\n\r\nThis is a message with several parts.\r\n\r\n--%s\r\n", sep, sep)
	b = part(b, c.rng(i, 3), v, d, "plain", len(b)+size/8, (*pen).prose)
	b = fmt.Appendf(b, "\r\n--%s\r\n", sep)
	if d.cte == "base64" {
		d = body{utf8QP, "UTF-8", "quoted-printable"}
	}
	b = part(b, c.rng(i, 4), v, d, "html", size, (*pen).html)
	return fmt.Appendf(b, "\r\n--%s--\r\n", sep)
}

// files are the kinds of attachment, with what their contents begin with.
var files = []struct{ typ, ext, magic string }{
	{"image/jpeg", "jpg", "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01"},
	{"image/jpeg", "jpg", "\xff\xd8\xff\xe1\x00\x10Exif\x00\x00"},
	{"application/pdf", "pdf", "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"},
	{"application/pdf", "pdf", "%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"},
	{"image/png", "png", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"},
	{"application/zip", "zip", "PK\x03\x04\x14\x00\x08\x00\x08\x00"},
	{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx", "PK\x03\x04\x14\x00\x06\x00\x08\x00"},
}

// attachment is multipart/mixed: a letter and one to three files.
func (c *Corpus) attachment(i int, r *rng, size int) []byte {
	v := language(r)
	d := dress(r, v)
	e := c.envelope(i, r, v)
	b := e.head(make([]byte, 0, size+8192), r, v, d.form)
	sep := "=_" + hexToken(r, 30)
	b = fmt.Appendf(b, "Content-Type: multipart/mixed; boundary=\"%s\"\r\n\r\n--%s\r\n", sep, sep)
	b = part(b, c.rng(i, 3), v, d, "plain", len(b)+r.between(600, 3000), (*pen).prose)
	n := 1 + r.n(2)*r.n(3)
	noise := c.rng(i, 5)
	for k := range n {
		f := files[r.n(len(files))]
		name := ascii(v.words[v.zipf[r.n(slots)]]) + "-" + hexToken(r, 6) + "." + f.ext
		b = fmt.Appendf(b, "\r\n--%s\r\nContent-Type: %s; name=\"%s\"\r\nContent-Disposition: attachment; filename=\"%s\"\r\nContent-Transfer-Encoding: base64\r\n\r\n",
			sep, f.typ, name, name)
		b = noiseLines(b, &noise, f.magic, (size-len(b))/(n-k))
	}
	return fmt.Appendf(b, "\r\n--%s--\r\n", sep)
}
