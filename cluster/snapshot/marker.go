package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster/logstore"
)

// Marker says up to where the state of a group is durable, and who its members
// were then.
type Marker struct {
	Index, Term        uint64
	Configuration      raft.Configuration
	ConfigurationIndex uint64
	Taken              time.Time
	// Floor is the least term this node may be in once an install under this
	// marker is done: the term of the node the state came from.
	Floor uint64
}

// errMalformed is wrapped by every error about bytes that are not of the format.
var errMalformed = errors.New("snapshot: malformed")

const (
	markerMagic   = "ALTMMRK1"
	markerVersion = 1
	markerClear   = len(markerMagic) + 8 + 8
	maxMarker     = 1 << 20

	maxServers = 4096
	maxName    = 255
)

// AppendConfiguration appends the encoding of a configuration.
func AppendConfiguration(b []byte, c raft.Configuration) ([]byte, error) {
	if len(c.Servers) > maxServers {
		return nil, fmt.Errorf("snapshot: configuration of %d servers", len(c.Servers))
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(c.Servers)))
	for _, s := range c.Servers {
		if len(s.ID) > maxName || len(s.Address) > maxName {
			return nil, fmt.Errorf("snapshot: server name of %d bytes", max(len(s.ID), len(s.Address)))
		}
		b = append(b, byte(s.Suffrage), byte(len(s.ID)))
		b = append(b, s.ID...)
		b = append(b, byte(len(s.Address)))
		b = append(b, s.Address...)
	}
	return b, nil
}

// DecodeConfiguration reads a configuration and returns what follows it.
func DecodeConfiguration(b []byte) (c raft.Configuration, rest []byte, err error) {
	if len(b) < 2 {
		return c, nil, fmt.Errorf("%w: configuration", errMalformed)
	}
	n := int(binary.BigEndian.Uint16(b))
	b = b[2:]
	if n > maxServers || len(b) < 3*n {
		return c, nil, fmt.Errorf("%w: configuration of %d servers", errMalformed, n)
	}
	name := func() (string, bool) {
		if len(b) < 1 || len(b) < 1+int(b[0]) {
			return "", false
		}
		s := string(b[1 : 1+int(b[0])])
		b = b[1+int(b[0]):]
		return s, true
	}
	for range n {
		if len(b) < 1 || b[0] > byte(raft.Staging) {
			return c, nil, fmt.Errorf("%w: suffrage", errMalformed)
		}
		s := raft.Server{Suffrage: raft.ServerSuffrage(b[0])}
		b = b[1:]
		id, ok1 := name()
		addr, ok2 := name()
		if !ok1 || !ok2 {
			return c, nil, fmt.Errorf("%w: server name", errMalformed)
		}
		s.ID, s.Address = raft.ServerID(id), raft.ServerAddress(addr)
		c.Servers = append(c.Servers, s)
	}
	return c, b, nil
}

func (m Marker) encode(s *logstore.Sealer) ([]byte, error) {
	plain := []byte{markerVersion}
	plain = binary.BigEndian.AppendUint64(plain, m.ConfigurationIndex)
	plain = binary.BigEndian.AppendUint64(plain, uint64(m.Taken.UnixMilli()))
	plain = binary.BigEndian.AppendUint64(plain, m.Floor)
	plain, err := AppendConfiguration(plain, m.Configuration)
	if err != nil {
		return nil, err
	}
	b := []byte(markerMagic)
	b = binary.BigEndian.AppendUint64(b, m.Index)
	b = binary.BigEndian.AppendUint64(b, m.Term)
	return s.Seal(b, logstore.PurposeMarker, 0, m.Index, m.Term, plain)
}

func decodeMarker(s *logstore.Sealer, b []byte) (m Marker, err error) {
	if len(b) < markerClear || string(b[:len(markerMagic)]) != markerMagic {
		return m, fmt.Errorf("%w: %w: marker", logstore.ErrDamaged, errMalformed)
	}
	m.Index = binary.BigEndian.Uint64(b[8:])
	m.Term = binary.BigEndian.Uint64(b[16:])
	plain, err := s.Open(nil, logstore.PurposeMarker, 0, m.Index, m.Term, b[markerClear:])
	if err != nil {
		return m, err
	}
	if len(plain) < 25 || plain[0] != markerVersion {
		return m, fmt.Errorf("%w: %w: marker", logstore.ErrDamaged, errMalformed)
	}
	m.ConfigurationIndex = binary.BigEndian.Uint64(plain[1:])
	m.Taken = time.UnixMilli(int64(binary.BigEndian.Uint64(plain[9:])))
	m.Floor = binary.BigEndian.Uint64(plain[17:])
	conf, rest, err := DecodeConfiguration(plain[25:])
	if err != nil || len(rest) != 0 {
		return m, fmt.Errorf("%w: %w: marker", logstore.ErrDamaged, errMalformed)
	}
	m.Configuration = conf
	return m, nil
}
