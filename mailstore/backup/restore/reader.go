package restore

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/cryptfs"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/backup/repo"
	"altmail.se/altmail/mailstore/body"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/state"
)

// Reader reads messages out of a snapshot as the read door of a node would. It
// keeps the groups it needs in a directory of its own, encrypted under a key
// that only its memory has.
type Reader struct {
	src   *Source
	ring  *keyring.Ring
	db    *state.DB
	dir   *state.Directory
	mails map[cluster.GroupID]*state.Mail
	door  *lookup.Door
	tell  func(done, all int)
}

// memoryKey is an unlock key that is nowhere but here.
type memoryKey [keyring.KeySize]byte

func (memoryKey) Method() keyring.Method { return keyring.MethodKey }

func (k memoryKey) UnlockKey(keyring.Params) ([keyring.KeySize]byte, error) { return k, nil }

// NewReader opens a snapshot for reading; dir is an empty directory that the
// caller removes after Close.
func NewReader(ctx context.Context, src *Source, dir string, tell func(done, all int)) (_ *Reader, err error) {
	r := &Reader{src: src, mails: map[cluster.GroupID]*state.Mail{}, tell: tell}
	var key memoryKey
	rand.Read(key[:]) // never fails (crypto/rand)
	if r.ring, err = keyring.Create(filepath.Join(dir, "keyring"), key); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if err := TakeKeys(r.ring, &src.Head); err != nil {
		return nil, err
	}
	if r.db, err = state.Open(cryptfs.New(vfs.Default, r.ring.Files()), filepath.Join(dir, "state"), state.Options{}); err != nil {
		return nil, err
	}
	if r.dir, err = r.db.Directory(); err != nil {
		return nil, err
	}
	i, err := src.index(cluster.Directory)
	if err != nil {
		return nil, err
	}
	if err := src.Install(ctx, i, r.dir, tell); err != nil {
		return nil, err
	}
	r.door = lookup.New(lookup.Config{
		Groups: still{}, Ring: r.ring, Bodies: snapBodies{src}, Directory: r.dir,
		Mail: func(g cluster.GroupID) (*state.Mail, bool) { m, ok := r.mails[g]; return m, ok },
	})
	return r, nil
}

// index returns where a group is in the snapshot.
func (s *Source) index(g cluster.GroupID) (int, error) {
	for i := range s.Snap.Core.Groups {
		if cluster.GroupID(s.Snap.Core.Groups[i].Group) == g {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%w: group %s is not in the snapshot", repo.ErrMissing, g)
}

// Close lets go of what is open.
func (r *Reader) Close() error {
	var errs []error
	for _, m := range r.mails {
		errs = append(errs, m.Close())
	}
	if r.dir != nil {
		errs = append(errs, r.dir.Close())
	}
	if r.db != nil {
		errs = append(errs, r.db.Close())
	}
	r.ring.Close()
	return errors.Join(errs...)
}

// Account opens the account that had an address. mailstore.ErrNoAddress: none
// had it.
func (r *Reader) Account(ctx context.Context, address string) (*lookup.Account, error) {
	local, domain, ok := lookup.SplitAddress(address)
	if !ok {
		return nil, mailstore.ErrNoAddress
	}
	_, key, err := lookup.CleanAddress(local, domain)
	if err != nil {
		return nil, err
	}
	h, err := r.door.AddressHash(key)
	if err != nil {
		return nil, err
	}
	rd := r.dir.Read()
	addr, found, err := rd.AddressByHash(h)
	var row state.DirectoryAccount
	if err == nil && found {
		row, found, err = rd.Account(addr.Account)
	}
	if err := errors.Join(err, rd.Close()); err != nil {
		return nil, err
	}
	if !found {
		return nil, mailstore.ErrNoAddress
	}
	if _, have := r.mails[row.Group]; !have {
		i, err := r.src.index(row.Group)
		if err != nil {
			return nil, err
		}
		m, err := r.db.Mail(row.Group)
		if err != nil {
			return nil, err
		}
		r.mails[row.Group] = m
		if err := r.src.Install(ctx, i, m, r.tell); err != nil {
			return nil, err
		}
	}
	return r.door.Open(ctx, row.ID)
}

// Message is a message of a snapshot.
type Message struct {
	Mailbox string
	*mailstore.Message
	Raw []byte
}

// Messages calls fn for the messages of an account: of one mailbox unless it is
// "", and one of it unless uid is 0. It returns how many could not be read.
// mailstore.ErrNoMailbox: there was none of that name.
func (r *Reader) Messages(ctx context.Context, a *lookup.Account, mailbox string, uid mailstore.UID, fn func(*Message) error) (lost int, err error) {
	v := a.Read()
	defer v.Close()
	boxes, _, err := v.Mailboxes()
	if err != nil {
		return 0, err
	}
	if mailbox != "" {
		b, err := v.MailboxByName(mailbox)
		if err != nil {
			return 0, err
		}
		boxes = []mailstore.Mailbox{b}
	}
	ranges := []mailstore.Range{{First: 1, Last: 1<<32 - 1}}
	if uid != 0 {
		ranges = []mailstore.Range{{First: uid, Last: uid}}
	}
	for i := range boxes {
		if err := v.Messages(boxes[i].ID, ranges, func(m *mailstore.Message) error {
			raw, err := read(ctx, a, v, m.Content)
			if errors.Is(err, mailstore.ErrDamaged) || errors.Is(err, cluster.ErrNotHere) || errors.Is(err, mailstore.ErrExpunged) {
				lost++
				return nil
			}
			if err != nil {
				return err
			}
			return fn(&Message{Mailbox: boxes[i].Name, Message: m, Raw: raw})
		}); err != nil {
			return lost, err
		}
	}
	return lost, nil
}

func read(ctx context.Context, a *lookup.Account, v *lookup.View, id mailstore.ContentID) (_ []byte, err error) {
	c, err := v.Content(id)
	if err != nil {
		return nil, err
	}
	b, err := a.OpenBody(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	var out bytes.Buffer
	err = b.WriteRange(&out, 0, b.Size())
	return out.Bytes(), err
}

// still is a group that nothing happens in.
type still struct{}

func (still) Group(cluster.GroupID) (cluster.Group, bool) { return still{}, true }
func (still) ID() cluster.GroupID                         { return cluster.Directory }
func (still) ReadIndex(context.Context) error             { return nil }
func (still) WaitApplied(context.Context, uint64) error   { return nil }
func (still) Leader() (cluster.NodeID, bool)              { return cluster.NodeID{}, false }
func (still) IsLeader() bool                              { return false }
func (still) Propose(context.Context, cluster.Proposal) (cluster.Outcome, error) {
	return cluster.Outcome{}, cluster.ErrRefused
}

// snapBodies reads bodies from the repository.
type snapBodies struct{ src *Source }

func (b snapBodies) Open(_ cluster.GroupID, id cluster.BodyID) (*body.Handle, error) {
	data, err := b.src.Repo.Get(context.Background(), repo.KindBody, repo.ID(id))
	switch {
	case errors.Is(err, repo.ErrMissing):
		return nil, cluster.ErrNotHere
	case errors.Is(err, repo.ErrDamaged):
		return nil, fmt.Errorf("%w: %w", mailstore.ErrDamaged, err)
	case err != nil:
		return nil, err
	}
	return body.InMemory(data), nil
}

func (b snapBodies) Fetch(context.Context, cluster.GroupID, cluster.BodyRef) (*body.Handle, error) {
	return nil, cluster.ErrNotHere
}

func (b snapBodies) Verify(context.Context, cluster.GroupID, cluster.BodyID) error {
	return mailstore.ErrDamaged
}
