package imapwire

import (
	"strconv"
	"strings"
	"time"
)

// SearchOp is the kind of a search key.
type SearchOp uint8

// The search keys of RFC 9051 section 6.4.4 and of extensions.
const (
	SearchAll  SearchOp = iota + 1
	SearchAnd           // Kids
	SearchOr            // two Kids
	SearchNot           // one Kid
	SearchSeq           // Set of sequence numbers
	SearchUID           // Set of UIDs
	SearchFlag          // Text: a system flag with backslash, or a keyword
	SearchRecent
	SearchBefore // Time, internal date, disregarding zone
	SearchOn
	SearchSince
	SearchSentBefore
	SearchSentOn
	SearchSentSince
	SearchSavedBefore // RFC 8514 section 4.3
	SearchSavedOn
	SearchSavedSince
	SearchSaveDateSupported
	SearchYounger // Number of seconds, RFC 5032
	SearchOlder
	SearchLarger // Number of octets
	SearchSmaller
	SearchModSeq   // Number, RFC 7162 section 3.1.5
	SearchHeader   // Field, Text
	SearchBody     // Text
	SearchText     // Text
	SearchEmailID  // Text, RFC 8474 section 7
	SearchThreadID // Text
	SearchFuzzy    // one Kid, RFC 6203 section 3
)

// SearchKey is a node of a search program.
type SearchKey struct {
	Op     SearchOp
	Kids   []SearchKey
	Set    NumSet
	Field  string // in capitals
	Text   string // as sent, in the charset of the search
	Number uint64
	Time   time.Time
}

// SearchReturn are the result options of RFC 4731, RFC 5182, RFC 5267 and RFC
// 9394 as bits.
type SearchReturn uint16

// The result options.
const (
	ReturnMin SearchReturn = 1 << iota
	ReturnMax
	ReturnAll
	ReturnCount
	ReturnSave
	ReturnPartial // Search.Partial
	ReturnUpdate
	ReturnContext
	ReturnRelevancy // RFC 6203 section 4
)

// Partial is a partial-range of RFC 9394 section 4: places in a result, from 1.
type Partial struct {
	First, Last uint32 // as they were sent, in any order
	FromEnd     bool   // they count from the end
}

// Of returns which part of a result of n that is, as a half-open range of
// places from 0; an empty one if there is nothing.
func (p Partial) Of(n int) (from, to int) {
	a, b := int64(min(p.First, p.Last)), int64(max(p.First, p.Last))
	if p.FromEnd {
		a, b = int64(n)+1-b, int64(n)+1-a
	}
	a, b = max(a, 1), min(b, int64(n))
	if a > b {
		return 0, 0
	}
	return int(a - 1), int(b)
}

// Append appends the range in wire form.
func (p Partial) Append(dst []byte) []byte {
	sign := func() {
		if p.FromEnd {
			dst = append(dst, '-')
		}
	}
	sign()
	dst = append(strconv.AppendUint(dst, uint64(p.First), 10), ':')
	sign()
	return strconv.AppendUint(dst, uint64(p.Last), 10)
}

// Partial reads a partial-range.
func (s *Scanner) Partial() (p Partial) {
	p.FromEnd = s.Take('-')
	p.First = s.NZNumber()
	s.Need(':')
	if p.FromEnd {
		s.Need('-')
	}
	p.Last = s.NZNumber()
	return p
}

// Search are the arguments of SEARCH.
type Search struct {
	// Extended is set when RETURN was given: the answer is ESEARCH.
	Extended bool
	Return   SearchReturn
	Partial  Partial
	Charset  string // in capitals; empty when not given
	Key      SearchKey
	// Fuzzy is set when a FUZZY key occurs, Relevancy when it is wanted how
	// relevant messages are.
	Fuzzy, Relevancy bool
	// ModSeq is set when a MODSEQ key occurs.
	ModSeq bool
	// Numbered is set when a set of sequence numbers occurs, Saved when the
	// result of another search does.
	Numbered, Saved bool

	keys int
}

// maxKeys bounds the keys of a search, so that its memory is bounded.
const maxKeys = 5000

