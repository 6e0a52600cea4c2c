package commit

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"altmail.se/altmail/mailstore"
)

// The naive twin asks for each UID whether any range holds it.
func TestWithinAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uid := rapid.Custom(func(t *rapid.T) mailstore.UID { return mailstore.UID(rapid.Uint32Range(1, 60).Draw(t, "uid")) })
		uids := rapid.SliceOfDistinct(uid, rapid.ID[mailstore.UID]).Draw(t, "uids")
		slices.Sort(uids)
		ranges := rapid.SliceOf(rapid.Custom(func(t *rapid.T) mailstore.Range {
			return mailstore.Range{First: mailstore.UID(rapid.Uint32Range(0, 60).Draw(t, "first")), Last: mailstore.UID(rapid.Uint32Range(0, 70).Draw(t, "last"))}
		})).Draw(t, "ranges")
		before := slices.Clone(ranges)
		var want []mailstore.UID
		for _, u := range uids {
			if slices.ContainsFunc(ranges, func(r mailstore.Range) bool { return r.First <= u && u <= r.Last }) {
				want = append(want, u)
			}
		}
		got := within(uids, ranges)
		if !slices.Equal(got, want) {
			t.Fatalf("within(%v, %v) = %v, want %v", uids, ranges, got, want)
		}
		if !slices.Equal(ranges, before) {
			t.Fatal("the argument was changed")
		}
		if back := within(uids, rangesOf(want)); !slices.Equal(back, want) {
			t.Fatalf("rangesOf(%v) holds %v", want, back)
		}
		for i, r := range normal(ranges) {
			if r.First == 0 || r.First > r.Last || i > 0 && r.First <= normal(ranges)[i-1].Last+1 {
				t.Fatalf("normal(%v) = %v", ranges, normal(ranges))
			}
		}
	})
}

func TestNormalAtTheEnd(t *testing.T) {
	const top = mailstore.UID(1<<32 - 1)
	got := normal([]mailstore.Range{{First: 5, Last: top}, {First: 1, Last: top}, {First: top, Last: top}})
	if !slices.Equal(got, []mailstore.Range{{First: 1, Last: top}}) {
		t.Fatal(got)
	}
	if n := within([]mailstore.UID{1, top}, got); len(n) != 2 {
		t.Fatal(n)
	}
}
