package imap

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/htmlindex"

	"altmail.se/altmail/frontend/fulltext"
	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// verdict is what a search key says of a message.
type verdict uint8

const (
	never verdict = iota
	maybe
	yes
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return never
}

// cost orders search keys by how deep they have to look.
type cost uint8

const (
	costNone    cost = iota // the UID alone
	costRow                 // flags, dates, sizes
	costSummary             // usual header fields
	costHeader              // any header field
	costBody
)

// candidate is a message in question. Keys answer maybe for what they cannot
// tell yet: without o only the row is known, and the octets are only read when
// deep is set.
type candidate struct {
	ctx        context.Context
	row        *mailstore.Message
	recentFrom mailstore.UID
	o          *octets
	deep       bool
	err        error
}

// matcher is a search key made ready.
type matcher struct {
	op      imapwire.SearchOp
	cost    cost
	kids    []*matcher
	ranges  []mailstore.Range
	flag    mailstore.Flags
	keyword string
	text    string
	n       uint64
	day     int
	since   time.Time
	field   []string
	needle  fulltext.Needle
	found   atomic.Pointer[lookup.Found] // what the index knows of it; nil: nothing
}

// compile makes a search of a mailbox ready: numbers become UIDs, texts are
// decoded.
func (c *call) compile(q *imapwire.Search, b *view) (*matcher, error) {
	c.scorers = nil
	decode := func(s string) (string, error) {
		if !utf8.ValidString(s) {
			return "", &imapwire.SyntaxError{Text: "Text is not in the charset of the search"}
		}
		return s, nil
	}
	switch q.Charset {
	case "", "UTF-8", "US-ASCII":
	default:
		enc, err := htmlindex.Get(q.Charset)
		if err != nil {
			// RFC 9051 section 6.4.4.
			return nil, no("BADCHARSET (US-ASCII UTF-8)", "Charset is not known")
		}
		decode = func(s string) (string, error) { return enc.NewDecoder().String(s) }
	}
	return c.compileKey(&q.Key, b, decode, time.Now())
}

