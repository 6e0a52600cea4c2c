package lookup

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
)

// Limits of annotations (RFC 5464), in octets. How many there may be is the
// state's to decide.
const (
	MaxEntryName     = 255
	MaxMetadataValue = 32 << 10
)

// Metadata is one annotation.
type Metadata struct {
	Name   string           // clean
	Value  []byte           // never nil
	ModSeq mailstore.ModSeq // the account's when it was set
}

// CleanEntry returns the one form of an annotation's name: in small letters. It
// returns mailstore.ErrBadName for what RFC 5464 section 3.2 keeps out.
func CleanEntry(name string) (string, error) {
	bad := func(what string) (string, error) {
		return "", fmt.Errorf("%w: an annotation's name %s", mailstore.ErrBadName, what)
	}
	if len(name) > MaxEntryName {
		return bad("is too long")
	}
	for i := range len(name) {
		if c := name[i]; c < ' ' || c >= 0x7f || c == '*' || c == '%' {
			return bad("has a character that is not allowed")
		}
	}
	name = lowerASCII(name)
	parts := strings.Split(name, "/")
	if len(parts) < 3 || parts[0] != "" || parts[1] != "private" && parts[1] != "shared" {
		return bad("does not begin with /private or /shared")
	}
	for _, p := range parts[1:] {
		if p == "" {
			return bad("has an empty component")
		}
	}
	if parts[2] == "vendor" && len(parts) < 5 {
		return bad("of a vendor has at least four components")
	}
	return name, nil
}

// PrivateEntry reports whether an annotation with this clean name is its
// owner's alone (RFC 5464 section 3.2).
func PrivateEntry(name string) bool { return strings.HasPrefix(name, "/private/") }

// metadataVersion begins the plaintext of a sealed annotation. Frozen.
const metadataVersion = 1

// SealMetadata seals an annotation with its clean name, bound to the hash of
// that.
func (k Keys) SealMetadata(name string, value []byte) Sealed {
	h := k.EntryHash(name)
	b := make([]byte, 0, 1+binary.MaxVarintLen16+len(name)+len(value))
	b = append(b, metadataVersion)
	b = binary.AppendUvarint(b, uint64(len(name)))
	b = append(append(b, name...), value...)
	s := Sealed{h, k.Seal(nil, keyring.KindMetadata, h[:], b)}
	clear(b)
	return s
}

// EntryHash returns the hash by which the state matches an annotation's clean
// name.
func (k Keys) EntryHash(name string) mailstore.Hash {
	return k.Hash(keyring.KindMetadata, []byte(name))
}

func (k Keys) openMetadata(h mailstore.Hash, sealed []byte) (name string, value []byte, err error) {
	b, err := k.Account.Open(nil, keyring.KindMetadata, h[:], sealed)
	if err != nil {
		return "", nil, damaged("an annotation", err)
	}
	return cutMetadata(b)
}

// cutMetadata takes the plaintext of an annotation apart.
func cutMetadata(b []byte) (name string, value []byte, err error) {
	if len(b) == 0 || b[0] != metadataVersion {
		return "", nil, fmt.Errorf("%w: an annotation of an unknown format", mailstore.ErrDamaged)
	}
	n, k := binary.Uvarint(b[1:])
	if k <= 0 || n > uint64(len(b)-1-k) {
		return "", nil, fmt.Errorf("%w: an annotation's name is longer than it", mailstore.ErrDamaged)
	}
	b = b[1+k:]
	return string(b[:n]), b[n:], nil
}

// Metadata returns the annotations of a mailbox, or of the account (mailbox 0),
// by name; for another than its owner the shared ones. A mailbox that is not there is
// mailstore.ErrNoMailbox.
func (v *View) Metadata(box mailstore.MailboxID) ([]Metadata, error) {
	if box == 0 {
		if _, err := v.account(); err != nil {
			return nil, err
		}
	} else if err := v.exists(box); err != nil {
		return nil, err
	}
	rows, err := v.r.Metadata(v.a.id, box)
	if err != nil {
		return nil, err
	}
	out := make([]Metadata, len(rows))
	for i := range rows {
		m := &out[i]
		m.ModSeq = rows[i].ModSeq
		if m.Name, m.Value, err = v.a.keys.openMetadata(rows[i].Hash, rows[i].Sealed); err != nil {
			return nil, err
		}
	}
	if v.a.actor != nil {
		out = slices.DeleteFunc(out, func(m Metadata) bool { return PrivateEntry(m.Name) })
	}
	slices.SortFunc(out, func(a, b Metadata) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Metadata is View.Metadata of a view of its own.
func (a *Account) Metadata(box mailstore.MailboxID) ([]Metadata, error) {
	v := a.Read()
	defer v.Close()
	return v.Metadata(box)
}
