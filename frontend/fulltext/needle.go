package fulltext

import (
	"bytes"
	"context"
	"io"
	"strings"

	"altmail.se/altmail/frontend/collate"
	"altmail.se/altmail/frontend/message"
)

// Needle is a text that is looked for as i;unicode-casemap does (RFC 5255
// section 4.2).
type Needle struct{ folded []byte }

// NewNeedle makes a needle of UTF-8.
func NewNeedle(s string) Needle { return Needle{collate.Append(nil, []byte(s))} }

// Empty reports whether everything contains it.
func (n *Needle) Empty() bool { return len(n.folded) == 0 }

// Folded returns the needle as Walk gives texts. It is not to be changed.
func (n *Needle) Folded() []byte { return n.folded }

// In reports whether a text contains the needle.
func (n *Needle) In(text []byte) bool {
	room := buffers.Get().(*[]byte)
	defer buffers.Put(room)
	folded := collate.Append((*room)[:0], text)
	return bytes.Contains(folded, n.folded)
}

// InField looks in the decoded values of the fields with a name.
func (n *Needle) InField(block []byte, name string) bool {
	for f := range message.Fields(block) {
		if len(f.Name) == len(name) && strings.EqualFold(string(f.Name), name) &&
			(n.Empty() || n.In(message.DecodeWords(message.Unfold(f.Value)))) {
			return true
		}
	}
	return false
}

// InMessage looks in the texts of a message, with z Body in those of its body.
func (n *Needle) InMessage(ctx context.Context, src Source, z Zone) (bool, error) {
	f := n.finder()
	err := Walk(ctx, src, z, f.text)
	return f.found, err
}

func (n *Needle) inStream(ctx context.Context, r io.Reader) (bool, error) {
	f := n.finder()
	w := walker{ctx: ctx, to: f.text}
	_, err := w.stream(r)
	return f.found, err
}

// finder looks for a needle in texts that come in pieces.
type finder struct {
	needle []byte
	seam   []byte // the end of what came of the text, shorter than the needle
	found  bool
}

func (n *Needle) finder() *finder { return &finder{needle: n.folded} }

func (f *finder) text(_ Zone, piece []byte, last bool) (stop bool) {
	if f.found = bytes.Contains(piece, f.needle); f.found {
		return true
	}
	over := len(f.needle) - 1
	if len(f.seam) > 0 && len(piece) > 0 {
		// What begins in an earlier piece.
		f.seam = append(f.seam, piece[:min(over, len(piece))]...)
		if f.found = bytes.Contains(f.seam, f.needle); f.found {
			return true
		}
	}
	switch {
	case last:
		f.seam = f.seam[:0]
	case len(piece) >= over:
		f.seam = append(f.seam[:0], piece[len(piece)-over:]...)
	case len(f.seam) > over:
		f.seam = append(f.seam[:0], f.seam[len(f.seam)-over:]...)
	case len(f.seam) == 0:
		f.seam = append(f.seam, piece...)
	}
	return false
}
