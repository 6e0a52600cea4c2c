package imap

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/storetest"
)

// failer is of testing.T and rapid.T.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// mirror is a client that keeps a copy of a mailbox and follows RFC 7162
// section 6 to the letter: what it is not told it does not know.
type mirror struct {
	t        failer
	validity string
	modseq   uint64
	flags    map[uint32]string // by UID

	c      *client  // nil while it is away
	order  []uint32 // by sequence number
	exists int
	stored func(string) string // what a STORE with .SILENT does to flags
}

func (m *mirror) clone() *mirror {
	n := *m
	n.flags, n.c, n.order = maps.Clone(m.flags), nil, nil
	return &n
}

// took works off the responses of a command that ended well or not.
func (m *mirror) took(lines []string, tagged string) {
	m.t.Helper()
	var shown, code uint64
	for _, l := range append(lines, "* "+tagged) {
		if _, rest, ok := strings.Cut(l, "[HIGHESTMODSEQ "); ok {
			code = number(m.t, rest[:strings.IndexByte(rest, ']')])
		}
		f := strings.Fields(l)
		switch {
		case f[1] == "OK" || f[1] == "NO":
		case len(f) > 2 && f[2] == "EXPUNGE":
			m.t.Fatalf("%s in a session with QRESYNC", l)
		case f[1] == "VANISHED" && f[2] == "(EARLIER)":
			for _, u := range set(m.t, f[3]) {
				if slices.Contains(m.order, u) {
					m.t.Fatalf("%s, but it is there: %d", l, m.order)
				}
				delete(m.flags, u)
			}
		case f[1] == "VANISHED":
			for _, u := range set(m.t, f[2]) {
				for len(m.order) < m.exists {
					m.order = append(m.order, 0)
				}
				i := slices.Index(m.order, u)
				if i < 0 {
					i = slices.Index(m.order, 0) // one it did not get to know
				}
				if i < 0 {
					m.t.Fatalf("%s, but there are %d", l, m.order)
				}
				m.order = slices.Delete(m.order, i, i+1)
				m.exists--
				delete(m.flags, u)
			}
		case len(f) > 2 && f[2] == "EXISTS":
			if n := int(number(m.t, f[1])); n >= m.exists {
				m.exists = n
			} else {
				m.t.Fatalf("%s after %d", l, m.exists)
			}
		case len(f) > 2 && f[2] == "FETCH":
			shown = max(shown, m.fetched(l, int(number(m.t, f[1]))))
		}
	}
	if code != 0 {
		m.modseq = code
	} else if shown > m.modseq {
		m.modseq = shown
	}
}

// fetched takes a FETCH response and returns its MODSEQ.
func (m *mirror) fetched(l string, seq int) uint64 {
	m.t.Helper()
	uid := uint32(number(m.t, field(l, "UID ", " )")))
	if seq > m.exists || seq < 1 {
		m.t.Fatalf("%s, but there are %d messages", l, m.exists)
	}
	for len(m.order) < m.exists {
		m.order = append(m.order, 0)
	}
	if old := m.order[seq-1]; old != 0 && old != uid {
		m.t.Fatalf("%s, but that number is of UID %d", l, old)
	}
	told := strings.Contains(l, "FLAGS (")
	if _, known := m.flags[uid]; known || told {
		m.order[seq-1] = uid // else news asks for it
	}
	if told {
		words := strings.Fields(field(l, "FLAGS (", ")"))
		words = slices.DeleteFunc(words, func(w string) bool { return w == `\Recent` })
		slices.Sort(words)
		m.flags[uid] = strings.Join(words, " ")
	} else if old, known := m.flags[uid]; known && m.stored != nil {
		m.flags[uid] = m.stored(old)
	}
	return number(m.t, field(l, "MODSEQ (", ")"))
}

func field(l, before, ends string) string {
	_, rest, _ := strings.Cut(l, before)
	if i := strings.IndexAny(rest, ends); i >= 0 {
		rest = rest[:i]
	}
	return rest
}

