package imap

import (
	"bufio"
	"bytes"
	"errors"
	"html"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"altmail.se/altmail/frontend/fulltext"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
)

const (
	// maxPreview is how many characters a preview has: what RFC 8970 section
	// 3.3 recommends.
	maxPreview = 200
	// previewText and previewHTML bound the octets of a part that are read for
	// one. Newsletters begin with tens of KiB of style sheets.
	previewText = 16 << 10
	previewHTML = 96 << 10
	// previewParts bounds the parts that are tried.
	previewParts = 8
)

// appendPreview appends the answer to PREVIEW (RFC 8970). A lazy one is NIL
// where it would have to wait for another node, or for a message to be parsed.
func (o *octets) appendPreview(out []byte, lazy, utf8ok bool) ([]byte, error) {
	out = append(out, "PREVIEW "...)
	if lazy && !o.ready() {
		return append(out, "NIL"...), nil
	}
	text, err := o.preview()
	switch {
	case err != nil && lazy && !errors.Is(err, mailstore.ErrExpunged):
		return append(out, "NIL"...), nil
	case err != nil:
		return out, err
	}
	return message.AppendString(out, text, utf8ok), nil
}

// ready opens what a preview needs, if it is all on this node.
func (o *octets) ready() bool {
	if o.index == nil {
		x := o.room
		if x == nil {
			x = new(message.Index)
		}
		if err := o.sum.IndexInto(x); err != nil || len(x.Parts) == 0 {
			return false
		}
		o.index = x
	}
	if o.body == nil {
		body, err := o.account.OpenBodyHere(o.ctx, o.content)
		if err != nil {
			return false
		}
		o.body = body
	}
	return true
}

// preview returns the beginning of what a reader would read first; empty when
// there is nothing to read, as in encrypted messages.
func (o *octets) preview() ([]byte, error) {
	x, err := o.tree()
	if err != nil {
		return nil, err
	}
	if err := o.open(); err != nil {
		return nil, err
	}
	// Text that is meant to be read as it is, then HTML, as a multipart has
	// them.
	for _, subtype := range []string{"plain", "html"} {
		tried := 0
		for i := range x.Parts {
			p := &x.Parts[i]
			if p.Is("multipart", "encrypted") {
				return []byte{}, nil
			}
			if p.Kind != message.Leaf || p.Made || !p.Is("text", subtype) || strings.EqualFold(string(p.Disposition), "attachment") {
				continue
			}
			if tried++; tried > previewParts {
				break
			}
			text, err := o.previewPart(p, subtype == "html")
			if err != nil {
				return nil, err
			}
			if len(text) > 0 {
				return text, nil
			}
		}
	}
	return []byte{}, nil
}

func (o *octets) previewPart(p *message.Part, isHTML bool) ([]byte, error) {
	limit := int64(previewText)
	if isHTML {
		limit = previewHTML
	}
	in := bufio.NewReaderSize(io.NewSectionReader(o.body, o.prefix()+int64(p.Body.Off), min(int64(p.Body.Len), limit)), 8<<10)
	r, err := p.NewTextReader(in)
	if err != nil {
		return nil, nil // in an encoding nobody knows is nothing to read
	}
	raw, err := io.ReadAll(io.LimitReader(r, limit))
	if err != nil && !errors.Is(err, message.ErrBadEncoding) {
		return nil, err
	}
	if int64(p.Body.Len) > limit {
		// It was cut in the middle of something.
		raw = raw[:len(raw)-fulltext.Incomplete(raw)]
	}
	if isHTML {
		return squeezePreview(stripHTML(raw)), nil
	}
	return plainPreview(raw), nil
}

