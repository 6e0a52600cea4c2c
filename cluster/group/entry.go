package group

import (
	"encoding/binary"
	"errors"
	"fmt"

	"altmail.se/altmail/cluster"
)

// Limits of an entry.
const (
	// MaxCommand is the most bytes of a command.
	MaxCommand = 512 << 10
	// MaxBodies is the most bodies an entry may name.
	MaxBodies = 1024
)

const (
	entryVersion = 1
	entryFixed   = 1 + 1 + 8 + 8 + 16 + 2
	refSize      = 32 + 4
)

// errEntry is wrapped by every error about bytes that are not an entry.
var errEntry = errors.New("group: malformed entry")

// appendEntry appends the encoding of an entry; Index and Term are raft's.
func appendEntry(b []byte, e *cluster.Entry) []byte {
	b = append(b, entryVersion, byte(e.Kind))
	b = binary.BigEndian.AppendUint64(b, e.Time)
	b = binary.BigEndian.AppendUint64(b, e.First)
	b = append(b, e.Op[:]...)
	b = appendRefs(b, e.Bodies)
	return append(b, e.Command...)
}

func appendRefs(b []byte, refs []cluster.BodyRef) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(len(refs)))
	for i := range refs {
		b = append(b, refs[i].ID[:]...)
		b = binary.BigEndian.AppendUint32(b, refs[i].Size)
	}
	return b
}

// decodeRefs reads body references and returns what follows them.
func decodeRefs(b []byte) ([]cluster.BodyRef, []byte, error) {
	if len(b) < 2 {
		return nil, nil, fmt.Errorf("%w: no room for body references", errEntry)
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > MaxBodies || len(b) < n*refSize {
		return nil, nil, fmt.Errorf("%w: %d body references in %d bytes", errEntry, n, len(b))
	}
	if n == 0 {
		return nil, b, nil
	}
	refs := make([]cluster.BodyRef, n)
	for i := range refs {
		copy(refs[i].ID[:], b)
		refs[i].Size = binary.BigEndian.Uint32(b[32:])
		b = b[refSize:]
	}
	return refs, b, nil
}

// decodeEntry reads an entry. Its Command shares the bytes of b.
func decodeEntry(b []byte) (e cluster.Entry, err error) {
	if len(b) < entryFixed {
		return e, fmt.Errorf("%w: %d bytes", errEntry, len(b))
	}
	if b[0] != entryVersion {
		return e, fmt.Errorf("%w: version %d is not known here", errEntry, b[0])
	}
	e.Kind = cluster.EntryKind(b[1])
	switch e.Kind {
	case cluster.KindCommand, cluster.KindEpoch, cluster.KindCheck:
	default:
		return e, fmt.Errorf("%w: kind %d is not known here", errEntry, b[1])
	}
	e.Time = binary.BigEndian.Uint64(b[2:])
	e.First = binary.BigEndian.Uint64(b[10:])
	copy(e.Op[:], b[18:])
	e.Bodies, e.Command, err = decodeRefs(b[34:])
	if err == nil && len(e.Command) > MaxCommand {
		err = fmt.Errorf("%w: command of %d bytes", errEntry, len(e.Command))
	}
	return e, err
}

// DecodeBodies returns the bodies an encoded entry names, without the rest.
func DecodeBodies(b []byte) ([]cluster.BodyRef, error) {
	if len(b) < entryFixed || b[0] != entryVersion {
		return nil, fmt.Errorf("%w: %d bytes", errEntry, len(b))
	}
	refs, _, err := decodeRefs(b[34:])
	return refs, err
}
