//go:build sabotage_lose_flag

package state

import (
	"encoding/binary"
	"slices"

	"altmail.se/altmail/mailstore"
)

// loseFlag takes the flags off the message that was changed last in each
// mailbox when a leader takes over, on every replica alike: a bug on purpose,
// for a build that the fault harness must catch.
const loseFlag = true

// forgetFlags is what loseFlag does.
func (m *Mail) forgetFlags(t *tx) error {
	if err := m.flush(t); err != nil {
		return err
	}
	type change struct {
		a   mailstore.AccountID
		box mailstore.MailboxID
		seq uint64
		uid mailstore.UID
	}
	last := map[[12]byte]change{}
	p := m.table(nil, tabModSeq)
	err := t.scan(p, func(k, _ []byte) (bool, error) {
		k = k[len(p):]
		if len(k) != 24 {
			return false, corrupt("modseq key")
		}
		c := change{
			mailstore.AccountID(binary.BigEndian.Uint64(k)), mailstore.MailboxID(binary.BigEndian.Uint32(k[8:])),
			binary.BigEndian.Uint64(k[12:]), mailstore.UID(binary.BigEndian.Uint32(k[20:])),
		}
		last[[12]byte(k)] = c
		return true, nil
	})
	if err != nil {
		return err
	}
	var all []change
	for _, c := range last {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b change) int {
		if a.a != b.a {
			return int(int64(a.a) - int64(b.a))
		}
		return int(a.box) - int(b.box)
	})
	for _, c := range all {
		_, b, _, err := m.openBox(t, uint64(c.a), uint32(c.box))
		if err != nil {
			return err
		}
		key := m.message(nil, c.a, c.box, c.uid)
		var r row
		found, err := t.get(key, func(v []byte) error {
			r.at, r.UID = t.row(key, v), c.uid
			return r.decode(v)
		})
		if err != nil {
			return err
		}
		if b == nil || !found || r.Flags == 0 && len(r.Keywords) == 0 {
			continue
		}
		if err := m.restamp(t, c.a, b, &r, r.ModSeq, 0, nil); err != nil {
			return err
		}
		m.touchBox(b)
	}
	return nil
}
