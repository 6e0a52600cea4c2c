package wire

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// What is sealed. The numbers are in sealed bytes.
const (
	sealVersion = 1
	sealHead    = 1
	sealChunk   = 2
)

// maxPlain bounds what one sealed object holds.
const maxPlain = 64 << 20

// ErrSealed: a sealed object is not what it should be.
var ErrSealed = errors.New("wire: damaged or foreign metadata")

// Head is what opens everything else, and what a restored cluster goes on
// with.
type Head struct {
	Cluster string            `json:"cluster"`
	Roots   map[uint32][]byte `json:"roots"`
	Current uint32            `json:"current"`
	Index   []byte            `json:"index"`
	// Recipients are those everything is sealed to.
	Recipients []string `json:"recipients"`
}

// Sealer seals metadata to the recipients of a grant. It is safe for
// concurrent use.
type Sealer struct {
	mac [32]byte
	to  []age.Recipient
}

// NewSealer returns a Sealer; index is the cluster's index key. Who they are
// sealed to is part of the ids, so that objects sealed to others do not count
// as the same.
func NewSealer(index [32]byte, recipients []string, to []age.Recipient) (*Sealer, error) {
	mac, err := macKey(index[:], recipients)
	return &Sealer{mac: mac, to: to}, err
}

func macKey(index []byte, recipients []string) (mac [32]byte, err error) {
	if len(index) != len(mac) {
		return mac, fmt.Errorf("%w: index key", ErrSealed)
	}
	rs := slices.Clone(recipients)
	slices.Sort(rs)
	k, err := hkdf.Key(sha256.New, index, nil, "altmail backup objects 1\n"+strings.Join(rs, "\n"), len(mac))
	copy(mac[:], k)
	return mac, err
}

// plain is what of an object is hashed and sealed: version, what it is, group,
// content.
func plain(what byte, group uint32, content []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte{sealVersion, what}, group)
	return append(b, content...)
}

func (s *Sealer) id(p []byte) [32]byte {
	h := hmac.New(sha256.New, s.mac[:])
	h.Write(p)
	return [32]byte(h.Sum(nil))
}

// ChunkID returns the id of a run of records.
func (s *Sealer) ChunkID(group uint32, records []byte) [32]byte {
	return s.id(plain(sealChunk, group, records))
}

// Chunk seals a run of records.
func (s *Sealer) Chunk(group uint32, records []byte) (id [32]byte, sealed []byte, err error) {
	return s.seal(plain(sealChunk, group, records))
}

// Head seals the head.
func (s *Sealer) Head(h *Head) (id [32]byte, sealed []byte, err error) {
	b, err := json.Marshal(h) // maps are written in order
	if err != nil {
		return id, nil, fmt.Errorf("wire: head: %w", err)
	}
	return s.seal(plain(sealHead, 0, b))
}

var (
	encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	decoder, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPlain))
)

func (s *Sealer) seal(p []byte) (id [32]byte, sealed []byte, err error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, s.to...)
	if err == nil {
		_, err = w.Write(encoder.EncodeAll(p, nil))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return id, nil, fmt.Errorf("wire: seal: %w", err)
	}
	return s.id(p), out.Bytes(), nil
}

// Opener opens what a Sealer has sealed.
type Opener struct {
	ids  []age.Identity
	mac  [32]byte
	Head Head
}

// NewOpener opens the head. ErrSealed: it is damaged;
// age.NoIdentityMatchError: it is sealed to others.
func NewOpener(ids []age.Identity, head []byte) (*Opener, error) {
	o := &Opener{ids: ids}
	p, err := o.open(head)
	if err != nil {
		return nil, err
	}
	if len(p) < 6 || p[1] != sealHead || json.Unmarshal(p[6:], &o.Head) != nil || len(o.Head.Roots) == 0 || len(o.Head.Index) != 32 {
		return nil, fmt.Errorf("%w: head", ErrSealed)
	}
	o.mac, err = macKey(o.Head.Index, o.Head.Recipients)
	return o, err
}

// Chunk opens a run of records of a group. Anybody can seal something to the
// recipients; but only who knows the cluster's keys can give it its id, which
// is checked.
func (o *Opener) Chunk(group uint32, id [32]byte, sealed []byte) (records []byte, err error) {
	p, err := o.open(sealed)
	if err != nil {
		return nil, err
	}
	if len(p) < 6 || p[1] != sealChunk || binary.BigEndian.Uint32(p[2:]) != group {
		return nil, fmt.Errorf("%w: not a piece of group %d", ErrSealed, group)
	}
	if s := (&Sealer{mac: o.mac}); s.id(p) != id {
		return nil, fmt.Errorf("%w: not the piece of that name", ErrSealed)
	}
	return p[6:], nil
}

func (o *Opener) open(sealed []byte) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(sealed), o.ids...)
	if err != nil {
		var no *age.NoIdentityMatchError
		if errors.As(err, &no) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	b, err := io.ReadAll(io.LimitReader(r, maxPlain))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	p, err := decoder.DecodeAll(b, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrSealed, err)
	}
	if len(p) == 0 || p[0] != sealVersion {
		return nil, fmt.Errorf("%w: version", ErrSealed)
	}
	return p, nil
}
