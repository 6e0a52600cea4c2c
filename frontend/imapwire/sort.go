package imapwire

import "strings"

// SortKind is what a sort key looks at.
type SortKind uint8

// The sort keys of RFC 5256 section 3 and RFC 5957.
const (
	SortArrival SortKind = iota + 1
	SortCc
	SortDate
	SortFrom
	SortSize
	SortSubject
	SortTo
	SortDisplayFrom
	SortDisplayTo
	SortRelevancy // RFC 6203 section 6
)

// SortKey is one criterion of a SORT.
type SortKey struct {
	Kind    SortKind
	Reverse bool
}

// Sort are the arguments of SORT.
type Sort struct {
	Search
	Keys []SortKey // the first counts most
}

// maxSortKeys bounds the criteria: there are ten to choose from.
const maxSortKeys = 20

var sortKinds = map[string]SortKind{
	"ARRIVAL": SortArrival, "CC": SortCc, "DATE": SortDate, "FROM": SortFrom, "SIZE": SortSize, "SUBJECT": SortSubject,
	"TO": SortTo, "DISPLAYFROM": SortDisplayFrom, "DISPLAYTO": SortDisplayTo, "RELEVANCY": SortRelevancy,
}

// Sort reads the arguments of SORT (RFC 5256 section 5; RFC 5267 section 3
// lets result options come first).
func (s *Scanner) Sort() (q Sort) {
	s.SP()
	q.returnOptions(s)
	s.List(func() {
		var k SortKey
		word := s.Word()
		if k.Reverse = word == "REVERSE"; k.Reverse {
			s.SP()
			word = s.Word()
		}
		if k.Kind = sortKinds[word]; k.Kind == 0 {
			s.Fail("unknown sort key")
		}
		q.Relevancy = q.Relevancy || k.Kind == SortRelevancy
		if q.Keys = append(q.Keys, k); len(q.Keys) > maxSortKeys {
			s.Fail("too many sort keys")
		}
	})
	if len(q.Keys) == 0 {
		s.Fail("expected a sort key")
	}
	q.criteria(s)
	return q
}

// criteria reads what SORT and THREAD search for: the charset comes first
// always.
func (q *Search) criteria(s *Scanner) {
	s.SP()
	if q.Charset = strings.ToUpper(string(s.Astring())); q.Charset == "" {
		s.Fail("expected a charset")
	}
	s.SP()
	q.program(s)
}

// Thread are the arguments of THREAD.
type Thread struct {
	Search
	Algorithm string // in capitals
}

// Thread reads the arguments of THREAD (RFC 5256 section 5).
func (s *Scanner) Thread() (q Thread) {
	s.SP()
	q.Algorithm = s.Word()
	q.criteria(s)
	return q
}
