//go:build !unsealed_body

package seal

import (
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"golang.org/x/crypto/chacha20"
	"golang.org/x/crypto/chacha20poly1305"
)

// box seals the parts of one body under its key.
type box struct {
	aead cipher.AEAD
	key  *[32]byte
	aad  [prefixSize]byte
	n    [24]byte
}

func newBox(key *[32]byte) (*box, error) {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	b := &box{aead: aead, key: key}
	copy(b.aad[:], magic)
	b.aad[prefixSize-1] = version
	return b, nil
}

// seal encrypts buf[start:] in place and appends the tag.
func (b *box) seal(buf []byte, start int, role byte, n int) []byte {
	b.n = nonce(role, n)
	return b.aead.Seal(buf[:start], b.n[:], buf[start:], b.aad[:])
}

// open appends the plaintext of sealed to dst, which it may overlap only
// exactly.
func (b *box) open(dst, sealed []byte, role byte, n int) ([]byte, bool) {
	b.n = nonce(role, n)
	out, err := b.aead.Open(dst, b.n[:], sealed, b.aad[:])
	return out, err == nil
}

// fill writes keystream for a role, which looks like ciphertext.
func (b *box) fill(p []byte, role byte) error {
	n := nonce(role, 0)
	c, err := chacha20.NewUnauthenticatedCipher(b.key[:], n[:])
	if err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	clear(p)
	c.XORKeyStream(p, p)
	return nil
}

// nonce is a constant for each part of a body: the key is used for one body.
func nonce(role byte, n int) (out [24]byte) {
	out[0] = role
	binary.BigEndian.PutUint64(out[16:], uint64(n))
	return out
}
