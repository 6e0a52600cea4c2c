package commit

import (
	"sort"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command/commandpb"
)

// within returns those of the ascending uids that lie in one of the ranges,
// which need be neither sorted nor disjoint.
func within(uids []mailstore.UID, ranges []mailstore.Range) []mailstore.UID {
	ranges = normal(ranges)
	out := make([]mailstore.UID, 0, min(len(uids), span(ranges)))
	for _, r := range ranges {
		i := sort.Search(len(uids), func(i int) bool { return uids[i] >= r.First })
		uids = uids[i:]
		j := sort.Search(len(uids), func(i int) bool { return uids[i] > r.Last })
		out = append(out, uids[:j]...)
		uids = uids[j:]
	}
	return out
}

// span returns how many UIDs the ranges could hold, at most a large number.
func span(ranges []mailstore.Range) int {
	n := uint64(0)
	for _, r := range ranges {
		n += uint64(r.Last-r.First) + 1
	}
	return int(min(n, 1<<31))
}

// expand returns the UIDs of normal ranges.
func expand(ranges []mailstore.Range) []mailstore.UID {
	out := make([]mailstore.UID, 0, span(ranges))
	for _, r := range ranges {
		for u := r.First; ; u++ {
			out = append(out, u)
			if u == r.Last {
				break
			}
		}
	}
	return out
}

// normal returns the ranges sorted and merged, leaving out empty ones. The
// argument is not changed.
func normal(ranges []mailstore.Range) []mailstore.Range {
	sorted := true
	for i, r := range ranges {
		if r.First > r.Last || r.First == 0 || i > 0 && uint64(r.First) <= uint64(ranges[i-1].Last)+1 {
			sorted = false
			break
		}
	}
	if sorted {
		return ranges
	}
	out := make([]mailstore.Range, 0, len(ranges))
	for _, r := range ranges {
		r.First = max(r.First, 1)
		if r.First <= r.Last {
			out = append(out, r)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].First < out[j].First })
	n := 0
	for _, r := range out {
		if n > 0 && uint64(r.First) <= uint64(out[n-1].Last)+1 {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out[n] = r
		n++
	}
	return out[:n]
}

// rangesOf returns the ranges that hold exactly the ascending uids.
func rangesOf(uids []mailstore.UID) []mailstore.Range {
	var out []mailstore.Range
	for _, u := range uids {
		if n := len(out); n > 0 && out[n-1].Last+1 == u {
			out[n-1].Last = u
			continue
		}
		out = append(out, mailstore.Range{First: u, Last: u})
	}
	return out
}

func rangesToPB(uids []mailstore.UID) []*commandpb.UIDRange {
	rs := rangesOf(uids)
	out := make([]*commandpb.UIDRange, len(rs))
	room := make([]commandpb.UIDRange, len(rs))
	for i, r := range rs {
		room[i].First, room[i].Last = uint32(r.First), uint32(r.Last)
		out[i] = &room[i]
	}
	return out
}

func rangesFromPB(rs []*commandpb.UIDRange) []mailstore.Range {
	if len(rs) == 0 {
		return nil
	}
	out := make([]mailstore.Range, 0, len(rs))
	for _, r := range rs {
		out = append(out, mailstore.Range{First: mailstore.UID(r.First), Last: mailstore.UID(r.Last)})
	}
	return normal(out)
}
