package imap

import (
	"bytes"
	"fmt"
	"strings"
)

// twin compares a message that has bare LFs or NULs with what kept makes of
// it, which was compared with Dovecot: line ends and NULs change nothing else.
func (d *differ) twin(seq, keptSeq int, raw []byte) {
	d.t.Helper()
	if bareCR.Match(raw) {
		return // what they belong to depends on the line ends
	}
	atts := []string{"ENVELOPE", "BODYSTRUCTURE", "BODY.PEEK[]", "BODY.PEEK[HEADER]", "BODY.PEEK[TEXT]", "BODY.PEEK[HEADER.FIELDS (Subject From)]"}
	d.ours.ok("EXAMINE raw")
	a := d.fetch(d.ours, seq, atts)
	if string(raw) != a[2].items["BODY[]"].text {
		d.t.Errorf("message %d is not given as it came", seq)
	}
	parts := partsOf(a[1].items["BODYSTRUCTURE"])
	var more []string
	for i, p := range parts {
		if i == 10 {
			break
		}
		more = append(more, "BODY.PEEK["+p.number+"]", "BODY.PEEK["+p.number+".MIME]", "BODY.PEEK["+p.number+".TEXT]")
	}
	a = append(a, d.fetch(d.ours, seq, more)...)
	d.ours.ok("EXAMINE INBOX")
	b := d.fetch(d.ours, keptSeq, append(atts, more...))
	for i, att := range append(atts, more...) {
		for k, x := range a[i].items {
			y := b[i].items[k]
			if y == nil {
				d.t.Errorf("%s of %d is not of %d", att, seq, keptSeq)
				continue
			}
			s, w := x.String(), y.String()
			switch {
			case k == "ENVELOPE" || k == "BODYSTRUCTURE":
				s, w = bare(x), bare(y)
			case x.kind == datumString:
				s, w = string(kept([]byte(x.text))), y.text
			}
			if s != w {
				d.failed++
				d.t.Errorf("%s of a message and the same with other line ends:\n%.500q\n%.500q\nfrom %.300q", att, s, w, raw)
			}
		}
	}
	d.enough()
}

// bare shows a datum without what line ends and NULs change: octets are
// counted in other numbers, and NULs left out.
func bare(n *datum) string {
	if n.kind == datumString {
		return strings.ReplaceAll(n.text, "\x80", "")
	}
	if n.kind != datumList {
		return n.String()
	}
	var b bytes.Buffer
	for i, k := range n.kids {
		if i == 6 && k.kind == datumAtom {
			continue // body-fld-octets
		}
		fmt.Fprintf(&b, "(%s)", bare(k))
	}
	return b.String()
}
