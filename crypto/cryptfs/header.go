package cryptfs

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// HeaderSize is how many bytes a written file is longer on the disk than it
// looks to its reader.
const HeaderSize = 64

// The layout of the header; FORMAT.md draws it. Frozen with the version.
const (
	magic      = "AMCRYPT" // 7 bytes, then the version
	version    = 1
	offVersion = 7
	offEpoch   = 8
	offZero    = 12
	offID      = 16
	offMAC     = 48
	idSize     = 32
	macSize    = HeaderSize - offMAC
)

// hkdfInfo separates these keys from every other use of a file key.
const hkdfInfo = "altmail cryptfs v1"

// The errors of this package.
var (
	// ErrDamaged: a file that holds data has a header that does not verify:
	// it is damaged, or was written under another key.
	ErrDamaged = errors.New("cryptfs: file header damaged or foreign")
	// ErrVersion: the file was written by a newer version of altmail.
	ErrVersion = errors.New("cryptfs: unknown format version")
	// ErrRewrite: the call could encrypt a second content at an offset that
	// was already written, which would give both away.
	ErrRewrite = errors.New("cryptfs: files are written once, from start to end")
	// ErrFailed: an earlier write to this file failed, so how much of it
	// reached the disk is unknown and nothing more may be written.
	ErrFailed = errors.New("cryptfs: an earlier write failed")
)

// Keys gives the node's file keys. It is called when a file is first written
// and when one is opened, from any goroutine. The keys are only read.
type Keys interface {
	// FileKey returns the key for new files and its epoch.
	FileKey() (epoch uint32, key *[32]byte)
	// FileKeyAt returns the key of an older file.
	FileKeyAt(epoch uint32) (*[32]byte, error)
}

// fileCipher is the cipher of one file.
type fileCipher struct{ block cipher.Block }

// derive gives the cipher of the file with this id and the key of its header
// MAC. The id is random, so no two files share a keystream.
func derive(key *[32]byte, id []byte) (*fileCipher, []byte, error) {
	okm, err := hkdf.Key(sha256.New, key[:], id, hkdfInfo, 64)
	if err != nil {
		return nil, nil, fmt.Errorf("cryptfs: derive file key: %w", err)
	}
	block, err := aes.NewCipher(okm[:32])
	if err != nil {
		return nil, nil, fmt.Errorf("cryptfs: derive file key: %w", err)
	}
	return &fileCipher{block: block}, okm[32:], nil
}

// stream returns the keystream from the given offset of the plaintext. The
// counter block is the offset divided by 16, big endian, from zero.
func (c *fileCipher) stream(off int64) cipher.Stream {
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], uint64(off)/aes.BlockSize)
	s := cipher.NewCTR(c.block, iv[:])
	if skip := off % aes.BlockSize; skip != 0 {
		var pad [aes.BlockSize]byte
		s.XORKeyStream(pad[:skip], pad[:skip])
	}
	return s
}

// newHeader makes the header of a new file from fresh randomness.
func newHeader(keys Keys) ([HeaderSize]byte, *fileCipher, error) {
	var h [HeaderSize]byte
	epoch, key := keys.FileKey()
	if key == nil {
		return h, nil, errors.New("cryptfs: no file key")
	}
	var id [idSize]byte
	if _, err := rand.Read(id[:]); err != nil {
		return h, nil, fmt.Errorf("cryptfs: new file id: %w", err)
	}
	return makeHeader(epoch, key, id)
}

func makeHeader(epoch uint32, key *[32]byte, id [idSize]byte) ([HeaderSize]byte, *fileCipher, error) {
	var h [HeaderSize]byte
	copy(h[:], magic)
	h[offVersion] = version
	binary.BigEndian.PutUint32(h[offEpoch:], epoch)
	copy(h[offID:], id[:])
	c, macKey, err := derive(key, id[:])
	if err != nil {
		return h, nil, err
	}
	copy(h[offMAC:], headerMAC(macKey, h[:offMAC]))
	return h, c, nil
}

func headerMAC(key, head []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(head)
	return m.Sum(nil)[:macSize]
}

// parseEpoch returns the key epoch a header names, without verifying it.
func parseEpoch(h *[HeaderSize]byte) (uint32, error) {
	if string(h[:offVersion]) != magic {
		return 0, ErrDamaged
	}
	if h[offVersion] != version {
		return 0, fmt.Errorf("%w %d", ErrVersion, h[offVersion])
	}
	if binary.BigEndian.Uint32(h[offZero:]) != 0 {
		return 0, ErrDamaged
	}
	return binary.BigEndian.Uint32(h[offEpoch:]), nil
}

// parseHeader verifies a header and returns the cipher of its file.
func parseHeader(h *[HeaderSize]byte, keys Keys) (*fileCipher, error) {
	epoch, err := parseEpoch(h)
	if err != nil {
		return nil, err
	}
	key, err := keys.FileKeyAt(epoch)
	if err != nil {
		return nil, fmt.Errorf("cryptfs: file key epoch %d: %w", epoch, err)
	}
	c, macKey, err := derive(key, h[offID:offMAC])
	if err != nil {
		return nil, err
	}
	if !hmac.Equal(headerMAC(macKey, h[:offMAC]), h[offMAC:]) {
		return nil, ErrDamaged
	}
	return c, nil
}