// searchPlain are the keys without arguments.
var searchPlain = map[string]SearchKey{
	"ALL":               {Op: SearchAll},
	"ANSWERED":          {Op: SearchFlag, Text: `\Answered`},
	"DELETED":           {Op: SearchFlag, Text: `\Deleted`},
	"DRAFT":             {Op: SearchFlag, Text: `\Draft`},
	"FLAGGED":           {Op: SearchFlag, Text: `\Flagged`},
	"SEEN":              {Op: SearchFlag, Text: `\Seen`},
	"RECENT":            {Op: SearchRecent},
	"SAVEDATESUPPORTED": {Op: SearchSaveDateSupported},
	"UNANSWERED":        not(SearchKey{Op: SearchFlag, Text: `\Answered`}),
	"UNDELETED":         not(SearchKey{Op: SearchFlag, Text: `\Deleted`}),
	"UNDRAFT":           not(SearchKey{Op: SearchFlag, Text: `\Draft`}),
	"UNFLAGGED":         not(SearchKey{Op: SearchFlag, Text: `\Flagged`}),
	"UNSEEN":            not(SearchKey{Op: SearchFlag, Text: `\Seen`}),
	"OLD":               not(SearchKey{Op: SearchRecent}),
	"NEW": {Op: SearchAnd, Kids: []SearchKey{
		{Op: SearchRecent}, not(SearchKey{Op: SearchFlag, Text: `\Seen`})}},
}

func not(k SearchKey) SearchKey { return SearchKey{Op: SearchNot, Kids: []SearchKey{k}} }

// searchArg are the keys with one argument; the function reads it.
var searchArg = map[string]struct {
	op  SearchOp
	arg func(s *Scanner, k *SearchKey)
}{
	"BCC":         {SearchHeader, header},
	"CC":          {SearchHeader, header},
	"FROM":        {SearchHeader, header},
	"SUBJECT":     {SearchHeader, header},
	"TO":          {SearchHeader, header},
	"BODY":        {SearchBody, text},
	"TEXT":        {SearchText, text},
	"BEFORE":      {SearchBefore, date},
	"ON":          {SearchOn, date},
	"SINCE":       {SearchSince, date},
	"SENTBEFORE":  {SearchSentBefore, date},
	"SENTON":      {SearchSentOn, date},
	"SENTSINCE":   {SearchSentSince, date},
	"SAVEDBEFORE": {SearchSavedBefore, date},
	"SAVEDON":     {SearchSavedOn, date},
	"SAVEDSINCE":  {SearchSavedSince, date},
	"LARGER":      {SearchLarger, number},
	"SMALLER":     {SearchSmaller, number},
	"YOUNGER":     {SearchYounger, nznumber},
	"OLDER":       {SearchOlder, nznumber},
	"KEYWORD":     {SearchFlag, func(s *Scanner, k *SearchKey) { k.Text = s.Atom() }},
	"UID":         {SearchUID, func(s *Scanner, k *SearchKey) { k.Set = s.NumSet() }},
	"EMAILID":     {SearchEmailID, text},
	"THREADID":    {SearchThreadID, text},
}

func header(s *Scanner, k *SearchKey)   { k.Text = string(s.Astring()) }
func text(s *Scanner, k *SearchKey)     { k.Text = string(s.Astring()) }
func date(s *Scanner, k *SearchKey)     { k.Time = s.Date() }
func number(s *Scanner, k *SearchKey)   { k.Number = s.Number64() }
func nznumber(s *Scanner, k *SearchKey) { k.Number = uint64(s.NZNumber()) }

// returnOptions reads the options of an extended search, where they are.
func (q *Search) returnOptions(s *Scanner) {
	if s.PeekWord() != "RETURN" {
		return
	}
	s.Atom()
	s.SP()
	q.Extended = true
	s.List(func() {
		opt := s.Word()
		bit, ok := searchReturns[opt]
		if !ok {
			s.Fail("unknown search result option")
			return
		}
		const once = ReturnAll | ReturnPartial
		if bit&once != 0 && q.Return&once != 0 {
			s.Fail("one ALL or one PARTIAL") // RFC 9394 section 3.1
		}
		q.Return |= bit
		q.Relevancy = q.Relevancy || bit == ReturnRelevancy
		if bit == ReturnPartial {
			s.SP()
			q.Partial = s.Partial()
		}
	})
	if q.Return&^(ReturnUpdate|ReturnContext) == 0 {
		q.Return |= ReturnAll // RFC 9051 section 6.4.4
	}
	s.SP()
}