func (c *call) compileKey(k *imapwire.SearchKey, b *view, decode func(string) (string, error), now time.Time) (*matcher, error) {
	if k.Op == imapwire.SearchFuzzy {
		return c.compileFuzzy(&k.Kids[0], b, decode, now)
	}
	m := &matcher{op: k.Op, cost: costRow}
	for i := range k.Kids {
		kid, err := c.compileKey(&k.Kids[i], b, decode, now)
		if err != nil {
			return nil, err
		}
		m.kids = append(m.kids, kid)
	}
	var err error
	switch k.Op {
	case imapwire.SearchAll:
		m.cost = costNone
	case imapwire.SearchAnd, imapwire.SearchOr, imapwire.SearchNot:
		m.cost = costNone
		for _, kid := range m.kids {
			m.cost = max(m.cost, kid.cost)
		}
		slices.SortStableFunc(m.kids, func(a, b *matcher) int { return cmp.Compare(a.cost, b.cost) })
	case imapwire.SearchSeq, imapwire.SearchUID:
		m.cost = costNone
		m.ranges = b.searchSet(k)
	case imapwire.SearchFlag:
		if !strings.HasPrefix(k.Text, `\`) {
			m.keyword = k.Text
			break
		}
		for _, sys := range systemFlags {
			if sys.name == k.Text {
				m.flag = sys.bit
			}
		}
	case imapwire.SearchBefore, imapwire.SearchOn, imapwire.SearchSince,
		imapwire.SearchSavedBefore, imapwire.SearchSavedOn, imapwire.SearchSavedSince:
		m.day = dayOf(k.Time)
	case imapwire.SearchSentBefore, imapwire.SearchSentOn, imapwire.SearchSentSince:
		m.cost, m.day = costSummary, dayOf(k.Time)
	case imapwire.SearchYounger, imapwire.SearchOlder:
		m.since = now.Add(-time.Duration(k.Number) * time.Second)
	case imapwire.SearchLarger, imapwire.SearchSmaller, imapwire.SearchModSeq:
		m.n = k.Number
	case imapwire.SearchEmailID, imapwire.SearchThreadID:
		m.text = k.Text
	case imapwire.SearchHeader:
		m.cost, m.field = costHeader, []string{k.Field}
		m.needle, err = newNeedle(k.Text, decode)
	case imapwire.SearchBody, imapwire.SearchText:
		m.cost = costBody
		m.needle, err = newNeedle(k.Text, decode)
		if m.needle.Empty() {
			m.op, m.cost = imapwire.SearchAll, costNone
		}
	}
	return m, err
}

// searchSet turns a set in a search into UIDs. Numbers without a message match
// nothing.
func (b *view) searchSet(k *imapwire.SearchKey) []mailstore.Range {
	if k.Set.Saved {
		return b.known(b.saved)
	}
	if k.Op == imapwire.SearchUID {
		return b.pickUIDs(k.Set)
	}
	var rs []mailstore.Range
	for _, r := range k.Set.Resolve(b.list.n) {
		if r.First <= b.list.n {
			rs = append(rs, mailstore.Range{First: b.list.at(r.First), Last: b.list.at(min(r.Last, b.list.n))})
		}
	}
	return rs
}

// narrow returns ranges outside of which nothing matches, if the search names
// any.
func (m *matcher) narrow() ([]mailstore.Range, bool) {
	switch m.op {
	case imapwire.SearchSeq, imapwire.SearchUID:
		return m.ranges, true
	case imapwire.SearchAnd:
		for _, k := range m.kids {
			if rs, ok := k.narrow(); ok {
				return rs, true
			}
		}
	}
	return nil, false
}

// dayOf is a date as a number that compares like it, in its own zone (RFC 9051
// section 6.4.4: disregarding time and zone).
func dayOf(t time.Time) int {
	y, mo, d := t.Date()
	return y*10000 + int(mo)*100 + d
}

func (m *matcher) eval(c *candidate) verdict {
	switch m.op {
	case imapwire.SearchAll, imapwire.SearchSaveDateSupported:
		return yes
	case imapwire.SearchAnd:
		all := yes
		for _, k := range m.kids {
			if all = min(all, k.eval(c)); all == never {
				break
			}
		}
		return all
	case imapwire.SearchOr:
		any := never
		for _, k := range m.kids {
			if any = max(any, k.eval(c)); any == yes {
				break
			}
		}
		return any
	case imapwire.SearchNot:
		return yes - m.kids[0].eval(c)
	case imapwire.SearchSeq, imapwire.SearchUID:
		return verdictOf(inRanges(m.ranges, c.row.UID))
	}
	if m.cost >= costSummary {
		return m.evalContent(c)
	}
	return verdictOf(m.evalRow(c))
}

func (m *matcher) evalRow(c *candidate) bool {
	row := c.row
	switch m.op {
	case imapwire.SearchFlag:
		if m.keyword == "" {
			return row.Flags&m.flag != 0
		}
		for _, k := range row.Keywords {
			if strings.EqualFold(k, m.keyword) {
				return true
			}
		}
		return false
	case imapwire.SearchRecent:
		return row.UID >= c.recentFrom
	case imapwire.SearchBefore:
		return dayOf(row.InternalDate) < m.day
	case imapwire.SearchOn:
		return dayOf(row.InternalDate) == m.day
	case imapwire.SearchSince:
		return dayOf(row.InternalDate) >= m.day
	case imapwire.SearchSavedBefore:
		return dayOf(row.SaveDate) < m.day
	case imapwire.SearchSavedOn:
		return dayOf(row.SaveDate) == m.day
	case imapwire.SearchSavedSince:
		return dayOf(row.SaveDate) >= m.day
	case imapwire.SearchYounger:
		return !row.InternalDate.Before(m.since)
	case imapwire.SearchOlder:
		return !row.InternalDate.After(m.since)
	case imapwire.SearchLarger:
		return uint64(row.Size) > m.n
	case imapwire.SearchSmaller:
		return uint64(row.Size) < m.n
	case imapwire.SearchModSeq:
		return uint64(row.ModSeq) >= m.n
	case imapwire.SearchEmailID:
		return row.Content.EmailID() == m.text
	case imapwire.SearchThreadID:
		return row.Thread.ThreadID() == m.text
	}
	return false
}

func (m *matcher) evalContent(c *candidate) verdict {
	if f := m.found.Load(); f != nil {
		if hit, known := f.Verdict(c.row.Content); known {
			return verdictOf(hit)
		}
	}
	if c.o == nil {
		return maybe
	}
	if c.err != nil {
		return never
	}
	switch m.op {
	case imapwire.SearchSentBefore, imapwire.SearchSentOn, imapwire.SearchSentSince:
		return m.sent(c)
	case imapwire.SearchHeader:
		return m.header(c)
	}
	if !c.deep {
		return maybe
	}
	zone := fulltext.Body
	if m.op == imapwire.SearchText {
		zone = fulltext.Header
	}
	found, err := m.needle.InMessage(c.ctx, c.o, zone)
	if err != nil {
		c.err = err
		return never
	}
	return verdictOf(found)
}

func (m *matcher) sent(c *candidate) verdict {
	date, ok := c.o.sum.Value("Date")
	if !ok {
		if !c.deep {
			return maybe
		}
		h, err := c.o.header()
		if err != nil {
			c.err = err
			return never
		}
		date = message.Lookup(h, "Date")
	}
	t, ok := message.ParseDate(date)
	if !ok {
		t = c.row.InternalDate // RFC 5256 section 2.2
	}
	day := dayOf(t)
	switch m.op {
	case imapwire.SearchSentBefore:
		return verdictOf(day < m.day)
	case imapwire.SearchSentOn:
		return verdictOf(day == m.day)
	}
	return verdictOf(day >= m.day)
}

func (m *matcher) header(c *candidate) verdict {
	if m.needle.InField(c.o.content.Prefix, m.field[0]) {
		return yes
	}
	room := summaryRooms.Get().(*[]byte)
	defer summaryRooms.Put(room)
	if block, ok := c.o.sum.AppendFields((*room)[:0], m.field); ok {
		return verdictOf(m.needle.InField(block, m.field[0]))
	}
	if !c.deep {
		return maybe
	}
	h, err := c.o.header()
	if err != nil {
		c.err = err
		return never
	}
	return verdictOf(m.needle.InField(h, m.field[0]))
}

// summaryRooms are what fields of summaries are read into.
var summaryRooms = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

func newNeedle(s string, decode func(string) (string, error)) (fulltext.Needle, error) {
	s, err := decode(s)
	if err != nil {
		return fulltext.Needle{}, &imapwire.SyntaxError{Text: "Text is not in the charset of the search"}
	}
	return fulltext.NewNeedle(s), nil
}
