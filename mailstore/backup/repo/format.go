package repo

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// The folders of a repository. Frozen.
const (
	packFolder     = "packs"
	indexFolder    = "index"
	snapshotFolder = "snapshots"
	configName     = "repo"
	planName       = "prune"
)

// Version is what this build writes; it reads no later one.
const Version = 1

// ID names an object, or a file by the SHA-256 of its bytes.
type ID [32]byte

func (i ID) String() string { return hex.EncodeToString(i[:]) }

// MarshalText writes 64 hexadecimal digits.
func (i ID) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText reads them.
func (i *ID) UnmarshalText(b []byte) error {
	id, err := parseID(string(b))
	if err == nil {
		*i = id
	}
	return err
}

func parseID(s string) (id ID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) || hex.EncodeToString(b) != s {
		return id, fmt.Errorf("%w: %q is not a name", ErrDamaged, s)
	}
	return ID(b), nil
}

// Kind tells what an object is. The numbers are in files: they never change.
type Kind uint8

// The kinds of object.
const (
	// KindBody is the sealed body of a message as the nodes keep it; its id is
	// the SHA-256 of its bytes.
	KindBody Kind = 1
	// KindSealed is metadata sealed to the recipients; its id is a keyed hash
	// of what is sealed, and tells nothing without the cluster's keys.
	KindSealed Kind = 2
	// KindList is a list of bodies (Bodies); its id is the SHA-256 of its
	// bytes.
	KindList Kind = 3
)

func (k Kind) valid() bool { return k >= KindBody && k <= KindList }

// Bytes around the objects of a pack.
const (
	packMagic = "ALTMPCK1"
	packEnd   = "ALTMPEND"
	tailLen   = 4 + 4 + 16 + 8 // length and number of entries, check, magic
	entryLen  = 1 + 4 + 32     // kind, length, id
	sealedLen = entryLen + 32
	// maxObject bounds one object, maxEntries a pack's.
	maxObject  = 128 << 20
	maxEntries = 1 << 20
)

// entry is one object in a pack.
type entry struct {
	kind Kind
	id   ID
	off  uint32
	size uint32
	sum  ID // SHA-256 of the stored bytes
}

func appendEntry(b []byte, e *entry) []byte {
	b = append(b, byte(e.kind))
	b = binary.BigEndian.AppendUint32(b, e.size)
	b = append(b, e.id[:]...)
	if e.kind == KindSealed {
		b = append(b, e.sum[:]...)
	}
	return b
}

// parseEntries reads n entries of a pack; their objects lie one after another
// behind the magic.
func parseEntries(b []byte, n uint32) (es []entry, rest []byte, err error) {
	if n > maxEntries || uint64(n)*entryLen > uint64(len(b)) {
		return nil, nil, fmt.Errorf("%w: entries", ErrDamaged)
	}
	es = make([]entry, n)
	off := uint64(len(packMagic))
	for i := range es {
		e := &es[i]
		if len(b) < entryLen {
			return nil, nil, fmt.Errorf("%w: entries", ErrDamaged)
		}
		e.kind, e.size = Kind(b[0]), binary.BigEndian.Uint32(b[1:])
		copy(e.id[:], b[5:])
		b = b[entryLen:]
		e.sum = e.id
		if e.kind == KindSealed {
			if len(b) < len(e.sum) {
				return nil, nil, fmt.Errorf("%w: entries", ErrDamaged)
			}
			copy(e.sum[:], b)
			b = b[len(e.sum):]
		}
		e.off = uint32(off)
		off += uint64(e.size)
		if !e.kind.valid() || e.size > maxObject || off > 1<<32-1 {
			return nil, nil, fmt.Errorf("%w: entries", ErrDamaged)
		}
	}
	return es, b, nil
}

// packTail is what follows the objects of a pack.
func packTail(es []entry) []byte {
	var b []byte
	for i := range es {
		b = appendEntry(b, &es[i])
	}
	n := len(b)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	b = binary.BigEndian.AppendUint32(b, uint32(len(es)))
	sum := sha256.Sum256(b)
	return append(append(b, sum[:16]...), packEnd...)
}

