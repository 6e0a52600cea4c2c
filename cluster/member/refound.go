package member

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/crypto/pki"
)

// Refounded is a node that is to go on with the state of a former cluster, as
// the first of a new incarnation of it.
type Refounded struct {
	Self     Node
	Cluster  string // its id, with the new incarnation
	SealedCA []byte // for the directory

	id        Identity
	key, cert []byte
}

// Refound makes keys, CA and identity for the first node of a new incarnation
// of the cluster with this id. The ring holds that cluster's roots already.
// Nothing is a node before Keep.
func Refound(ring *keyring.Ring, former, name, address string, groups []cluster.GroupID, level uint32) (*Refounded, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	next, err := NextIncarnation(former)
	if err != nil {
		return nil, err
	}
	ca, err := pki.NewCA(next, time.Now())
	if err != nil {
		return nil, err
	}
	caKey, err := ca.KeyPKCS8()
	if err != nil {
		return nil, err
	}
	r := &Refounded{Cluster: next}
	if r.SealedCA, err = ring.SealRoot(keyring.KindCAKey, []byte(next), caBlob(ca.Cert().Raw, caKey)); err != nil {
		return nil, err
	}
	node, key, csr, err := newNode()
	if err != nil {
		return nil, err
	}
	if r.cert, err = ca.Sign(csr, node.String(), pki.NodeTTL, time.Now()); err != nil {
		return nil, err
	}
	r.key = key
	pub, err := pki.ParseCSR(csr)
	if err != nil {
		return nil, err
	}
	r.Self = Node{ID: node, Name: name, Address: address, PublicKey: pub, Level: level}
	r.id = Identity{
		Node: node, Name: name, Address: address, Cluster: next, CA: ca.Cert().Raw,
		Groups: groups, Incarnations: map[cluster.GroupID]uint32{}, Peers: []Node{r.Self},
	}
	for _, g := range groups {
		r.id.Incarnations[g] = 1
	}
	return r, nil
}

// Keep makes the ring's owner that node. It comes last: who has an identity is
// a node and can be started.
func (r *Refounded) Keep(ring *keyring.Ring) error { return keep(ring, r.id, r.key, r.cert) }

// NextIncarnation returns the id of a cluster after it was restored or
// recovered: nodes of before are refused at the handshake.
func NextIncarnation(id string) (string, error) {
	base, inc, ok := strings.Cut(id, ".")
	n, err := strconv.ParseUint(inc, 10, 32)
	if b, herr := hex.DecodeString(base); !ok || err != nil || herr != nil || len(b) == 0 {
		return "", errors.New("member: not the id of a cluster")
	}
	return fmt.Sprintf("%s.%d", base, n+1), nil
}
