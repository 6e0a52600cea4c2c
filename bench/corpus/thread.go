package corpus

import (
	"bytes"
	"fmt"
	"strings"
)

// Threads live in blocks of consecutive messages and are mingled in them, so
// that a message's place in its thread is found by looking at its block alone.
const (
	block   = 64
	threads = 12 // in a block; some are long, some are one post
)

// thread tells which thread a message belongs to.
func (c *Corpus) thread(i int) int {
	r := c.rng(i, 10)
	// The lower of two makes the first threads longer.
	return i/block*threads + min(r.n(threads), r.n(threads))
}

// parent is the message that i answers, or -1 when it begins a thread.
func (c *Corpus) parent(i int) int {
	t := c.thread(i)
	var before [block]int
	n := 0
	for k := i / block * block; k < i; k++ {
		if c.thread(k) == t {
			before[n] = k
			n++
		}
	}
	if n == 0 {
		return -1
	}
	// Mostly the newest are answered.
	r := c.rng(i, 11)
	return before[max(0, n-1-r.n(3))]
}

// listOf gives a thread its list, its language and its subject.
func (c *Corpus) listOf(t int) (address string, v *vocab, subj string) {
	r := rng(mix(c.seed ^ mix(uint64(t)+0x7468)))
	l := r.n(24) // so many lists there are
	lr := rng(mix(c.seed ^ mix(uint64(l)+0x6c69)))
	v = language(&lr)
	word := ascii(v.words[100+lr.n(1000)])
	return word + "@lists." + v.asciiHosts()[0], v, "[" + word + "] " + subject(&r, v)
}

// post is a message of the list mix.
func (c *Corpus) post(i int) []byte {
	list, v, subj := c.listOf(c.thread(i))
	r := c.rng(i, 0)
	d := dress(&r, v)
	if d.cte != "8bit" && d.cte != "7bit" {
		// Quotations are of plain text.
		d = body{utf8Plain, "UTF-8", "8bit"}
	}
	e := &envelope{
		id: c.messageID(i, v), date: sentAt(c.seed, i), from: c.author(i, v),
		to: []person{{listName(list), list}}, subject: subj, list: list,
	}
	parent := c.parent(i)
	if parent >= 0 {
		e.inReplyTo = c.messageID(parent, v)
		for p := parent; p >= 0 && len(e.references) < 12; p = c.parent(p) {
			e.references = append([]string{c.messageID(p, v)}, e.references...)
		}
		e.subject = "Re: " + subj
		e.cc = []person{c.author(parent, v)}
	}
	b := e.head(make([]byte, 0, 12<<10), &r, v, d.form)
	b = fmt.Appendf(b, "Content-Type: text/plain; charset=%s; format=flowed\r\nContent-Transfer-Encoding: %s\r\n\r\n", d.charset, d.cte)
	if parent >= 0 {
		who := c.author(parent, v)
		b = fmt.Appendf(b, "%s, %s %s:\r\n", sentAt(c.seed, parent).Format("2006-01-02 15:04"), who.address, v.re)
		if grand := c.parent(parent); grand >= 0 && r.n(2) == 0 {
			b = quote(b, c.own(grand, v), "> > ", 1+r.n(8))
		}
		b = quote(b, c.own(parent, v), "> ", 2+r.n(30))
		b = append(b, "\r\n"...)
	}
	b = append(b, c.own(i, v)...)
	b = fmt.Appendf(b, "\r\n-- \r\n%s\r\n", e.from.address)
	return b
}

func listName(address string) string {
	name, _, _ := strings.Cut(address, "@")
	return name + " list"
}

// author is who wrote message i.
func (c *Corpus) author(i int, v *vocab) person {
	r := c.rng(i, 12)
	return v.person(&r)
}

// own is the text that message i adds to its thread.
func (c *Corpus) own(i int, v *vocab) []byte {
	r := c.rng(i, 13)
	p := newPen(r, v, utf8Plain, nil)
	p.prose(r.logBetween(500, 5000))
	return p.b
}

// quote appends the first lines of text, each after a mark.
func quote(b, text []byte, mark string, lines int) []byte {
	for range lines {
		line, rest, ok := bytes.Cut(text, []byte("\r\n"))
		if !ok {
			break
		}
		b = append(append(append(b, mark...), line...), "\r\n"...)
		text = rest
	}
	return b
}
