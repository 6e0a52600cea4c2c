package fulltext

import (
	"context"
	"errors"
	"io"

	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// Append appends all texts of a message to dst: those of the header, then from
// body on those of the body, each with lookup.EndOfText behind it. At more
// than limit octets it returns lookup.ErrTooLong.
func Append(ctx context.Context, dst []byte, src Source, limit int) (out []byte, body int, err error) {
	base := len(dst)
	body = -1
	over := false
	err = Walk(ctx, src, Header, func(z Zone, piece []byte, last bool) bool {
		if z == Body && body < 0 {
			body = len(dst) - base
		}
		if over = len(dst)-base+len(piece)+1 > limit; over {
			return true
		}
		if dst = append(dst, piece...); last {
			dst = append(dst, lookup.EndOfText)
		}
		return false
	})
	if over {
		err = lookup.ErrTooLong
	}
	if err != nil {
		return dst[:base], 0, err
	}
	if body < 0 {
		body = len(dst) - base
	}
	return dst, body, nil
}

// Extract is a lookup.Extract.
func Extract(ctx context.Context, a *lookup.Account, c *lookup.Content, dst []byte, limit int) (out []byte, body int, err error) {
	s := &stored{content: c}
	if s.sum, err = message.OpenSummary(c.Summary); err != nil {
		return dst, 0, errors.Join(mailstore.ErrDamaged, err)
	}
	if s.body, err = a.OpenBodyHere(ctx, c); err != nil {
		return dst, 0, err
	}
	out, body, err = Append(ctx, dst, s, limit)
	return out, body, errors.Join(err, s.body.Close())
}

// stored is a message in the store.
type stored struct {
	content *lookup.Content
	sum     message.Summary
	body    *lookup.Body
}

func (s *stored) Prefix() []byte { return s.content.Prefix }

func (s *stored) Header() ([]byte, error) { return s.read(s.sum.HeaderLen) }

// read returns so many octets of what follows the prefix.
func (s *stored) read(n int) ([]byte, error) {
	b := make([]byte, n)
	m, err := s.body.ReadAt(b, int64(len(s.content.Prefix)))
	if m < n {
		return nil, errors.Join(mailstore.ErrDamaged, err)
	}
	return b, nil
}

func (s *stored) Tree() (*message.Index, error) {
	x := new(message.Index)
	if err := s.sum.IndexInto(x); err != nil {
		return nil, errors.Join(mailstore.ErrDamaged, err)
	}
	if len(x.Parts) > 0 {
		return x, nil
	}
	// The tree is too large for a summary.
	raw, err := s.read(s.sum.Size)
	if err != nil {
		return nil, err
	}
	return message.Parse(raw), nil
}

func (s *stored) Octets() (io.ReaderAt, error) { return s.body, nil }