// plainPreview leaves out what is quoted and what follows a signature's mark
// (RFC 3676 section 4.3), unless nothing else is there.
func plainPreview(raw []byte) []byte {
	if bytes.HasPrefix(bytes.TrimLeft(raw, " \t\r\n"), []byte("-----BEGIN PGP MESSAGE-----")) {
		return nil
	}
	own := make([]byte, 0, min(len(raw), 4<<10))
	for line := range bytes.Lines(raw) {
		bare := bytes.TrimRight(line, "\r\n")
		if string(bare) == "-- " {
			break
		}
		if len(bare) > 0 && bare[0] == '>' {
			continue
		}
		own = append(append(own, bare...), '\n')
		if len(own) > 8*maxPreview {
			break
		}
	}
	if text := squeezePreview(own); len(text) > 0 {
		return text
	}
	return squeezePreview(raw)
}

// squeezePreview makes one line of a text: each run of white space is a space,
// what has no width is left out, and it ends after maxPreview characters.
func squeezePreview(raw []byte) []byte {
	out := make([]byte, 0, 2*maxPreview)
	n, space := 0, false
	for len(raw) > 0 {
		r, size := utf8.DecodeRune(raw)
		raw = raw[size:]
		switch {
		case unicode.IsSpace(r):
			space = n > 0
			continue
		case r == 0xad || r == 0x34f || unicode.In(r, unicode.Cc, unicode.Cf) && r != 0x200d:
			// Newsletters pad their first line with these. The joiner of
			// emojis stays.
			continue
		}
		if space {
			if n+1 >= maxPreview {
				return out
			}
			out, n, space = append(out, ' '), n+1, false
		}
		out = utf8.AppendRune(out, r)
		if n++; n >= maxPreview {
			return out
		}
	}
	return out
}

// silentHTML are the elements of which nothing is shown.
var silentHTML = map[string]bool{"head": true, "style": true, "script": true, "title": true, "template": true, "noscript": true, "svg": true}

// stripHTML returns about what of a piece of HTML would be shown as text. It
// never fails; its output is never longer than its input by much.
func stripHTML(raw []byte) []byte {
	out := make([]byte, 0, min(len(raw), 4<<10))
	silent := "" // inside this element
	for len(raw) > 0 && len(out) < 32*maxPreview {
		at := bytes.IndexByte(raw, '<')
		text := raw
		if at >= 0 {
			text = raw[:at]
		}
		if silent == "" {
			out = append(out, text...)
		}
		if at < 0 {
			break
		}
		raw = raw[at:]
		if bytes.HasPrefix(raw, []byte("<!--")) {
			end := bytes.Index(raw, []byte("-->"))
			if end < 0 {
				break
			}
			raw = raw[end+3:]
			continue
		}
		name, closing, rest := htmlTag(raw)
		if rest == nil { // "a < b"
			if silent == "" {
				out = append(out, '<')
			}
			raw = raw[1:]
			continue
		}
		raw = rest
		switch {
		case silent != "":
			if closing && name == silent {
				silent = ""
			}
		case silentHTML[name] && !closing:
			silent = name
		case !inlineHTML[name]:
			out = append(out, ' ')
		}
	}
	return []byte(html.UnescapeString(string(out)))
}

// inlineHTML are the elements that do not part words.
var inlineHTML = map[string]bool{"a": true, "abbr": true, "b": true, "em": true, "font": true, "i": true, "mark": true,
	"s": true, "small": true, "span": true, "strong": true, "sub": true, "sup": true, "u": true, "wbr": true}

// htmlTag reads a tag at the beginning of raw and returns what follows it; nil
// if it is none.
func htmlTag(raw []byte) (name string, closing bool, rest []byte) {
	i := 1
	if i < len(raw) && raw[i] == '/' {
		closing = true
		i++
	}
	start := i
	for i < len(raw) && (raw[i]|0x20 >= 'a' && raw[i]|0x20 <= 'z' || i > start && raw[i] >= '0' && raw[i] <= '9') {
		i++
	}
	if i == start && (i >= len(raw) || raw[i] != '!' && raw[i] != '?') {
		return "", false, nil
	}
	name = strings.ToLower(string(raw[start:i]))
	// The end is the first ">" outside of quotes.
	quote := byte(0)
	for ; i < len(raw); i++ {
		switch c := raw[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return name, closing, raw[i+1:]
		}
	}
	return name, closing, raw[len(raw):]
}
