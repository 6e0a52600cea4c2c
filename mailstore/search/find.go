package search

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"

	"altmail.se/altmail/mailstore"
)

// worthwhile is how many documents the index looks through in the time that it
// takes to read one message.
const worthwhile = 64

// Found is the answer to a search. It is safe for concurrent use.
type Found struct {
	segs []found // by their first document
}

type found struct {
	docs []document
	hits bitset
	last mailstore.ContentID // the greatest of this and all before
}

// Verdict tells whether a message has the text, and whether the index knows.
func (f *Found) Verdict(id mailstore.ContentID) (hit, known bool) {
	i, _ := slices.BinarySearchFunc(f.segs, id, func(s found, id mailstore.ContentID) int {
		if bytes.Compare(s.docs[0].id[:], id[:]) <= 0 {
			return -1
		}
		return 1
	})
	for i--; i >= 0 && bytes.Compare(f.segs[i].last[:], id[:]) >= 0; i-- {
		s := &f.segs[i]
		k, ok := slices.BinarySearchFunc(s.docs, id, func(d document, id mailstore.ContentID) int {
			return bytes.Compare(d.id[:], id[:])
		})
		if ok && !s.docs[k].unknown {
			return s.hits.has(k), true
		}
	}
	return false, false
}

// Search looks for a folded text in an account's messages, with body in their
// bodies only. It is asked of so many messages; where they are few, reading
// them is less work, and nothing is known. The only error is the context's.
func (x *Index) Search(ctx context.Context, id mailstore.AccountID, keys Keys, needle []byte, body bool, messages int) (*Found, error) {
	a, err := x.acquire(id, keys, false)
	if a == nil {
		if err != nil {
			x.stats.failed.Add(1)
			x.log.Warn("the search index cannot be read", "err", err)
		}
		return &Found{}, nil
	}
	defer x.release(a)
	segs := a.snapshot()
	defer a.releaseAll(segs)
	docs := 0
	for _, s := range segs {
		docs += len(s.foot.docs)
	}
	if docs == 0 || docs > messages*worthwhile {
		x.stats.skipped.Add(1)
		return &Found{}, nil
	}
	q := newQuery(needle, body)
	hits := make([]bitset, len(segs))
	errs := make([]error, len(segs))
	var wg sync.WaitGroup
	for i, s := range segs {
		if err := x.running.Acquire(ctx, 1); err != nil {
			errs[i] = err
			break
		}
		wg.Go(func() {
			defer x.running.Release(1)
			hits[i], errs[i] = s.search(ctx, q)
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f := &Found{}
	for i, s := range segs {
		if errs[i] != nil {
			x.stats.failed.Add(1)
			if errors.Is(errs[i], errDamaged) {
				a.drop(s, errs[i])
			} else {
				x.log.Warn("a search segment cannot be read", "err", errs[i])
			}
			continue
		}
		last := *s.last()
		if n := len(f.segs); n > 0 && bytes.Compare(f.segs[n-1].last[:], last[:]) > 0 {
			last = f.segs[n-1].last
		}
		f.segs = append(f.segs, found{docs: s.foot.docs, hits: hits[i], last: last})
	}
	x.stats.searches.Add(1)
	return f, nil
}

// search returns the documents that have the needle.
func (s *segment) search(ctx context.Context, q *query) (bitset, error) {
	r := rooms.Get().(*room)
	defer r.put()
	places, err := s.candidates(ctx, q, r)
	if err != nil {
		return nil, err
	}
	hits := newBits(len(s.foot.docs))
	at := -1 // block that is in text
	var text []byte
	for i := range s.foot.docs {
		d := &s.foot.docs[i]
		head, body := !q.body && places.has(2*i), places.has(2*i+1)
		if d.unknown || !head && !body {
			continue
		}
		if !q.exact {
			if at != int(d.block) {
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				if text, err = s.read(r, kindText, int(d.block)); err != nil {
					return nil, err
				}
				at = int(d.block)
			}
			t := text[d.off : d.off+d.n]
			if !(head && bytes.Contains(t[:d.body], q.needle)) && !(body && bytes.Contains(t[d.body:], q.needle)) {
				continue
			}
		}
		hits.set(uint64(i))
	}
	return hits, nil
}

// candidates returns the places that have words with all patterns. Where the
// needle is in a document it is in one of these.
func (s *segment) candidates(ctx context.Context, q *query, r *room) (bitset, error) {
	n := 2 * len(s.foot.docs)
	if len(q.patterns) == 0 {
		all := newBits(n)
		for i := range all {
			all[i] = 1<<64 - 1
		}
		return all, nil
	}
	sets := make([]bitset, len(q.patterns))
	for i := range sets {
		sets[i] = newBits(n)
	}
	for k := range s.foot.words {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		b, err := s.read(r, kindWords, k)
		if err != nil {
			return nil, err
		}
		words, places, err := cutWords(b)
		if err != nil {
			return nil, err
		}
		for i, p := range q.patterns {
			if err := mark(words, places, p, sets[i]); err != nil {
				return nil, err
			}
		}
	}
	for _, set := range sets[1:] {
		sets[0].and(set)
	}
	return sets[0], nil
}

// mark sets the places of the words of a block that have a pattern.
func mark(words, places, pattern []byte, to bitset) error {
	reader := placesReader{d: dec{b: places}}
	at, word := 0, uint32(0) // words[at] is the 0 before the word of this number
	for {
		i := bytes.Index(words[at:], pattern)
		if i < 0 {
			return nil
		}
		// The pattern may begin with the 0 before the word, or in the word.
		if pattern[0] == 0 {
			word += uint32(bytes.Count(words[at:at+i], zero))
		} else {
			word += uint32(bytes.Count(words[at:at+i], zero)) - 1
		}
		if err := reader.mark(word, to); err != nil {
			return err
		}
		in := at + i
		if pattern[0] == 0 {
			in++
		}
		next := bytes.IndexByte(words[in:], 0)
		if next < 0 {
			return nil
		}
		at = in + next
		word++
	}
}

var zero = []byte{0}
