package imap

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"altmail.se/altmail/mailstore"
)

func newForest(n int, order threadOrder) *forest {
	f := &forest{order: order}
	f.init(n)
	return f
}

func (f *forest) text() string {
	return string(f.append(nil, func(u mailstore.UID) uint32 { return uint32(u) }))
}

// TestForest has the small cases of RFC 5256 section 3.
func TestForest(t *testing.T) {
	type msg struct {
		id      uint64
		refs    []uint64
		date    uint64
		subject string
		reply   bool
	}
	for _, c := range []struct {
		name string
		msgs []msg
		want string
	}{
		{"none", nil, ""},
		{"chain", []msg{{id: 1, date: 1}, {id: 2, refs: []uint64{1}, date: 2}, {id: 3, refs: []uint64{1, 2}, date: 3}}, "(1 2 3)"},
		{"backwards", []msg{{id: 3, refs: []uint64{1, 2}, date: 3}, {id: 2, refs: []uint64{1}, date: 2}, {id: 1, date: 1}}, "(3 2 1)"},
		{"fork", []msg{{id: 1, date: 1}, {id: 2, refs: []uint64{1}, date: 3}, {id: 3, refs: []uint64{1}, date: 2}, {id: 4, refs: []uint64{2}, date: 9}}, "(1 (3)(2 4))"},
		{"no first", []msg{{id: 2, refs: []uint64{1}, date: 2}, {id: 3, refs: []uint64{1}, date: 1}}, "((2)(1))"},
		{"no first of one", []msg{{id: 2, refs: []uint64{1}, date: 2}}, "(1)"},
		{"gap", []msg{{id: 1, date: 1}, {id: 3, refs: []uint64{1, 2}, date: 2}, {id: 4, refs: []uint64{1, 2}, date: 3}}, "(1 (2)(3))"},
		{"refers to itself", []msg{{id: 1, refs: []uint64{1}, date: 1}}, "(1)"},
		{"circle", []msg{{id: 1, refs: []uint64{2}, date: 1}, {id: 2, refs: []uint64{1}, date: 2}}, "(2 1)"},
		{"one id twice", []msg{{id: 1, date: 1}, {id: 1, date: 2}, {id: 2, refs: []uint64{1}, date: 3}}, "(1 3)(2)"},
		{"the last reference wins", []msg{{id: 1, date: 1}, {id: 2, date: 2}, {id: 4, refs: []uint64{1, 3}, date: 4}, {id: 3, refs: []uint64{2}, date: 3}}, "(1)(2 4 3)"},
		{"by subject", []msg{{id: 1, date: 2, subject: "A"}, {id: 2, date: 1, subject: "A", reply: true}, {id: 3, date: 3, subject: "B"}}, "(1 2)(3)"},
		{"two of a subject", []msg{{id: 1, date: 2, subject: "A"}, {id: 2, date: 1, subject: "A"}, {id: 3, date: 3, subject: "A"}}, "((2)(1)(3))"},
		{"two replies", []msg{{id: 1, date: 1, subject: "A", reply: true}, {id: 2, date: 2, subject: "A", reply: true}}, "((1)(2))"},
		{"no subject", []msg{{id: 1, date: 1}, {id: 2, date: 2}}, "(1)(2)"},
		{"two without a first", []msg{{id: 2, refs: []uint64{1}, date: 1, subject: "A"}, {id: 3, refs: []uint64{1}, date: 4, subject: "A"},
			{id: 12, refs: []uint64{11}, date: 2, subject: "A"}, {id: 13, refs: []uint64{11}, date: 3, subject: "A"}}, "((1)(3)(4)(2))"},
	} {
		f := newForest(len(c.msgs), byFirst)
		for i, m := range c.msgs {
			f.add(threadMessage{uid: mailstore.UID(i + 1), date: m.date, reply: m.reply, id: m.id, subject: []byte(m.subject)}, m.refs)
		}
		f.references()
		if got := f.text(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// whole checks that each message is in the answer once, and that it is one.
func whole(t *testing.T, s string, n int) {
	t.Helper()
	seen := make([]bool, n+1)
	depth, num := 0, 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= '0' && c <= '9' {
			num = num*10 + int(c-'0')
			continue
		}
		if num > 0 {
			if num > n || seen[num] || depth == 0 {
				t.Fatalf("message %d", num)
			}
			seen[num], num = true, 0
		}
		switch c {
		case '(':
			depth++
		case ')':
			if depth--; depth < 0 || s[i-1] == '(' || s[i-1] == ' ' {
				t.Fatalf("at %d of %.200q", i, s)
			}
		case ' ':
			if s[i-1] == '(' || s[i-1] == ' ' {
				t.Fatalf("at %d of %.200q", i, s)
			}
		}
	}
	for u := 1; u <= n; u++ {
		if !seen[u] {
			t.Fatalf("message %d is not there", u)
		}
	}
	if depth != 0 {
		t.Fatal("parentheses")
	}
}

// TestForestRandom: whatever refers to whatever, nothing is lost and no
// algorithm goes in circles.
func TestForestRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 9))
	for range 3000 {
		n := 1 + rnd.IntN(30)
		ids := uint64(1 + rnd.IntN(2*n))
		for _, how := range threadings {
			f := newForest(n, how.order)
			for i := range n {
				var refs []uint64
				for range rnd.IntN(5) {
					if !how.links {
						break
					}
					refs = append(refs, 1+rnd.Uint64N(ids))
				}
				id := uint64(0)
				if how.links {
					id = rnd.Uint64N(ids + 1)
				}
				f.add(threadMessage{uid: mailstore.UID(i + 1), date: rnd.Uint64N(20), reply: rnd.IntN(2) == 0, id: id,
					subject: []byte(strings.Repeat("x", rnd.IntN(4)))}, refs)
			}
			how.build(f)
			whole(t, f.text(), n)
		}
	}
}

// TestForestDeep: long threads take time and stack as others do.
func TestForestDeep(t *testing.T) {
	const n = 200000
	for _, name := range []string{"chain", "backwards", "comb", "hostile"} {
		f := newForest(n, byFirst)
		for i := range n {
			m := threadMessage{uid: mailstore.UID(i + 1), date: uint64(i), id: uint64(i + 1)}
			var refs []uint64
			switch name {
			case "chain":
				refs = []uint64{uint64(i)}
			case "backwards":
				refs = []uint64{uint64(i + 2)}
			case "comb": // every second one ends there
				refs = []uint64{uint64(i&^1) - 1}
			case "hostile": // each asks whether the whole chain is above it
				if i < n/2 {
					refs = []uint64{uint64(i)}
				} else {
					refs = []uint64{1, uint64(n / 2), uint64(1 + i%7)}
				}
			}
			if refs[0] == 0 || refs[0] > n {
				refs = nil
			}
			f.add(m, refs)
		}
		f.references()
		whole(t, f.text(), n)
	}
}

func BenchmarkForest(b *testing.B) {
	rnd := rand.New(rand.NewPCG(1, 9))
	for b.Loop() {
		const n = 10000
		f := newForest(n, byFirst)
		for i := range n {
			f.add(threadMessage{uid: mailstore.UID(i + 1), date: rnd.Uint64(), id: uint64(i + 1), subject: fmt.Appendf(nil, "%d", rnd.IntN(n))},
				[]uint64{uint64(max(i-rnd.IntN(40), 0)), uint64(max(i-rnd.IntN(20), 0))})
		}
		f.references()
	}
}
