package imap

import (
	"bytes"
	"encoding/base64"
	"mime"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"altmail.se/altmail/frontend/message"
)

// differences are those from Dovecot 2.3 that are meant. DOVECOT.md has the
// reason of each, under its name.
var differences = []struct {
	name string
	is   func(*difference) bool
}{
	{"day of one digit", func(x *difference) bool {
		return x.item == "INTERNALDATE" && strings.TrimPrefix(x.a.text, " ") == strings.TrimPrefix(x.b.text, "0")
	}},
	{"part that is not there", func(x *difference) bool {
		return x.a != nil && x.a.kind == datumNil && x.b != nil && x.b.text == "" && strings.HasSuffix(x.item, ".9]")
	}},
	{"HEADER and TEXT of a part that is no message", func(x *difference) bool {
		return x.a != nil && x.a.kind == datumNil && ofPart(x.item, ".HEADER", ".TEXT") && x.part().Kind != message.Message
	}},
	{"BINARY of what is no leaf", func(x *difference) bool {
		return strings.HasPrefix(x.att, "BINARY") && (strings.Contains(x.att, "[]") || x.part().Kind != message.Leaf)
	}},
	{"BINARY of an encoding with more than its name", func(x *difference) bool {
		return strings.HasPrefix(x.att, "BINARY") && x.ta == "OK" && !encodingToken.Match(message.Lookup(x.header, "Content-Transfer-Encoding"))
	}},
	{"BINARY.SIZE that BINARY does not bear out", func(x *difference) bool {
		p := x.part()
		plain := p.Encoding == nil || strings.EqualFold(string(p.Encoding), "7bit") || strings.EqualFold(string(p.Encoding), "8bit") || strings.EqualFold(string(p.Encoding), "binary")
		return strings.HasPrefix(x.item, "BINARY.SIZE") && (x.inMessage() || plain && count(x.a) == p.Body.Len)
	}},
	{"session that ends", func(x *difference) bool { return x.ta != "BAD" && x.tb == "BYE" }},
	{"date that is none", func(x *difference) bool {
		if !searchItem(x, "SENT") {
			return false
		}
		_, err := mail.ParseDate(string(message.Lookup(x.index.Parts[0].Header.Of(x.raw), "Date")))
		return err != nil
	}},
	{"search in an address list that is more than envelopes show", func(x *difference) bool {
		if !searchItem(x, "FROM", "TO", "CC", "BCC") {
			return false
		}
		name, text := searchOf(x.att)
		if strings.ContainsAny(text, `<>",;:()[]\`) {
			return true // the marks of a list, which an envelope does not have
		}
		header := x.index.Parts[0].Header.Of(x.raw)
		for _, raw := range message.LookupAll(header, name) {
			_, v, _ := bytes.Cut(raw, []byte(":"))
			if _, err := mail.ParseAddressList(strings.TrimSpace(string(v))); err != nil || bytes.ContainsAny(v, `"`) || bytes.ContainsAny(v, "(@,\\") && bytes.ContainsAny(v, "(;\\") || bytes.Contains(v, []byte("<@")) || !utf8.Valid(v) {
				return true
			}
		}
		return false
	}},
	{"search in a contained message's header, or in message/*", func(x *difference) bool {
		return searchItem(x, "TEXT", "BODY") && slices.ContainsFunc(x.index.Parts, func(p message.Part) bool { return strings.EqualFold(string(p.Type), "message") })
	}},
	{"search in HTML", func(x *difference) bool {
		return searchItem(x, "TEXT", "BODY") && slices.ContainsFunc(x.index.Parts, func(p message.Part) bool { return p.Is("text", "html") })
	}},
	{"search in a message that is not whole", func(x *difference) bool {
		return searchItem(x, "TEXT", "BODY") && !x.clean()
	}},
	{"encoded word that is none, odd octets in a header", func(x *difference) bool {
		if !searchItem(x, "SUBJECT", "HEADER", "TEXT", "BODY") {
			return false
		}
		if _, text := searchOf(x.att); strings.Contains(text, "=?") {
			return true // in a name that is quoted and encoded
		}
		for i := range x.index.Parts {
			h := x.index.Parts[i].Header.Of(x.raw)
			rest := encodedWord.ReplaceAll(h, nil)
			if !utf8.Valid(h) || bytes.Contains(rest, []byte("=?")) || bytes.Contains(rest, []byte("?=")) {
				return true
			}
		}
		return false
	}},
	{"case of a media type", func(x *difference) bool {
		return (x.item == "body type" || x.item == "body subtype") && strings.EqualFold(x.a.text, x.b.text)
	}},
	{"white space and odd octets in a text", func(x *difference) bool {
		return texts(x) && plain(x.a.text) == plain(x.b.text) && x.a.text == strings.Trim(x.a.text, " \t\r")
	}},
	{"last line without an end", func(x *difference) bool {
		return x.item == "body lines" && count(x.a) == count(x.b)+1 && !bytes.HasSuffix(x.part().Body.Of(x.raw), []byte("\n"))
	}},
	{"header without an empty line", func(x *difference) bool {
		return strings.Contains(x.item, "HEADER.FIELDS") && x.a != nil && x.b != nil && strings.HasPrefix(x.b.text, x.a.text) && strings.HasPrefix("\r\n\r\n", x.b.text[len(x.a.text):])
	}},
	{"multipart without parts", func(x *difference) bool {
		return x.part().Made && (ofPart(x.item, "") || x.item == "body octets" && count(x.b) == 0 || x.item == "body lines" && count(x.b) == 0)
	}},
	{"encoded message", func(x *difference) bool { return x.encodedMessage() }},
	{"message/global", func(x *difference) bool {
		return x.item == "body kind" && isMessage(x.a) && strings.EqualFold(x.a.kids[1].text, "global") && !isMessage(x.b)
	}},
	{"boundary that only begins the line", func(x *difference) bool {
		return x.boundaryBeginsLine() && (strings.HasPrefix(x.item, "body ") || ofPart(x.item, "") || x.ta != "")
	}},
	{"boundary of no length or too long", func(x *difference) bool {
		return x.oddBoundary() && (strings.HasPrefix(x.item, "body ") || ofPart(x.item, "") || x.ta != "")
	}},
	{"bare CR", func(x *difference) bool {
		return bareCR.Match(x.raw) && (strings.HasPrefix(x.att, "RFC822") || strings.Contains(x.item, "[") || x.item == "body octets" || x.item == "RFC822.SIZE")
	}},
	{"line end before a delimiter", func(x *difference) bool {
		return (ofPart(x.item, "") && x.a != nil && x.b != nil && x.a.text+"\r\n" == x.b.text) || x.item == "body octets" && count(x.a)+2 == count(x.b) ||
			x.item == "body lines" && count(x.a)+1 == count(x.b) && x.part().Kind == message.Message
	}},
	{"media type that is none", func(x *difference) bool {
		return strings.HasPrefix(x.item, "body ") && typeless(x.b)
	}},
	{"parameters that are none", func(x *difference) bool {
		return slices.Contains([]string{"body kind", "body parameters", "body type", "body subtype", "body disposition"}, x.item) &&
			(!mediaType(x.header, "Content-Type") || !mediaType(x.header, "Content-Disposition")) ||
			x.underNoType() && !envelopeItem(x) || x.item == "body kind" && x.overNoType()
	}},
	{"MIME fields without a Content-Type", func(x *difference) bool {
		return strings.HasPrefix(x.item, "body ") && x.b != nil && (x.b.kind == datumNil || x.item == "body encoding" && x.b.text == "7bit") && occurrences(x.header, "Content-Type") == 0
	}},
	{"transfer encoding that is none", func(x *difference) bool {
		return (x.item == "body encoding" || strings.HasPrefix(x.att, "BINARY") && x.ta == "NO") && !encodingToken.Match(message.Lookup(x.header, "Content-Transfer-Encoding"))
	}},
	{"transfer encoding of any part damaged or unknown", func(x *difference) bool {
		return strings.HasPrefix(x.att, "BINARY") && (x.ta == "OK" && x.tb == "NO" || x.a != nil) && x.damagedEncoding()
	}},
	{"order of parameters in pieces", func(x *difference) bool {
		return (x.item == "body parameters" || x.item == "body disposition") && bytes.Contains(x.header, []byte("*")) && sorted(x.a.String()) == sorted(x.b.String())
	}},
	{"list of languages that is none", func(x *difference) bool {
		return x.item == "body language" && !languages.Match(message.Lookup(x.header, "Content-Language"))
	}},
	{"address list that is none", func(x *difference) bool {
		return addressItem(x) && !validAddresses(x) && hasAll(x.a, x.b)
	}},
	{"words of a name without a space between", func(x *difference) bool {
		return addressItem(x) && strings.ReplaceAll(x.a.String(), " ", "") == strings.ReplaceAll(x.b.String(), " ", "")
	}},
	{"empty members of an address list", func(x *difference) bool {
		return addressItem(x) && same(x.a, withoutMissing(x.b))
	}},
	{"field that may come once", func(x *difference) bool {
		return strings.HasPrefix(x.att, "BINARY") && repeatedMIME(x.header) || envelopeItem(x) && (occurrences(x.header, envelopeName(x)) > 1 || addressItem(x) && occurrences(x.header, "from") > 1) || strings.HasPrefix(x.item, "body ") && repeatedMIME(x.header)
	}},
}

// part is the part a difference is about.
func (x *difference) part() *message.Part {
	i, _ := x.index.Find(x.path)
	return &x.index.Parts[i]
}

// encodedMessage reports whether the part is a message in a transfer encoding,
// or in one.
func (x *difference) encodedMessage() bool {
	for n := range len(x.path) + 1 {
		i, _ := x.index.Find(x.path[:n])
		p := &x.index.Parts[i]
		if p.Kind == message.Message && x.index.Parts[p.Child].Made {
			return true
		}
	}
	return false
}

// inMessage reports whether the part is in a message within the message.
func (x *difference) inMessage() bool {
	for n := range len(x.path) {
		if i, ok := x.index.Find(x.path[:n]); ok && n > 0 && x.index.Parts[i].Kind == message.Message {
			return true
		}
	}
	return false
}

// boundaryBeginsLine reports whether a line of the message begins with a
// boundary and goes on with something else.
func (x *difference) boundaryBeginsLine() bool {
	for i := range x.index.Parts {
		p := &x.index.Parts[i]
		b, _ := p.Param("boundary")
		if p.Kind != message.Multipart {
			continue
		}
		mark := []byte("--" + strings.TrimRight(string(b), " \t"))
		for line := range bytes.Lines(x.raw) {
			rest, ok := bytes.CutPrefix(line, mark)
			rest = bytes.TrimRight(rest, " \t\r\n")
			if ok && len(rest) > 0 && string(rest) != "--" {
				return true
			}
		}
	}
	return false
}

// underNoType reports whether the part is in one whose Content-Type is none.
func (x *difference) underNoType() bool {
	for n := range len(x.path) {
		i, ok := x.index.Find(x.path[:n])
		if ok && !mediaType(x.index.Parts[i].Header.Of(x.raw), "Content-Type") {
			return true
		}
	}
	return false
}

// overNoType reports whether a part of the message has a Content-Type that is
// none: another boundary in it changes what comes behind.
func (x *difference) overNoType() bool {
	return slices.ContainsFunc(x.index.Parts, func(p message.Part) bool { return !mediaType(p.Header.Of(x.raw), "Content-Type") })
}

// clean reports whether every part of the message is what it says it is.
func (x *difference) clean() bool {
	if x.boundaryBeginsLine() || x.oddBoundary() || x.damagedEncoding() || x.overNoType() {
		return false
	}
	for i := range x.index.Parts {
		p := &x.index.Parts[i]
		h := p.Header.Of(x.raw)
		if p.Made || repeatedMIME(h) || p.Header.Len > 0 && occurrences(h, "Content-Type") == 0 {
			return false
		}
		if p.Kind == message.Leaf && !utf8.Valid(p.Body.Of(x.raw)) {
			return false
		}
		if cs, ok := p.Param("charset"); ok && !strings.EqualFold(string(cs), "utf-8") {
			return false
		}
	}
	return true
}

// damagedEncoding looks whether the content of a part is in the encoding that
// is said, by the letter: Dovecot decodes all parts before it tells of one.
func (x *difference) damagedEncoding() bool {
	for i := range x.index.Parts {
		p := &x.index.Parts[i]
		content := p.Body.Of(x.raw)
		if occurrences(p.Header.Of(x.raw), "Content-Transfer-Encoding") > 0 && !encodingToken.Match(message.Lookup(p.Header.Of(x.raw), "Content-Transfer-Encoding")) {
			return true
		}
		switch strings.ToLower(string(p.Encoding)) {
		case "", "7bit", "8bit", "binary":
		case "base64":
			_, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(string(content), " ", ""))
			if err != nil || bytes.Contains(content, []byte(" ")) {
				return true
			}
		case "quoted-printable":
			if quotedDamage.Match(content) {
				return true
			}
		default:
			return true
		}
	}
	return false
}

