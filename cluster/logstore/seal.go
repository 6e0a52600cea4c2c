package logstore

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"altmail.se/altmail/cluster"
)

// Errors of the log store. ErrDamaged means what is on the disk is not what was
// written: the member must not vote again under the same identity.
var (
	ErrDamaged = errors.New("logstore: damaged")
	ErrMissing = errors.New("logstore: no log file here")
	ErrGap     = errors.New("logstore: entries are not contiguous")
)

// Keys gives the node-local log keys. An epoch is never reused for another key.
type Keys interface {
	// LogKey returns the epoch new records are sealed under, and its key.
	LogKey() (epoch uint32, key *[32]byte)
	// LogKeyAt returns the key of an epoch still in use.
	LogKeyAt(epoch uint32) (*[32]byte, error)
}

// Purpose separates what a record is, so that one can't stand in for another.
type Purpose byte

// The purposes are part of the authenticated data: they never change meaning.
const (
	PurposeEntry  Purpose = 1 // a log entry at index and term
	PurposeVote   Purpose = 2 // term and vote
	PurposeStamp  Purpose = 3 // who made the file, and when
	PurposeMarker Purpose = 4 // a snapshot marker at index and term
	PurposeHome   Purpose = 5 // up to where the journal's records are in the file
)

const (
	sealVersion  = 1
	sealHeader   = 1 + 4 // version, key epoch
	sealNonce    = chacha20poly1305.NonceSizeX
	sealOverhead = sealHeader + sealNonce + chacha20poly1305.Overhead
	aadSize      = 8 + 16 + 4 + 1 + 1 + 8 + 8
)

// Sealer seals and opens records of one group on one node. It is safe for
// concurrent use.
type Sealer struct {
	keys   Keys
	prefix [8 + 16 + 4]byte

	mu    sync.Mutex
	aeads map[uint32]cipher.AEAD
}

// NewSealer returns the sealer for the records of a group on a node.
func NewSealer(node cluster.NodeID, group cluster.GroupID, keys Keys) *Sealer {
	s := &Sealer{keys: keys, aeads: make(map[uint32]cipher.AEAD)}
	copy(s.prefix[:8], "altmlog1")
	copy(s.prefix[8:24], node[:])
	binary.BigEndian.PutUint32(s.prefix[24:], uint32(group))
	return s
}

func (s *Sealer) aead(epoch uint32, key *[32]byte) (cipher.AEAD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.aeads[epoch]; ok {
		return a, nil
	}
	if key == nil {
		var err error
		if key, err = s.keys.LogKeyAt(epoch); err != nil {
			return nil, fmt.Errorf("logstore: log key epoch %d: %w", epoch, err)
		}
	}
	a, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, fmt.Errorf("logstore: log key epoch %d: %w", epoch, err)
	}
	s.aeads[epoch] = a
	return a, nil
}

// Forget drops the cached cipher of an epoch whose key has been destroyed.
func (s *Sealer) Forget(epoch uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.aeads, epoch)
}

func (s *Sealer) aad(dst *[aadSize]byte, p Purpose, kind uint8, index, term uint64) []byte {
	n := copy(dst[:], s.prefix[:])
	dst[n] = byte(p)
	dst[n+1] = kind
	binary.BigEndian.PutUint64(dst[n+2:], index)
	binary.BigEndian.PutUint64(dst[n+10:], term)
	return dst[:]
}

// Seal appends the sealed record to dst. kind, index and term are bound to it
// and must be given again to open it.
func (s *Sealer) Seal(dst []byte, p Purpose, kind uint8, index, term uint64, plain []byte) ([]byte, error) {
	epoch, key := s.keys.LogKey()
	if !sealing {
		epoch = 0
	}
	dst = append(dst, sealVersion)
	dst = binary.BigEndian.AppendUint32(dst, epoch)
	if !sealing {
		dst[len(dst)-sealHeader] = 0
		return append(dst, plain...), nil
	}
	a, err := s.aead(epoch, key)
	if err != nil {
		return nil, err
	}
	n := len(dst)
	dst = append(dst, make([]byte, sealNonce)...)
	if _, err := rand.Read(dst[n:]); err != nil {
		return nil, fmt.Errorf("logstore: nonce: %w", err)
	}
	var aad [aadSize]byte
	return a.Seal(dst, dst[n:n+sealNonce], plain, s.aad(&aad, p, kind, index, term)), nil
}

// EpochOf returns the key epoch of a sealed record.
func EpochOf(record []byte) (uint32, error) {
	if len(record) < sealHeader {
		return 0, fmt.Errorf("%w: record of %d bytes", ErrDamaged, len(record))
	}
	return binary.BigEndian.Uint32(record[1:]), nil
}

// Open returns the content of a sealed record, appended to dst. Every failure
// to authenticate is ErrDamaged; a missing key is not.
func (s *Sealer) Open(dst []byte, p Purpose, kind uint8, index, term uint64, record []byte) ([]byte, error) {
	if len(record) < sealHeader {
		return nil, fmt.Errorf("%w: record of %d bytes", ErrDamaged, len(record))
	}
	version, epoch := record[0], binary.BigEndian.Uint32(record[1:])
	if version == 0 && !sealing {
		return append(dst, record[sealHeader:]...), nil
	}
	if version != sealVersion {
		return nil, fmt.Errorf("%w: seal version %d", ErrDamaged, version)
	}
	if len(record) < sealOverhead {
		return nil, fmt.Errorf("%w: record of %d bytes", ErrDamaged, len(record))
	}
	a, err := s.aead(epoch, nil)
	if err != nil {
		return nil, err
	}
	var aad [aadSize]byte
	nonce := record[sealHeader : sealHeader+sealNonce]
	out, err := a.Open(dst, nonce, record[sealHeader+sealNonce:], s.aad(&aad, p, kind, index, term))
	if err != nil {
		return nil, fmt.Errorf("%w: record at index %d does not authenticate", ErrDamaged, index)
	}
	return out, nil
}
