package state

import (
	"fmt"

	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// Limits of annotations (RFC 5464), which every replica enforces alike.
// Changing one needs a new feature level.
const (
	MaxMetadataPerBox = 100     // of a mailbox, or of the account itself
	MaxMetadataBytes  = 4 << 20 // of an account, sealed
)

// MetadataRow is one annotation. What it is called is sealed with its value.
type MetadataRow struct {
	Hash   mailstore.Hash
	ModSeq mailstore.ModSeq // the account's when it was set
	Sealed []byte
}

func (r *MetadataRow) encode(b []byte) []byte {
	return append(putUint(append(b, rowVersion), uint64(r.ModSeq)), r.Sealed...)
}

// decode reads all but the hash; Sealed aliases v.
func (r *MetadataRow) decode(v []byte) error {
	d := decode(v)
	r.ModSeq = mailstore.ModSeq(d.uint())
	r.Sealed = d.b
	if d.bad || len(r.Sealed) == 0 {
		return corrupt("metadata")
	}
	return nil
}

// metadataSum is what the annotations of an account add up to. There is a row
// of it while there are any.
type metadataSum struct {
	entries, bytes uint64
}

func (r *metadataSum) encode(b []byte) []byte {
	return putUint(putUint(append(b, rowVersion), r.entries), r.bytes)
}

func (r *metadataSum) decode(v []byte) error {
	d := decode(v)
	r.entries = d.uint()
	r.bytes = d.uint()
	return d.done("sum of metadata")
}

func (k *keys) metadata(b []byte, a mailstore.AccountID, m mailstore.MailboxID, h []byte) []byte {
	return append(k.mailbox(b, tabMetadata, a, m), h...)
}

// setMetadata changes annotations of a mailbox or, with mailbox 0, of the
// account.
func (m *Mail) setMetadata(t *tx, c *pb.SetMetadata) (*pb.Result, error) {
	a, cd, err := m.open(t, c.Account)
	if err == nil && cd == pb.Code_OK && c.Mailbox != 0 {
		a, _, cd, err = m.openBox(t, c.Account, c.Mailbox)
	}
	if err != nil || cd != pb.Code_OK {
		return code(cd), err
	}
	box := mailstore.MailboxID(c.Mailbox)
	total, totalAt, err := m.metadataSum(t, a.ID)
	if err != nil {
		return nil, err
	}
	// What is there of each entry, and what all of it comes to.
	had := make([]sum, len(c.Entries))
	after, changes, more := total, false, uint64(0)
	for i, e := range c.Entries {
		key := m.metadata(nil, a.ID, box, e.Hash)
		found, err := t.get(key, func(v []byte) error {
			had[i] = t.row(key, v)
			var old MetadataRow
			err := old.decode(v)
			after.entries--
			after.bytes -= uint64(len(old.Sealed))
			return err
		})
		if err != nil {
			return nil, err
		}
		changes = changes || found || len(e.Sealed) > 0
		if len(e.Sealed) > 0 {
			after.entries++
			after.bytes += uint64(len(e.Sealed))
			if !found {
				more++
			}
		}
	}
	if !changes {
		return &pb.Result{Modseq: uint64(a.ModSeq)}, nil
	}
	if after.bytes > total.bytes && after.bytes > MaxMetadataBytes {
		return code(pb.Code_OVER_QUOTA), nil
	}
	if more > 0 && after.entries > total.entries {
		n, err := m.countMetadata(t, a.ID, box)
		if err != nil {
			return nil, err
		}
		if n+after.entries-total.entries > MaxMetadataPerBox {
			return code(pb.Code_LIMIT), nil
		}
	}
	seq := m.nextModSeq(a)
	for i, e := range c.Entries {
		t.kb = m.metadata(t.kb[:0], a.ID, box, e.Hash)
		switch {
		case len(e.Sealed) > 0:
			t.vb = (&MetadataRow{ModSeq: seq, Sealed: e.Sealed}).encode(t.vb[:0])
			_, err = t.put(t.kb, had[i], t.vb)
		case had[i] != absent:
			err = t.del(t.kb, had[i])
		}
		if err != nil {
			return nil, err
		}
	}
	if err := m.putMetadataSum(t, a.ID, after, totalAt); err != nil {
		return nil, err
	}
	m.event(a.ID, box, seq)
	return &pb.Result{Modseq: uint64(seq)}, nil
}

func (m *Mail) metadataSum(t *tx, a mailstore.AccountID) (total metadataSum, at sum, err error) {
	key := m.account(nil, tabMetadata, a)
	_, err = t.get(key, func(v []byte) error {
		at = t.row(key, v)
		return total.decode(v)
	})
	return total, at, err
}

func (m *Mail) putMetadataSum(t *tx, a mailstore.AccountID, total metadataSum, at sum) error {
	t.kb = m.account(t.kb[:0], tabMetadata, a)
	if total == (metadataSum{}) {
		if at == absent {
			return nil
		}
		return t.del(t.kb, at)
	}
	t.vb = total.encode(t.vb[:0])
	_, err := t.put(t.kb, at, t.vb)
	return err
}

func (m *Mail) countMetadata(t *tx, a mailstore.AccountID, box mailstore.MailboxID) (n uint64, err error) {
	err = t.scan(m.mailbox(nil, tabMetadata, a, box), func(_, _ []byte) (bool, error) { n++; return true, nil })
	return n, err
}

// dropMetadata removes the annotations of a mailbox that is deleted: they are
// few.
func (m *Mail) dropMetadata(t *tx, a mailstore.AccountID, box mailstore.MailboxID) error {
	total, totalAt, err := m.metadataSum(t, a)
	if err != nil || totalAt == absent {
		return err
	}
	err = t.scan(m.mailbox(nil, tabMetadata, a, box), func(k, v []byte) (bool, error) {
		var row MetadataRow
		if err := row.decode(v); err != nil {
			return false, err
		}
		total.entries--
		total.bytes -= uint64(len(row.Sealed))
		return true, t.del(append([]byte(nil), k...), t.row(k, v))
	})
	if err != nil {
		return err
	}
	return m.putMetadataSum(t, a, total, totalAt)
}

// Metadata returns the annotations of a mailbox, or of the account (mailbox 0),
// in the order of their hashes.
func (r *Reader) Metadata(a mailstore.AccountID, box mailstore.MailboxID) ([]MetadataRow, error) {
	var out []MetadataRow
	err := r.scan(r.mailbox(nil, tabMetadata, a, box), func(k, v []byte) error {
		if len(k) != 16 {
			return corrupt("metadata key")
		}
		row := MetadataRow{Hash: mailstore.Hash(k)}
		if err := row.decode(clone(v)); err != nil {
			return err
		}
		out = append(out, row)
		return nil
	})
	return out, err
}

// metadata checks rule 15.
func (a *account) metadata() error {
	c, id := a.c, a.row.ID
	var got, said metadataSum
	each := make(map[mailstore.MailboxID]int)
	err := c.scan(c.account(nil, tabMetadata, id), func(k, v []byte) error {
		if len(k) == 0 {
			return said.decode(v)
		}
		if len(k) != 4+16 {
			return corrupt("metadata key")
		}
		var row MetadataRow
		if err := row.decode(v); err != nil {
			c.add(1, "account %s: metadata: %v", id, err)
			return nil
		}
		got.entries++
		got.bytes += uint64(len(row.Sealed))
		box := mailstore.MailboxID(u32at(k))
		each[box]++
		b := a.boxes[box]
		c.want(15, a.row.Closed || box == 0 || b != nil && b.row.ID != 0, "account %s: metadata of mailbox %d, which does not exist", id, box)
		c.want(15, a.row.Closed || row.ModSeq <= a.row.ModSeq, "account %s: metadata above the account's modification sequence", id)
		return nil
	})
	if err != nil {
		return fmt.Errorf("account %s: %w", id, err)
	}
	if a.row.Closed {
		c.want(12, a.dying[0] || got.entries == 0, "account %s is closed and purged, and has metadata", id)
		return nil
	}
	c.want(15, got == said, "account %s: %d annotations of %d bytes, the sum says %d of %d", id, got.entries, got.bytes, said.entries, said.bytes)
	for box, n := range each {
		c.want(15, n <= MaxMetadataPerBox, "account %s: mailbox %d has %d annotations", id, box, n)
	}
	return nil
}