var bareCR = regexp.MustCompile(`\r([^\n]|$)`)

// quotedDamage is an equals sign with neither two digits nor a line end.
var quotedDamage = regexp.MustCompile(`=([^0-9A-Fa-f \t\r]|[ \t]+[^ \t\r]|[0-9A-Fa-f][^0-9A-Fa-f]|\r[^\n]|.?$)|\r[^\n]`)

func sorted(s string) string {
	words := strings.Fields(strings.Trim(s, "()"))
	slices.Sort(words)
	return strings.Join(words, " ")
}

// oddBoundary reports whether a boundary is not of 1 to 70 characters (RFC
// 2046 section 5.1.1).
func (x *difference) oddBoundary() bool {
	for i := range x.index.Parts {
		if b, ok := x.index.Parts[i].Param("boundary"); ok && (len(bytes.TrimRight(b, " ")) == 0 || len(b) > 70) {
			return true
		}
	}
	return false
}

// mediaType asks Go's reader of MIME fields whether one is valid, or absent.
func mediaType(header []byte, name string) bool {
	v := message.Lookup(header, name)
	if v == nil {
		return true
	}
	seen := map[string]bool{}
	for _, m := range pieceName.FindAllString(strings.ToLower(string(v)), -1) {
		if seen[m] {
			return false // Go's does not mind when the values are equal
		}
		seen[m] = true
	}
	typ, _, err := mime.ParseMediaType(string(v))
	return err == nil && (name != "Content-Type" || strings.Contains(typ, "/"))
}

