package state

import (
	"bytes"
	"fmt"

	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// Limits of access lists (RFC 4314), which every replica enforces alike.
// Changing one needs a new feature level.
const (
	MaxACLPerBox = 250    // identifiers of a mailbox
	MaxACL       = 20_000 // entries of an account
)

// ACLRow is what one identifier may do with a mailbox.
type ACLRow struct {
	Hash   mailstore.Hash
	Rights mailstore.Rights // never none
	Sealed []byte           // the identifier
}

func (r *ACLRow) encode(b []byte) []byte {
	return append(putUint(append(b, rowVersion), uint64(r.Rights)), r.Sealed...)
}

// decode reads all but the hash; Sealed aliases v.
func (r *ACLRow) decode(v []byte) error {
	d := decode(v)
	n := d.uint()
	r.Rights = mailstore.Rights(n)
	r.Sealed = d.b
	if d.bad || n == 0 || n > uint64(mailstore.AllRights) {
		return corrupt("access list")
	}
	return nil
}

// aclSum is the number of entries an account's access lists have. There is a
// row of it while there are any.
type aclSum struct{ entries uint64 }

func (r *aclSum) encode(b []byte) []byte { return putUint(append(b, rowVersion), r.entries) }

func (r *aclSum) decode(v []byte) error {
	d := decode(v)
	r.entries = d.uint()
	return d.done("number of access list entries")
}

func (k *keys) acl(b []byte, a mailstore.AccountID, m mailstore.MailboxID, h []byte) []byte {
	return append(k.mailbox(b, tabACL, a, m), h...)
}

// permitted decides whether who acts on another's account has the rights the
// command needs. What an identifier has not is not there: neither is told from
// the other.
func (m *Mail) permitted(t *tx, account uint64, as *pb.Actor) (bool, error) {
	for _, n := range as.Needs {
		var row ACLRow
		_, err := t.get(m.acl(nil, mailstore.AccountID(account), mailstore.MailboxID(n.Mailbox), as.Hash), row.decode)
		if err != nil || !row.Rights.Has(mailstore.Rights(n.Rights)) {
			return false, err
		}
	}
	return true, nil
}

// actedOn returns the account a command with an actor is about; command.Validate
// has the list.
func actedOn(c *pb.Command) uint64 {
	switch o := c.Op.(type) {
	case *pb.Command_Append:
		return o.Append.Account
	case *pb.Command_StoreFlags:
		return o.StoreFlags.Account
	case *pb.Command_Expunge:
		return o.Expunge.Account
	case *pb.Command_Copy:
		return o.Copy.Account
	case *pb.Command_CreateMailbox:
		return o.CreateMailbox.Account
	case *pb.Command_DeleteMailbox:
		return o.DeleteMailbox.Account
	case *pb.Command_RenameMailboxes:
		return o.RenameMailboxes.Account
	case *pb.Command_SetMetadata:
		return o.SetMetadata.Account
	case *pb.Command_SetAcl:
		return o.SetAcl.Account
	}
	return 0
}

// setACL changes what one identifier may do. An entry without rights is none.
func (m *Mail) setACL(t *tx, c *pb.SetACL) (*pb.Result, error) {
	if c.Mailbox == 0 {
		return m.revoke(t, c)
	}
	a, b, cd, err := m.openBox(t, c.Account, c.Mailbox)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	key := m.acl(nil, a.ID, b.ID, c.Hash)
	row := ACLRow{Sealed: c.Sealed}
	at, found, err := t.fetch(key, func(v []byte) error { return row.decode(bytes.Clone(v)) })
	if err != nil {
		return nil, err
	}
	had, by := row.Rights, mailstore.Rights(c.Rights)
	switch c.Mode {
	case pb.SetACL_ADD:
		row.Rights |= by
	case pb.SetACL_REMOVE:
		row.Rights &^= by
	default:
		row.Rights = by
	}
	if row.Rights == had {
		return &pb.Result{Modseq: uint64(a.ModSeq)}, nil
	}
	total, totalAt, err := m.aclSum(t, a.ID)
	if err != nil {
		return nil, err
	}
	switch {
	case row.Rights == 0:
		total.entries--
		err = t.del(key, at)
	case found:
		_, err = t.put(key, at, row.encode(nil))
	default:
		n, cerr := m.countACL(t, a.ID, b.ID)
		if cerr != nil {
			return nil, cerr
		}
		if n >= MaxACLPerBox || total.entries >= MaxACL {
			return code(pb.Code_LIMIT), nil
		}
		total.entries++
		_, err = t.put(key, absent, row.encode(nil))
	}
	if err == nil {
		err = m.putACLSum(t, a.ID, total, totalAt)
	}
	if err != nil {
		return nil, err
	}
	seq := m.nextModSeq(a)
	m.event(a.ID, b.ID, seq)
	m.event(a.ID, 0, seq)
	return &pb.Result{Modseq: uint64(seq)}, nil
}

// revoke takes everything from one identifier: it also does so in an account
// that is frozen, for it belongs to the closing of another.
func (m *Mail) revoke(t *tx, c *pb.SetACL) (*pb.Result, error) {
	a, err := m.acct(t, mailstore.AccountID(c.Account))
	switch {
	case err != nil:
		return nil, err
	case a == nil:
		return code(pb.Code_NO_ACCOUNT), nil
	case a.Closed:
		return code(pb.Code_GONE), nil
	}
	var boxes []mailstore.MailboxID
	total, totalAt, err := m.dropACLs(t, a.ID, m.account(nil, tabACL, a.ID), func(box mailstore.MailboxID, h []byte) bool {
		if !bytes.Equal(h, c.Hash) {
			return false
		}
		boxes = append(boxes, box)
		return true
	})
	if err != nil || len(boxes) == 0 {
		return &pb.Result{Modseq: uint64(a.ModSeq)}, err
	}
	if err := m.putACLSum(t, a.ID, total, totalAt); err != nil {
		return nil, err
	}
	seq := m.nextModSeq(a)
	for _, box := range boxes {
		m.event(a.ID, box, seq)
	}
	m.event(a.ID, 0, seq)
	return &pb.Result{Modseq: uint64(seq)}, nil
}

// dropACLs removes the entries under a prefix that which accepts, and returns
// what the account's number of them has to become.
func (m *Mail) dropACLs(t *tx, a mailstore.AccountID, prefix []byte, which func(mailstore.MailboxID, []byte) bool) (total aclSum, at sum, err error) {
	total, at, err = m.aclSum(t, a)
	if err != nil || at == absent {
		return total, at, err
	}
	skip := len(m.account(nil, tabACL, a))
	err = t.scan(prefix, func(k, v []byte) (bool, error) {
		rest := k[skip:]
		if len(rest) == 0 {
			return true, nil // the number
		}
		if len(rest) != 4+16 {
			return false, corrupt("access list key")
		}
		if !which(mailstore.MailboxID(u32at(rest)), rest[4:]) {
			return true, nil
		}
		total.entries--
		return true, t.del(bytes.Clone(k), t.row(k, v))
	})
	return total, at, err
}

// dropACL removes the access list of a mailbox that is deleted (RFC 4314
// section 4): it is short.
func (m *Mail) dropACL(t *tx, a mailstore.AccountID, box mailstore.MailboxID) error {
	total, at, err := m.dropACLs(t, a, m.mailbox(nil, tabACL, a, box), func(mailstore.MailboxID, []byte) bool { return true })
	if err != nil || at == absent {
		return err
	}
	return m.putACLSum(t, a, total, at)
}

// inherited returns the access list that a new mailbox begins with; ok is false
// when the account has no room for it.
func (m *Mail) inherited(t *tx, a mailstore.AccountID, from mailstore.MailboxID) (rows []ACLRow, ok bool, err error) {
	if from == 0 {
		return nil, true, nil
	}
	prefix := m.mailbox(nil, tabACL, a, from)
	err = t.scan(prefix, func(k, v []byte) (bool, error) {
		row := ACLRow{Hash: mailstore.Hash(k[len(prefix):])}
		err := row.decode(bytes.Clone(v))
		rows = append(rows, row)
		return true, err
	})
	if err != nil || len(rows) == 0 {
		return nil, true, err
	}
	total, _, err := m.aclSum(t, a)
	return rows, total.entries+uint64(len(rows)) <= MaxACL, err
}

// inherit writes the access list of a new mailbox.
func (m *Mail) inherit(t *tx, a mailstore.AccountID, box mailstore.MailboxID, rows []ACLRow) error {
	if len(rows) == 0 {
		return nil
	}
	for i := range rows {
		if _, err := t.put(m.acl(nil, a, box, rows[i].Hash[:]), absent, rows[i].encode(nil)); err != nil {
			return err
		}
	}
	total, at, err := m.aclSum(t, a)
	if err != nil {
		return err
	}
	total.entries += uint64(len(rows))
	return m.putACLSum(t, a, total, at)
}

func (m *Mail) countACL(t *tx, a mailstore.AccountID, box mailstore.MailboxID) (n int, err error) {
	err = t.scan(m.mailbox(nil, tabACL, a, box), func(_, _ []byte) (bool, error) { n++; return true, nil })
	return n, err
}

func (m *Mail) aclSum(t *tx, a mailstore.AccountID) (total aclSum, at sum, err error) {
	at, _, err = t.fetch(m.account(nil, tabACL, a), total.decode)
	return total, at, err
}

func (m *Mail) putACLSum(t *tx, a mailstore.AccountID, total aclSum, at sum) error {
	key := m.account(nil, tabACL, a)
	if total.entries == 0 {
		if at == absent {
			return nil
		}
		return t.del(key, at)
	}
	_, err := t.put(key, at, total.encode(nil))
	return err
}

// Rights returns what an identifier may do with a mailbox, none where the
// access list does not have it.
func (r *Reader) Rights(a mailstore.AccountID, box mailstore.MailboxID, h mailstore.Hash) (mailstore.Rights, error) {
	var row ACLRow
	_, err := r.get(r.acl(nil, a, box, h[:]), row.decode)
	return row.Rights, err
}

// ACL returns the access list of a mailbox in the order of the hashes.
func (r *Reader) ACL(a mailstore.AccountID, box mailstore.MailboxID) ([]ACLRow, error) {
	var out []ACLRow
	err := r.scan(r.mailbox(nil, tabACL, a, box), func(k, v []byte) error {
		if len(k) != 16 {
			return corrupt("access list key")
		}
		row := ACLRow{Hash: mailstore.Hash(k)}
		if err := row.decode(clone(v)); err != nil {
			return err
		}
		out = append(out, row)
		return nil
	})
	return out, err
}

// Granted calls fn for each mailbox that an access list is of and each
// identifier in it.
func (r *Reader) Granted(a mailstore.AccountID, fn func(box mailstore.MailboxID, h mailstore.Hash) error) error {
	return r.scan(r.account(nil, tabACL, a), func(k, _ []byte) error {
		switch len(k) {
		case 0:
			return nil // the number
		case 4 + 16:
			return fn(mailstore.MailboxID(u32at(k)), mailstore.Hash(k[4:]))
		}
		return corrupt("access list key")
	})
}

// acls checks rule 16.
func (a *account) acls() error {
	c, id := a.c, a.row.ID
	var got, said aclSum
	each := make(map[mailstore.MailboxID]int)
	err := c.scan(c.account(nil, tabACL, id), func(k, v []byte) error {
		if len(k) == 0 {
			return said.decode(v)
		}
		if len(k) != 4+16 {
			return corrupt("access list key")
		}
		var row ACLRow
		if err := row.decode(v); err != nil {
			c.add(1, "account %s: access list: %v", id, err)
			return nil
		}
		got.entries++
		box := mailstore.MailboxID(u32at(k))
		each[box]++
		b := a.boxes[box]
		c.want(16, a.row.Closed || b != nil && b.row.ID != 0, "account %s: access list of mailbox %d, which does not exist", id, box)
		return nil
	})
	if err != nil {
		return fmt.Errorf("account %s: %w", id, err)
	}
	if a.row.Closed {
		c.want(12, a.dying[0] || got.entries == 0, "account %s is closed and purged, and has access lists", id)
		return nil
	}
	c.want(16, got == said && got.entries <= MaxACL, "account %s: %d access list entries, the sum says %d", id, got.entries, said.entries)
	for box, n := range each {
		c.want(16, n <= MaxACLPerBox, "account %s: mailbox %d has %d identifiers", id, box, n)
	}
	return nil
}
