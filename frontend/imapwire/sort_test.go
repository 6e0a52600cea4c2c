package imapwire

import (
	"reflect"
	"strings"
	"testing"
)

func TestSortArgs(t *testing.T) {
	for in, want := range map[string]Sort{
		"a SORT (DATE) UTF-8 ALL":                                       {Keys: []SortKey{{Kind: SortDate}}, Search: Search{Charset: "UTF-8"}},
		"a SORT (reverse date subject) us-ascii UNSEEN":                 {Keys: []SortKey{{SortDate, true}, {SortSubject, false}}, Search: Search{Charset: "US-ASCII"}},
		"a UID SORT (ARRIVAL CC FROM SIZE TO) \"UTF-8\" ALL":            {Keys: []SortKey{{Kind: SortArrival}, {Kind: SortCc}, {Kind: SortFrom}, {Kind: SortSize}, {Kind: SortTo}}, Search: Search{Charset: "UTF-8"}},
		"a SORT (DISPLAYFROM REVERSE DISPLAYTO) {5+}\r\nUTF-8 1:2 SEEN": {Keys: []SortKey{{SortDisplayFrom, false}, {SortDisplayTo, true}}, Search: Search{Charset: "UTF-8", Numbered: true}},
		"a SORT RETURN () (DATE) UTF-8 ALL":                             {Keys: []SortKey{{Kind: SortDate}}, Search: Search{Charset: "UTF-8", Extended: true, Return: ReturnAll}},
		"a SORT RETURN (PARTIAL -1:-5 COUNT) (DATE) X ALL":              {Keys: []SortKey{{Kind: SortDate}}, Search: Search{Charset: "X", Extended: true, Return: ReturnPartial | ReturnCount, Partial: Partial{1, 5, true}}},
		"a SORT (DATE) UTF-8 MODSEQ 5":                                  {Keys: []SortKey{{Kind: SortDate}}, Search: Search{Charset: "UTF-8", ModSeq: true}},
	} {
		s := scan(t, in, false)
		got := s.Sort()
		if err := s.End(); err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		got.Key, got.keys = SearchKey{}, 0
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v", in, got)
		}
	}
	for _, in := range []string{
		"a SORT", "a SORT (DATE)", "a SORT (DATE) UTF-8", "a SORT (DATE) ALL", "a SORT () UTF-8 ALL", "a SORT DATE UTF-8 ALL", "a SORT (REVERSE) UTF-8 ALL",
		"a SORT (REVERSE REVERSE DATE) UTF-8 ALL", "a SORT (DATE,SIZE) UTF-8 ALL", "a SORT (BCC) UTF-8 ALL", "a SORT (DATE) \"\" ALL", "a SORT (DATE) CHARSET UTF-8 ALL",
		"a SORT (DATE) UTF-8 RETURN (ALL) ALL", "a SORT (DATE UTF-8 ALL", "a SORT (DATE) UTF-8 ALL)", "a SORT RETURN (DATE) UTF-8 ALL", "a SORT(DATE) UTF-8 ALL",
		"a SORT (" + strings.Repeat("DATE ", 30) + "DATE) UTF-8 ALL",
	} {
		if accepts(t, in, func(s *Scanner) { s.Sort() }) {
			t.Errorf("%q is accepted", in)
		}
	}
}

func TestThreadArgs(t *testing.T) {
	for _, in := range []string{"a THREAD REFERENCES UTF-8 ALL", "a UID THREAD orderedsubject us-ascii SUBJECT x SINCE 1-Jan-2020"} {
		s := scan(t, in, false)
		q := s.Thread()
		if err := s.End(); err != nil || q.Algorithm != strings.ToUpper(q.Algorithm) || q.Charset == "" {
			t.Errorf("%q: %+v, %v", in, q, err)
		}
	}
	for _, in := range []string{"a THREAD", "a THREAD REFERENCES", "a THREAD REFERENCES UTF-8", "a THREAD (REFERENCES) UTF-8 ALL", "a THREAD REFERENCES UTF-8 ", "a THREAD REFERENCES {3}\r\nabc"} {
		if accepts(t, in, func(s *Scanner) { s.Thread() }) {
			t.Errorf("%q is accepted", in)
		}
	}
}

func TestReturnOptions(t *testing.T) {
	for in, want := range map[string]Search{
		"a SEARCH RETURN (PARTIAL 1:10) ALL":                    {Return: ReturnPartial, Partial: Partial{1, 10, false}},
		"a SEARCH RETURN (partial 10:1 MIN MAX) ALL":            {Return: ReturnPartial | ReturnMin | ReturnMax, Partial: Partial{10, 1, false}},
		"a SEARCH RETURN (PARTIAL -5:-1 SAVE) ALL":              {Return: ReturnPartial | ReturnSave, Partial: Partial{5, 1, true}},
		"a SEARCH RETURN (PARTIAL 4294967295:1) ALL":            {Return: ReturnPartial, Partial: Partial{1<<32 - 1, 1, false}},
		"a SEARCH RETURN (CONTEXT UPDATE) ALL":                  {Return: ReturnContext | ReturnUpdate | ReturnAll},
		"a SEARCH RETURN (UPDATE COUNT) ALL":                    {Return: ReturnUpdate | ReturnCount},
		"a SEARCH RETURN (ALL MIN MIN COUNT) CHARSET UTF-8 ALL": {Return: ReturnAll | ReturnMin | ReturnCount, Charset: "UTF-8"},
	} {
		s := scan(t, in, false)
		got := s.Search()
		if err := s.End(); err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		got.Key, got.keys = SearchKey{}, 0
		want.Extended = true
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v", in, got)
		}
	}
	for _, opts := range []string{
		"PARTIAL", "PARTIAL 5", "PARTIAL 0:5", "PARTIAL 1:0", "PARTIAL 1:*", "PARTIAL -1:5", "PARTIAL 1:-5", "PARTIAL 1:4294967296", "PARTIAL \"1:5\"", "PARTIAL 1:5,7:9",
		"PARTIAL 1:5 ALL", "ALL PARTIAL 1:5", "PARTIAL 1:5 PARTIAL 6:9", "ALL ALL", "PARTIAL (1:5)", "PARTIAL 1 :5", "MINIMUM", "UPDATE 5", "PARTIAL -1:--5",
	} {
		if accepts(t, "a SEARCH RETURN ("+opts+") ALL", func(s *Scanner) { s.Search() }) {
			t.Errorf("%q is accepted", opts)
		}
	}
}

