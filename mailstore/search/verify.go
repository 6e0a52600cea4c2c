package search

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"altmail.se/altmail/mailstore"
)

// Verify opens an account's index. With read every block has to open, and the
// words have to be those of the texts; with m the texts are compared with those
// of the messages, too. What is wrong is told to problem, and dropped, so that
// a node that runs makes it again.
func (x *Index) Verify(ctx context.Context, id mailstore.AccountID, keys Keys, read bool, m MailAccount, problem func(what string)) error {
	before := x.stats.dropped.Load()
	a, err := x.acquire(id, keys, false)
	if a == nil {
		return err
	}
	defer x.release(a)
	if n := x.stats.dropped.Load() - before; n > 0 {
		problem(fmt.Sprintf("account %s: %d segments of the search index are damaged", id, n))
	}
	if !read {
		return nil
	}
	segs := a.snapshot()
	defer a.releaseAll(segs)
	for _, s := range segs {
		err := s.verify(ctx, m)
		if errors.Is(err, errDamaged) {
			problem(fmt.Sprintf("account %s: segment %x of the search index: %v", id, s.num, err))
			a.drop(s, err)
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// verify makes the words of the texts again and compares them.
func (s *segment) verify(ctx context.Context, m MailAccount) error {
	words := newVocabulary()
	r := rooms.Get().(*room)
	defer r.put()
	at := -1
	var block, room []byte
	for i := range s.foot.docs {
		d := &s.foot.docs[i]
		if d.unknown {
			continue
		}
		if at != int(d.block) {
			if err := ctx.Err(); err != nil {
				return err
			}
			var err error
			if block, err = s.read(r, kindText, int(d.block)); err != nil {
				return err
			}
			at = int(d.block)
		}
		text := block[d.off : d.off+d.n]
		words.add(uint32(2*i), text[:d.body])
		words.add(uint32(2*i+1), text[d.body:])
		if m == nil {
			continue
		}
		want, body, err := m.Text(ctx, d.id, room[:0], MaxText)
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			continue // it is gone, or not here: there is nothing to compare with
		}
		if room = want; body != int(d.body) || !bytes.Equal(want, text) {
			return damaged(fmt.Sprintf("the text of message %s is another", d.id.EmailID()))
		}
	}
	order := words.sorted()
	var plain []byte
	for k := range s.foot.words {
		var taken int
		plain, taken = appendWords(plain[:0], words, order)
		order = order[taken:]
		b, err := s.read(r, kindWords, k)
		if err != nil {
			return err
		}
		if !bytes.Equal(b, plain) {
			return damaged("its words are not those of its texts")
		}
	}
	if len(order) > 0 {
		return damaged("words are missing")
	}
	return nil
}

// sorted returns the numbers of the terms in the order of the words.
func (v *vocabulary) sorted() []uint32 {
	order := make([]uint32, len(v.terms))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(x, y uint32) int { return bytes.Compare(v.word(&v.terms[x]), v.word(&v.terms[y])) })
	return order
}
