package corpus

import (
	"math"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// rng is splitmix64: small, fast, and for ever the same, which golden bytes
// need and math/rand does not promise for all of its methods.
type rng uint64

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	return mix(uint64(*r))
}

// mix spreads what is in x over all its bits.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// n returns a number below n. The bias is below n/2^32.
func (r *rng) n(n int) int { return int(r.next() >> 32 * uint64(n) >> 32) }

// between returns a number from lo up to hi, both included.
func (r *rng) between(lo, hi int) int { return lo + r.n(hi-lo+1) }

// unit returns a number in [0, 1).
func (r *rng) unit() float64 { return float64(r.next()>>11) / (1 << 53) }

// logBetween returns a number between lo and hi whose logarithm is uniform:
// sizes of mail have long tails.
func (r *rng) logBetween(lo, hi float64) int {
	return int(lo * math.Exp(r.unit()*math.Log(hi/lo)))
}

func pick(r *rng, list []string) string { return list[r.n(len(list))] }

// form is how the words of a text are written down.
type form int

const (
	utf8Plain form = iota
	utf8QP
	latin1QP
	forms
)

const (
	vocabulary = 8000
	slots      = 1 << 16
)

// vocab is a language ready for writing. It is immutable.
type vocab struct {
	tongue
	latin1 bool // can be written in ISO-8859-1
	ascii  bool // has no letter outside ASCII
	words  []string
	zipf   [slots]uint16 // word numbers, each as often as its share
	packed [forms]pack   // the words
	caps   [forms]pack   // the words with a capital
	firsts []string
	lasts  []string
	hosts  []string
}

// pack holds many short strings in one.
type pack struct {
	bytes []byte
	at    []uint32
}

func (p *pack) add(b []byte) {
	if len(p.at) == 0 {
		p.at = append(p.at, 0)
	}
	p.bytes = append(p.bytes, b...)
	p.at = append(p.at, uint32(len(p.bytes)))
}

func (p *pack) get(i uint16) []byte { return p.bytes[p.at[i]:p.at[i+1]] }

// vocabs are made when first used: nine languages are about 6 MB.
var vocabs = func() []func() *vocab {
	out := make([]func() *vocab, len(tongues))
	for i := range tongues {
		out[i] = sync.OnceValue(func() *vocab { return learn(&tongues[i]) })
	}
	return out
}()

// learn makes a language's vocabulary: its common words, then words put
// together from its syllables, with the frequencies that Zipf and Mandelbrot
// found in every language.
func learn(t *tongue) *vocab {
	v := &vocab{tongue: *t, latin1: true, ascii: true}
	v.firsts, v.lasts, v.hosts = strings.Fields(t.first), strings.Fields(t.last), strings.Fields(t.domains)
	seen := map[string]bool{}
	add := func(w string) {
		// A word must fit on a line of quoted-printable.
		if !seen[w] && len(v.words) < vocabulary && len(encode(w, utf8QP)) <= 60 {
			seen[w] = true
			v.words = append(v.words, w)
		}
	}
	for _, w := range strings.Fields(t.common) {
		add(w)
	}
	var r rng
	for _, c := range t.code {
		r = rng(mix(uint64(r)*31 + uint64(c)))
	}
	on, vo, co, en := strings.Fields(t.onsets), strings.Fields(t.vowels), strings.Fields(t.codas), strings.Fields(t.endings)
	part := func(b *strings.Builder, list []string) {
		if s := pick(&r, list); s != "-" {
			b.WriteString(s)
		}
	}
	for len(v.words) < vocabulary {
		var b strings.Builder
		// Rarer words are longer.
		n := 1 + r.n(2) + r.n(1+len(v.words)*3/vocabulary)
		for range n {
			part(&b, on)
			part(&b, vo)
			if r.n(2) == 0 {
				part(&b, co)
			}
		}
		part(&b, en)
		if utf8.RuneCountInString(b.String()) > 1 {
			add(b.String())
		}
	}
	var sum float64
	share := make([]float64, len(v.words))
	for i := range share {
		share[i] = math.Pow(float64(i)+2.7, -1.02)
		sum += share[i]
	}
	word, upTo := 0, share[0]
	for i := range v.zipf {
		for float64(i)+0.5 > upTo/sum*slots && word < len(share)-1 {
			word++
			upTo += share[word]
		}
		v.zipf[i] = uint16(word)
	}
	for _, w := range v.words {
		for _, c := range w {
			v.ascii = v.ascii && c < utf8.RuneSelf
			v.latin1 = v.latin1 && c <= 0xff
		}
	}
	for _, w := range v.words {
		c := capital(w)
		for f := range forms {
			v.packed[f].add(encode(w, f))
			v.caps[f].add(encode(c, f))
		}
	}
	return v
}

func capital(w string) string {
	c, n := utf8.DecodeRuneInString(w)
	return string(unicode.ToUpper(c)) + w[n:]
}

// encode writes text in a form; line breaks are not text. What ISO-8859-1
// can't say becomes "?"; nobody writes such a language in it.
func encode(s string, f form) []byte {
	if f == utf8Plain {
		return []byte(s)
	}
	var out []byte
	hex := func(b byte) { out = append(out, '=', upperHex[b>>4], upperHex[b&15]) }
	if f == utf8QP {
		for i := range len(s) {
			if b := s[i]; b >= utf8.RuneSelf || b == '=' {
				hex(b)
			} else {
				out = append(out, b)
			}
		}
		return out
	}
	for _, c := range s {
		switch {
		case c > 0xff:
			out = append(out, '?')
		case c >= utf8.RuneSelf || c == '=':
			hex(byte(c))
		default:
			out = append(out, byte(c))
		}
	}
	return out
}

const upperHex = "0123456789ABCDEF"
