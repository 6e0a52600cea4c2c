package lookup

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/state"
)

// actor is a user who is not the account's own.
type actor struct {
	id   mailstore.AccountID
	hash mailstore.Hash // its identifier's in the account's access lists
}

// As returns the account as another account's user may use it: reading asks
// Rights, and what is proposed with it is executed only if the user has the
// rights for it then (RFC 4314). It shares everything with a. For its own user
// it is a.
func (a *Account) As(by mailstore.AccountID) *Account {
	if by == a.id {
		return a
	}
	return &Account{opened: a.opened, actor: &actor{by, a.keys.IdentifierHash(by)}}
}

// Actor returns the identifier's hash of the user who uses the account; ok is
// false for its own user.
func (a *Account) Actor() (h mailstore.Hash, ok bool) {
	if a.actor == nil {
		return h, false
	}
	return a.actor.hash, true
}

// What an identifier of an access list is. Frozen.
const identifierAccount = 1 // the id of an account, 8 bytes

// identifier returns the octets that stand for an account in an access list: its
// id, so that nobody takes over rights together with an address.
func identifier(id mailstore.AccountID) []byte {
	return binary.BigEndian.AppendUint64([]byte{identifierAccount}, uint64(id))
}

// IdentifierHash returns the hash by which the state matches an account in the
// access lists of another.
func (k Keys) IdentifierHash(id mailstore.AccountID) mailstore.Hash {
	return k.Hash(keyring.KindIdentifier, identifier(id))
}

// SealIdentifier seals an account's id for the access lists of another.
func (k Keys) SealIdentifier(id mailstore.AccountID) Sealed {
	h := k.IdentifierHash(id)
	return Sealed{h, k.Seal(nil, keyring.KindIdentifier, h[:], identifier(id))}
}

func (k Keys) openIdentifier(h mailstore.Hash, sealed []byte) (mailstore.AccountID, error) {
	b, err := k.Account.Open(nil, keyring.KindIdentifier, h[:], sealed)
	if err != nil {
		return 0, damaged("an identifier", err)
	}
	if len(b) != 9 || b[0] != identifierAccount {
		return 0, fmt.Errorf("%w: an identifier of an unknown format", mailstore.ErrDamaged)
	}
	return mailstore.AccountID(binary.BigEndian.Uint64(b[1:])), nil
}

// Rights returns what the user of the account may do with a mailbox: its own
// user everything, another what the access list says, nothing if it says
// nothing. A mailbox that is not there is mailstore.ErrNoMailbox.
func (v *View) Rights(box mailstore.MailboxID) (mailstore.Rights, error) {
	if err := v.exists(box); err != nil {
		return 0, err
	}
	if v.a.actor == nil {
		return mailstore.AllRights, nil
	}
	return v.r.Rights(v.a.id, box, v.a.actor.hash)
}

// Rights is View.Rights of a view of its own.
func (a *Account) Rights(box mailstore.MailboxID) (mailstore.Rights, error) {
	v := a.Read()
	defer v.Close()
	return v.Rights(box)
}

// Granted is a mailbox with what its user may do with it.
type Granted struct {
	mailstore.Mailbox
	Rights mailstore.Rights
}