var pieceName = regexp.MustCompile(`[a-z]+\*\d\*?=`)

var encodingToken = regexp.MustCompile(`^\s*[A-Za-z0-9-]+\s*$`)

// encodedWord is one by the letter of RFC 2047 section 2 that decodes to UTF-8
// text.
var encodedWord = regexp.MustCompile(`(?i)=\?(utf-8|iso-8859-1|koi8-r|iso-2022-jp)\?(q\?(=[C-F][0-9A-F](=[89AB][0-9A-F])+|=[89A-F][0-9A-F]|[^?= \r\n])+|b\?[A-Z0-9+/]+=*)\?=`)

var languages = regexp.MustCompile(`^[A-Za-z0-9-]+(\s*,\s*[A-Za-z0-9-]+)*$`)

func repeatedMIME(header []byte) bool {
	for _, n := range []string{"Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID", "Content-Description", "Content-MD5", "Content-Language", "Content-Location"} {
		if occurrences(header, n) > 1 {
			return true
		}
	}
	return false
}

// count is what a number says.
func count(n *datum) int {
	v := 0
	for _, c := range n.text {
		v = v*10 + int(c-'0')
	}
	return v
}

// texts reports whether both sides have a text.
func texts(x *difference) bool {
	return x.a != nil && x.b != nil && x.a.kind == datumString && x.b.kind == datumString && (envelopeItem(x) && !addressItem(x) || strings.HasPrefix(x.item, "body "))
}

