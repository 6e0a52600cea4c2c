package lookup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup/pack"
)

// Keys are the sealed forms of an account's values. What binds each of them is
// drawn in FORMAT.md; commit seals by the same functions that lookup opens by.
type Keys struct{ *keyring.Account }

// Sealed is a value that the state matches by Hash and cannot read.
type Sealed struct {
	Hash   mailstore.Hash
	Sealed []byte
}

// NameHash returns the hash by which the state matches a clean mailbox name.
func (k Keys) NameHash(clean string) mailstore.Hash {
	return k.Hash(keyring.KindMailboxPath, []byte(clean))
}

// SealName seals a clean mailbox name. It is bound to its own hash, which
// goes wherever the name goes.
func (k Keys) SealName(clean string) Sealed {
	h := k.NameHash(clean)
	return Sealed{h, k.Seal(nil, keyring.KindMailboxName, h[:], []byte(clean))}
}

func (k Keys) openName(h mailstore.Hash, sealed []byte) (string, error) {
	b, err := k.Account.Open(nil, keyring.KindMailboxName, h[:], sealed)
	if err != nil {
		return "", damaged("a mailbox name", err)
	}
	return string(b), nil
}

// KeywordHash returns the hash by which the state matches a keyword, in any
// case.
func (k Keys) KeywordHash(keyword string) mailstore.Hash {
	return k.Hash(keyring.KindKeyword, []byte(foldKeyword(keyword)))
}

// SealKeyword seals a keyword as it is spelled.
func (k Keys) SealKeyword(keyword string) Sealed {
	h := k.KeywordHash(keyword)
	return Sealed{h, k.Seal(nil, keyring.KindKeyword, h[:], []byte(keyword))}
}

func (k Keys) openKeyword(h mailstore.Hash, sealed []byte) (string, error) {
	b, err := k.Account.Open(nil, keyring.KindKeyword, h[:], sealed)
	if err != nil {
		return "", damaged("a keyword", err)
	}
	return string(b), nil
}

// ThreadHash returns the hash of a message id for threading.
func (k Keys) ThreadHash(messageID string) mailstore.Hash {
	return k.Hash(keyring.KindThread, []byte(messageID))
}

// SubjectHash returns the hash of a base subject for threading.
func (k Keys) SubjectHash(subject string) mailstore.Hash {
	return k.Hash(keyring.KindSubject, []byte(subject))
}

// SealAddress seals an address as it is shown; h is its hash in the directory.
func (k Keys) SealAddress(h mailstore.Hash, shown string) Sealed {
	return Sealed{h, k.Seal(nil, keyring.KindAddress, h[:], []byte(shown))}
}

func (k Keys) openAddress(h mailstore.Hash, sealed []byte) (string, error) {
	b, err := k.Account.Open(nil, keyring.KindAddress, h[:], sealed)
	if err != nil {
		return "", damaged("an address", err)
	}
	return string(b), nil
}

// SealVerifier seals the encoded verifier of the credential with this id.
func (k Keys) SealVerifier(id [16]byte, encoded string) []byte {
	return k.Seal(nil, keyring.KindCredential, id[:], []byte(encoded))
}

func (k Keys) openVerifier(id []byte, sealed []byte) (string, error) {
	b, err := k.Account.Open(nil, keyring.KindCredential, id, sealed)
	if err != nil {
		return "", damaged("a credential", err)
	}
	return string(b), nil
}

// What the plaintext of a sealed summary begins with. Frozen.
const (
	summaryPlain  = 1 // the rest is as it is
	summaryPacked = 2 // the rest is packed
)

// MaxPrefix bounds the header lines that one recipient has of its own.
const MaxPrefix = 64 << 10

// SealSummary seals a recipient's own header lines and the summary of the
// shared octets, bound to the content id.
func (k Keys) SealSummary(id mailstore.ContentID, prefix, summary []byte) []byte {
	room := scratch.Get().(*[]byte)
	b := append((*room)[:0], summaryPlain)
	b = binary.AppendUvarint(b, uint64(len(prefix)))
	b = append(b, prefix...)
	b = append(b, summary...)
	n := len(b)
	// The packed form stands behind the other in the same room.
	b = append(b, summaryPacked)
	plain := b[:n]
	b, ok := pack.Append(b, plain[1:])
	if ok {
		plain = b[n:]
	}
	sealed := k.Seal(make([]byte, 0, len(plain)+keyring.Overhead), keyring.KindSummary, id[:], plain)
	clear(b)
	*room = b
	scratch.Put(room)
	return sealed
}

// scratch holds room for one plaintext, cleared after use.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// openSummary appends the plaintext to dst, unpacked and without its version,
// and returns it with its two parts.
func (k Keys) openSummary(dst []byte, id mailstore.ContentID, sealed []byte) (plain, prefix, summary []byte, err error) {
	room := scratch.Get().(*[]byte)
	b, err := k.Account.Open((*room)[:0], keyring.KindSummary, id[:], sealed)
	if err == nil {
		plain, err = unpackSummary(dst, b)
	}
	clear(b)
	*room = b[:0]
	scratch.Put(room)
	if err != nil {
		return dst, nil, nil, damaged("a summary", err)
	}
	prefix, summary, err = cutSummary(plain[len(dst):])
	return plain, prefix, summary, err
}

// unpackSummary appends what follows the version to dst, as it was before it
// was packed.
func unpackSummary(dst, b []byte) ([]byte, error) {
	switch {
	case len(b) > 0 && b[0] == summaryPlain:
		return append(dst, b[1:]...), nil
	case len(b) > 0 && b[0] == summaryPacked:
		return pack.Unpack(dst, b[1:])
	}
	return dst, errors.New("a version that is not known here")
}

// cutSummary takes the plaintext of a summary apart.
func cutSummary(b []byte) (prefix, summary []byte, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > uint64(len(b)-k) {
		return nil, nil, fmt.Errorf("%w: a summary's prefix is longer than it", mailstore.ErrDamaged)
	}
	b = b[k:]
	return b[:n:n], b[n:], nil
}

func damaged(what string, err error) error {
	return fmt.Errorf("%w: %s does not open: %w", mailstore.ErrDamaged, what, err)
}