var searchReturns = map[string]SearchReturn{
	"MIN": ReturnMin, "MAX": ReturnMax, "ALL": ReturnAll, "COUNT": ReturnCount, "SAVE": ReturnSave,
	"PARTIAL": ReturnPartial, "UPDATE": ReturnUpdate, "CONTEXT": ReturnContext, "RELEVANCY": ReturnRelevancy,
}

// Search reads the arguments of SEARCH.
func (s *Scanner) Search() (q Search) {
	s.SP()
	q.arguments(s)
	return q
}

func (q *Search) arguments(s *Scanner) {
	q.returnOptions(s)
	if s.PeekWord() == "CHARSET" {
		s.Atom()
		s.SP()
		q.Charset = strings.ToUpper(string(s.Astring()))
		s.SP()
	}
	q.program(s)
}

// program reads the search keys to the end of the command.
func (q *Search) program(s *Scanner) {
	q.Key = s.searchKeys(q, func() bool {
		// A trailing space is harmless.
		if !s.Peek(' ') {
			return false
		}
		s.SP()
		return !s.AtEnd()
	})
	if q.Relevancy && !q.Fuzzy {
		s.Fail("RELEVANCY is of FUZZY searches") // RFC 6203 sections 4, 6
	}
}

// searchKeys reads one key or several, all of which must match, as long as
// more passes the space to another.
func (s *Scanner) searchKeys(q *Search, more func() bool) SearchKey {
	first := s.searchKey(q)
	if !s.ok() || !more() {
		return first
	}
	and := SearchKey{Op: SearchAnd, Kids: []SearchKey{first}}
	for s.ok() {
		and.Kids = append(and.Kids, s.searchKey(q))
		if !more() {
			break
		}
	}
	return and
}

func (s *Scanner) searchKey(q *Search) SearchKey {
	if !s.enter() {
		return SearchKey{}
	}
	defer s.leave()
	if q.keys++; q.keys > maxKeys {
		s.Fail("too many search keys")
		return SearchKey{}
	}
	if s.Take('(') {
		k := s.searchKeys(q, func() bool {
			if !s.Peek(' ') {
				return false
			}
			s.SP()
			return !s.Peek(')')
		})
		s.Need(')')
		return k
	}
	if c := s.peek(); c >= '0' && c <= '9' || c == '*' || c == '$' {
		q.Numbered = q.Numbered || c != '$'
		q.Saved = q.Saved || c == '$'
		return SearchKey{Op: SearchSeq, Set: s.NumSet()}
	}
	word := s.Word()
	if k, ok := searchPlain[word]; ok {
		return k
	}
	if a, ok := searchArg[word]; ok {
		k := SearchKey{Op: a.op}
		if a.op == SearchHeader {
			k.Field = word
		}
		s.SP()
		a.arg(s, &k)
		q.Saved = q.Saved || k.Set.Saved
		return k
	}
	switch word {
	case "NOT":
		s.SP()
		return not(s.searchKey(q))
	case "FUZZY":
		s.SP()
		q.Fuzzy = true
		return SearchKey{Op: SearchFuzzy, Kids: []SearchKey{s.searchKey(q)}}
	case "OR":
		s.SP()
		a := s.searchKey(q)
		s.SP()
		return SearchKey{Op: SearchOr, Kids: []SearchKey{a, s.searchKey(q)}}
	case "UNKEYWORD":
		s.SP()
		return not(SearchKey{Op: SearchFlag, Text: s.Atom()})
	case "HEADER":
		s.SP()
		k := SearchKey{Op: SearchHeader, Field: strings.ToUpper(string(s.Astring()))}
		s.SP()
		k.Text = string(s.Astring())
		return k
	case "MODSEQ":
		s.SP()
		if s.Peek('"') {
			// RFC 7162 section 3.1.5: an entry name and type may come first;
			// flags share one MODSEQ here, so they change nothing.
			s.Octets()
			s.SP()
			switch s.Word() {
			case "ALL", "PRIV", "SHARED":
			default:
				s.Fail("malformed MODSEQ search key")
			}
			s.SP()
		}
		q.ModSeq = true
		return SearchKey{Op: SearchModSeq, Number: s.Number64()}
	}
	s.Fail("unknown search key")
	return SearchKey{}
}
