package command

import (
	"cmp"
	"slices"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command/commandpb"
)

// Ranges returns UID ranges in wire form, sorted and merged as Validate wants
// them. It may reorder in.
func Ranges(in []mailstore.Range) []*commandpb.UIDRange {
	in = Normalize(in)
	out := make([]*commandpb.UIDRange, len(in))
	for i, r := range in {
		out[i] = &commandpb.UIDRange{First: uint32(r.First), Last: uint32(r.Last)}
	}
	return out
}

// Normalize sorts ranges and merges those that touch or overlap, in place.
func Normalize(in []mailstore.Range) []mailstore.Range {
	for i, r := range in {
		if r.First > r.Last {
			in[i] = mailstore.Range{First: r.Last, Last: r.First}
		}
	}
	slices.SortFunc(in, func(a, b mailstore.Range) int { return cmp.Compare(a.First, b.First) })
	out := in[:0]
	for _, r := range in {
		// Last+1 may wrap to 0; then nothing greater can follow.
		if n := len(out); n > 0 && (r.First <= out[n-1].Last || r.First == out[n-1].Last+1) {
			out[n-1].Last = max(out[n-1].Last, r.Last)
			continue
		}
		out = append(out, r)
	}
	return out
}

// FromRanges is the inverse of Ranges.
func FromRanges(in []*commandpb.UIDRange) []mailstore.Range {
	out := make([]mailstore.Range, len(in))
	for i, r := range in {
		out[i] = mailstore.Range{First: mailstore.UID(r.First), Last: mailstore.UID(r.Last)}
	}
	return out
}

// Err maps a code to the store's errors; OK to nil.
func Err(c commandpb.Code) error {
	switch c {
	case commandpb.Code_OK:
		return nil
	case commandpb.Code_NO_ACCOUNT, commandpb.Code_GONE:
		return mailstore.ErrNoAccount
	case commandpb.Code_NO_MAILBOX:
		return mailstore.ErrNoMailbox
	case commandpb.Code_MAILBOX_EXISTS:
		return mailstore.ErrMailboxExists
	case commandpb.Code_OVER_QUOTA:
		return mailstore.ErrOverQuota
	case commandpb.Code_CONFLICT:
		return mailstore.ErrConflict
	case commandpb.Code_EXPIRED:
		return mailstore.ErrExpired
	case commandpb.Code_LIMIT:
		return mailstore.ErrLimit
	case commandpb.Code_NOT_PERMITTED:
		return mailstore.ErrNotPermitted
	case commandpb.Code_EXISTS:
		return mailstore.ErrExists
	case commandpb.Code_NO_SUCH:
		return mailstore.ErrExpunged
	case commandpb.Code_LEVEL:
		return ErrLevel
	default:
		return ErrInvalid
	}
}
