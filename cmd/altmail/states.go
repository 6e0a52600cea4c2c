package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"sync"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/journal"
	"altmail.se/altmail/cluster/node"
	"altmail.se/altmail/cmd/altmail/config"
	"altmail.se/altmail/crypto/cryptfs"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/frontend/fulltext"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/body"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/search"
	"altmail.se/altmail/mailstore/state"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// states are the machines of the groups on this node. It answers the body
// store what is alive.
type states struct {
	mu   sync.RWMutex
	dir  *state.Directory
	mail map[cluster.GroupID]*state.Mail
}

var _ body.Liveness = (*states)(nil)

// hooks are told what applying entries did.
type hooks struct {
	events    func([]mailstore.Event)
	dead      func(g cluster.GroupID, index uint64, ids []cluster.BodyID)
	directory func()
}

// open opens the machine of a group.
func (s *states) open(db *state.DB, g cluster.GroupID, h hooks) (cluster.Machine, error) {
	if g == cluster.Directory {
		d, err := db.Directory()
		if err != nil {
			return nil, err
		}
		d.OnChange = func(uint64) { h.directory() }
		s.mu.Lock()
		s.dir = d
		s.mu.Unlock()
		return d, nil
	}
	m, err := db.Mail(g)
	if err != nil {
		return nil, err
	}
	m.OnEvents = h.events
	m.OnDead = func(g cluster.GroupID, ids []mailstore.BodyID) {
		index, _ := m.Applied()
		h.dead(g, index, ids)
	}
	s.mu.Lock()
	s.mail[g] = m
	s.mu.Unlock()
	return m, nil
}

func (s *states) directory() *state.Directory {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.dir
}

func (s *states) get(g cluster.GroupID) (*state.Mail, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	m, ok := s.mail[g]
	return m, ok
}

// Referenced implements body.Liveness.
func (s *states) Referenced(g cluster.GroupID, id cluster.BodyID) (bool, error) {
	m, ok := s.get(g)
	if !ok {
		return false, cluster.ErrStopped
	}
	return m.BodyReferenced(id)
}

// Applied implements body.Liveness.
func (s *states) Applied(g cluster.GroupID) uint64 {
	if g == cluster.Directory {
		index, _ := s.directory().Applied()
		return index
	}
	m, ok := s.get(g)
	if !ok {
		return 0
	}
	index, _ := m.Applied()
	return index
}

// DurableApplied implements body.Liveness.
func (s *states) DurableApplied(g cluster.GroupID) uint64 {
	if g == cluster.Directory {
		return s.directory().Durable()
	}
	m, ok := s.get(g)
	if !ok {
		return 0
	}
	return m.Durable()
}

// live iterates over the bodies a group refers to.
func (s *states) live(g cluster.GroupID) body.Live {
	if g == cluster.Directory {
		return func(cluster.BodyID) iter.Seq2[cluster.BodyRef, error] {
			return func(func(cluster.BodyRef, error) bool) {} // it has none
		}
	}
	return func(after cluster.BodyID) iter.Seq2[cluster.BodyRef, error] {
		m, ok := s.get(g)
		if !ok {
			return func(yield func(cluster.BodyRef, error) bool) { yield(cluster.BodyRef{}, cluster.ErrStopped) }
		}
		return m.BodiesAfter(after)
	}
}

