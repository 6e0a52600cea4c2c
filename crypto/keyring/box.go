package keyring

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// KeySize is the length of every key in bytes.
const KeySize = 32

// The frame of a sealed value: one byte of format, the key epoch, the nonce,
// then ciphertext and tag. FORMAT.md draws it. Frozen.
const (
	boxSymmetric  = 1 // XChaCha20-Poly1305 under a symmetric key
	boxHeaderSize = 1 + 4 + chacha20poly1305.NonceSizeX
	boxTagSize    = chacha20poly1305.Overhead

	// Overhead is how many bytes sealing adds to a value.
	Overhead = boxHeaderSize + boxTagSize
	// WrappedKeySize is the length of a wrapped message key.
	WrappedKeySize = Overhead + KeySize
)

// scratch holds what would otherwise escape to the heap at every call,
// because the AEAD is called through an interface.
type scratch struct {
	aad   []byte
	nonce [chacha20poly1305.NonceSizeX]byte
	sum   []byte
	one   [1]byte
	head  [32 + 4]byte
}

var scratchPool = sync.Pool{New: func() any {
	return &scratch{aad: make([]byte, 0, 128), sum: make([]byte, 0, sha256.Size)}
}}

// putScratch returns s unless a huge object name made it grow.
func putScratch(s *scratch) {
	if cap(s.aad) <= 4096 {
		scratchPool.Put(s)
	}
}

// setAAD fills s.aad with what a value is bound to. All but the object is of
// fixed length, so no two bindings give the same bytes.
func (s *scratch) setAAD(owner uint64, kind Kind, epoch Epoch, object []byte) {
	b := s.aad[:0]
	b = binary.BigEndian.AppendUint64(b, owner)
	b = append(b, byte(kind))
	b = binary.BigEndian.AppendUint32(b, uint32(epoch))
	s.aad = append(b, object...)
}

// contentKey is one epoch of a key that seals values.
type contentKey struct {
	epoch Epoch
	key   [KeySize]byte
	aead  cipher.AEAD
	nonce *macPool // makes synthetic nonces
}

func newContentKey(epoch Epoch, key *[KeySize]byte, purpose string) (*contentKey, error) {
	sub, err := deriveKey(key, "altmail "+purpose+" seal 1")
	if err != nil {
		return nil, err
	}
	nonce, err := deriveKey(key, "altmail "+purpose+" nonce 1")
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(sub[:])
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return &contentKey{epoch: epoch, key: *key, aead: aead, nonce: newMACPool(&nonce)}, nil
}

// deriveKey makes the key for one purpose from another (RFC 5869, no salt).
func deriveKey(key *[KeySize]byte, info string) (sub [KeySize]byte, err error) {
	b, err := hkdf.Key(sha256.New, key[:], nil, info, KeySize)
	if err != nil {
		return sub, fmt.Errorf("keyring: derive key: %w", err)
	}
	copy(sub[:], b)
	return sub, nil
}

// seal appends the sealed plaintext to dst. With a seed the nonce is derived
// from the seed, the binding and the plaintext, so that every replica that
// seals the same command makes the same bytes and different plaintexts never
// share a nonce; without one it is random.
func (k *contentKey) seal(dst []byte, owner uint64, kind Kind, object, plaintext []byte, seed *[32]byte) []byte {
	s := scratchPool.Get().(*scratch)
	s.setAAD(owner, kind, k.epoch, object)
	if seed == nil {
		// Never fails: crypto/rand ends the process where the system has
		// no randomness to give.
		rand.Read(s.nonce[:])
	} else {
		// The binding's length is in, or two ways to cut the same bytes
		// into object and plaintext would share a nonce.
		copy(s.head[:], seed[:])
		binary.BigEndian.PutUint32(s.head[32:], uint32(len(s.aad)))
		s.sum = k.nonce.sum3(s.sum[:0], s.head[:], s.aad, plaintext)
		copy(s.nonce[:], s.sum)
	}
	dst = append(dst, boxSymmetric)
	dst = binary.BigEndian.AppendUint32(dst, uint32(k.epoch))
	dst = append(dst, s.nonce[:]...)
	dst = k.aead.Seal(dst, s.nonce[:], plaintext, s.aad)
	putScratch(s)
	return dst
}

// open appends the plaintext of sealed, whose frame boxEpoch has checked.
func (k *contentKey) open(dst []byte, owner uint64, kind Kind, object, sealed []byte) ([]byte, error) {
	s := scratchPool.Get().(*scratch)
	s.setAAD(owner, kind, k.epoch, object)
	copy(s.nonce[:], sealed[5:])
	out, err := k.aead.Open(dst, s.nonce[:], sealed[boxHeaderSize:], s.aad)
	putScratch(s)
	if err != nil {
		return dst, fmt.Errorf("%w: %v does not open under epoch %d", ErrDamaged, kind, k.epoch)
	}
	return out, nil
}

// boxEpoch checks the frame of a sealed value and returns the epoch it names.
func boxEpoch(sealed []byte) (Epoch, error) {
	if len(sealed) == 0 {
		return 0, fmt.Errorf("%w: empty value", ErrDamaged)
	}
	if sealed[0] != boxSymmetric {
		return 0, fmt.Errorf("%w: sealed value of format %d", ErrVersion, sealed[0])
	}
	if len(sealed) < Overhead {
		return 0, fmt.Errorf("%w: sealed value of %d bytes", ErrDamaged, len(sealed))
	}
	return Epoch(binary.BigEndian.Uint32(sealed[1:])), nil
}

// SealedEpoch returns the key epoch that a sealed value or wrapped key names,
// without opening it: a rotation is done when nothing names the old one.
func SealedEpoch(sealed []byte) (Epoch, error) { return boxEpoch(sealed) }

// macPool hands out HMAC-SHA256 states for one key.
type macPool struct{ pool sync.Pool }

func newMACPool(key *[KeySize]byte) *macPool {
	k := *key
	return &macPool{pool: sync.Pool{New: func() any { return hmac.New(sha256.New, k[:]) }}}
}

// sum3 appends HMAC(a ‖ b ‖ c).
func (p *macPool) sum3(dst, a, b, c []byte) []byte {
	h := p.pool.Get().(hash.Hash)
	h.Reset()
	h.Write(a)
	h.Write(b)
	h.Write(c)
	dst = h.Sum(dst)
	p.pool.Put(h)
	return dst
}

// hash16 returns HMAC(kind ‖ data) cut to 16 bytes.
func (p *macPool) hash16(kind Kind, data []byte) (out [16]byte) {
	s := scratchPool.Get().(*scratch)
	s.one[0] = byte(kind)
	s.sum = p.sum3(s.sum[:0], s.one[:], data, nil)
	copy(out[:], s.sum)
	putScratch(s)
	return out
}

func newKey() (key [KeySize]byte, err error) {
	if _, err = rand.Read(key[:]); err != nil {
		return key, fmt.Errorf("keyring: random key: %w", err)
	}
	return key, nil
}
