package repo

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"altmail.se/altmail/crypto/pki"
)

// Core is what a node says of a snapshot, and signs.
type Core struct {
	Version int    `json:"version"`
	Cluster string `json:"cluster"` // cluster id with its incarnation
	Node    string `json:"node"`
	Time    int64  `json:"time"` // ms, when its groups were pinned
	// Head is the sealed object with the keys that open everything else.
	Head   ID      `json:"head"`
	Groups []Group `json:"groups"` // ascending; group 0 is the directory
}

// Group is one group's state at one index.
type Group struct {
	Group  uint32 `json:"group"`
	Index  uint64 `json:"index"`
	Term   uint64 `json:"term"`
	Digest []byte `json:"digest"`
	// Chunks is the number of sealed objects that hold its rows, ChunksSum the
	// SHA-256 of their ids in order; Bodies, BodyBytes and BodiesSum tell the
	// same of the list of bodies its messages need.
	Chunks    int    `json:"chunks"`
	ChunksSum ID     `json:"chunks_sum"`
	Bodies    int64  `json:"bodies"`
	BodyBytes int64  `json:"body_bytes"`
	BodiesSum ID     `json:"bodies_sum"`
	Level     uint32 `json:"level"`
}

// Snapshot is a finished backup.
type Snapshot struct {
	// CoreBytes is Core as it was signed.
	CoreBytes []byte  `json:"core"`
	Signature []byte  `json:"signature"`
	NodeCert  []byte  `json:"node_cert"`
	CACert    []byte  `json:"ca_cert"`
	Parts     []Parts `json:"parts"` // of each group of Core
	// Moved is how many bytes the pull brought over the wire, New how many of
	// them were bodies.
	Moved int64 `json:"moved"`
	New   int64 `json:"new"`

	Core Core `json:"-"`
	// ID is the SHA-256 of the file; Name is the file's.
	ID   ID     `json:"-"`
	Name string `json:"-"`
}

// Parts names the objects of one group.
type Parts struct {
	Chunks []byte `json:"chunks"` // ids of sealed objects, one after another
	Lists  []byte `json:"lists"`  // ids of lists, one after another
	// Gone are listed bodies that were expunged before they had been copied:
	// the messages they belong to are not restored.
	Gone []byte `json:"gone,omitempty"`
}

// IDs splits a row of ids.
func IDs(b []byte) []ID {
	out := make([]ID, len(b)/32)
	for i := range out {
		copy(out[i][:], b[32*i:])
	}
	return out
}

// Time is when the groups were pinned.
func (s *Snapshot) Time() time.Time { return time.UnixMilli(s.Core.Time).UTC() }

// Short is how people name a snapshot.
func (s *Snapshot) Short() string { return s.ID.String()[:12] }

const (
	snapshotMagic  = "ALTMSNP1"
	snapshotLayout = "20060102t150405z"
	maxSnapshot    = 1 << 30
)

func encodeSnapshot(s *Snapshot) ([]byte, error) {
	j, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("repo: snapshot: %w", err)
	}
	b := append([]byte(snapshotMagic), j...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...), nil
}

func decodeSnapshot(b []byte) (*Snapshot, error) {
	bad := func(what string) (*Snapshot, error) {
		return nil, fmt.Errorf("%w: a snapshot: %s", ErrDamaged, what)
	}
	if len(b) < len(snapshotMagic)+32 || !bytes.HasPrefix(b, []byte(snapshotMagic)) {
		return bad("begin")
	}
	body := b[:len(b)-32]
	if sum := sha256.Sum256(body); !bytes.Equal(sum[:], b[len(body):]) {
		return bad("checksum")
	}
	s := &Snapshot{ID: sha256.Sum256(b)}
	if err := json.Unmarshal(body[len(snapshotMagic):], s); err != nil {
		return bad(err.Error())
	}
	if err := json.Unmarshal(s.CoreBytes, &s.Core); err != nil {
		return bad(err.Error())
	}
	if s.Core.Version > Version {
		return nil, fmt.Errorf("%w: %d", ErrVersion, s.Core.Version)
	}
	if len(s.Parts) != len(s.Core.Groups) {
		return bad("parts")
	}
	for i, p := range s.Parts {
		g := &s.Core.Groups[i]
		switch {
		case len(p.Chunks) != 32*g.Chunks || sha256.Sum256(p.Chunks) != g.ChunksSum:
			return bad("chunks")
		case len(p.Lists)%32 != 0 || len(p.Gone)%32 != 0:
			return bad("lists")
		}
	}
	return s, nil
}