func TestPartialOf(t *testing.T) {
	for _, c := range []struct {
		p        Partial
		n        int
		from, to int
	}{
		{Partial{1, 3, false}, 10, 0, 3}, {Partial{3, 1, false}, 10, 0, 3}, {Partial{9, 20, false}, 10, 8, 10}, {Partial{11, 20, false}, 10, 0, 0},
		{Partial{1, 3, true}, 10, 7, 10}, {Partial{3, 1, true}, 10, 7, 10}, {Partial{9, 20, true}, 10, 0, 2}, {Partial{11, 20, true}, 10, 0, 0},
		{Partial{1, 1, false}, 0, 0, 0}, {Partial{1, 1, true}, 0, 0, 0}, {Partial{1, 1<<32 - 1, true}, 5, 0, 5}, {Partial{1 << 31, 1<<32 - 1, false}, 5, 0, 0},
	} {
		if from, to := c.p.Of(c.n); from != c.from || to != c.to {
			t.Errorf("%+v of %d: %d to %d, want %d to %d", c.p, c.n, from, to, c.from, c.to)
		}
	}
	if got := string(Partial{10, 1, true}.Append(nil)); got != "-10:-1" {
		t.Error(got)
	}
}

func TestFetchPartial(t *testing.T) {
	s := scan(t, "a UID FETCH 1:* (UID) (CHANGEDSINCE 5 PARTIAL -1:-30)", false)
	if f := s.Fetch(); s.End() != nil || f.Partial == nil || *f.Partial != (Partial{1, 30, true}) || f.ChangedSince == nil {
		t.Errorf("%+v, %v", f, s.Err())
	}
	for _, m := range []string{"PARTIAL", "PARTIAL 1", "PARTIAL 0:1", "PARTIAL 1:2 PARTIAL 1:2", "PARTIAL (1:2)", "PARTIAL 1:*"} {
		if accepts(t, "a UID FETCH 1 UID ("+m+")", func(s *Scanner) { s.Fetch() }) {
			t.Errorf("%q is accepted", m)
		}
	}
}

// TestFuzzyArgs is of RFC 6203.
func TestFuzzyArgs(t *testing.T) {
	for in, want := range map[string]Search{
		"a SEARCH FUZZY SUBJECT x":                           {Fuzzy: true, Key: SearchKey{Op: SearchFuzzy, Kids: []SearchKey{{Op: SearchHeader, Field: "SUBJECT", Text: "x"}}}},
		"a SEARCH fuzzy (SEEN)":                              {Fuzzy: true, Key: SearchKey{Op: SearchFuzzy, Kids: []SearchKey{{Op: SearchFlag, Text: `\Seen`}}}},
		"a SEARCH RETURN (RELEVANCY) FUZZY ALL":              {Extended: true, Return: ReturnRelevancy, Fuzzy: true, Relevancy: true, Key: SearchKey{Op: SearchFuzzy, Kids: []SearchKey{{Op: SearchAll}}}},
		"a SEARCH RETURN (relevancy ALL) NOT FUZZY BODY abc": {Extended: true, Return: ReturnRelevancy | ReturnAll, Fuzzy: true, Relevancy: true, Key: not(SearchKey{Op: SearchFuzzy, Kids: []SearchKey{{Op: SearchBody, Text: "abc"}}})},
	} {
		s := scan(t, in, false)
		got := s.Search()
		if err := s.End(); err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got.keys = 0; !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v", in, got)
		}
	}
	for _, in := range []string{
		"a SEARCH FUZZY", "a SEARCH FUZZY ", "a SEARCH FUZZYSEEN", "a SEARCH RETURN (RELEVANCY) ALL", "a SEARCH RETURN (RELEVANCY 1) FUZZY ALL",
		"a SEARCH RELEVANCY FUZZY ALL", "a SEARCH " + strings.Repeat("FUZZY ", 1000) + "ALL",
	} {
		if accepts(t, in, func(s *Scanner) { s.Search() }) {
			t.Errorf("%q is accepted", in)
		}
	}
	if s := scan(t, "a SORT (REVERSE RELEVANCY) UTF-8 FUZZY ALL", false); true {
		if q := s.Sort(); s.End() != nil || !q.Relevancy || !q.Fuzzy || q.Keys[0] != (SortKey{SortRelevancy, true}) {
			t.Errorf("%+v", q)
		}
	}
	if accepts(t, "a SORT (RELEVANCY) UTF-8 ALL", func(s *Scanner) { s.Sort() }) {
		t.Error("RELEVANCY is accepted without FUZZY")
	}
}