var runs = regexp.MustCompile(`[ \t\r]+`)

func plain(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return strings.Trim(runs.ReplaceAllString(s, " "), " ")
}

// ofPart reports whether an item is a section of a part, and one of those.
func ofPart(item string, sections ...string) bool {
	_, rest, ok := strings.Cut(item, "[")
	if !ok || rest[0] < '0' || rest[0] > '9' {
		return false
	}
	return slices.ContainsFunc(sections, func(s string) bool { return strings.Contains(rest, s) })
}

// typeless reports whether Dovecot made nothing of a Content-Type.
func typeless(n *datum) bool {
	return n.kind == datumList && len(n.kids) > 1 && n.kids[0].kind == datumString && n.kids[0].text == "" || n.kind == datumString && n.text == ""
}

func envelopeItem(x *difference) bool { return strings.HasPrefix(x.item, "envelope ") }

func envelopeName(x *difference) string { return strings.TrimPrefix(x.item, "envelope ") }

func addressItem(x *difference) bool {
	return envelopeItem(x) && slices.Contains([]string{"from", "sender", "reply-to", "to", "cc", "bcc"}, envelopeName(x))
}

// withoutMissing leaves out what Dovecot puts in for nothing between commas.
func withoutMissing(n *datum) *datum {
	out := &datum{kind: datumList}
	for _, a := range n.kids {
		if a.String() != `(NIL NIL "MISSING_MAILBOX" "MISSING_DOMAIN")` {
			out.kids = append(out.kids, a)
		}
	}
	if len(out.kids) == 0 {
		return &datum{}
	}
	return out
}

