// Package restore brings a snapshot back: the state of a whole cluster into an
// empty node, or messages into a running one. It needs an age identity that the
// snapshot was sealed to.
package restore

import (
	"context"
	"errors"
	"fmt"

	"filippo.io/age"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore/backup/repo"
	"altmail.se/altmail/mailstore/backup/wire"
	"altmail.se/altmail/mailstore/state"
)

// Source is a snapshot that can be read.
type Source struct {
	Repo *repo.Repo
	Snap *repo.Snapshot
	Head wire.Head
	open *wire.Opener
}

// The errors of this package.
var (
	// ErrIdentity: the snapshot is sealed to others.
	ErrIdentity = errors.New("restore: this identity does not open the snapshot")
	// ErrForeign: the snapshot is signed under another CA than was asked for.
	ErrForeign = errors.New("restore: the snapshot is signed by another cluster than the one asked for")
	// ErrLater: a group is at a feature level that this build does not know.
	ErrLater = errors.New("restore: the snapshot is of a later version of altmail")
)

// Open opens a snapshot. With a fingerprint that is not zero, it must be signed
// under that CA.
func Open(ctx context.Context, r *repo.Repo, s *repo.Snapshot, ids []age.Identity, ca [32]byte) (*Source, error) {
	fp, err := s.Check()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	if ca != [32]byte{} && fp != ca {
		return nil, ErrForeign
	}
	head, err := r.Get(ctx, repo.KindSealed, s.Core.Head)
	if err != nil {
		return nil, fmt.Errorf("the keys of the snapshot: %w", err)
	}
	o, err := wire.NewOpener(ids, head)
	var no *age.NoIdentityMatchError
	if errors.As(err, &no) {
		return nil, ErrIdentity
	}
	if err != nil {
		return nil, err
	}
	if o.Head.Cluster != s.Core.Cluster {
		return nil, fmt.Errorf("%w: the keys are of cluster %s, the snapshot is of %s", wire.ErrSealed, o.Head.Cluster, s.Core.Cluster)
	}
	return &Source{Repo: r, Snap: s, Head: o.Head, open: o}, nil
}

// Groups returns the groups of the snapshot; group i is the i-th.
func (s *Source) Groups() []repo.Group { return s.Snap.Core.Groups }

// Install puts the i-th group's state in the place of what the machine has,
// once its digest is proven. Every row must be readable: a piece that is lost
// may have held what others refer to.
func (s *Source) Install(ctx context.Context, i int, m cluster.Machine, tell func(done, all int)) error {
	g := &s.Snap.Core.Groups[i]
	st, err := m.Stage(g.Index, g.Term)
	if err != nil {
		return err
	}
	err = s.fill(ctx, i, st, tell)
	if err == nil {
		err = st.Verify(cluster.Digest(g.Digest))
	}
	if err == nil {
		err = st.Install()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("restore: group %d: %w", g.Group, err), st.Abort())
	}
	return nil
}

func (s *Source) fill(ctx context.Context, i int, st cluster.Stage, tell func(done, all int)) error {
	g := &s.Snap.Core.Groups[i]
	if len(g.Digest) != len(cluster.Digest{}) {
		return fmt.Errorf("%w: digest", wire.ErrSealed)
	}
	ids := repo.IDs(s.Snap.Parts[i].Chunks)
	for n, id := range ids {
		b, err := s.Repo.Get(ctx, repo.KindSealed, id)
		if err != nil {
			return err
		}
		records, err := s.open.Chunk(g.Group, id, b)
		if err != nil {
			return err
		}
		if err := st.Write(state.Block(records)); err != nil {
			return err
		}
		tell(n+1, len(ids))
	}
	return nil
}

// Missing are bodies that a group needs and that are not in the repository.
type Missing struct {
	Gone map[cluster.BodyID]bool // expunged before they could be copied
	Lost []cluster.BodyID        // damaged or missing
}

// Bodies gives the i-th group's bodies to put, from several goroutines, and
// returns those that are not there.
func (s *Source) Bodies(ctx context.Context, i int, put func(id cluster.BodyID, b []byte) error, tell func(size int64)) (Missing, error) {
	m := Missing{Gone: map[cluster.BodyID]bool{}}
	list, err := s.Repo.Bodies(ctx, s.Snap, i)
	if err != nil {
		return m, fmt.Errorf("restore: group %d: %w", s.Snap.Core.Groups[i].Group, err)
	}
	gone := map[repo.ID]bool{}
	for _, id := range repo.IDs(s.Snap.Parts[i].Gone) {
		gone[id] = true
	}
	return m, s.each(ctx, list, gone, put, tell, &m)
}
