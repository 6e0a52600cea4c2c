package keyring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
)

// The kinds of content key an account can have. Frozen.
const (
	slotSymmetric = 1 // the cluster holds the key
	slotX25519    = 2 // the cluster holds the public half only (password lock)
)

const (
	accountVersion = 1
	accountSlot    = 1 + 4 + KeySize // kind, epoch, key
	// maxAccountEpochs bounds the content keys an account record may hold.
	maxAccountEpochs = 64
)

// Account holds the keys of one account: content keys by epoch, for values
// and message keys, and an index key, for matching what cannot be read. It is
// safe for concurrent use; Rotate returns a new Account.
type Account struct {
	id    uint64
	keys  []*contentKey // ascending epochs, the last one is current
	index [KeySize]byte
	macs  *macPool
}

// NewAccount makes keys for the account with this id, which is part of what
// every value of the account is bound to.
func NewAccount(id uint64) (*Account, error) {
	index, err := newKey()
	if err != nil {
		return nil, err
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return makeAccount(id, index, []slot{{epoch: 1, key: key}})
}

// slot is a content key as it is stored.
type slot struct {
	epoch Epoch
	key   [KeySize]byte
}

func makeAccount(id uint64, index [KeySize]byte, slots []slot) (*Account, error) {
	a := &Account{id: id, index: index}
	for i := range slots {
		k, err := newContentKey(slots[i].epoch, &slots[i].key, "account")
		if err != nil {
			return nil, err
		}
		a.keys = append(a.keys, k)
	}
	sub, err := deriveKey(&index, "altmail account index 1")
	if err != nil {
		return nil, err
	}
	a.macs = newMACPool(&sub)
	return a, nil
}

// keyPool holds room for one unwrapped key.
var keyPool = sync.Pool{New: func() any {
	b := make([]byte, 0, KeySize)
	return &b
}}

// ID returns the account's id.
func (a *Account) ID() uint64 { return a.id }

// Epoch returns the epoch that new values are sealed under.
func (a *Account) Epoch() Epoch { return a.keys[len(a.keys)-1].epoch }

// Epochs returns the epochs held, ascending.
func (a *Account) Epochs() []Epoch {
	out := make([]Epoch, len(a.keys))
	for i, k := range a.keys {
		out[i] = k.epoch
	}
	return out
}

func (a *Account) slots() []slot {
	out := make([]slot, len(a.keys))
	for i, k := range a.keys {
		out[i] = slot{k.epoch, k.key}
	}
	return out
}

// Rotate returns the account with a further content key, which becomes
// current. The index key stays: hashes in the state go on matching.
func (a *Account) Rotate() (*Account, error) {
	if len(a.keys) >= maxAccountEpochs {
		return nil, fmt.Errorf("%w: account has %d key epochs", ErrTooLarge, len(a.keys))
	}
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	return makeAccount(a.id, a.index, append(a.slots(), slot{a.Epoch() + 1, key}))
}

// Drop returns the account without one of its older content keys; what is
// still sealed under it cannot be opened again.
func (a *Account) Drop(e Epoch) (*Account, error) {
	if e == a.Epoch() {
		return nil, ErrEpochInUse
	}
	slots := a.slots()
	for i := range slots {
		if slots[i].epoch == e {
			return makeAccount(a.id, a.index, append(slots[:i:i], slots[i+1:]...))
		}
	}
	return nil, fmt.Errorf("%w: account key epoch %d", ErrNoEpoch, e)
}

func (a *Account) current() *contentKey { return a.keys[len(a.keys)-1] }

func (a *Account) at(e Epoch) (*contentKey, error) {
	for i := len(a.keys) - 1; i >= 0; i-- {
		if a.keys[i].epoch == e {
			return a.keys[i], nil
		}
	}
	return nil, fmt.Errorf("%w: account key epoch %d", ErrNoEpoch, e)
}

// Seal appends plaintext, sealed under the account's current key and bound to
// account, kind and object, to dst. The object is what the value belongs to
// for ever (an id that COPY and MOVE do not change). The result is Overhead
// bytes longer than plaintext, which must not overlap dst's spare room.
func (a *Account) Seal(dst []byte, kind Kind, object, plaintext []byte) []byte {
	return a.current().seal(dst, a.id, kind, object, plaintext, nil)
}

// SealSeed is Seal with a nonce made from seed, the binding and plaintext, so
// that all who seal the same value for the same command make the same bytes.
// The seed must be fresh for each command.
func (a *Account) SealSeed(dst []byte, kind Kind, object, plaintext []byte, seed *[32]byte) []byte {
	return a.current().seal(dst, a.id, kind, object, plaintext, seed)
}

// Open appends the plaintext of sealed to dst. Its error is ErrDamaged when
// the bytes were altered or belong to another account, kind or object,
// ErrNoEpoch when the key is not held, ErrVersion for an unknown format; dst
// is then returned unchanged.
func (a *Account) Open(dst []byte, kind Kind, object, sealed []byte) ([]byte, error) {
	e, err := boxEpoch(sealed)
	if err != nil {
		return dst, err
	}
	k, err := a.at(e)
	if err != nil {
		return dst, err
	}
	return k.open(dst, a.id, kind, object, sealed)
}

// WrapKey appends a message key wrapped for this account: WrappedKeySize
// bytes that name the key epoch.
func (a *Account) WrapKey(dst []byte, object []byte, key *[KeySize]byte) []byte {
	return a.current().seal(dst, a.id, KindMessageKey, object, key[:], nil)
}

// UnwrapKey returns the message key that WrapKey wrapped for the same object.
// Errors are those of Open.
func (a *Account) UnwrapKey(object, wrapped []byte) (key [KeySize]byte, err error) {
	if len(wrapped) != WrappedKeySize {
		if _, err := boxEpoch(wrapped); errors.Is(err, ErrVersion) {
			return key, err
		}
		return key, fmt.Errorf("%w: wrapped key of %d bytes", ErrDamaged, len(wrapped))
	}
	e, err := boxEpoch(wrapped)
	if err != nil {
		return key, err
	}
	k, err := a.at(e)
	if err != nil {
		return key, err
	}
	b := keyPool.Get().(*[]byte)
	*b, err = k.open((*b)[:0], a.id, KindMessageKey, object, wrapped)
	if err == nil {
		copy(key[:], *b)
		clear(*b)
	}
	keyPool.Put(b)
	return key, err
}

// Hash returns HMAC(index key, kind ‖ data) cut to 16 bytes: how the state
// matches names and ids that it cannot read. It never changes for an account.
func (a *Account) Hash(kind Kind, data []byte) [16]byte { return a.macs.hash16(kind, data) }

// encode returns the account's keys in the form that WrapAccount seals.
func (a *Account) encode() []byte {
	b := make([]byte, 0, 2+KeySize+len(a.keys)*accountSlot)
	b = append(b, accountVersion)
	b = append(b, a.index[:]...)
	b = append(b, byte(len(a.keys)))
	for _, k := range a.keys {
		b = append(b, slotSymmetric)
		b = binary.BigEndian.AppendUint32(b, uint32(k.epoch))
		b = append(b, k.key[:]...)
	}
	return b
}

func decodeAccount(id uint64, b []byte) (*Account, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: empty account keys", ErrDamaged)
	}
	if b[0] != accountVersion {
		return nil, fmt.Errorf("%w: account keys of version %d", ErrVersion, b[0])
	}
	if len(b) < 2+KeySize {
		return nil, fmt.Errorf("%w: account keys of %d bytes", ErrDamaged, len(b))
	}
	index := [KeySize]byte(b[1:])
	n := int(b[1+KeySize])
	b = b[2+KeySize:]
	if n == 0 || n > maxAccountEpochs || len(b) != n*accountSlot {
		return nil, fmt.Errorf("%w: account keys with %d slots in %d bytes", ErrDamaged, n, len(b))
	}
	slots := make([]slot, n)
	for i := range slots {
		switch b[0] {
		case slotSymmetric:
		case slotX25519:
			return nil, fmt.Errorf("%w: password-locked account", ErrSlot)
		default:
			return nil, fmt.Errorf("%w: kind %d", ErrSlot, b[0])
		}
		slots[i] = slot{Epoch(binary.BigEndian.Uint32(b[1:])), [KeySize]byte(b[5:])}
		if slots[i].epoch == 0 || i > 0 && slots[i].epoch <= slots[i-1].epoch {
			return nil, fmt.Errorf("%w: account key epochs out of order", ErrDamaged)
		}
		b = b[accountSlot:]
	}
	return makeAccount(id, index, slots)
}
