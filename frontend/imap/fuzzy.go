package imap

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
)

// FUZZY (RFC 6203): a text matches where all its words are, in any order and
// as parts of longer words. How relevant that is depends on whether the text
// is there as it was given, and whether its words are in the subject. Keys that
// are not about texts match as they always do (section 5).

// maxFuzzyWords bounds the words of a text that are looked for.
const maxFuzzyWords = 32

// scorer is one fuzzy text of a search.
type scorer []points

// points are what a message gets that a key matches.
type points struct {
	m *matcher
	n int
}

// leastRelevant is what a message gets that was found at all. With the points
// of a scorer it makes 100.
const leastRelevant = 10

// compileFuzzy makes the key that FUZZY is about ready.
func (c *call) compileFuzzy(k *imapwire.SearchKey, b *view, decode func(string) (string, error), now time.Time) (*matcher, error) {
	key, err := c.fuzzyKey(k, b, decode, now, true)
	if err != nil {
		return nil, err
	}
	return c.compileKey(&key, b, asItIs, now)
}

// asItIs decodes what is decoded already.
func asItIs(s string) (string, error) { return s, nil }

// fuzzyKey returns the key that matches what k does fuzzily. Scored are those
// that make a message relevant rather than keep it out.
func (c *call) fuzzyKey(k *imapwire.SearchKey, b *view, decode func(string) (string, error), now time.Time, scored bool) (imapwire.SearchKey, error) {
	out := *k
	switch k.Op {
	case imapwire.SearchFuzzy:
		return c.fuzzyKey(&k.Kids[0], b, decode, now, scored)
	case imapwire.SearchAnd, imapwire.SearchOr, imapwire.SearchNot:
		out.Kids = make([]imapwire.SearchKey, len(k.Kids))
		for i := range k.Kids {
			var err error
			if out.Kids[i], err = c.fuzzyKey(&k.Kids[i], b, decode, now, scored && k.Op != imapwire.SearchNot); err != nil {
				return out, err
			}
		}
		return out, nil
	case imapwire.SearchText, imapwire.SearchBody, imapwire.SearchHeader:
	default:
		return out, nil
	}
	n, err := newNeedle(k.Text, decode)
	if err != nil {
		return out, err
	}
	if out.Text, err = decode(k.Text); err != nil {
		return out, err
	}
	words := out
	if list := fuzzyWords(out.Text); len(list) > 1 {
		words = inWords(out, list)
	}
	if scored && !n.Empty() {
		if err := c.score(&out, b, now); err != nil {
			return out, err
		}
	}
	return words, nil
}

// inWords is a key for all of some words in the place of a text.
func inWords(k imapwire.SearchKey, words []string) imapwire.SearchKey {
	and := imapwire.SearchKey{Op: imapwire.SearchAnd}
	for _, w := range words {
		k.Text = w
		and.Kids = append(and.Kids, k)
	}
	return and
}

func fuzzyWords(text string) []string {
	words := strings.FieldsFunc(text, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.N, unicode.M)
	})
	slices.Sort(words)
	words = slices.Compact(words)
	return words[:min(len(words), maxFuzzyWords)]
}

// score notes what makes a message relevant for a text.
func (c *call) score(k *imapwire.SearchKey, b *view, now time.Time) error {
	var s scorer
	add := func(n int, key imapwire.SearchKey) error {
		m, err := c.compileKey(&key, b, asItIs, now)
		s = append(s, points{m, n})
		return err
	}
	if k.Op == imapwire.SearchHeader {
		if err := add(100-leastRelevant, *k); err != nil {
			return err
		}
		c.scorers = append(c.scorers, s)
		return nil
	}
	subject := imapwire.SearchKey{Op: imapwire.SearchHeader, Field: "SUBJECT", Text: k.Text}
	words := subject
	if list := fuzzyWords(k.Text); len(list) > 1 {
		words = inWords(subject, list)
	}
	for _, err := range []error{add(30, *k), add(35, words), add(25, subject)} {
		if err != nil {
			return err
		}
	}
	c.scorers = append(c.scorers, s)
	return nil
}

// relevancy returns how relevant a message is that was found, from 1 to 100.
func (c *call) relevancy(cand *candidate) uint8 {
	if len(c.scorers) == 0 {
		return 100
	}
	sum := 0
	for _, s := range c.scorers {
		sum += leastRelevant
		for _, p := range s {
			if p.m.eval(cand) == yes {
				sum += p.n
			}
		}
	}
	return uint8(sum / len(c.scorers))
}

// relevancyOf returns that of a message that was found.
func (r *searchRun) relevancyOf(u mailstore.UID) uint8 {
	if i, ok := slices.BinarySearch(r.found, u); ok {
		return r.scores[i]
	}
	return leastRelevant
}

// appendRelevancy appends the scores of messages in an ESEARCH response (RFC
// 6203 section 4).
func (r *searchRun) appendRelevancy(out []byte, order []mailstore.UID) []byte {
	out = append(out, " RELEVANCY ("...)
	for i, u := range order {
		if i > 0 {
			out = append(out, ' ')
		}
		out = strconv.AppendUint(out, uint64(r.relevancyOf(u)), 10)
	}
	return append(out, ')')
}
