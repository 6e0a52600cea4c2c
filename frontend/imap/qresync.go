package imap

import (
	"fmt"
	"slices"
	"strconv"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// maxVanished is how many ranges one VANISHED response has: more of them go
// into further ones, so that no line is longer than what RFC 7162 section 4
// wants lines to be.
const maxVanished = 350

// tellVanished writes VANISHED responses (RFC 7162 section 3.2.10).
func (s *session) tellVanished(earlier bool, rs []mailstore.Range) {
	for part := range slices.Chunk(rs, maxVanished) {
		out := append(s.w.Buf(), "* VANISHED "...)
		if earlier {
			out = append(out, "(EARLIER) "...)
		}
		for i, r := range part {
			if i > 0 {
				out = append(out, ',')
			}
			out = strconv.AppendUint(out, uint64(r.First), 10)
			if r.Last != r.First {
				out = append(out, ':')
				out = strconv.AppendUint(out, uint64(r.Last), 10)
			}
		}
		s.w.SetBuf(append(out, "\r\n"...))
	}
}

// complete is the modification sequence up to which the client was told
// everything: what is in gone it was not.
func (b *view) complete() mailstore.ModSeq {
	known := b.modseq
	if len(b.gone) > 0 {
		known = b.goneFrom
	}
	if b.mutedFrom != 0 {
		known = min(known, b.mutedFrom)
	}
	return known
}

// untold notes that something after a modification sequence is never told.
func (b *view) untold(since mailstore.ModSeq) {
	if b.mutedFrom == 0 {
		b.mutedFrom = since
	}
}

// settle is called before a tagged response. Then a client takes the greatest
// MODSEQ it was shown for what it knows of the whole mailbox, unless it is
// given HIGHESTMODSEQ (RFC 7162 sections 3.2 and 6). Where that would be too
// much, because expunges are held back or a FETCH saw more than was announced,
// it is told what it may count on.
func (s *session) settle() {
	b := s.box
	if !s.condst {
		return
	}
	safe := b.complete()
	switch {
	case b.shown > safe:
		s.highestModSeq(safe)
		b.lowered = true
	case b.lowered && len(b.gone) == 0:
		s.highestModSeq(safe)
		b.lowered = false
	}
	b.shown = 0
}

func (s *session) highestModSeq(n mailstore.ModSeq) {
	s.w.Status("*", "OK", fmt.Sprintf("HIGHESTMODSEQ %d", n), "Highest")
}

// resync tells what changed since the client last knew the mailbox that was
// just opened (RFC 7162 section 3.2.5). c is of the view that everything else
// of the answer was from.
func (c *call) resync(q *imapwire.QResync, d *lookup.Since) error {
	s := c.s
	b := s.box
	changed, vanished := d.Changed, d.Vanished
	if q.Known != nil {
		known := uidRanges(q.Known)
		changed, vanished = intersect(changed, known), intersect(vanished, known)
	}
	s.tellVanished(true, after(vanished, b.matched(q)))
	cur := cursor{list: &b.list}
	return c.rows(changed, func(m *mailstore.Message) error {
		// What changed since the view was closed is told as it is now, and
		// what is gone since is announced after this command.
		if seq := cur.seq(m.UID); seq != 0 {
			s.tellFlags(seq, m, true, false)
		}
		return s.w.Err()
	})
}

// matched returns the UID up to which the client knows every expunge, by its
// samples of sequence numbers (RFC 7162 section 3.2.5.2). Samples after one
// that is wrong are not looked at.
func (b *view) matched(q *imapwire.QResync) (up mailstore.UID) {
	uids := q.MatchUIDs
	k := uint32(0) // numbers of uids[0] that were used
	for _, r := range q.MatchSeqs {
		for seq := r.First; seq <= min(r.Last, b.list.n); seq++ {
			if len(uids) == 0 {
				return up
			}
			u := mailstore.UID(uids[0].First + k)
			if b.list.at(seq) != u {
				return up
			}
			up = u
			if k++; uids[0].First+k-1 == uids[0].Last {
				uids, k = uids[1:], 0
			}
		}
		if r.Last > b.list.n {
			return up
		}
	}
	return up
}

// earlier answers the VANISHED modifier of UID FETCH (RFC 7162 section 3.2.6).
func (c *call) earlier(q *imapwire.Fetch) error {
	s := c.s
	switch {
	case !c.uid():
		return bad("VANISHED is for UID FETCH")
	case !s.qresync:
		return bad("VANISHED needs ENABLE QRESYNC")
	case q.ChangedSince == nil:
		return bad("VANISHED needs CHANGEDSINCE")
	}
	// What is to be announced is announced before, so that no message is both
	// there for the client and vanished earlier.
	if err := s.announce(announce{expunge: true, uid: true, force: true}); err != nil {
		return err
	}
	b := s.box
	v := s.box.owner.Read()
	d, err := v.Since(b.id, mailstore.ModSeq(*q.ChangedSince))
	v.Close()
	if err != nil {
		return err
	}
	var asked []mailstore.Range
	if q.Set.Saved {
		asked = b.saved
	} else {
		asked = uidRanges(q.Set.Resolve(uint32(b.next - 1)))
	}
	// Messages that came and went unannounced are none of the client's.
	asked = intersect(asked, []mailstore.Range{{First: 1, Last: b.next - 1}})
	var out []mailstore.Range
	for _, r := range intersect(d.Vanished, asked) {
		// Those expunged right now are announced after this command.
		b.list.each(r, func(u mailstore.UID) {
			if r.First < u {
				out = append(out, mailstore.Range{First: r.First, Last: u - 1})
			}
			r.First = u + 1
		})
		if r.First <= r.Last && r.First != 0 {
			out = append(out, r)
		}
	}
	s.tellVanished(true, out)
	return nil
}

// uidRanges takes ranges as Resolve gives them.
func uidRanges(rs []imapwire.NumRange) []mailstore.Range {
	out := make([]mailstore.Range, len(rs))
	for i, r := range rs {
		out[i] = mailstore.Range{First: mailstore.UID(r.First), Last: mailstore.UID(r.Last)}
	}
	return out
}

// intersect returns what lies in both of two sets of sorted, disjoint ranges.
func intersect(a, b []mailstore.Range) (out []mailstore.Range) {
	for len(a) > 0 && len(b) > 0 {
		r := mailstore.Range{First: max(a[0].First, b[0].First), Last: min(a[0].Last, b[0].Last)}
		if r.First <= r.Last {
			out = append(out, r)
		}
		if a[0].Last < b[0].Last {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}

// replaced compares what the client knows with the messages that are there
// after the whole state was exchanged: the feed's events do not lead from the
// one to the other (R20). It returns what is missing, and false if nothing but
// a new start can bring the client there: a UID that it knows to be gone, or
// that it was never told of when it should have been, is there.
func (b *view) replaced(uids []mailstore.UID, next mailstore.UID) (missing []mailstore.Range, ok bool) {
	if next < b.next {
		return nil, false // UIDs might mean other messages
	}
	strange := false
	b.list.each(mailstore.Range{First: 1, Last: 1<<32 - 1}, func(u mailstore.UID) {
		for len(uids) > 0 && uids[0] < u {
			uids, strange = uids[1:], true
		}
		if len(uids) == 0 || uids[0] != u {
			missing = addUID(missing, u)
			return
		}
		uids = uids[1:]
		strange = strange || b.isGone(u)
	})
	return missing, !strange && (len(uids) == 0 || uids[0] >= b.next)
}