// signContext keeps a signature from being taken for one of another kind.
const signContext = "altmail backup snapshot 1\x00"

// Sign signs the bytes of a Core with a node's key.
func Sign(key ed25519.PrivateKey, core []byte) []byte {
	return ed25519.Sign(key, append([]byte(signContext), core...))
}

// ErrSignature: a snapshot is not what a node of the cluster signed.
var ErrSignature = errors.New("repo: bad signature")

// Check checks the signature: by a node whose certificate the CA in the
// snapshot signed. Who knows the CA's fingerprint compares it.
func (s *Snapshot) Check() (fingerprint [32]byte, err error) {
	ca, err := pki.ParseCACert(s.CACert)
	if err != nil {
		return fingerprint, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	fingerprint = pki.Fingerprint(ca.Raw)
	p, err := pki.VerifyPeer([][]byte{s.NodeCert}, []*x509.Certificate{ca}, s.Core.Cluster, s.Time())
	if err != nil {
		return fingerprint, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	key, ok := p.Cert.PublicKey.(ed25519.PublicKey)
	if !ok || p.NodeID != s.Core.Node ||
		!ed25519.Verify(key, append([]byte(signContext), s.CoreBytes...), s.Signature) {
		return fingerprint, ErrSignature
	}
	return fingerprint, nil
}

// Snapshots reads all snapshots, oldest first. Those that can't be read are
// told in bad, by file.
func (r *Repo) Snapshots(ctx context.Context) (out []*Snapshot, bad map[string]error, err error) {
	files, err := r.st.List(ctx, snapshotFolder)
	if err != nil {
		return nil, nil, err
	}
	bad = map[string]error{}
	for _, f := range files {
		name := snapshotFolder + "/" + f.Name
		if f.Size > maxSnapshot {
			bad[name] = fmt.Errorf("%w: too large", ErrDamaged)
			continue
		}
		b, err := r.st.Read(ctx, name, 0, -1)
		if err == nil {
			var s *Snapshot
			if s, err = decodeSnapshot(b); err == nil {
				if s.Name = name; name != snapshotName(s) {
					err = fmt.Errorf("%w: not the file of that name", ErrDamaged)
				} else {
					out = append(out, s)
				}
			}
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil, nil, err
			}
			bad[name] = err
		}
	}
	slices.SortFunc(out, func(a, b *Snapshot) int {
		return cmp.Or(cmp.Compare(a.Core.Time, b.Core.Time), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return out, bad, nil
}

func snapshotName(s *Snapshot) string {
	return snapshotFolder + "/" + s.Time().Format(snapshotLayout) + "-" + hex.EncodeToString(s.ID[:6])
}

// Find returns the snapshot that an operator names: "latest", the beginning of
// its id, or a time, which stands for the newest one that is not later.
func (r *Repo) Find(ctx context.Context, what string) (*Snapshot, error) {
	all, _, err := r.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: there is no snapshot that can be read", ErrMissing)
	}
	if what == "" || what == "latest" {
		return all[len(all)-1], nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", "2006-01-02"} {
		t, err := time.ParseInLocation(layout, what, time.Local)
		if err != nil {
			continue
		}
		if layout == "2006-01-02" {
			t = t.AddDate(0, 0, 1).Add(-time.Millisecond) // the day's last
		}
		for _, s := range slices.Backward(all) {
			if !s.Time().After(t) {
				return s, nil
			}
		}
		return nil, fmt.Errorf("%w: no snapshot is that old", ErrMissing)
	}
	var found *Snapshot
	for _, s := range all {
		if len(what) >= 4 && strings.HasPrefix(s.ID.String(), strings.ToLower(what)) {
			if found != nil {
				return nil, fmt.Errorf("%w: more than one snapshot begins with %q", ErrMissing, what)
			}
			found = s
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%w: no snapshot %q", ErrMissing, what)
	}
	return found, nil
}
