package imap

import (
	"fmt"
	"math/rand"
	"regexp"
	"slices"
	"strings"
	"testing"

	"altmail.se/altmail/mailstore"
)

// The list against a plain slice.
func TestUIDListTwin(t *testing.T) {
	rnd := rand.New(rand.NewSource(7))
	for range 300 {
		var l uidList
		var twin []mailstore.UID
		next := mailstore.UID(1)
		for range 40 {
			switch rnd.Intn(3) {
			case 0, 1:
				for range rnd.Intn(20) {
					if rnd.Intn(4) == 0 {
						next += mailstore.UID(rnd.Intn(5))
					}
					l.add(next)
					twin = append(twin, next)
					next++
				}
			default:
				var gone, left []mailstore.UID
				for _, u := range twin {
					if rnd.Intn(4) == 0 {
						gone = append(gone, u)
					} else {
						left = append(left, u)
					}
				}
				l.remove(gone)
				twin = left
			}
			compareLists(t, &l, twin, next)
		}
		fresh := newUIDList(twin)
		compareLists(t, &fresh, twin, next)
		if len(fresh.runs) != len(l.runs) {
			t.Fatalf("%d runs where %d do", len(l.runs), len(fresh.runs))
		}
	}
}

func compareLists(t *testing.T, l *uidList, twin []mailstore.UID, next mailstore.UID) {
	t.Helper()
	if int(l.n) != len(twin) {
		t.Fatalf("%d, want %d", l.n, len(twin))
	}
	cur := cursor{list: l}
	before := uint32(0)
	for u := mailstore.UID(0); u <= next+2; u++ {
		i, ok := slices.BinarySearch(twin, u)
		want := uint32(0)
		if ok {
			want = uint32(i + 1)
			if l.at(want) != u {
				t.Fatalf("at(%d) = %d, want %d", want, l.at(want), u)
			}
		}
		if got := l.seq(u); got != want {
			t.Fatalf("seq(%d) = %d, want %d", u, got, want)
		}
		if got := cur.seq(u); got != want {
			t.Fatalf("cursor(%d) = %d, want %d", u, got, want)
		}
		if got := l.before(u); got != before {
			t.Fatalf("before(%d) = %d, want %d", u, got, before)
		}
		if ok {
			before++
		}
	}
	for range 5 {
		a, b := mailstore.UID(rand.Intn(int(next)+2)), mailstore.UID(rand.Intn(int(next)+2))
		if a > b {
			a, b = b, a
		}
		var want, got []mailstore.UID
		for _, u := range twin {
			if u >= a && u <= b {
				want = append(want, u)
			}
		}
		l.each(mailstore.Range{First: a, Last: b}, func(u mailstore.UID) { got = append(got, u) })
		if !slices.Equal(got, want) {
			t.Fatalf("each(%d, %d) = %v, want %v", a, b, got, want)
		}
		if n := l.count(mailstore.Range{First: a, Last: b}); int(n) != len(want) {
			t.Fatalf("count(%d, %d) = %d, want %d", a, b, n, len(want))
		}
	}
	last := mailstore.UID(0)
	if len(twin) > 0 {
		last = twin[len(twin)-1]
	}
	if l.last() != last {
		t.Fatalf("last %d, want %d", l.last(), last)
	}
}

// The end of the number space.
func TestUIDListEnd(t *testing.T) {
	const top = 1<<32 - 1
	l := newUIDList([]mailstore.UID{top - 1, top})
	n := 0
	l.each(mailstore.Range{First: 1, Last: top}, func(mailstore.UID) { n++ })
	if n != 2 || l.seq(top) != 2 || l.count(mailstore.Range{First: 1, Last: top}) != 2 {
		t.Error(n, l.seq(top))
	}
	l.remove([]mailstore.UID{top})
	if l.n != 1 || l.last() != top-1 {
		t.Error(l)
	}
}

func TestMatchPatternTwin(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	letters := func(n int, set string) string {
		var b strings.Builder
		for range n {
			b.WriteByte(set[rnd.Intn(len(set))])
		}
		return b.String()
	}
	for range 20000 {
		pat, name := letters(rnd.Intn(7), "ab/*%"), letters(rnd.Intn(8), "ab/")
		re := regexp.MustCompile("^" + strings.NewReplacer("*", ".*", "%", "[^/]*").Replace(pat) + "$")
		if got, want := matchPattern(pat, name), re.MatchString(name); got != want {
			t.Fatalf("%q %q: %v", pat, name, got)
		}
	}
	// Work is bounded whatever the pattern.
	if matchPattern(strings.Repeat("*a", maxWildcards)+"b", strings.Repeat("a", 1000)) {
		t.Error("matches")
	}
}

// expunged never counts what was not announced, and nothing twice.
func TestExpunged(t *testing.T) {
	b := view{list: newUIDList([]mailstore.UID{1, 2, 5, 6})}
	b.expunged([]mailstore.Range{{First: 5, Last: 9}})
	b.expunged([]mailstore.Range{{First: 1, Last: 1}, {First: 3, Last: 5}})
	if fmt.Sprint(b.gone) != "[1 5 6]" || !b.isGone(5) || b.isGone(2) {
		t.Error(b.gone)
	}
}

func TestAfter(t *testing.T) {
	rs := []mailstore.Range{{First: 1, Last: 4}, {First: 7, Last: 7}, {First: 9, Last: 12}}
	for u, want := range map[mailstore.UID]string{
		0: "[{1 4} {7 7} {9 12}]", 2: "[{3 4} {7 7} {9 12}]", 4: "[{7 7} {9 12}]", 8: "[{9 12}]", 12: "[]", 1<<32 - 1: "[]",
	} {
		if got := fmt.Sprint(after(rs, u)); got != want {
			t.Errorf("after %d: %s, want %s", u, got, want)
		}
	}
}
