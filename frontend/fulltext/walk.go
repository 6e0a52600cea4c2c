package fulltext

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"altmail.se/altmail/frontend/collate"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
)

// Version is the version of what Walk gives. It is raised when a message's
// text becomes another: what was indexed of the former is of no use then.
const Version = 2

// Zone is where in a message a text stands (RFC 9051 section 6.4.4).
type Zone uint8

const (
	Header Zone = iota // found by TEXT
	Body               // found by TEXT and BODY
)

// Source is a message that is looked at. Offsets are those of the message as
// clients see it.
type Source interface {
	// Prefix returns the recipient's own header lines, which are in front.
	Prefix() []byte
	// Header returns the header block that follows them.
	Header() ([]byte, error)
	// Tree returns the parts, whose ranges begin after the prefix.
	Tree() (*message.Index, error)
	// Octets returns a reader of the whole message.
	Octets() (io.ReaderAt, error)
}

// Text is called with pieces of the texts of a message, folded as package
// collate does. last is set on the last piece of a text, which may be empty:
// nothing is found across the end of a text. The walk ends when it returns
// true. The piece is only valid during the call.
type Text func(z Zone, piece []byte, last bool) (stop bool)

// walker is a walk over one message.
type walker struct {
	ctx context.Context
	src Source
	to  Text
}

// Walk gives the texts of a message: with z Header all, with Body those of the
// body. What is in no known encoding is no text.
func Walk(ctx context.Context, src Source, z Zone, to Text) error {
	w := &walker{ctx, src, to}
	if z == Header {
		h, err := src.Header()
		if err != nil {
			return err
		}
		if w.fields(Header, src.Prefix()) || w.fields(Header, h) {
			return nil
		}
	}
	x, err := src.Tree()
	if err != nil {
		return err
	}
	in, err := src.Octets()
	if err != nil {
		return err
	}
	if z == Header {
		if stop, err := w.mime(in, x); stop || err != nil {
			return err
		}
	}
	for i := range x.Parts {
		p := &x.Parts[i]
		if p.Made {
			continue
		}
		stop := false
		switch {
		case p.Kind == message.Message && p.Child >= 0:
			stop, err = w.block(Body, in, x.Parts[p.Child].Header)
		case p.Kind == message.Leaf && strings.EqualFold(string(p.Type), "text"):
			stop, err = w.part(in, p)
		}
		if stop || err != nil {
			return err
		}
	}
	return nil
}

// maxHeader is how much of the header of a contained message is looked at.
const maxHeader = 1 << 20

// block gives a header block within the message.
func (w *walker) block(z Zone, in io.ReaderAt, at message.Range) (stop bool, err error) {
	b := make([]byte, min(at.Len, maxHeader))
	n, err := in.ReadAt(b, int64(len(w.src.Prefix()))+int64(at.Off))
	if n < len(b) {
		return false, errors.Join(mailstore.ErrDamaged, err)
	}
	return w.fields(z, b), nil
}

// mime gives the header fields of parts (RFC 9051 section 6.4.4: TEXT is about
// MIME header fields, too) and the names of attachments, decoded.
func (w *walker) mime(in io.ReaderAt, x *message.Index) (stop bool, err error) {
	for i := range x.Parts {
		p := &x.Parts[i]
		if p.Made {
			continue
		}
		if i > 0 && !contained(x, i) {
			if stop, err = w.block(Header, in, p.Header); stop || err != nil {
				return stop, err
			}
		}
		if name := p.FileName(); len(name) > 0 && w.to(Header, collate.Append(nil, name), true) {
			return true, nil
		}
	}
	return false, nil
}

// contained reports whether a part is a message within the message. Its header
// is of the body then.
func contained(x *message.Index, i int) bool {
	// A child follows its parent at once.
	p := &x.Parts[i-1]
	return p.Kind == message.Message && p.Child == i
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

// fields gives the fields of a header block, names and decoded values.
func (w *walker) fields(z Zone, block []byte) (stop bool) {
	room := buffers.Get().(*[]byte)
	defer buffers.Put(room)
	for f := range message.Fields(block) {
		folded := collate.Append((*room)[:0], message.DecodeWords(message.Unfold(f.Raw)))
		if cap(folded) > cap(*room) && cap(folded) <= maxHeader {
			*room = folded
		}
		if w.to(z, folded, true) {
			return true
		}
	}
	return false
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 64<<10) }}

// part gives the text of a part.
func (w *walker) part(octets io.ReaderAt, p *message.Part) (stop bool, err error) {
	var r io.Reader = io.NewSectionReader(octets, int64(len(w.src.Prefix()))+int64(p.Body.Off), int64(p.Body.Len))
	in := readers.Get().(*bufio.Reader)
	in.Reset(r)
	defer func() {
		in.Reset(nil)
		readers.Put(in)
	}()
	if isUTF8(p) {
		r, err = p.NewDecoder(in)
	} else {
		r, err = p.NewTextReader(in)
	}
	if err != nil {
		return false, nil // an unknown encoding holds no text
	}
	if p.Is("text", "html") {
		r = newHTMLReader(r)
	}
	stop, err = w.stream(r)
	if errors.Is(err, message.ErrBadEncoding) {
		err = nil
	}
	return stop, err
}

// isUTF8 reports whether a part needs no conversion.
func isUTF8(p *message.Part) bool {
	cs, _ := p.Param("charset")
	switch strings.ToLower(string(cs)) {
	case "", "us-ascii", "ascii", "utf-8", "utf8":
		return true
	}
	return false
}

// stream gives a stream of UTF-8 as one text. It holds a bounded part of it.
func (w *walker) stream(r io.Reader) (stop bool, err error) {
	room, room2 := buffers.Get().(*[]byte), buffers.Get().(*[]byte)
	defer buffers.Put(room)
	defer buffers.Put(room2)
	in := *room
	rest := 0 // of in, the beginning of a rune
	for {
		m, err := r.Read(in[rest:])
		if cerr := w.ctx.Err(); cerr != nil {
			return false, cerr
		}
		chunk := in[:rest+m]
		keep := 0
		if err == nil {
			keep = Incomplete(chunk)
		}
		folded := collate.Append((*room2)[:0], chunk[:len(chunk)-keep])
		*room2 = folded[:cap(folded)]
		rest = copy(in, chunk[len(chunk)-keep:])
		// What was read before an error is text.
		if w.to(Body, folded, err != nil) {
			return true, nil
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return false, err
		}
	}
}

// Incomplete returns how many bytes at the end are the beginning of a rune.
func Incomplete(b []byte) int {
	for i := 1; i <= min(len(b), utf8.UTFMax-1); i++ {
		c := b[len(b)-i]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(b[len(b)-i:]) {
				return i
			}
			return 0
		}
	}
	return 0
}
