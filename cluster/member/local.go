package member

import (
	"encoding/json"
	"fmt"
	"sync"

	"altmail.se/altmail/cluster"
)

// Facts is the node's small sealed store (its keyring).
type Facts interface {
	Put(name string, value []byte) error
	Get(name string) ([]byte, bool)
}

// factName is where the identity lies in the keyring.
const factName = "member"

// Identity is who a node is, known before any group runs.
type Identity struct {
	Node    cluster.NodeID `json:"node"`
	Name    string         `json:"name"`
	Address string         `json:"address"`
	// Cluster names the cluster and its incarnation; nodes of another one are
	// refused at the handshake.
	Cluster string `json:"cluster"`
	CA      []byte `json:"ca"` // certificate, DER
	// Seed is set on the node that began the cluster until the directory
	// holds what it seeded.
	Seed *Seed `json:"seed,omitempty"`
	// Groups are those this node hosts; the directory's list may be ahead.
	Groups []cluster.GroupID `json:"groups"`
	// Incarnations number this node's membership in each group; one whose log
	// was lost goes on under the next number.
	Incarnations map[cluster.GroupID]uint32 `json:"incarnations,omitempty"`
	// Peers are the members as last seen, to find them before the directory
	// is readable.
	Peers []Node `json:"peers"`
	// Removed: the node left or was evicted; it must not start again.
	Removed bool `json:"removed,omitempty"`
}

// Seed is what the first node puts into the directory.
type Seed struct {
	CAKey      []byte `json:"ca_key"` // sealed under the root key
	MailGroups uint32 `json:"mail_groups"`
}

// Local keeps the Identity in the keyring. Its methods may be called at any
// time.
type Local struct {
	facts Facts
	mu    sync.Mutex
	id    Identity
}

// LoadLocal reads the identity; ok is false when the node has none yet.
func LoadLocal(f Facts) (l *Local, ok bool, err error) {
	l = &Local{facts: f}
	b, ok := f.Get(factName)
	if !ok {
		return l, false, nil
	}
	if err := json.Unmarshal(b, &l.id); err != nil {
		return nil, false, fmt.Errorf("member: identity in the keyring: %w", err)
	}
	return l, true, nil
}

// Identity returns a copy.
func (l *Local) Identity() Identity {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := l.id
	id.Groups = append([]cluster.GroupID(nil), l.id.Groups...)
	id.Peers = append([]Node(nil), l.id.Peers...)
	return id
}

// Update changes the identity and makes it durable.
func (l *Local) Update(f func(*Identity)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.id
	next.Groups = append([]cluster.GroupID(nil), l.id.Groups...)
	next.Peers = append([]Node(nil), l.id.Peers...)
	f(&next)
	b, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if old, err := json.Marshal(l.id); err == nil && string(old) == string(b) {
		return nil
	}
	if err := l.facts.Put(factName, b); err != nil {
		return fmt.Errorf("member: keep the identity: %w", err)
	}
	l.id = next
	return nil
}
