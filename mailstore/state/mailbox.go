package state

import (
	"bytes"
	"slices"

	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// openAccount makes an account. Repeated for one that exists it changes
// nothing; a closed account stays closed, for ids are never reused.
func (m *Mail) openAccount(t *tx, c *pb.OpenAccount) (*pb.Result, error) {
	id := mailstore.AccountID(c.Account)
	a, err := m.acct(t, id)
	if err != nil {
		return nil, err
	}
	if a != nil {
		if a.Closed {
			return code(pb.Code_GONE), nil
		}
		in, err := m.box(t, id, Inbox)
		if err != nil || in == nil {
			return code(pb.Code_NO_MAILBOX), err
		}
		return &pb.Result{Modseq: uint64(a.ModSeq), Mailbox: uint32(Inbox), UidValidity: in.UIDValidity}, nil
	}
	a = &hotAccount{AccountRow: AccountRow{
		ID: id, QuotaBytes: c.QuotaBytes, QuotaMessages: c.QuotaMessages, NextMailbox: uint32(Inbox),
		// Seconds are only where the counter starts, so that an account made
		// again after a loss does not repeat what clients remember.
		NextValidity: uint32(max(1, m.now())),
	}}
	m.accounts[id] = a
	seq := m.nextModSeq(a)
	for _, mb := range c.Mailboxes {
		if _, err := m.addMailbox(t, a, mb, seq); err != nil {
			return nil, err
		}
	}
	m.event(id, 0, seq)
	in := m.boxes[boxKey{id, Inbox}]
	return &pb.Result{Modseq: uint64(seq), Mailbox: uint32(Inbox), UidValidity: in.UIDValidity}, nil
}

func (m *Mail) addMailbox(t *tx, a *hotAccount, c *pb.CreateMailbox, seq mailstore.ModSeq) (*hotMailbox, error) {
	b := &hotMailbox{}
	b.Account, b.ID = a.ID, mailstore.MailboxID(a.NextMailbox)
	b.UIDValidity, b.UIDNext, b.RecentFrom, b.HighestModSeq = a.NextValidity, 1, 1, seq
	b.SpecialUse = mailstore.SpecialUse(c.SpecialUse)
	b.Hash, b.Sealed = mailstore.Hash(c.Name.Hash), bytes.Clone(c.Name.Sealed)
	a.NextMailbox++
	a.NextValidity++
	a.Mailboxes++
	a.List++
	m.touch(a)
	m.boxes[boxKey{a.ID, b.ID}] = b
	m.touchBox(b)
	if err := m.putName(t, b); err != nil {
		return nil, err
	}
	if !c.Subscribe {
		return b, nil
	}
	return b, m.putSub(t, a, c.Name)
}

func (m *Mail) putName(t *tx, b *hotMailbox) error {
	t.kb = m.accountHash(t.kb[:0], tabName, b.Account, b.Hash[:])
	_, err := t.put(t.kb, absent, putUint(nil, uint64(b.ID)))
	return err
}

func (m *Mail) dropName(t *tx, b *hotMailbox) error {
	t.kb = m.accountHash(t.kb[:0], tabName, b.Account, b.Hash[:])
	return t.del(t.kb, t.row(t.kb, putUint(nil, uint64(b.ID))))
}

// putSub writes a subscription unless it is there; there is room for it.
func (m *Mail) putSub(t *tx, a *hotAccount, n *pb.Name) error {
	key := m.accountHash(nil, tabSub, a.ID, n.Hash)
	found, err := t.get(key, nil)
	if err != nil || found {
		return err
	}
	if a.Subscriptions >= MaxSubscriptions {
		return nil
	}
	a.Subscriptions++
	m.touch(a)
	_, err = t.put(key, absent, n.Sealed)
	return err
}

func (m *Mail) updateAccount(t *tx, c *pb.UpdateAccount) (*pb.Result, error) {
	a, err := m.acct(t, mailstore.AccountID(c.Account))
	switch {
	case err != nil:
		return nil, err
	case a == nil:
		return code(pb.Code_NO_ACCOUNT), nil
	case a.Closed:
		return code(pb.Code_GONE), nil
	}
	if c.QuotaBytes != nil {
		a.QuotaBytes = *c.QuotaBytes
	}
	if c.QuotaMessages != nil {
		a.QuotaMessages = *c.QuotaMessages
	}
	if c.Frozen != nil {
		a.Frozen = *c.Frozen
	}
	m.touch(a)
	return &pb.Result{Modseq: uint64(a.ModSeq)}, nil
}

// closeAccount leaves a tombstone, which later deliveries and a late
// OpenAccount meet (H14), and queues the rest for Purge. An account that never
// was gets one too: its OpenAccount may still be on the way.
func (m *Mail) closeAccount(t *tx, c *pb.CloseAccount) (*pb.Result, error) {
	id := mailstore.AccountID(c.Account)
	a, err := m.acct(t, id)
	if err != nil {
		return nil, err
	}
	if a == nil {
		a = &hotAccount{AccountRow: AccountRow{ID: id}}
		m.accounts[id] = a
	}
	if a.Closed {
		return code(pb.Code_OK), nil
	}
	seq := m.nextModSeq(a)
	a.AccountRow = AccountRow{ID: id, ModSeq: seq, Closed: true}
	t.kb = m.mailbox(t.kb[:0], tabDying, id, 0)
	if _, err := t.put(t.kb, absent, nil); err != nil {
		return nil, err
	}
	m.event(id, 0, seq)
	return &pb.Result{Modseq: uint64(seq)}, nil
}

// listChanged reports whether the mailbox list is not what the proposer saw.
func listChanged(a *hotAccount, list *uint64) bool { return list != nil && *list != a.List }

func (m *Mail) createMailbox(t *tx, c *pb.CreateMailbox) (*pb.Result, error) {
	a, cd, err := m.open(t, c.Account)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	if listChanged(a, c.List) {
		return code(pb.Code_CONFLICT), nil
	}
	_, taken, err := m.named(t, a.ID, c.Name.Hash)
	if err != nil {
		return nil, err
	}
	if taken {
		return code(pb.Code_MAILBOX_EXISTS), nil
	}
	if a.Mailboxes >= MaxMailboxes || a.NextMailbox == 1<<32-1 || a.NextValidity == 1<<32-1 {
		return code(pb.Code_LIMIT), nil
	}
	rows, room, err := m.inherited(t, a.ID, mailstore.MailboxID(c.Inherit))
	if err != nil {
		return nil, err
	}
	if !room {
		return code(pb.Code_LIMIT), nil
	}
	seq := m.nextModSeq(a)
	b, err := m.addMailbox(t, a, c, seq)
	if err != nil {
		return nil, err
	}
	if err := m.inherit(t, a.ID, b.ID, rows); err != nil {
		return nil, err
	}
	m.event(a.ID, 0, seq)
	return &pb.Result{Modseq: uint64(seq), Mailbox: uint32(b.ID), UidValidity: b.UIDValidity}, nil
}

// deleteMailbox hides a mailbox at once. Its inferiors are mailboxes of their
// own and stay; the door decides whether that is right.
func (m *Mail) deleteMailbox(t *tx, c *pb.DeleteMailbox) (*pb.Result, error) {
	a, b, cd, err := m.openBox(t, c.Account, c.Mailbox)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	if listChanged(a, c.List) {
		return code(pb.Code_CONFLICT), nil
	}
	if b.ID == Inbox { // RFC 9051 section 6.3.5
		return code(pb.Code_NOT_PERMITTED), nil
	}
	seq := m.nextModSeq(a)
	if err := m.dropName(t, b); err != nil {
		return nil, err
	}
	t.kb = m.mailbox(t.kb[:0], tabMailbox, a.ID, b.ID)
	if b.at != absent {
		if err := t.del(t.kb, b.at); err != nil {
			return nil, err
		}
	}
	t.kb = m.mailbox(t.kb[:0], tabDying, a.ID, b.ID)
	if _, err := t.put(t.kb, absent, nil); err != nil {
		return nil, err
	}
	if err := m.dropMetadata(t, a.ID, b.ID); err != nil {
		return nil, err
	}
	if err := m.dropACL(t, a.ID, b.ID); err != nil {
		return nil, err
	}
	if err := m.dropImport(t, a.ID, b.ID); err != nil {
		return nil, err
	}
	b.gone = true
	delete(m.boxes, boxKey{a.ID, b.ID})
	a.UsedBytes -= b.Size
	a.UsedMessages -= uint64(b.Exists)
	a.Mailboxes--
	a.List++
	m.event(a.ID, b.ID, seq)
	m.event(a.ID, 0, seq)
	return &pb.Result{Modseq: uint64(seq)}, nil
}

// renameMailboxes gives several mailboxes new names at once; they may swap
// names. UIDVALIDITY and MODSEQ stay (H23).
func (m *Mail) renameMailboxes(t *tx, c *pb.RenameMailboxes) (*pb.Result, error) {
	a, cd, err := m.open(t, c.Account)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	if listChanged(a, c.List) {
		return code(pb.Code_CONFLICT), nil
	}
	boxes := make([]*hotMailbox, len(c.Items))
	moving := make(map[mailstore.MailboxID]bool, len(c.Items))
	for i, it := range c.Items {
		if boxes[i], err = m.box(t, a.ID, mailstore.MailboxID(it.Mailbox)); err != nil {
			return nil, err
		}
		if boxes[i] == nil {
			return code(pb.Code_NO_MAILBOX), nil
		}
		if boxes[i].ID == Inbox {
			return code(pb.Code_NOT_PERMITTED), nil
		}
		moving[boxes[i].ID] = true
	}
	for _, it := range c.Items {
		holder, taken, err := m.named(t, a.ID, it.Name.Hash)
		if err != nil {
			return nil, err
		}
		if taken && !moving[holder] {
			return code(pb.Code_MAILBOX_EXISTS), nil
		}
	}
	for _, b := range boxes {
		if err := m.dropName(t, b); err != nil {
			return nil, err
		}
	}
	for i, b := range boxes {
		b.Hash, b.Sealed = mailstore.Hash(c.Items[i].Name.Hash), slices.Clone(c.Items[i].Name.Sealed)
		m.touchBox(b)
		if err := m.putName(t, b); err != nil {
			return nil, err
		}
	}
	seq := m.nextModSeq(a)
	a.List++
	m.event(a.ID, 0, seq)
	return &pb.Result{Modseq: uint64(seq)}, nil
}

func (m *Mail) subscribe(t *tx, c *pb.Subscribe) (*pb.Result, error) {
	a, cd, err := m.open(t, c.Account)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	key := m.accountHash(nil, tabSub, a.ID, c.Name.Hash)
	var old sum
	found, err := t.get(key, func(v []byte) error { old = t.row(key, v); return nil })
	if err != nil {
		return nil, err
	}
	res := &pb.Result{Modseq: uint64(a.ModSeq)}
	switch {
	case found == !c.Remove:
		return res, nil
	case c.Remove:
		if err := t.del(key, old); err != nil {
			return nil, err
		}
		a.Subscriptions--
	case a.Subscriptions >= MaxSubscriptions:
		return code(pb.Code_LIMIT), nil
	default:
		if err := m.putSub(t, a, c.Name); err != nil {
			return nil, err
		}
	}
	seq := m.nextModSeq(a)
	a.List++
	m.event(a.ID, 0, seq)
	res.Modseq = uint64(seq)
	return res, nil
}

// touchRecent raises the low-water mark of \Recent; nobody is told.
func (m *Mail) touchRecent(t *tx, c *pb.TouchRecent) (*pb.Result, error) {
	a, b, cd, err := m.openBox(t, c.Account, c.Mailbox)
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	if to := min(mailstore.UID(c.Uid), b.UIDNext); to > b.RecentFrom {
		b.RecentFrom = to
		m.touchBox(b)
	}
	return &pb.Result{Modseq: uint64(a.ModSeq)}, nil
}