// field returns the field an address item was made of.
func (x *difference) field() []byte {
	name := envelopeName(x)
	v := message.Lookup(x.header, name)
	if (name == "sender" || name == "reply-to") && len(v) == 0 {
		v = message.Lookup(x.header, "from")
	}
	return v
}

// validAddresses asks another reader of address lists, Go's own, whether it is
// one by RFC 5322 at all.
func validAddresses(x *difference) bool {
	_, err := mail.ParseAddressList(string(x.field()))
	return err == nil
}

// hasAll reports whether we found each address that Dovecot found whole.
func hasAll(ours, theirs *datum) bool {
	for _, b := range theirs.kids {
		box, host := b.kids[2], b.kids[3]
		if host.kind == datumNil || strings.HasPrefix(box.text, "MISSING_") || strings.HasPrefix(host.text, "MISSING_") || strings.ContainsAny(host.text, "<>") || box.text == "SYNTAX_ERROR" || host.text == "SYNTAX_ERROR" {
			continue
		}
		if !slices.ContainsFunc(ours.kids, func(a *datum) bool {
			// An address before one in angle brackets is its name.
			return a.kids[2].text == strings.ReplaceAll(box.text, "\r", "") && strings.TrimRight(a.kids[3].text, ")") == host.text || strings.Contains(a.kids[0].text, box.text+"@"+host.text)
		}) {
			return false
		}
	}
	return true
}

func occurrences(header []byte, name string) int { return len(message.LookupAll(header, name)) }