// check runs the consistency check of every machine and, with bodies, reads
// every body they refer to; without, it looks whether each is there.
func (s *states) check(ctx context.Context, bodies *body.Store, read bool) (*adminpb.CheckResponse, error) {
	out := &adminpb.CheckResponse{}
	add := func(g cluster.GroupID, ps []state.Problem) {
		for _, p := range ps {
			out.Problems = append(out.Problems, fmt.Sprintf("group %s: rule %d: %s", g, p.Rule, p.What))
		}
	}
	s.mu.RLock()
	dir := s.dir
	mail := make(map[cluster.GroupID]*state.Mail, len(s.mail))
	for g, m := range s.mail {
		mail[g] = m
	}
	s.mu.RUnlock()
	ps, err := dir.Check(ctx)
	if err != nil {
		return nil, err
	}
	add(cluster.Directory, ps)
	var accounts []state.DirectoryAccount
	rd := dir.Read()
	err = rd.Accounts(func(a *state.DirectoryAccount) error {
		accounts = append(accounts, *a)
		return nil
	})
	if err := errors.Join(err, rd.Close()); err != nil {
		return nil, err
	}
	for g, m := range mail {
		ps, err := m.Check(ctx)
		if err != nil {
			return nil, err
		}
		add(g, ps)
		for ref, err := range m.BodiesAfter(cluster.BodyID{}) {
			if err != nil {
				return nil, err
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			out.Bodies++
			if !bodies.Has(g, ref.ID) {
				out.Problems = append(out.Problems, fmt.Sprintf("group %s: body %s is missing", g, ref.ID))
			} else if read {
				if err := bodies.Verify(ctx, g, ref.ID); err != nil {
					out.Problems = append(out.Problems, fmt.Sprintf("group %s: body %s: %v", g, ref.ID, err))
				}
			}
		}
	}
	for _, a := range accounts {
		if st := lookup.Status(a.Status); st != lookup.Active && st != lookup.Suspended {
			continue
		}
		m, ok := mail[a.Group]
		if !ok {
			continue
		}
		r := m.Read()
		row, found, err := r.Account(a.ID)
		var boxes []state.MailboxRow
		if err == nil {
			boxes, err = r.Mailboxes(a.ID)
		}
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		if !found {
			out.Problems = append(out.Problems, fmt.Sprintf("group %s: account %s is not in its mail group", a.Group, a.ID))
			continue
		}
		out.Accounts++
		out.Mailboxes += uint64(len(boxes))
		out.Messages += row.UsedMessages
	}
	return out, nil
}

// checkOffline checks the stores of a node that does not run.
func checkOffline(e *env, cfg *config.Config, read bool) (_ *adminpb.CheckResponse, err error) {
	lock, err := lockData(cfg.DataDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, noNode(cfg)
	}
	if err != nil {
		return nil, coded(exitTryAgain, err)
	}
	defer lock.Close()
	ring, err := keyring.Open(keyringPath(cfg), keySource(e, cfg))
	if errors.Is(err, keyring.ErrNoKeyring) {
		return nil, noNode(cfg)
	}
	if err != nil {
		return nil, err
	}
	defer ring.Close()
	local, err := mustLocal(ring)
	if err != nil {
		return nil, err
	}
	db, err := state.Open(cryptfs.New(vfs.Default, ring.Files()), stateDir(cfg), state.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	s := &states{mail: map[cluster.GroupID]*state.Mail{}}
	nothing := hooks{
		events: func([]mailstore.Event) {}, dead: func(cluster.GroupID, uint64, []cluster.BodyID) {}, directory: func() {},
	}
	for _, g := range local.Identity().Groups {
		m, err := s.open(db, g, nothing)
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, m.Close()) }()
	}
	ignore := func(error) {} // the error comes back from the call as well
	j, err := journal.Open(vfs.Default, node.JournalDir(cfg.DataDir), journal.Options{Fatal: ignore})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	bodies, err := body.Open(vfs.Default, bodyDir(cfg), body.Options{
		Fatal: ignore, Journal: j,
		Live: s, Members: func(cluster.GroupID) []cluster.NodeID { return nil },
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bodies.Close()) }()
	out, err := s.check(e.ctx, bodies, read)
	if err != nil {
		return nil, err
	}
	index, err := search.Open(cryptfs.New(vfs.Default, ring.Files()), searchDir(cfg), search.Options{Text: fulltext.Version})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, index.Close()) }()
	return out, s.checkIndex(e.ctx, index, ring, nil, read, out)
}