// Granted returns the mailboxes on which a user who is not the account's own
// has any right, sorted by name.
func (v *View) Granted() ([]Granted, error) {
	if _, err := v.account(); err != nil || v.a.actor == nil {
		return nil, err
	}
	var ids []mailstore.MailboxID
	err := v.r.Granted(v.a.id, func(box mailstore.MailboxID, h mailstore.Hash) error {
		if h == v.a.actor.hash {
			ids = append(ids, box)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	out := make([]Granted, len(ids))
	for i, id := range ids {
		if out[i].Mailbox, err = v.Mailbox(id); err != nil {
			return nil, err
		}
		if out[i].Rights, err = v.Rights(id); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(x, y Granted) int {
		switch {
		case nameLess(x.Name, y.Name):
			return -1
		case nameLess(y.Name, x.Name):
			return 1
		}
		return 0
	})
	return out, nil
}

// Granted is View.Granted of a view of its own.
func (a *Account) Granted() ([]Granted, error) {
	v := a.Read()
	defer v.Close()
	return v.Granted()
}

// ACLEntry says what an account may do with another's mailbox.
type ACLEntry struct {
	Account mailstore.AccountID
	Rights  mailstore.Rights
}

// ACL returns the access list of a mailbox, without its owner, in the order of
// the accounts' ids. A mailbox that is not there is mailstore.ErrNoMailbox.
func (v *View) ACL(box mailstore.MailboxID) ([]ACLEntry, error) {
	if err := v.exists(box); err != nil {
		return nil, err
	}
	rows, err := v.r.ACL(v.a.id, box)
	if err != nil {
		return nil, err
	}
	out := make([]ACLEntry, len(rows))
	for i := range rows {
		if out[i].Account, err = v.a.keys.openIdentifier(rows[i].Hash, rows[i].Sealed); err != nil {
			return nil, err
		}
		out[i].Rights = rows[i].Rights
	}
	slices.SortFunc(out, func(x, y ACLEntry) int { return compareIDs(x.Account, y.Account) })
	return out, nil
}

func compareIDs(x, y mailstore.AccountID) int {
	return bytes.Compare(identifier(x), identifier(y))
}

// ACL is View.ACL of a view of its own.
func (a *Account) ACL(box mailstore.MailboxID) ([]ACLEntry, error) {
	v := a.Read()
	defer v.Close()
	return v.ACL(box)
}

// Grants reports whether any mailbox of the account has an identifier with this
// hash in its access list.
func (a *Account) Grants(h mailstore.Hash) (bool, error) {
	v := a.Read()
	defer v.Close()
	found := false
	err := v.r.Granted(a.id, func(_ mailstore.MailboxID, got mailstore.Hash) error {
		found = found || got == h
		return nil
	})
	return found, err
}

// SharedWith returns the accounts that may share mailboxes with one, as this node
// knows them; what is shared, if anything, they know (Granted). Call
// SyncDirectory before it for certainty.
func (d *Door) SharedWith(id mailstore.AccountID) ([]mailstore.AccountID, error) {
	rows, err := d.shares(id, (*state.DirectoryReader).SharedWith)
	out := make([]mailstore.AccountID, len(rows))
	for i := range rows {
		out[i] = rows[i].Owner
	}
	return out, err
}

// SharesOf returns the accounts that one may share mailboxes with, as this node
// knows them.
func (d *Door) SharesOf(id mailstore.AccountID) ([]mailstore.AccountID, error) {
	rows, err := d.shares(id, (*state.DirectoryReader).SharesOf)
	out := make([]mailstore.AccountID, len(rows))
	for i := range rows {
		out[i] = rows[i].Grantee
	}
	return out, err
}

func (d *Door) shares(id mailstore.AccountID, read func(*state.DirectoryReader, mailstore.AccountID) ([]state.ShareRow, error)) ([]state.ShareRow, error) {
	r := d.cfg.Directory.Read()
	defer d.close(r)
	return read(r, id)
}

// Share returns the version of the record that an account may share mailboxes
// with another, as this node knows it, and whether there is one.
func (d *Door) Share(owner, grantee mailstore.AccountID) (version uint64, ok bool, err error) {
	r := d.cfg.Directory.Read()
	defer d.close(r)
	row, ok, err := r.Share(owner, grantee)
	return row.Version, ok, err
}

// rightLetters are the rights in the order of their bits.
const rightLetters = "lrswipkxtea"

// ParseRights reads rights as RFC 4314 section 2.1 writes them, those of RFC
// 2086 among them: "c" is "kx" and "d" is "te" (section 2.1.1). ok is false for
// a right that is not known.
func ParseRights(text string) (r mailstore.Rights, ok bool) {
	for i := range len(text) {
		switch c := text[i]; c {
		case 'c':
			r |= mailstore.RightCreate | mailstore.RightDelete
		case 'd':
			r |= mailstore.RightDeleted | mailstore.RightExpunge
		default:
			at := strings.IndexByte(rightLetters, c)
			if at < 0 {
				return 0, false
			}
			r |= 1 << at
		}
	}
	return r, true
}

// FormatRights writes rights, with "c" and "d" where any of what they stand for
// is among them (RFC 4314 section 2.1.1).
func FormatRights(r mailstore.Rights) string {
	var b strings.Builder
	for i := range len(rightLetters) {
		if r&(1<<i) != 0 {
			b.WriteByte(rightLetters[i])
		}
	}
	if r&(mailstore.RightCreate|mailstore.RightDelete) != 0 {
		b.WriteByte('c')
	}
	if r&(mailstore.RightDeleted|mailstore.RightExpunge) != 0 {
		b.WriteByte('d')
	}
	return b.String()
}
