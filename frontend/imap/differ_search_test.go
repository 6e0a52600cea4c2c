package imap

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"altmail.se/altmail/frontend/message"
)

// search compares what keys find, one by one and put together.
func (d *differ) search(g *hostile) {
	d.t.Helper()
	for _, flag := range []string{`\Seen`, `\Answered`, `\Flagged`, `\Draft`, "$Forwarded", "work"} {
		cmd := fmt.Sprintf("STORE %s +FLAGS.SILENT (%s)", g.set(len(d.raw)), flag)
		d.ours.ok(cmd)
		d.theirs.ok(cmd)
	}
	var equal []string // keys of which both find the same
	for range 40 + min(len(d.raw), 400) {
		key := d.key(g)
		a, b := d.found(d.ours, key), d.found(d.theirs, key)
		agree := true
		for n := range d.raw {
			if a[n+1] == b[n+1] {
				continue
			}
			agree = false
			yes := func(ok bool) *datum { return &datum{kind: datumAtom, text: strconv.FormatBool(ok)} }
			d.judge(&difference{seq: n + 1, raw: d.raw[n], index: message.Parse(d.raw[n]), att: key, item: "search", a: yes(a[n+1]), b: yes(b[n+1])})
			d.enough()
		}
		if agree {
			equal = append(equal, key)
		}
	}
	for range 200 {
		one := func() string { return equal[g.IntN(len(equal))] }
		key := g.one("NOT "+one(), one()+" "+one(), "OR "+one()+" "+one(), "OR (NOT "+one()+") ("+one()+" "+one()+")", "NOT ("+one()+" "+one()+")", "NOT NOT "+one(), "("+one()+") ALL")
		a, b := d.found(d.ours, key), d.found(d.theirs, key)
		for n := range d.raw {
			if a[n+1] != b[n+1] {
				d.failed++
				d.t.Errorf("SEARCH %q: %d: %v here", key, n+1, a[n+1])
				break
			}
		}
		d.enough()
	}
}

// found returns which messages a search finds.
func (d *differ) found(c *client, key string) map[int]bool {
	d.t.Helper()
	got := map[int]bool{}
	for _, l := range c.ok("SEARCH CHARSET UTF-8 " + key) {
		rest, ok := strings.CutPrefix(l, "* SEARCH")
		if !ok {
			continue
		}
		for _, w := range strings.Fields(rest) {
			n, err := strconv.Atoi(w)
			if err != nil {
				d.t.Fatal(l)
			}
			got[n] = true
		}
	}
	return got
}

func (g *hostile) set(n int) string {
	a, b := 1+g.IntN(n), 1+g.IntN(n)
	return g.one(fmt.Sprintf("%d:%d", a, b), fmt.Sprintf("%d,%d", a, b), fmt.Sprintf("%d:*", a), fmt.Sprintf("1:%d", b))
}

// key makes a search key.
func (d *differ) key(g *hostile) string {
	day := func() string {
		return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, g.IntN(430)).Format("2-Jan-2006")
	}
	switch g.IntN(10) {
	case 0:
		return g.one("SEEN", "UNSEEN", "ANSWERED", "UNANSWERED", "FLAGGED", "UNFLAGGED", "DRAFT", "UNDRAFT", "DELETED", "UNDELETED", "ALL", "KEYWORD work", "UNKEYWORD work", "KEYWORD $Forwarded", "KEYWORD none", "UNKEYWORD none")
	case 1:
		return g.one("LARGER ", "SMALLER ") + strconv.Itoa(g.IntN(3000))
	case 2:
		return g.one("UID ", "") + g.set(len(d.raw))
	case 3:
		return g.one("BEFORE ", "ON ", "SINCE ") + g.one("1-Jan-2021", "17-Feb-2021", "1-Mar-2021", "2-Mar-2021", "1-Jan-2022", day())
	case 4:
		return g.one("SENTBEFORE ", "SENTON ", "SENTSINCE ") + g.one(day(), day(), "23-Nov-2026", "1-Jan-1970", "6-Nov-1994")
	case 5:
		return g.one("OLDER ", "YOUNGER ") + strconv.Itoa(int(time.Since(time.Date(2021, 2, 1, 0, 0, 0, 0, time.UTC)).Seconds())+g.IntN(2000000))
	}
	needle := d.needle(g)
	lit := fmt.Sprintf("{%d+}\r\n%s", len(needle), needle)
	return g.one("FROM ", "TO ", "CC ", "BCC ", "SUBJECT ", "SUBJECT ", "TEXT ", "TEXT ", "BODY ", "BODY ",
		"HEADER X-A-B ", "HEADER Message-ID ", "HEADER Content-Type ", "HEADER Received ", "HEADER subject ", "HEADER References ") + lit
}

// needle is a text to look for: a word of the messages or a piece of one.
func (d *differ) needle(g *hostile) string {
	switch g.IntN(4) {
	case 0:
		return g.word()
	case 1:
		return g.one("grüße", "GRÜSSE", "äpfel", "example.org", "fred", "FRED", "", "a", "@", "re:", "ab c d", "quick brown", "e\u0301", "é", "fish", "a, b", "=?utf-8", "a_b", "a b", "<a@b>", "html", "<p>", "preamble", "epilogue", "signature", "utf-8", "my file.txt", "Привет", "日本", "漢字")
	}
	for range 20 {
		raw := d.raw[g.IntN(len(d.raw))]
		at := g.IntN(len(raw))
		line, _, _ := strings.Cut(string(raw[at:]), "\r")
		for n := min(len(line), 3+g.IntN(9)); n > 0; n-- {
			if s := line[:n]; utf8.ValidString(s) && s == strings.TrimSpace(s) && !strings.ContainsAny(s, "\r\n\x00") {
				return s
			}
		}
	}
	return "supper"
}

// searchOf returns the name of a key and its text.
func searchOf(key string) (name, text string) {
	name, text, _ = strings.Cut(key, "+}\r\n")
	name, _, _ = strings.Cut(name, "{")
	return strings.TrimSpace(name), text
}

func searchItem(x *difference, names ...string) bool {
	if x.item != "search" {
		return false
	}
	name, _ := searchOf(x.att)
	return slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(name, n) })
}
