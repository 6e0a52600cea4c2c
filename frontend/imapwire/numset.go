package imapwire

import (
	"slices"
	"strconv"
)

// Star stands for "*" in a number set.
const Star = 0

// NumRange is an inclusive range of sequence numbers or UIDs. After Resolve
// First <= Last; before, either may be Star, in any order.
type NumRange struct{ First, Last uint32 }

// NumSet is a sequence-set of RFC 9051 section 9.
type NumSet struct {
	// Saved is set for "$", the result of the last SEARCH with SAVE.
	Saved  bool
	Ranges []NumRange
}

// NumSet reads a set of numbers.
func (s *Scanner) NumSet() NumSet {
	if s.Take('$') {
		return NumSet{Saved: true}
	}
	var set NumSet
	for s.ok() {
		r := NumRange{First: s.seqNumber()}
		r.Last = r.First
		if s.Take(':') {
			r.Last = s.seqNumber()
		}
		// Clients send long lists of single numbers: neighbours are merged as
		// they come.
		if n := len(set.Ranges); n > 0 && r.First != Star && r.First == r.Last &&
			set.Ranges[n-1].Last != Star && set.Ranges[n-1].First != Star && set.Ranges[n-1].First <= set.Ranges[n-1].Last && set.Ranges[n-1].Last+1 == r.First {
			set.Ranges[n-1].Last = r.First
		} else {
			set.Ranges = append(set.Ranges, r)
		}
		if !s.Take(',') {
			break
		}
	}
	return set
}

func (s *Scanner) seqNumber() uint32 {
	if s.Take('*') {
		return Star
	}
	return s.NZNumber()
}

// Resolve puts most for "*" and returns the ranges sorted and merged. With most
// 0 nothing is there for "*" to mean, and such ranges are left out.
func (n NumSet) Resolve(most uint32) []NumRange {
	out := make([]NumRange, 0, len(n.Ranges))
	for _, r := range n.Ranges {
		if r.First == Star {
			r.First = most
		}
		if r.Last == Star {
			r.Last = most
		}
		if r.First > r.Last {
			r.First, r.Last = r.Last, r.First
		}
		if r.First == 0 {
			if r.Last == 0 || most == 0 {
				continue
			}
			r.First = 1
		}
		out = append(out, r)
	}
	return merge(out)
}

func merge(rs []NumRange) []NumRange {
	slices.SortFunc(rs, func(a, b NumRange) int {
		if a.First < b.First {
			return -1
		} else if a.First > b.First {
			return 1
		}
		return 0
	})
	out := rs[:0]
	for _, r := range rs {
		if k := len(out) - 1; k >= 0 && (out[k].Last == 1<<32-1 || r.First <= out[k].Last+1) {
			out[k].Last = max(out[k].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// SetBuilder makes ranges of numbers added in ascending order.
type SetBuilder struct{ Ranges []NumRange }

// Add adds a number greater than all before.
func (b *SetBuilder) Add(n uint32) {
	if k := len(b.Ranges) - 1; k >= 0 && b.Ranges[k].Last+1 == n {
		b.Ranges[k].Last = n
		return
	}
	b.Ranges = append(b.Ranges, NumRange{n, n})
}

// AppendSet appends ranges in wire form. Nothing is appended for no ranges.
func AppendSet(dst []byte, rs []NumRange) []byte {
	for i, r := range rs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(r.First), 10)
		if r.Last != r.First {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, uint64(r.Last), 10)
		}
	}
	return dst
}
