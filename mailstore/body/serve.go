package body

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"

	"altmail.se/altmail/cluster"
)

// serve registers the handlers of the body methods.
func (s *Store) serve() {
	p := s.opts.Peers
	if p == nil {
		return
	}
	p.Handle(cluster.MethodBodyPush, s.servePush)
	p.Handle(cluster.MethodBodyFetch, s.serveFetch)
	p.Handle(cluster.MethodBodyHave, s.serveHave)
}

// spawn runs f in the background unless the store is closing; Close waits for
// it.
func (s *Store) spawn(f func()) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return false
	}
	s.workers.Go(f)
	return true
}

// servePush stores bodies and answers when they are durable here.
func (s *Store) servePush(ctx context.Context, _ cluster.NodeID, req []byte) ([]byte, error) {
	gid, items, err := parsePush(req)
	if err != nil {
		return nil, err
	}
	g, err := s.group(gid)
	if err != nil {
		return nil, err
	}
	s.stats.pushReceived.Add(uint64(len(items)))
	states := make([]byte, len(items))
	for i, err := range g.putMany(ctx, items) {
		states[i] = pushState(err)
	}
	resp := appendReport(make([]byte, 0, 10+len(items)), s.space.self())
	return append(resp, states...), nil
}

func pushState(err error) byte {
	switch {
	case err == nil:
		return stDurable
	case errors.Is(err, cluster.ErrNoRoom):
		return stNoRoom
	case errors.Is(err, errFormat):
		return stBadHash
	default:
		return stFailed
	}
}

// putMany verifies and stores bodies from another node, all in one group
// commit if they fit.
func (g *group) putMany(ctx context.Context, items []pushItem) []error {
	errs := make([]error, len(items))
	put := func(i int) {
		if sha256.Sum256(items[i].data) != items[i].id {
			g.s.stats.badHash.Add(1)
			errs[i] = fmt.Errorf("%w: bytes do not match their id", errFormat)
			return
		}
		errs[i] = g.put(ctx, items[i].id, items[i].data, putMember)
	}
	if len(items) == 1 {
		put(0)
		return errs
	}
	var wg sync.WaitGroup
	for i := range items {
		wg.Go(func() { put(i) })
	}
	wg.Wait()
	return errs
}

// serveFetch answers ranges of bodies. What lies here is given even when
// nothing refers to it any more.
func (s *Store) serveFetch(_ context.Context, _ cluster.NodeID, req []byte) ([]byte, error) {
	gid, index, items, err := parseFetch(req)
	if err != nil {
		return nil, err
	}
	handles := make([]*Handle, len(items))
	defer func() {
		for _, h := range handles {
			if h != nil {
				h.release()
			}
		}
	}()
	states := make([]fetchState, len(items))
	lens := make([]int, len(items))
	total := 0
	for i, it := range items {
		f := &states[i]
		h, err := s.Open(gid, it.id)
		if errors.Is(err, cluster.ErrNotHere) {
			*f = s.absent(gid, it.id, index)
			continue
		} else if err != nil {
			return nil, err
		}
		handles[i] = h
		f.size = uint32(h.Size())
		n := min(h.Size()-min(int64(it.off), h.Size()), int64(it.max), maxRange)
		if total > 0 && total+int(n) > maxRange {
			f.state = stLater
			continue
		}
		f.state = stDurable
		total += int(n)
		lens[i] = int(n)
	}
	resp := appendReport(make([]byte, 0, 10+len(items)*fetchStateLen+total), s.space.self())
	table := len(resp)
	resp = resp[:table+len(items)*fetchStateLen]
	for i, it := range items {
		f := &states[i]
		if n := lens[i]; n > 0 {
			at := len(resp)
			resp = resp[:at+n]
			f.data = resp[at:]
			if m, err := handles[i].ReadAt(f.data, int64(it.off)); m < n {
				return nil, fmt.Errorf("body: serving a range: %w", err)
			}
		}
		putFetchState(resp[table+i*fetchStateLen:], f)
	}
	return resp, nil
}

// absent answers for a body that is not here. It is gone if this node's
// durable state is as new as the asker's entry and refers to it nowhere (R8).
func (s *Store) absent(gid cluster.GroupID, id cluster.BodyID, index uint64) fetchState {
	notHere := fetchState{state: stNotHere}
	d := s.opts.Live.DurableApplied(gid)
	if d < index {
		return notHere
	}
	if ref, err := s.opts.Live.Referenced(gid, id); err != nil || ref {
		return notHere
	}
	// What readers see may be newer than what is durable. The answer holds
	// once everything seen now has become durable; until then it is
	// remembered since when nothing was seen to refer to the body.
	seen := s.opts.Live.Applied(gid)
	if seen <= d {
		return fetchState{state: stGone, at: d}
	}
	if since := s.net.unreferenced(gid, id, seen); since <= d {
		return fetchState{state: stGone, at: d}
	}
	return notHere
}

// serveHave tells which bodies are durable here.
func (s *Store) serveHave(_ context.Context, _ cluster.NodeID, req []byte) ([]byte, error) {
	gid, ids, err := parseHave(req)
	if err != nil {
		return nil, err
	}
	resp := appendReport(make([]byte, 0, 10+len(ids)*fetchStateLen), s.space.self())
	table := len(resp)
	resp = resp[:table+len(ids)*fetchStateLen]
	g := s.known(gid)
	for i := range ids {
		f := fetchState{state: stNotHere}
		if g != nil {
			g.mu.Lock()
			if p, ok := g.tab.get(keyOf(ids[i])); ok {
				f = fetchState{state: stDurable, size: p.size}
			}
			g.mu.Unlock()
		}
		putFetchState(resp[table+i*fetchStateLen:], &f)
	}
	return resp, nil
}

// Have asks a member which of the bodies, at most 256, are durable there.
func (s *Store) Have(ctx context.Context, peer cluster.NodeID, group cluster.GroupID, ids []cluster.BodyID) ([]bool, error) {
	if s.opts.Peers == nil || len(ids) > maxItems {
		return nil, fmt.Errorf("body: asking for %d bodies: %w", len(ids), cluster.ErrRefused)
	}
	resp, err := s.opts.Peers.Call(ctx, peer, cluster.MethodBodyHave, appendHave(nil, group, ids))
	if err != nil {
		return nil, fmt.Errorf("body: asking a member: %w", err)
	}
	r, states, err := parseFetched(resp, len(ids))
	if err != nil {
		return nil, err
	}
	s.space.heard(peer, r)
	have := make([]bool, len(ids))
	for i := range states {
		have[i] = states[i].state == stDurable
	}
	return have, nil
}