func number(t failer, s string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func set(t failer, s string) (out []uint32) {
	t.Helper()
	for _, r := range strings.Split(s, ",") {
		a, b, ok := strings.Cut(r, ":")
		if !ok {
			b = a
		}
		for u := number(t, a); u <= number(t, b); u++ {
			out = append(out, uint32(u))
		}
	}
	return out
}

func (m *mirror) do(cmd string) {
	m.t.Helper()
	lines, tagged := m.c.do(cmd)
	if strings.HasPrefix(tagged, "BAD") {
		m.t.Fatalf("%s: %s", cmd, tagged)
	}
	m.took(lines, tagged)
	m.news()
}

// news fetches what EXISTS announced: nothing of it is known yet.
func (m *mirror) news() {
	m.t.Helper()
	for len(m.order) < m.exists {
		m.order = append(m.order, 0)
	}
	if i := slices.Index(m.order, 0); i >= 0 {
		lines, tagged := m.c.do(fmt.Sprintf("FETCH %d:%d (UID FLAGS MODSEQ)", i+1, m.exists))
		m.took(lines, tagged)
	}
}

// open comes back. form chooses how much the client says of what it knows.
func (m *mirror) open(k *kit, box, verb string, form int) {
	m.t.Helper()
	m.c = k.login("alice")
	m.c.ok("ENABLE QRESYNC")
	m.exists, m.order = 0, nil
	param := ""
	known := slices.Sorted(maps.Keys(m.flags))
	if m.modseq > 0 {
		param = fmt.Sprintf(" (QRESYNC (%s %d", m.validity, m.modseq)
		if form&1 != 0 && len(known) > 0 {
			param += " " + wireSet(known)
		}
		if form&2 != 0 && len(known) > 0 {
			var seqs, uids []uint32
			for i := 0; i < len(known); i += 1 + form>>2 {
				seqs, uids = append(seqs, uint32(i+1)), append(uids, known[i])
			}
			param += " (" + wireSet(seqs) + " " + wireSet(uids) + ")"
		}
		param += "))"
	}
	lines, tagged := m.c.do(verb + " " + box + param)
	if !strings.HasPrefix(tagged, "OK") {
		m.t.Fatalf("%s%s: %s", verb, param, tagged)
	}
	for _, l := range lines {
		if strings.Contains(l, "[UIDVALIDITY ") {
			v := field(l, "UIDVALIDITY ", "]")
			if m.validity != "" && v != m.validity {
				m.t.Fatal("UIDVALIDITY changed")
			}
			m.validity = v
		}
	}
	m.took(lines, tagged)
	// What is old is known now; the rest has greater UIDs (section 6, d 2).
	for len(m.order) < m.exists {
		m.order = append(m.order, 0)
	}
	lines, tagged = m.c.do("UID SEARCH ALL")
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, "* SEARCH"); ok {
			for i, f := range strings.Fields(rest) {
				m.order[i] = uint32(number(m.t, f))
			}
		}
	}
	m.took(nil, tagged)
	for i, u := range m.order {
		if _, ok := m.flags[u]; !ok && u != 0 {
			if i > 0 && len(known) > 0 && u < known[len(known)-1] {
				m.t.Fatalf("UID %d is new, but the client knew %d", u, known)
			}
			lines, tagged := m.c.do(fmt.Sprintf("UID FETCH %d (FLAGS MODSEQ)", u))
			m.took(lines, tagged)
		}
	}
}

// stored returns what flags are after a STORE.
func stored(old, how, by string) string {
	had, args := strings.Fields(old), strings.Fields(by)
	var now []string
	switch how[0] {
	case '+':
		now = append(had, args...)
	case '-':
		now = slices.DeleteFunc(had, func(f string) bool { return slices.Contains(args, f) })
	default:
		now = args
	}
	slices.Sort(now)
	return strings.Join(slices.Compact(now), " ")
}

func (m *mirror) leave() {
	m.c.conn.Close()
	m.c, m.order, m.exists = nil, nil, 0
}

func wireSet(ns []uint32) string {
	var b imapwire.SetBuilder
	for _, n := range ns {
		b.Add(n)
	}
	return string(imapwire.AppendSet(nil, b.Ranges))
}

// truth is what a client without a past sees.
func truth(t failer, k *kit, box string) map[uint32]string {
	m := &mirror{t: t, flags: map[uint32]string{}}
	m.c = k.login("alice")
	defer m.c.conn.Close()
	m.c.ok("ENABLE CONDSTORE")
	lines, tagged := m.c.do("EXAMINE " + box)
	m.took(lines, tagged)
	if m.exists > 0 {
		lines, tagged = m.c.do("UID FETCH 1:* (FLAGS MODSEQ)")
		m.took(lines, tagged)
	}
	return m.flags
}

