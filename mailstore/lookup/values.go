package lookup

import (
	"encoding/binary"
	"fmt"
	"sync"

	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
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

// summaryVersion begins the plaintext of a sealed summary. Frozen.
const summaryVersion = 1

// MaxPrefix bounds the header lines that one recipient has of its own.
const MaxPrefix = 64 << 10

// SealSummary seals a recipient's own header lines and the summary of the
// shared octets, bound to the content id.
func (k Keys) SealSummary(id mailstore.ContentID, prefix, summary []byte) []byte {
	room := scratch.Get().(*[]byte)
	b := append((*room)[:0], summaryVersion)
	b = binary.AppendUvarint(b, uint64(len(prefix)))
	b = append(b, prefix...)
	b = append(b, summary...)
	sealed := k.Seal(make([]byte, 0, len(b)+keyring.Overhead), keyring.KindSummary, id[:], b)
	clear(b)
	*room = b
	scratch.Put(room)
	return sealed
}

// scratch holds room for one plaintext, cleared after use.
var scratch = sync.Pool{New: func() any { return new([]byte) }}

// openSummary appends the plaintext to dst and returns it with its two parts.
func (k Keys) openSummary(dst []byte, id mailstore.ContentID, sealed []byte) (plain, prefix, summary []byte, err error) {
	plain, err = k.Account.Open(dst, keyring.KindSummary, id[:], sealed)
	if err != nil {
		return dst, nil, nil, damaged("a summary", err)
	}
	b := plain[len(dst):]
	prefix, summary, err = cutSummary(b)
	return plain, prefix, summary, err
}

// cutSummary takes the plaintext of a summary apart.
func cutSummary(b []byte) (prefix, summary []byte, err error) {
	if len(b) == 0 || b[0] != summaryVersion {
		return nil, nil, fmt.Errorf("%w: a summary of an unknown format", mailstore.ErrDamaged)
	}
	n, k := binary.Uvarint(b[1:])
	if k <= 0 || n > uint64(len(b)-1-k) {
		return nil, nil, fmt.Errorf("%w: a summary's prefix is longer than it", mailstore.ErrDamaged)
	}
	b = b[1+k:]
	return b[:n:n], b[n:], nil
}

func damaged(what string, err error) error {
	return fmt.Errorf("%w: %s does not open: %w", mailstore.ErrDamaged, what, err)
}
