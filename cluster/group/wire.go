package group

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"altmail.se/altmail/cluster"
)

// errWire is wrapped by every error about bytes of a call that are not of its
// format.
var errWire = errors.New("group: malformed call")

const wireVersion = 1

// What became of one forwarded operation. The numbers are on the wire.
const (
	codeDone      = 0
	codePending   = 1 // still under way: ask again
	codeNotLeader = 2 // nothing happened
	codeUnknown   = 3 // it may have happened
	codeNoRoom    = 4
	codeClock     = 5
	codeTooLarge  = 6
	codeRefused   = 7
)

func codeOf(err error) byte {
	switch {
	case err == nil:
		return codeDone
	case errors.Is(err, errPending):
		return codePending
	case errors.Is(err, errNotLeader):
		return codeNotLeader
	case errors.Is(err, cluster.ErrNoRoom):
		return codeNoRoom
	case errors.Is(err, cluster.ErrClock):
		return codeClock
	case errors.Is(err, cluster.ErrTooLarge):
		return codeTooLarge
	case errors.Is(err, cluster.ErrRefused):
		return codeRefused
	}
	return codeUnknown
}

func errOf(code byte) error {
	switch code {
	case codeDone:
		return nil
	case codePending:
		return errPending
	case codeNotLeader:
		return errNotLeader
	case codeNoRoom:
		return cluster.ErrNoRoom
	case codeClock:
		return cluster.ErrClock
	case codeTooLarge:
		return cluster.ErrTooLarge
	case codeRefused:
		return cluster.ErrRefused
	}
	return errUnknown
}

const (
	maxForwardOps   = 512
	maxForwardBytes = 4 << 20
)

// forwarded is one operation of a forward, as the leader reads it.
type forwarded struct {
	p    cluster.Proposal
	left time.Duration // what is left of the caller's time
}

func appendForwarded(b []byte, p *cluster.Proposal, left time.Duration) []byte {
	b = append(b, p.Op[:]...)
	b = binary.BigEndian.AppendUint64(b, p.First)
	b = binary.BigEndian.AppendUint32(b, uint32(min(max(left.Milliseconds(), 1), 1<<31)))
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.Command)))
	b = appendRefs(b, p.Bodies)
	return append(b, p.Command...)
}

func decodeForward(b []byte) ([]forwarded, error) {
	if len(b) < 3 || b[0] != wireVersion {
		return nil, fmt.Errorf("%w: forward", errWire)
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	b = b[3:]
	if n > maxForwardOps {
		return nil, fmt.Errorf("%w: forward of %d operations", errWire, n)
	}
	ops := make([]forwarded, 0, min(n, 64))
	for range n {
		const fixed = 16 + 8 + 4 + 4
		if len(b) < fixed {
			return nil, fmt.Errorf("%w: forward", errWire)
		}
		var f forwarded
		copy(f.p.Op[:], b)
		f.p.First = binary.BigEndian.Uint64(b[16:])
		f.left = time.Duration(binary.BigEndian.Uint32(b[24:])) * time.Millisecond
		size := int(binary.BigEndian.Uint32(b[28:]))
		var err error
		if f.p.Bodies, b, err = decodeRefs(b[fixed:]); err != nil {
			return nil, fmt.Errorf("%w: %w", errWire, err)
		}
		if size > MaxCommand || size > len(b) {
			return nil, fmt.Errorf("%w: command of %d bytes", errWire, size)
		}
		f.p.Command, b = b[:size:size], b[size:]
		ops = append(ops, f)
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%w: %d bytes after a forward", errWire, len(b))
	}
	return ops, nil
}

// answer is what the leader tells of one operation.
type answer struct {
	code  byte
	index uint64
	value []byte
}

// appendAnswers: the leader's term, then one answer for each operation.
func appendAnswers(b []byte, term uint64, as []answer) []byte {
	b = append(b, wireVersion)
	b = binary.BigEndian.AppendUint64(b, term)
	b = binary.BigEndian.AppendUint16(b, uint16(len(as)))
	for _, a := range as {
		b = append(b, a.code)
		b = binary.BigEndian.AppendUint64(b, a.index)
		b = binary.BigEndian.AppendUint32(b, uint32(len(a.value)))
		b = append(b, a.value...)
	}
	return b
}

func decodeAnswers(b []byte) (term uint64, as []answer, err error) {
	if len(b) < 11 || b[0] != wireVersion {
		return 0, nil, fmt.Errorf("%w: answers", errWire)
	}
	term = binary.BigEndian.Uint64(b[1:])
	n := int(binary.BigEndian.Uint16(b[9:]))
	b = b[11:]
	if n > maxForwardOps {
		return 0, nil, fmt.Errorf("%w: %d answers", errWire, n)
	}
	as = make([]answer, 0, min(n, 64))
	for range n {
		if len(b) < 13 {
			return 0, nil, fmt.Errorf("%w: answers", errWire)
		}
		a := answer{code: b[0], index: binary.BigEndian.Uint64(b[1:])}
		size := uint64(binary.BigEndian.Uint32(b[9:]))
		b = b[13:]
		if size > uint64(len(b)) {
			return 0, nil, fmt.Errorf("%w: answer of %d bytes", errWire, size)
		}
		if size > 0 {
			a.value = b[:size:size]
		}
		b = b[size:]
		as = append(as, a)
	}
	if len(b) != 0 {
		return 0, nil, fmt.Errorf("%w: %d bytes after the answers", errWire, len(b))
	}
	return term, as, nil
}