// TestMirrors: clients that come and go, from any earlier state of theirs, end
// up with what is there, whatever the others did in between.
func TestMirrors(t *testing.T) {
	k := newKit(t, nil)
	box := 0
	raw := "Subject: x\r\n\r\nx\r\n"
	rapid.Check(t, func(rt *rapid.T) {
		box++
		name := fmt.Sprintf("box%d", box)
		w := k.login("alice")
		defer w.conn.Close()
		w.ok("CREATE " + name)
		w.ok("SELECT " + name)
		live := []*mirror{{t: rt, flags: map[uint32]string{}}, {t: rt, flags: map[uint32]string{}}}
		defer func() {
			for _, m := range live {
				if m.c != nil {
					m.leave()
				}
			}
		}()
		var past []*mirror
		uid := func() string {
			a, b := rapid.IntRange(1, 14).Draw(rt, "a"), rapid.IntRange(1, 14).Draw(rt, "b")
			return fmt.Sprintf("%d:%d", a, b)
		}
		flags := func() string {
			return rapid.SampledFrom([]string{`\Seen`, `\Deleted`, `\Flagged \Deleted`, "", "k1", `k1 k2 \Draft`}).Draw(rt, "flags")
		}
		mode := func() string {
			return rapid.SampledFrom([]string{"+FLAGS", "-FLAGS", "FLAGS", "+FLAGS.SILENT", "-FLAGS.SILENT"}).Draw(rt, "mode")
		}
		for range rapid.IntRange(5, 25).Draw(rt, "steps") {
			m := live[rapid.IntRange(0, 1).Draw(rt, "mirror")]
			switch op := rapid.IntRange(0, 13).Draw(rt, "op"); {
			case op < 3:
				w.ok(fmt.Sprintf("APPEND %s (%s) {%d+}\r\n%s", name, flags(), len(raw), raw))
			case op < 5:
				w.ok("UID STORE " + uid() + " " + mode() + " (" + flags() + ")")
			case op == 5:
				w.ok("UID EXPUNGE " + uid())
			case op == 6:
				w.ok("UID MOVE " + uid() + " " + rapid.SampledFrom([]string{name, "Trash"}).Draw(rt, "to"))
			case op == 7:
				w.ok("UID COPY " + uid() + " " + name)
			case op < 10 && m.c == nil:
				m.open(k, name, "SELECT", rapid.IntRange(0, 11).Draw(rt, "form"))
				past = append(past, m.clone())
			case m.c == nil:
			case op == 8:
				m.leave()
			case op == 9:
				how, by := mode(), flags()
				if strings.HasSuffix(how, ".SILENT") {
					m.stored = func(old string) string { return stored(old, how, by) }
				}
				m.do("UID STORE " + uid() + " " + how + " (" + by + ")")
				m.stored = nil
			case op == 10:
				cmd := rapid.SampledFrom([]string{"NOOP", "CHECK", "EXPUNGE", "UID FETCH 1:* (FLAGS MODSEQ)", "SEARCH ALL"}).Draw(rt, "cmd")
				m.do(cmd)
			case op == 11 && m.exists > 0:
				m.do(fmt.Sprintf("FETCH %d (UID FLAGS MODSEQ)", 1+rapid.IntRange(0, m.exists-1).Draw(rt, "seq")))
			case op == 12:
				m.do(fmt.Sprintf("UID FETCH 1:* (FLAGS) (CHANGEDSINCE %d VANISHED)", max(m.modseq, 1)))
			case op == 13:
				past = append(past, m.clone())
			}
			if rapid.IntRange(0, 5).Draw(rt, "compare") == 0 && m.c != nil {
				m.do("NOOP")
				if want := truth(rt, k, name); fmt.Sprint(m.flags) != fmt.Sprint(want) {
					rt.Fatalf("in its session a client knows %v, but there is %v", m.flags, want)
				}
			}
		}
		want := truth(rt, k, name)
		for i, m := range append(past, live...) {
			m = m.clone()
			from := fmt.Sprint(m.modseq, m.flags)
			m.open(k, name, rapid.SampledFrom([]string{"SELECT", "EXAMINE"}).Draw(rt, "verb"), rapid.IntRange(0, 11).Draw(rt, "form"))
			m.leave()
			if fmt.Sprint(m.flags) != fmt.Sprint(want) {
				rt.Fatalf("client %d came from %s to %v, but there is %v", i, from, m.flags, want)
			}
		}
		w.ok("UNSELECT")
		w.ok("DELETE " + name)
	})
}

