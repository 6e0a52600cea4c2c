package imap

import (
	"context"
	be "encoding/binary"
	"hash/maphash"
	"strconv"

	"altmail.se/altmail/frontend/collate"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
)

// cmdThread is of RFC 5256 section 3.
func cmdThread(c *call) error {
	q := c.args.Thread()
	if err := c.args.End(); err != nil {
		return err
	}
	how, ok := threadings[q.Algorithm]
	if !ok {
		return bad("No such algorithm")
	}
	r, err := c.search(&q.Search, true)
	if err != nil {
		return err
	}
	p := keyPass{c: c, summaries: true, progress: c.s.progress(len(r.found))}
	defer p.release()
	f := forest{order: how.order}
	ctx, stop, err := c.s.watched(c.ctx)
	if err != nil {
		return err
	}
	err = f.read(ctx, &p, r.found, how.links)
	if serr := stop(); serr != nil {
		return serr
	}
	if err != nil {
		return err
	}
	how.build(&f)
	s := c.s
	out := append(s.w.Buf(), "* THREAD"...)
	if f.nodes[root].child != none {
		out = append(out, ' ')
		out = f.append(out, r.number)
	}
	s.w.SetBuf(append(out, "\r\n"...))
	return nil
}

// threadings are the algorithms of RFC 5256 section 3, and REFS of
// draft-ietf-morg-inthread section 4.1.
var threadings = map[string]struct {
	links bool // who refers to whom matters
	order threadOrder
	build func(*forest)
}{
	"ORDEREDSUBJECT": {false, byFirst, (*forest).orderedSubject},
	"REFERENCES":     {true, byFirst, (*forest).references},
	"REFS":           {true, byLatest, (*forest).refs},
}

// threadOrder is how threads are ordered among each other.
type threadOrder uint8

const (
	byFirst  threadOrder = iota // by their first message
	byLatest                    // by their latest
)

// read takes in the messages. A message is, as keyPass has it: its sent date,
// whether it is a reply, the hash of its id (0: none), how many it refers to
// and their hashes, and its base subject.
func (f *forest) read(ctx context.Context, p *keyPass, uids []mailstore.UID, links bool) error {
	seed := maphash.MakeSeed()
	hash := func(id []byte) uint64 { return max(maphash.Bytes(seed, id), 1) }
	p.make = func(dst []byte, row *mailstore.Message, o *octets) ([]byte, error) {
		date, err := sentDate(row, o)
		if err != nil {
			return dst, err
		}
		v, err := o.value("Subject")
		if err != nil {
			return dst, err
		}
		base, reply := message.BaseSubject(v)
		dst = be.BigEndian.AppendUint64(dst, date)
		dst = append(dst, 0)
		if reply {
			dst[len(dst)-1] = 1
		}
		var t message.Thread
		if links {
			var ok bool
			if t, ok = o.sum.Thread(); !ok {
				h, err := o.header()
				if err != nil {
					return dst, err
				}
				t = message.HeaderThread(h)
			}
		}
		id := uint64(0)
		if t.ID != nil {
			id = hash(t.ID)
		}
		dst = be.BigEndian.AppendUint64(dst, id)
		dst = append(dst, byte(len(t.References)))
		for _, r := range t.References {
			dst = be.BigEndian.AppendUint64(dst, hash(r))
		}
		return collate.Append(dst, base[:min(len(base), maxSortText)]), nil
	}
	if err := p.grab(len(uids) * forestNodeSize); err != nil {
		return err
	}
	f.init(len(uids))
	var refs [256]uint64
	var grown error
	p.take = func(u mailstore.UID, key []byte) {
		m := threadMessage{date: be.BigEndian.Uint64(key), reply: key[8] == 1, id: be.BigEndian.Uint64(key[9:])}
		n := int(key[17])
		key = key[18:]
		for i := range n {
			refs[i] = be.BigEndian.Uint64(key[8*i:])
		}
		m.uid, m.subject = u, key[8*n:]
		before := len(f.nodes)
		f.add(m, refs[:n])
		if more := len(f.nodes) - before - 1; more > 0 && grown == nil {
			grown = p.grab(more * forestNodeSize)
		}
	}
	if err := p.run(ctx, uids); err != nil {
		return err
	}
	return grown
}

// append writes the threads as RFC 5256 section 5 has thread-list: who has one
// child goes on with it, several are in parentheses each. It does not recurse:
// threads may be deep.
func (f *forest) append(out []byte, number func(mailstore.UID) uint32) []byte {
	// Rows of siblings that are not written yet.
	stack := []int32{f.nodes[root].child}
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		if n == none {
			stack = stack[:len(stack)-1]
			if len(stack) > 0 {
				out = append(out, ')')
			}
			continue
		}
		stack[len(stack)-1] = f.nodes[n].next
		out = append(out, '(')
		first := true
		for {
			if u := f.nodes[n].uid; u != 0 {
				if !first {
					out = append(out, ' ')
				}
				out = strconv.AppendUint(out, uint64(number(u)), 10)
				first = false
			}
			kid := f.nodes[n].child
			if kid == none {
				out = append(out, ')')
				break
			}
			if f.nodes[kid].next == none {
				n = kid
				continue
			}
			if !first {
				out = append(out, ' ')
			}
			stack = append(stack, kid)
			break
		}
	}
	return out
}
