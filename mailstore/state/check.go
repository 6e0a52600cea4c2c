package state

import (
	"context"
	"encoding/binary"
	"fmt"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

// Problem is one thing Check found. It names ids and counts, never content.
type Problem struct {
	Rule int // the number in the list at Check
	What string
}

func (p Problem) String() string { return fmt.Sprintf("rule %d: %s", p.Rule, p.What) }

// maxProblems bounds what one Check reports.
const maxProblems = 1000

// checker walks one snapshot.
type checker struct {
	*snapshot
	ctx      context.Context
	problems []Problem
}

func (c *checker) add(rule int, format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, Problem{rule, fmt.Sprintf(format, args...)})
	}
}

func (c *checker) want(rule int, ok bool, format string, args ...any) {
	if !ok {
		c.add(rule, format, args...)
	}
}

// Check reads everything a mail group holds, at one moment, and returns what
// does not fit:
//
//  1. every row is in a known table and can be decoded;
//  2. the digest of all rows is the running digest;
//  3. a mailbox's counts and sizes are the sums over its messages;
//  4. UIDNEXT is above every UID, and the mailbox's HIGHESTMODSEQ not below any
//     message's MODSEQ nor above the account's;
//  5. the modification sequence index and the messages match one to one;
//  6. every content is shared by as many messages as its references say, every
//     message has its content, and both name the same thread and size;
//  7. every body has as many references as contents and handoffs name it, and
//     no row stays without any;
//  8. the account's used quota, and its number of mailboxes, subscriptions and
//     keywords, are the sums;
//  9. every thread hash has as many references as contents carry it;
//  10. the name index and the mailboxes match one to one, and INBOX exists;
//  11. the keyword registry is dense, its index matches, and messages use only
//     registered keywords;
//  12. messages are in mailboxes that exist or are dying; a closed account has
//     rows only while it is dying;
//  13. vanished UIDs are below UIDNEXT and no message has one, and each
//     mailbox's log ascends;
//  14. remembered operations and their ages match one to one;
//  15. annotations are of mailboxes that exist, within their limits, and their
//     sums are right;
//  16. access lists are of mailboxes that exist, within their limits, and their
//     number is right;
//  17. imports are of mailboxes that exist, no UIDVALIDITY is that of two
//     mailboxes, and one that the account did not count itself is recorded.
//
// It holds one account's ids, and the ids of all bodies, in memory.
func (m *Mail) Check(ctx context.Context) (problems []Problem, err error) {
	r := m.Read()
	c := &checker{snapshot: &r.snapshot, ctx: ctx}
	defer func() {
		if cerr := r.Close(); err == nil {
			err = cerr
		}
	}()
	if err := c.rows(&mailTables); err != nil {
		return nil, err
	}
	bodies := make(map[mailstore.BodyID]uint64)
	for _, step := range []func() error{
		func() error { return c.accounts(r, bodies) },
		func() error { return c.bodies(r, bodies) },
		c.operations,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return c.problems, nil
}

// Recompute reads every row of the group again, at one moment, and returns
// their digest, the running one of that moment and its index (R6). The two
// differ only when rows changed on the disk.
func (m *machine) Recompute(ctx context.Context) (got, running cluster.Digest, index uint64, err error) {
	c := &checker{snapshot: &snapshot{keys: m.keys, efos: m.snapshot()}, ctx: ctx}
	at, err := c.applied()
	var s sum
	if err == nil {
		s, err = c.total(m.tables)
	}
	if cerr := c.Close(); err == nil {
		err = cerr
	}
	return s.digest(), at.sum.digest(), at.index, err
}

// rows checks rules 1 and 2.
func (c *checker) rows(tables *[256]bool) error {
	at, err := c.applied()
	if err != nil {
		return err
	}
	s, err := c.total(tables)
	c.want(2, s == at.sum, "the rows give digest %s, the running one is %s", s.digest(), at.sum.digest())
	return err
}

// total adds up the hashes of all rows and checks that their tables are known.
func (c *checker) total(tables *[256]bool) (s sum, err error) {
	var h hasher
	n := 0
	key := append([]byte{}, c.prefix[:]...)
	err = c.scan(c.prefix[:], func(k, v []byte) error {
		if n++; n%1024 == 0 && c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		c.want(1, len(k) > 0 && tables[k[0]], "a row in no known table")
		if len(k) > 0 && k[0] == tabApplied {
			c.want(1, len(k) == 1, "a row beside the applied index")
			return nil
		}
		key = append(key[:prefixLen], k...)
		s.add(h.row(key, v))
		return nil
	})
	return s, err
}

// account is what the rows of one account add up to.
type account struct {
	c        *checker
	r        *Reader
	row      AccountRow
	boxes    map[mailstore.MailboxID]*box
	dying    map[mailstore.MailboxID]bool // 0: the account
	contents map[mailstore.ContentID]*sharing
	keywords map[uint16]bool
}

type box struct {
	row, sum MailboxRow
	top      mailstore.UID
	high     mailstore.ModSeq
	modseqs  int
}

type sharing struct {
	messages uint64
	thread   mailstore.ContentID
	size     uint32
}

func (c *checker) accounts(r *Reader, bodies map[mailstore.BodyID]uint64) error {
	ids := make(map[mailstore.AccountID]bool)
	err := r.Accounts(func(row *AccountRow) error {
		ids[row.ID] = true
		a := &account{
			c: c, r: r, row: *row, boxes: make(map[mailstore.MailboxID]*box), dying: make(map[mailstore.MailboxID]bool),
			contents: make(map[mailstore.ContentID]*sharing), keywords: make(map[uint16]bool),
		}
		for _, step := range []func() error{
			a.mailboxes, a.keywordRows, a.messages, a.index, func() error { return a.contentRows(bodies) }, a.vanished, a.metadata, a.acls, a.imports, a.totals,
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return c.ctx.Err()
	})
	if err != nil {
		return err
	}
	// Rows of accounts that have no row of their own.
	for _, tab := range []byte{
		tabMailbox, tabName, tabSub, tabKeyword, tabKeywordHash, tabMessage, tabContent, tabContentRefs,
		tabModSeq, tabVanished, tabThread, tabDying, tabMetadata, tabACL, tabImport, tabValidity,
	} {
		if err := c.scan(c.table(nil, tab), func(k, _ []byte) error {
			c.want(12, len(k) >= 8 && ids[mailstore.AccountID(binary.BigEndian.Uint64(k))], "a row of no account in table %#x", tab)
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

func (a *account) mailboxes() error {
	c, id := a.c, a.row.ID
	if err := c.scan(c.account(nil, tabDying, id), func(k, _ []byte) error {
		a.dying[mailstore.MailboxID(u32at(k))] = true
		return nil
	}); err != nil {
		return err
	}
	rows, err := a.r.Mailboxes(id)
	if err != nil {
		return err
	}
	names := 0
	for _, row := range rows {
		b := &box{row: row}
		a.boxes[row.ID] = b
		got, found, err := a.r.MailboxByName(id, row.Hash)
		if err != nil {
			return err
		}
		if a.row.Closed {
			continue
		}
		c.want(10, found && got.ID == row.ID, "account %s: mailbox %d is not found by its name", id, row.ID)
	}
	err = c.scan(c.account(nil, tabName, id), func(_, _ []byte) error { names++; return nil })
	if !a.row.Closed {
		c.want(10, names == len(rows), "account %s: %d names for %d mailboxes", id, names, len(rows))
		c.want(10, a.boxes[Inbox] != nil, "account %s has no INBOX", id)
	}
	return err
}

func (a *account) keywordRows() error {
	c, id := a.c, a.row.ID
	rows, err := a.r.Keywords(id)
	if err != nil || a.row.Closed {
		return err
	}
	for i, k := range rows {
		a.keywords[k.ID] = true
		c.want(11, int(k.ID) == i, "account %s: keyword ids are not dense", id)
		found, err := c.get(c.accountHash(nil, tabKeywordHash, id, k.Hash[:]), func(v []byte) error {
			d := dec{b: v}
			if d.uint32() != uint32(k.ID) {
				d.fail()
			}
			return d.done("keyword")
		})
		if err != nil {
			return err
		}
		c.want(11, found, "account %s: keyword %d is not found by its hash", id, k.ID)
	}
	n := 0
	err = c.scan(c.account(nil, tabKeywordHash, id), func(_, _ []byte) error { n++; return nil })
	c.want(11, n == len(rows), "account %s: %d keyword hashes for %d keywords", id, n, len(rows))
	c.want(8, int(a.row.Keywords) == len(rows), "account %s: keyword count %d, has %d", id, a.row.Keywords, len(rows))
	return err
}

func (a *account) messages() error {
	c, id := a.c, a.row.ID
	var row MessageRow
	return c.scan(c.account(nil, tabMessage, id), func(k, v []byte) error {
		if len(k) != 8 {
			return corrupt("message key")
		}
		boxID := mailstore.MailboxID(u32at(k))
		row.UID = mailstore.UID(u32at(k[4:]))
		if err := row.decode(v); err != nil {
			c.add(1, "account %s: message %d/%d: %v", id, boxID, row.UID, err)
			return nil
		}
		s := a.contents[row.Content]
		if s == nil {
			s = &sharing{thread: row.Thread, size: row.Size}
			a.contents[row.Content] = s
		}
		s.messages++
		c.want(6, s.thread == row.Thread && s.size == row.Size, "account %s: copies of one content differ", id)
		for _, kw := range row.Keywords {
			c.want(11, a.row.Closed || a.keywords[kw], "account %s: message %d/%d has an unregistered keyword", id, boxID, row.UID)
		}
		ok, err := c.get(c.modSeq(nil, id, boxID, row.ModSeq, row.UID), nil)
		if err != nil {
			return err
		}
		c.want(5, ok, "account %s: message %d/%d is not in the modification sequence index", id, boxID, row.UID)
		b := a.boxes[boxID]
		if b == nil {
			c.want(12, a.dying[boxID] || a.dying[0], "account %s: message in mailbox %d, which does not exist", id, boxID)
			a.boxes[boxID] = &box{}
			b = a.boxes[boxID]
		}
		b.count(&row)
		return nil
	})
}

// count adds a message to what a mailbox's counters should be.
func (b *box) count(r *MessageRow) {
	b.top, b.high = max(b.top, r.UID), max(b.high, r.ModSeq)
	b.modseqs++
	s := &b.sum
	s.Exists++
	s.Size += uint64(r.Size)
	if r.Flags&mailstore.FlagSeen == 0 {
		s.Unseen++
	}
	if r.Flags&mailstore.FlagDeleted != 0 {
		s.Deleted++
		s.DeletedSize += uint64(r.Size)
	}
}

// index checks the other half of rule 5 by counting: every message was found
// in the index, so equal counts mean that there is nothing else.
func (a *account) index() error {
	c, id := a.c, a.row.ID
	seen := make(map[mailstore.MailboxID]int)
	err := c.scan(c.account(nil, tabModSeq, id), func(k, _ []byte) error {
		if len(k) != 16 {
			return corrupt("modification sequence key")
		}
		seen[mailstore.MailboxID(u32at(k))]++
		return nil
	})
	for box, n := range seen {
		b := a.boxes[box]
		c.want(5, b != nil && b.modseqs == n, "account %s: mailbox %d has %d modification sequence rows too many or few", id, box, n)
	}
	return err
}

func (a *account) contentRows(bodies map[mailstore.BodyID]uint64) error {
	c, id := a.c, a.row.ID
	threads := make(map[mailstore.Hash]uint64)
	n := 0
	var row ContentRow
	err := c.scan(c.account(nil, tabContent, id), func(k, v []byte) error {
		if len(k) != 16 {
			return corrupt("content key")
		}
		n++
		row.ID = mailstore.ContentID(k)
		if err := row.decode(v); err != nil {
			c.add(1, "account %s: content: %v", id, err)
			return nil
		}
		bodies[row.Body.ID]++
		for _, h := range row.Threads {
			threads[h]++
		}
		refs := uint64(1)
		if _, err := c.get(c.accountHash(nil, tabContentRefs, id, row.ID[:]), func(v []byte) error {
			d := dec{b: v}
			refs = d.uint()
			c.want(6, refs > 1, "account %s: a row for %d references to a content", id, refs)
			return d.done("content references")
		}); err != nil {
			return err
		}
		s := a.contents[row.ID]
		if s == nil {
			c.add(6, "account %s: a content without a message", id)
			return nil
		}
		c.want(6, s.messages == refs, "account %s: a content has %d references and %d messages", id, refs, s.messages)
		c.want(6, s.size == row.Size && s.thread == row.Thread, "account %s: a message and its content differ", id)
		return nil
	})
	if err != nil {
		return err
	}
	c.want(6, n == len(a.contents), "account %s: messages name %d contents, there are %d", id, len(a.contents), n)
	refRows := 0
	if err := c.scan(c.account(nil, tabContentRefs, id), func(k, _ []byte) error {
		refRows++
		s := a.contents[mailstore.ContentID(k)]
		c.want(6, s != nil, "account %s: references to no content", id)
		return nil
	}); err != nil {
		return err
	}
	return a.threadRows(threads)
}

func (a *account) threadRows(want map[mailstore.Hash]uint64) error {
	c, id := a.c, a.row.ID
	n := 0
	err := c.scan(c.account(nil, tabThread, id), func(k, v []byte) error {
		n++
		var t threadRow
		if err := t.decode(v); err != nil {
			c.add(1, "account %s: thread: %v", id, err)
			return nil
		}
		c.want(9, want[mailstore.Hash(k)] == t.refs, "account %s: a thread hash has %d references, contents carry it %d times", id, t.refs, want[mailstore.Hash(k)])
		return nil
	})
	c.want(9, n == len(want), "account %s: %d thread rows for %d hashes", id, n, len(want))
	return err
}

func (a *account) vanished() error {
	c, id := a.c, a.row.ID
	return c.scan(c.account(nil, tabVanished, id), func(k, v []byte) error {
		if len(k) != 12 {
			return corrupt("vanished key")
		}
		var row vanishedRow
		if err := row.decode(v); err != nil {
			c.add(1, "account %s: vanished: %v", id, err)
			return nil
		}
		boxID := mailstore.MailboxID(u32at(k))
		b := a.boxes[boxID]
		if b == nil || b.row.ID == 0 {
			c.want(12, a.dying[boxID] || a.dying[0], "account %s: vanished UIDs of mailbox %d, which does not exist", id, boxID)
			return nil
		}
		c.want(13, len(row.ranges) > 0 && row.ranges[len(row.ranges)-1].Last < b.row.UIDNext, "account %s: mailbox %d: a UID vanished that never was", id, boxID)
		c.want(13, mailstore.ModSeq(binary.BigEndian.Uint64(k[4:])) <= b.row.HighestModSeq, "account %s: mailbox %d: vanished above HIGHESTMODSEQ", id, boxID)
		return a.r.Messages(id, boxID, row.ranges, func(m *MessageRow) error {
			c.add(13, "account %s: mailbox %d: UID %d vanished and is there", id, boxID, m.UID)
			return nil
		})
	})
}

// totals checks rules 3, 4, 8 and 12.
func (a *account) totals() error {
	c, id, row := a.c, a.row.ID, &a.row
	var bytes, messages uint64
	boxes := uint32(0)
	for boxID, b := range a.boxes {
		if b.row.ID == 0 { // dying: counted nowhere
			continue
		}
		boxes++
		bytes += b.sum.Size
		messages += uint64(b.sum.Exists)
		if row.Closed {
			continue
		}
		m, s := &b.row, &b.sum
		c.want(3, m.Exists == s.Exists && m.Unseen == s.Unseen && m.Deleted == s.Deleted && m.Size == s.Size && m.DeletedSize == s.DeletedSize,
			"account %s: mailbox %d: counts %d/%d/%d, %d/%d bytes; messages give %d/%d/%d, %d/%d", id, boxID,
			m.Exists, m.Unseen, m.Deleted, m.Size, m.DeletedSize, s.Exists, s.Unseen, s.Deleted, s.Size, s.DeletedSize)
		c.want(4, b.top < m.UIDNext, "account %s: mailbox %d: UIDNEXT %d, message %d", id, boxID, m.UIDNext, b.top)
		c.want(4, b.high <= m.HighestModSeq && m.HighestModSeq <= row.ModSeq && m.HighestModSeq > 0,
			"account %s: mailbox %d: HIGHESTMODSEQ %d, messages up to %d, account %d", id, boxID, m.HighestModSeq, b.high, row.ModSeq)
		c.want(4, boxID < mailstore.MailboxID(row.NextMailbox) && m.UIDValidity < row.NextValidity, "account %s: mailbox %d: id or UIDVALIDITY not below the counter", id, boxID)
	}
	if row.Closed {
		if !a.dying[0] {
			for _, tab := range []byte{tabMailbox, tabName, tabSub, tabKeyword, tabKeywordHash, tabMessage, tabContent, tabVanished, tabThread} {
				if tab == tabMessage || tab == tabContent || tab == tabVanished || tab == tabThread {
					// What a dying mailbox of it still holds goes with that.
					if len(a.dying) > 0 {
						continue
					}
				}
				if err := c.scan(c.account(nil, tab, id), func(_, _ []byte) error {
					c.add(12, "account %s is closed and purged, and has rows in table %#x", id, tab)
					return nil
				}); err != nil {
					return err
				}
			}
		}
		return nil
	}
	c.want(8, row.UsedBytes == bytes && row.UsedMessages == messages, "account %s: uses %d bytes and %d messages, has %d and %d", id, row.UsedBytes, row.UsedMessages, bytes, messages)
	c.want(8, row.Mailboxes == boxes, "account %s: %d mailboxes, has %d", id, row.Mailboxes, boxes)
	subs, err := a.r.Subscriptions(id)
	c.want(8, int(row.Subscriptions) == len(subs), "account %s: %d subscriptions, has %d", id, row.Subscriptions, len(subs))
	return err
}

func (c *checker) bodies(r *Reader, want map[mailstore.BodyID]uint64) error {
	if err := r.Handoffs(func(h *HandoffRow) error { want[h.Body.ID]++; return nil }); err != nil {
		return err
	}
	n := 0
	err := c.scan(c.table(nil, tabBody), func(k, v []byte) error {
		n++
		var b bodyRow
		if err := b.decode(v); err != nil {
			c.add(1, "body: %v", err)
			return nil
		}
		got := want[cluster.BodyID(k)]
		c.want(7, got == b.refs && got > 0, "body %x: %d references, named %d times", k[:4], b.refs, got)
		return nil
	})
	c.want(7, n == len(want), "%d body rows for %d bodies", n, len(want))
	return err
}

func (c *checker) operations() error {
	ops := 0
	if err := c.scan(c.table(nil, tabOp), func(_, v []byte) error {
		ops++
		var o opRow
		return o.decode(v)
	}); err != nil {
		return err
	}
	ages := 0
	err := c.scan(c.table(nil, tabOpAge), func(_, v []byte) error {
		ages++
		var o opAgeRow
		if err := o.decode(v); err != nil {
			return err
		}
		found, err := c.get(c.bytes(nil, tabOp, o.op[:]), nil)
		c.want(14, found, "the age of an operation that is not remembered")
		return err
	})
	c.want(14, ops == ages, "%d operations remembered, %d ages", ops, ages)
	return err
}