// TestExchangedState: after the whole state of a group was exchanged a session
// goes by the messages that are there (R20).
func TestExchangedState(t *testing.T) {
	list := func(uids ...mailstore.UID) uidList { return newUIDList(uids) }
	for _, c := range []struct {
		b    view
		uids []mailstore.UID
		next mailstore.UID
		miss string
		ok   bool
	}{
		{view{list: list(1, 2, 5), next: 6}, []mailstore.UID{1, 2, 5}, 6, "[]", true},
		{view{list: list(1, 2, 5), next: 6}, []mailstore.UID{2, 6, 9}, 10, "[{1 1} {5 5}]", true},
		{view{list: list(1, 2, 5), next: 6}, nil, 6, "[{1 2} {5 5}]", true},
		{view{next: 1}, nil, 1, "[]", true},
		{view{next: 1}, []mailstore.UID{1, 4}, 5, "[]", true},
		{view{list: list(1, 5), next: 6}, []mailstore.UID{1, 3, 5}, 6, "[]", false},
		{view{list: list(1, 2), next: 6}, []mailstore.UID{1, 2, 5}, 6, "[]", false},
		{view{list: list(1, 2), next: 6}, []mailstore.UID{1, 2}, 5, "[]", false},
		{view{list: list(1, 2), gone: []mailstore.UID{2}, next: 6}, []mailstore.UID{1, 2}, 6, "[]", false},
		{view{list: list(1, 2), gone: []mailstore.UID{2}, next: 6}, []mailstore.UID{1}, 6, "[{2 2}]", true},
	} {
		miss, ok := c.b.replaced(c.uids, c.next)
		if ok != c.ok || ok && fmt.Sprint(miss) != c.miss {
			t.Errorf("%v, %v up to %d: %v %v", c.b.list, c.uids, c.next, miss, ok)
		}
	}
	k := newKit(t, nil)
	for range 3 {
		k.deliver("INBOX", "Subject: x\r\n\r\nx\r\n")
	}
	a, b := k.login("alice"), k.login("alice")
	a.ok("ENABLE QRESYNC")
	a.ok("SELECT INBOX")
	b.ok("SELECT INBOX")
	b.ok("STORE 2 +FLAGS.SILENT \\Deleted")
	a.ok("NOOP")
	b.ok("EXPUNGE")
	k.deliver("INBOX", "Subject: x\r\n\r\nx\r\n")
	// Resets come for other groups, and for this one again and again.
	for g := range cluster.GroupID(4) {
		k.stack.Feed.Publish([]mailstore.Event{{Group: g, Reset: true}})
		k.stack.Feed.Publish([]mailstore.Event{{Group: g, Reset: true}})
	}
	if got := strings.Join(a.ok("NOOP"), "\n"); !strings.Contains(got, "* 4 EXISTS\n* 4 RECENT\n* VANISHED 2") {
		t.Errorf("after a reset: %s", got)
	}
	for g := range cluster.GroupID(4) {
		k.stack.Feed.Publish([]mailstore.Event{{Group: g, Reset: true}})
	}
	if got := a.ok("NOOP"); len(got) != 0 {
		t.Errorf("a reset without a change: %q", got)
	}
}

