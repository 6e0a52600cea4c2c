package imap

import (
	"bytes"
	"cmp"
	"context"
	be "encoding/binary"
	"slices"
	"strconv"

	"altmail.se/altmail/frontend/collate"
	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
)

// cmdSort is of RFC 5256 section 3, RFC 5957 and RFC 5267 section 3.
func cmdSort(c *call) error {
	q := c.args.Sort()
	if err := c.args.End(); err != nil {
		return err
	}
	r, err := c.search(&q.Search, true)
	if err == nil {
		c.relevancyOf = r.relevancyOf
		r.order, err = c.sorted(r.found, q.Keys)
	}
	if err != nil {
		c.notSaved(&q.Search)
		return err
	}
	r.finish(&q.Search, "SORT", q.Keys)
	return nil
}

// sortEntry is one message to be sorted. Keys are octets that order like what
// they were made of; few are longer than the part that is here.
type sortEntry struct {
	head uint64
	uid  mailstore.UID
	rest []byte
}

const sortEntrySize = 8 + 8 + 24

// sorted puts messages in order. Of those that compare equal the one with the
// lower sequence number comes first (RFC 5256 section 3), also in a REVERSE.
func (c *call) sorted(uids []mailstore.UID, keys []imapwire.SortKey) (order []mailstore.UID, err error) {
	ctx, stop, err := c.s.watched(c.ctx)
	if err != nil {
		return nil, err
	}
	order, err = c.sortedIn(ctx, uids, keys, c.s.progress(len(uids)))
	if serr := stop(); serr != nil {
		return nil, serr
	}
	return order, err
}

// sortedIn is sorted without a look at the connection.
func (c *call) sortedIn(ctx context.Context, uids []mailstore.UID, keys []imapwire.SortKey, told *progress) ([]mailstore.UID, error) {
	p := keyPass{c: c, progress: told}
	defer p.release()
	for _, k := range keys {
		switch k.Kind {
		case imapwire.SortArrival, imapwire.SortSize, imapwire.SortRelevancy:
		default:
			p.summaries = true
		}
	}
	if err := p.grab(len(uids) * sortEntrySize); err != nil {
		return nil, err
	}
	entries := make([]sortEntry, 0, len(uids))
	p.make = func(dst []byte, row *mailstore.Message, o *octets) ([]byte, error) {
		var err error
		for _, k := range keys {
			if k.Kind == imapwire.SortRelevancy {
				// RFC 6203 section 6: the highest comes first.
				score := 100 - c.relevancyOf(row.UID)
				if k.Reverse {
					score = ^score
				}
				dst = append(dst, score)
				continue
			}
			if dst, err = appendSortKey(dst, k, row, o); err != nil {
				return dst, err
			}
		}
		return dst, nil
	}
	p.take = func(u mailstore.UID, key []byte) {
		var head [8]byte
		n := copy(head[:], key)
		entries = append(entries, sortEntry{be.BigEndian.Uint64(head[:]), u, key[n:]})
	}
	if err := p.run(ctx, uids); err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b sortEntry) int {
		if a.head != b.head {
			return cmp.Compare(a.head, b.head)
		}
		if n := bytes.Compare(a.rest, b.rest); n != 0 {
			return n
		}
		return cmp.Compare(a.uid, b.uid)
	})
	order := make([]mailstore.UID, len(entries))
	for i := range entries {
		order[i] = entries[i].uid
	}
	return order, nil
}

// maxSortText bounds what of a text counts, so that the memory of a sort is
// bounded.
const maxSortText = 512

// appendSortKey appends a key so that several, one behind the other, compare
// octet by octet: numbers have one length, texts an end that is less than any
// of their octets, and REVERSE inverts all of it.
func appendSortKey(dst []byte, k imapwire.SortKey, row *mailstore.Message, o *octets) ([]byte, error) {
	at := len(dst)
	var err error
	switch k.Kind {
	case imapwire.SortArrival:
		dst = be.BigEndian.AppendUint64(dst, orderedTime(row.InternalDate.Unix()))
	case imapwire.SortSize:
		dst = be.BigEndian.AppendUint32(dst, row.Size)
	case imapwire.SortDate:
		var date uint64
		date, err = sentDate(row, o)
		dst = be.BigEndian.AppendUint64(dst, date)
	case imapwire.SortSubject:
		var v []byte
		if v, err = o.value("Subject"); err == nil {
			base, _ := message.BaseSubject(v)
			dst = appendSortText(dst, base)
		}
	default:
		how := addressKeys[k.Kind]
		var a message.Address
		var found bool
		if a, found, err = o.firstAddress(how.field); err == nil && found && how.display {
			dst = appendSortText(dst, displayName(&a))
		} else {
			dst = appendSortText(dst, a.Mailbox)
		}
	}
	if k.Reverse {
		for i := range dst[at:] {
			dst[at+i] ^= 0xff
		}
	}
	return dst, err
}

var addressKeys = map[imapwire.SortKind]struct {
	field   string
	display bool
}{
	imapwire.SortFrom: {"From", false}, imapwire.SortTo: {"To", false}, imapwire.SortCc: {"Cc", false},
	imapwire.SortDisplayFrom: {"From", true}, imapwire.SortDisplayTo: {"To", true},
}

func appendSortText(dst, text []byte) []byte {
	at := len(dst)
	dst = collate.Append(dst, text[:min(len(text), maxSortText)])
	n := at
	for _, c := range dst[at:] {
		if c != 0 { // that is the end's
			dst[n] = c
			n++
		}
	}
	return append(dst[:n], 0)
}

// firstAddress returns the first address of a field as ENVELOPE would have it.
func (o *octets) firstAddress(field string) (message.Address, bool, error) {
	v, err := o.value(field)
	if err != nil {
		return message.Address{}, false, err
	}
	// Lists may be long; what matters is at their beginning.
	const enough = 2 << 10
	as := message.ParseAddresses(v[:min(len(v), enough)])
	if len(as) == 0 {
		return message.Address{}, false, nil
	}
	return as[0], true, nil
}

// displayName is what RFC 5957 section 3 compares: the name, of a group as
// well, or else the address.
func displayName(a *message.Address) []byte {
	switch {
	case len(a.Name) > 0:
		return message.DecodeWords(a.Name)
	case a.Host == nil:
		return message.DecodeWords(a.Mailbox) // a group
	case len(a.Host) == 0:
		return a.Mailbox
	}
	return append(append(append([]byte(nil), a.Mailbox...), '@'), a.Host...)
}

// appendOrder appends a set in the order of its elements: only what ascends
// one by one becomes a range (RFC 5267 section 3.2).
func (r *searchRun) appendOrder(dst []byte, uids []mailstore.UID) []byte {
	for i := 0; i < len(uids); {
		if i > 0 {
			dst = append(dst, ',')
		}
		first := r.number(uids[i])
		last := first
		for i++; i < len(uids) && r.number(uids[i]) == last+1; i++ {
			last++
		}
		dst = strconv.AppendUint(dst, uint64(first), 10)
		if last != first {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, uint64(last), 10)
		}
	}
	return dst
}
