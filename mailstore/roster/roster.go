package roster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/member"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/state"
)

// Groups gives the directory's group.
type Groups interface {
	Group(id cluster.GroupID) (cluster.Group, bool)
}

// Roster implements member.Roster. It is safe for concurrent use.
type Roster struct {
	groups Groups
	dir    *state.Directory
}

var _ member.Roster = (*Roster)(nil)

// SettingCA is the name of the setting that holds the cluster's CA, sealed.
const SettingCA = "ca"

// timeout is how long a change or a read index may take at most: without a
// majority, waiting longer helps nobody.
const timeout = 5 * time.Second

// New returns a Roster over this node's directory.
func New(g Groups, d *state.Directory) *Roster { return &Roster{g, d} }

func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, timeout)
}

// Sync returns once what is read next is at least as new as every change
// answered before the call.
func (r *Roster) Sync(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	g, ok := r.groups.Group(cluster.Directory)
	if !ok {
		return cluster.ErrStopped
	}
	return g.ReadIndex(ctx)
}

// propose commits a command to the directory and maps its result.
func (r *Roster) propose(ctx context.Context, c *pb.Command) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	g, ok := r.groups.Group(cluster.Directory)
	if !ok {
		return cluster.ErrStopped
	}
	b, err := command.Encode(c)
	if err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	var op cluster.OpID
	if _, err := rand.Read(op[:]); err != nil {
		return err
	}
	out, err := g.Propose(ctx, cluster.Proposal{Op: op, First: r.dir.Time(), Command: b})
	if err != nil {
		return err
	}
	res, err := command.DecodeResult(out.Value)
	if err != nil {
		return fmt.Errorf("roster: %w", err)
	}
	switch res.Code {
	case pb.Code_OK:
		return nil
	case pb.Code_EXISTS:
		return member.ErrNameTaken
	case pb.Code_NO_SUCH:
		return errNoSuch
	}
	return fmt.Errorf("%w: %s", cluster.ErrRefused, res.Code)
}

var errNoSuch = errors.New("roster: no such record")

// read runs f on one consistent view of the directory.
func (r *Roster) read(f func(*state.DirectoryReader) error) error {
	rd := r.dir.Read()
	err := f(rd)
	if cerr := rd.Close(); err == nil {
		err = cerr
	}
	return err
}

// Nodes lists the members as this node knows them.
func (r *Roster) Nodes() (out []member.Node, err error) {
	err = r.read(func(rd *state.DirectoryReader) error {
		rows, err := rd.Nodes()
		for _, n := range rows {
			out = append(out, member.Node{ID: n.ID, Name: n.Name, Address: n.Address, PublicKey: n.PublicKey, Level: n.Level, Leaving: n.Leaving})
		}
		return err
	})
	return out, err
}

// PutNode adds a member or changes its facts; with expectNew a name or id that
// exists is member.ErrNameTaken.
func (r *Roster) PutNode(ctx context.Context, n member.Node, expectNew bool) error {
	return r.propose(ctx, &pb.Command{Op: &pb.Command_PutNode{PutNode: &pb.PutNode{
		Id: n.ID[:], Name: n.Name, Address: n.Address, PublicKey: n.PublicKey, Level: n.Level, Leaving: n.Leaving, ExpectNew: expectNew,
	}}})
}

// RemoveNode takes a member off the list; one that is not on it is no error.
func (r *Roster) RemoveNode(ctx context.Context, id cluster.NodeID, stolen bool) error {
	err := r.propose(ctx, &pb.Command{Op: &pb.Command_RemoveNode{RemoveNode: &pb.RemoveNode{Id: id[:], Stolen: stolen}}})
	if errors.Is(err, errNoSuch) {
		return nil
	}
	return err
}

// Groups lists the mail groups.
func (r *Roster) Groups() (out []cluster.GroupID, err error) {
	err = r.read(func(rd *state.DirectoryReader) error {
		out, err = rd.Groups()
		return err
	})
	return out, err
}

// PutGroup adds a mail group; one that exists is no error.
func (r *Roster) PutGroup(ctx context.Context, g cluster.GroupID) error {
	err := r.propose(ctx, &pb.Command{Op: &pb.Command_PutGroup{PutGroup: &pb.PutGroup{Group: uint32(g)}}})
	if errors.Is(err, member.ErrNameTaken) {
		return nil
	}
	return err
}

// PutToken stores a join token's verifier.
func (r *Roster) PutToken(ctx context.Context, id []byte, t member.Token) error {
	key, err := tokenKey(id)
	if err != nil {
		return err
	}
	return r.propose(ctx, &pb.Command{Op: &pb.Command_PutToken{PutToken: &pb.PutToken{
		Id: key[:], Verifier: t.Verifier, Expires: uint64(t.Expires.UnixMilli()),
	}}})
}

// Token returns a join token.
func (r *Roster) Token(id []byte) (t member.Token, ok bool, err error) {
	key, err := tokenKey(id)
	if err != nil {
		return t, false, nil // no token has such an id
	}
	err = r.read(func(rd *state.DirectoryReader) error {
		row, found, err := rd.Token(key)
		ok = found
		t = member.Token{Verifier: row.Verifier, Expires: time.UnixMilli(int64(row.Expires)), UsedBy: row.PublicKey}
		return err
	})
	return t, ok, err
}

// UseToken binds a token to a key; the same key may repeat it.
func (r *Roster) UseToken(ctx context.Context, id, publicKey []byte) error {
	key, err := tokenKey(id)
	if err != nil {
		return member.ErrNoToken
	}
	err = r.propose(ctx, &pb.Command{Op: &pb.Command_UseToken{UseToken: &pb.UseToken{Id: key[:], PublicKey: publicKey}}})
	if err != nil && !errors.Is(err, cluster.ErrUnavailable) && !errors.Is(err, cluster.ErrStopped) {
		return fmt.Errorf("%w: %w", member.ErrNoToken, err)
	}
	return err
}

// tokenKey widens a token's id to the directory's.
func tokenKey(id []byte) (key [16]byte, err error) {
	if len(id) == 0 || len(id) > len(key) {
		return key, member.ErrNoToken
	}
	copy(key[:], id)
	return key, nil
}

// CA returns the cluster's sealed CA, nil when there is none yet.
func (r *Roster) CA() (sealed []byte, err error) {
	err = r.read(func(rd *state.DirectoryReader) error {
		row, ok, err := rd.Setting(SettingCA)
		if ok {
			sealed = row.Value
		}
		return err
	})
	return sealed, err
}

// PutCA stores the cluster's sealed CA.
func (r *Roster) PutCA(ctx context.Context, sealed []byte) error {
	return r.propose(ctx, &pb.Command{Op: &pb.Command_PutSetting{PutSetting: &pb.PutSetting{Name: SettingCA, Value: sealed}}})
}