// TestSilentRace: what another client did right before or after a STORE with
// .SILENT is told all the same, or a client that goes by MODSEQ never hears of
// it.
func TestSilentRace(t *testing.T) {
	k := newKit(t, nil)
	k.deliver("INBOX", "Subject: x\r\n\r\nx\r\n")
	a, b := k.login("alice"), k.login("alice")
	a.ok("ENABLE QRESYNC")
	a.ok("SELECT INBOX")
	b.ok("SELECT INBOX")
	each := func(set func(*storetest.Group)) {
		for g := cluster.GroupID(1); g <= storetest.MailGroups; g++ {
			set(k.stack.Solo(g))
		}
	}
	if got := a.ok(`STORE 1 +FLAGS.SILENT \Seen`); len(got) != 1 || strings.Contains(got[0], "FLAGS") {
		t.Errorf("alone: %q", got)
	}
	// Once a STORE is on its way, another one overtakes it.
	var done atomic.Bool
	overtake := func(by string) func(cluster.Proposal) error {
		return func(cluster.Proposal) error {
			if !done.Swap(true) {
				b.ok(by)
			}
			return nil
		}
	}
	each(func(g *storetest.Group) { g.Before(overtake(`STORE 1 +FLAGS.SILENT \Flagged`)) })
	if got := strings.Join(a.ok(`STORE 1 +FLAGS.SILENT \Answered`), " "); !strings.Contains(got, `FLAGS (\Answered \Flagged \Seen`) {
		t.Errorf("after another's change: %s", got)
	}
	done.Store(false)
	each(func(g *storetest.Group) { g.Before(nil); g.After(overtake(`STORE 1 +FLAGS.SILENT \Draft`)) })
	if got := strings.Join(a.ok(`STORE 1 -FLAGS.SILENT \Answered`), " "); !strings.Contains(got, `FLAGS (\Flagged \Seen \Draft`) {
		t.Errorf("before another's change: %s", got)
	}
	each(func(g *storetest.Group) { g.After(nil) })
}

// TestStoreNews: what others did around a STORE is told with it.
func TestStoreNews(t *testing.T) {
	k := newKit(t, nil)
	for range 4 {
		k.deliver("INBOX", "Subject: x\r\n\r\nx\r\n")
	}
	a, b := k.login("alice"), k.login("alice")
	a.ok("SELECT INBOX")
	b.ok("SELECT INBOX")
	if got := strings.Join(a.ok(`STORE 2 +FLAGS (\Seen one)`), " "); !strings.Contains(got, `* 2 FETCH (FLAGS (\Seen one`) || !strings.Contains(got, `* FLAGS (`) {
		t.Errorf("alone: %s", got)
	}
	for name, around := range map[string]func(g *storetest.Group, fn func(cluster.Proposal) error){
		"before": func(g *storetest.Group, fn func(cluster.Proposal) error) { g.Before(fn) },
		"after":  func(g *storetest.Group, fn func(cluster.Proposal) error) { g.After(fn) },
	} {
		var done atomic.Bool
		each := func(fn func(cluster.Proposal) error) {
			for g := cluster.GroupID(1); g <= storetest.MailGroups; g++ {
				around(k.stack.Solo(g), fn)
			}
		}
		b.ok(`STORE 1:4 FLAGS ()`)
		a.ok("NOOP")
		each(func(cluster.Proposal) error {
			if !done.Swap(true) {
				b.ok(`STORE 1,3 FLAGS (\Flagged)`)
				b.ok(`STORE 2 +FLAGS (\Draft)`)
				k.deliver("INBOX", "Subject: y\r\n\r\ny\r\n")
			}
			return nil
		})
		got := strings.Join(a.ok(`STORE 2:3 +FLAGS (\Answered)`), " ")
		each(nil)
		got += strings.Join(a.ok("NOOP"), " ")
		for _, want := range []string{" EXISTS", `1 FETCH (FLAGS (\Flagged`, `2 FETCH (FLAGS (\Answered \Draft`, `3 FETCH (FLAGS (\Answered \Flagged`} {
			if !strings.Contains(got, want) && !(name == "after" && strings.HasPrefix(want, "3")) {
				t.Errorf("%s: no %q in %s", name, want, got)
			}
		}
	}
	if got := a.ok(`UID STORE 900:910 +FLAGS (\Seen)`); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
}

func TestIntersect(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		draw := func(name string) (in map[int]bool, rs []mailstore.Range) {
			in = map[int]bool{}
			for u := 1; u < 30; u++ {
				if rapid.Bool().Draw(rt, name) {
					in[u] = true
					rs = addUID(rs, mailstore.UID(u))
				}
			}
			return in, rs
		}
		a, ra := draw("a")
		b, rb := draw("b")
		got := intersect(ra, rb)
		for u := 1; u < 30; u++ {
			if inRanges(got, mailstore.UID(u)) != (a[u] && b[u]) {
				rt.Fatalf("%v and %v: %v", ra, rb, got)
			}
		}
	})
}