// tailSize returns how long the tail is that ends in these bytes.
func tailSize(end []byte) (int64, error) {
	if len(end) != tailLen || string(end[24:]) != packEnd {
		return 0, fmt.Errorf("%w: a pack without its end", ErrDamaged)
	}
	return int64(binary.BigEndian.Uint32(end)) + tailLen, nil
}

// parseTail reads the entries from the last bytes of a pack of a given size.
func parseTail(b []byte, size int64) ([]entry, error) {
	if len(b) < tailLen {
		return nil, fmt.Errorf("%w: a pack's end", ErrDamaged)
	}
	end := b[len(b)-tailLen:]
	l, err := tailSize(end)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b[:len(b)-24])
	if l != int64(len(b)) || !bytes.Equal(sum[:16], end[8:24]) {
		return nil, fmt.Errorf("%w: a pack's end", ErrDamaged)
	}
	es, rest, err := parseEntries(b[:len(b)-tailLen], binary.BigEndian.Uint32(end[4:]))
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 || objectsEnd(es)+l != size {
		return nil, fmt.Errorf("%w: a pack's size", ErrDamaged)
	}
	return es, nil
}

func objectsEnd(es []entry) int64 {
	if len(es) == 0 {
		return int64(len(packMagic))
	}
	e := es[len(es)-1]
	return int64(e.off) + int64(e.size)
}

const indexMagic = "ALTMIDX1"

// packIndex is what an index says of one pack.
type packIndex struct {
	pack    ID
	entries []entry
}

func encodeIndex(ps []packIndex) []byte {
	b := append([]byte{}, indexMagic...)
	for _, p := range ps {
		b = append(b, p.pack[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(len(p.entries)))
		for i := range p.entries {
			b = appendEntry(b, &p.entries[i])
		}
	}
	return b
}

// decodeIndex reads an index file, whose name is the SHA-256 of its bytes.
func decodeIndex(name ID, b []byte) (ps []packIndex, err error) {
	if sha256.Sum256(b) != name {
		return nil, fmt.Errorf("%w: an index file", ErrDamaged)
	}
	rest, ok := bytes.CutPrefix(b, []byte(indexMagic))
	for ok && len(rest) > 0 {
		var p packIndex
		if ok = len(rest) >= 36; !ok {
			break
		}
		copy(p.pack[:], rest)
		n := binary.BigEndian.Uint32(rest[32:])
		if p.entries, rest, err = parseEntries(rest[36:], n); err != nil {
			return nil, err
		}
		ps = append(ps, p)
	}
	if !ok {
		return nil, fmt.Errorf("%w: an index file", ErrDamaged)
	}
	return ps, nil
}

// Body names a body and its size.
type Body struct {
	ID   ID
	Size uint32
}

const bodyLen = 32 + 4

// EncodeBodies writes a list of bodies: ascending by id.
func EncodeBodies(bs []Body) []byte {
	b := make([]byte, 0, len(bs)*bodyLen)
	for i := range bs {
		b = append(b, bs[i].ID[:]...)
		b = binary.BigEndian.AppendUint32(b, bs[i].Size)
	}
	return b
}

// DecodeBodies reads one.
func DecodeBodies(b []byte) ([]Body, error) {
	if len(b)%bodyLen != 0 {
		return nil, fmt.Errorf("%w: a list of bodies", ErrDamaged)
	}
	out := make([]Body, len(b)/bodyLen)
	for i := range out {
		copy(out[i].ID[:], b)
		out[i].Size = binary.BigEndian.Uint32(b[32:])
		b = b[bodyLen:]
		if i > 0 && bytes.Compare(out[i-1].ID[:], out[i].ID[:]) >= 0 {
			return nil, fmt.Errorf("%w: a list of bodies", ErrDamaged)
		}
	}
	return out, nil
}

// config is the file "repo": which cluster's backups it holds.
type config struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	Cluster string `json:"cluster"` // the part of the cluster's id that a restore keeps
}

func parseConfig(b []byte) (c config, err error) {
	if err := json.Unmarshal(b, &c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrNoRepo, err)
	}
	if c.Version > Version {
		return c, fmt.Errorf("%w: %d", ErrVersion, c.Version)
	}
	if c.Version < 1 || c.ID == "" || c.Cluster == "" {
		return c, ErrNoRepo
	}
	return c, nil
}
