package commit

import (
	"crypto/rand"
	"fmt"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/seal"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/lookup"
)

const (
	// maxReferences bounds the message ids kept for threading: the first and
	// the last ones tell most.
	maxReferences = 40
	// maxKeywords bounds the keywords of one message or change.
	maxKeywords = 100
	// MaxSummary bounds the summary of a message, well above what
	// frontend/message writes.
	MaxSummary = 128 << 10
)

// random fills b from the system's source, which never fails (crypto/rand).
func random(b []byte) {
	if _, err := rand.Read(b); err != nil {
		panic(err)
	}
}

// sealed is a message on its way: its body, sealed once for all.
type sealed struct {
	m    *Message
	key  [32]byte
	ref  cluster.BodyRef
	data []byte
}

func checkMessage(m *Message) error {
	switch {
	case len(m.Raw) > seal.MaxRaw:
		return fmt.Errorf("%w: %d bytes", mailstore.ErrTooBig, len(m.Raw))
	case m.HeaderLen < 0 || m.HeaderLen > len(m.Raw):
		return fmt.Errorf("commit: a header of %d bytes in a message of %d", m.HeaderLen, len(m.Raw))
	case len(m.Summary) > MaxSummary:
		return fmt.Errorf("%w: summary of %d bytes", mailstore.ErrTooBig, len(m.Summary))
	}
	return nil
}

// seal makes the sealed body of a message under a fresh key.
func (d *Door) seal(m *Message) (*sealed, error) {
	if err := checkMessage(m); err != nil {
		return nil, err
	}
	s := &sealed{m: m}
	random(s.key[:])
	var err error
	if s.data, err = seal.Seal(nil, &s.key, m.Raw, m.HeaderLen); err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	s.ref = cluster.BodyRef{ID: seal.ID(s.data), Size: uint32(len(s.data))}
	d.stats.sealedBytes.Add(uint64(len(m.Raw)))
	return s, nil
}

// forget drops the message key: it is only in the wrapped keys from then on.
func (s *sealed) forget() { clear(s.key[:]) }

// placed is the form in which one account keeps the message.
func (d *Door) placed(k lookup.Keys, s *sealed, prefix []byte, p *Placement) (*commandpb.Placed, error) {
	if len(prefix) > lookup.MaxPrefix {
		return nil, fmt.Errorf("%w: prefix of %d bytes", mailstore.ErrTooBig, len(prefix))
	}
	words, err := keywords(k, p.Keywords)
	if err != nil {
		return nil, err
	}
	id := d.contentID()
	c := &commandpb.Content{
		Id:         id[:],
		Body:       s.ref.ID[:],
		BodySize:   s.ref.Size,
		WrappedKey: k.WrapKey(nil, id[:], &s.key),
		Size:       uint32(len(prefix) + len(s.m.Raw)),
		Threads:    threads(k, s.m),
	}
	c.Summary = k.SealSummary(id, prefix, s.m.Summary)
	if s.m.Subject != "" {
		h := k.SubjectHash(s.m.Subject)
		c.Subject = h[:]
	}
	pb := &commandpb.Placed{Content: c, Flags: uint32(p.Flags & mailstore.AllFlags), Keywords: words}
	pb.InternalDate, pb.Zone = d.internalDate(p.InternalDate)
	return pb, nil
}

// threads hashes the message's id, or nothing where it has none, and the ids
// it refers to.
func threads(k lookup.Keys, m *Message) [][]byte {
	refs := m.References
	n := min(len(refs), maxReferences)
	room := make([]byte, 0, 16*(1+n))
	out := make([][]byte, 0, 1+n)
	add := func(id string) {
		h := k.ThreadHash(id)
		room = append(room, h[:]...)
		out = append(out, room[len(room)-16:len(room):len(room)])
	}
	if m.MessageID == "" {
		out = append(out, nil)
	} else {
		add(m.MessageID)
	}
	for i := range n {
		if i >= maxReferences/2 {
			i += len(refs) - n
		}
		if refs[i] != "" {
			add(refs[i])
		}
	}
	if len(out) == 1 && out[0] == nil {
		return nil
	}
	return out
}

// keywords seals keywords, each once.
func keywords(k lookup.Keys, words []string) ([]*commandpb.Keyword, error) {
	if len(words) == 0 {
		return nil, nil
	}
	if len(words) > maxKeywords {
		return nil, fmt.Errorf("%w: %d keywords at once", mailstore.ErrLimit, len(words))
	}
	out := make([]*commandpb.Keyword, 0, len(words))
	seen := make(map[mailstore.Hash]struct{}, len(words))
	for _, w := range words {
		if err := lookup.CheckKeyword(w); err != nil {
			return nil, err
		}
		s := k.SealKeyword(w)
		if _, dup := seen[s.Hash]; dup {
			continue
		}
		seen[s.Hash] = struct{}{}
		out = append(out, &commandpb.Keyword{Hash: s.Hash[:], Sealed: s.Sealed})
	}
	return out, nil
}

// name seals a clean mailbox name for a command.
func name(k lookup.Keys, clean string) *commandpb.Name {
	s := k.SealName(clean)
	return &commandpb.Name{Hash: s.Hash[:], Sealed: s.Sealed}
}