// Match data of any size ends where it stops to fit.
func TestMatched(t *testing.T) {
	b := view{list: newUIDList([]mailstore.UID{2, 3, 4, 8, 9, 20})}
	r := func(n ...uint32) (rs []imapwire.NumRange) {
		for i := 0; i < len(n); i += 2 {
			rs = append(rs, imapwire.NumRange{First: n[i], Last: n[i+1]})
		}
		return rs
	}
	for _, c := range []struct {
		seqs, uids []imapwire.NumRange
		want       mailstore.UID
	}{
		{nil, nil, 0},
		{r(1, 1), r(2, 2), 2},
		{r(1, 1), r(1, 1), 0},
		{r(1, 3), r(2, 4), 4},
		{r(1, 6), r(2, 4, 8, 9, 20, 20), 20},
		{r(1, 2, 4, 4, 6, 7), r(2, 3, 8, 8, 20, 21), 20},
		{r(1, 4294967295), r(1, 4294967295), 0},
		{r(1, 4294967295), r(2, 4294967295), 4},
		{r(4, 4, 6, 6), r(8, 8, 21, 21), 8},
		{r(7, 7), r(20, 20), 0},
		{r(4294967295, 4294967295), r(4294967295, 4294967295), 0},
	} {
		if got := b.matched(&imapwire.QResync{MatchSeqs: c.seqs, MatchUIDs: c.uids}); got != c.want {
			t.Errorf("%v %v: %d, want %d", c.seqs, c.uids, got, c.want)
		}
	}
}

// A log of many gaps goes into several lines, and nothing of it is lost.
func TestLongVanished(t *testing.T) {
	k := newKit(t, nil)
	c := k.login("alice")
	c.ok("ENABLE QRESYNC")
	const n = 1000
	one := " {14+}\r\nSubject: x\r\n\r\n"
	for range n / 50 {
		c.ok("APPEND INBOX" + strings.Repeat(one, 50))
	}
	sel := c.ok("SELECT INBOX")
	validity := ""
	for _, l := range sel {
		if strings.Contains(l, "UIDVALIDITY") {
			validity = field(l, "UIDVALIDITY ", "]")
		}
	}
	var odd []string
	for u := 1; u < n; u += 2 {
		odd = append(odd, strconv.Itoa(u))
	}
	c.ok("UID STORE " + strings.Join(odd, ",") + ` +FLAGS.SILENT \Deleted`)
	check := func(what, mark string, lines []string) {
		t.Helper()
		var got []uint32
		for _, l := range lines {
			if strings.HasPrefix(l, mark) {
				if len(l) > 8192 {
					t.Errorf("%s: a line of %d octets", what, len(l))
				}
				got = append(got, set(t, l[len(mark):])...)
			}
		}
		if len(got) != n/2 || got[0] != 1 || got[n/2-1] != n-1 {
			t.Errorf("%s: %d messages", what, len(got))
		}
	}
	check("EXPUNGE", "* VANISHED ", c.ok("EXPUNGE"))
	check("SELECT", "* VANISHED (EARLIER) ", c.ok("SELECT INBOX (QRESYNC ("+validity+" 1))"))
	check("UID FETCH", "* VANISHED (EARLIER) ", c.ok("UID FETCH 1:* UID (CHANGEDSINCE 1 VANISHED)"))
}

// BenchmarkResync10k comes back to a mailbox of 10,000 messages of which ten
// changed and ten vanished, and to all of it.
func BenchmarkResync10k(b *testing.B) {
	_, c := filled(b, 10000)
	c.ok("ENABLE QRESYNC")
	validity, modseq := "", ""
	for _, l := range c.ok("SELECT INBOX") {
		if strings.Contains(l, "[UIDVALIDITY ") {
			validity = field(l, "UIDVALIDITY ", "]")
		}
		if strings.Contains(l, "[HIGHESTMODSEQ ") {
			modseq = field(l, "HIGHESTMODSEQ ", "]")
		}
	}
	c.ok(`UID STORE 5000:5009 +FLAGS.SILENT \Flagged`)
	c.ok(`UID STORE 7000:7009 +FLAGS.SILENT \Deleted`)
	c.ok("EXPUNGE")
	for name, since := range map[string]string{"few": modseq, "all": "1"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c.send("s SELECT INBOX (QRESYNC (" + validity + " " + since + "))\r\n")
				c.drain("s")
			}
		})
	}
}
