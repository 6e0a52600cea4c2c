package body

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/semaphore"

	"altmail.se/altmail/cluster"
)

// callFetch asks a peer for ranges of bodies.
func (g *group) callFetch(ctx context.Context, peer cluster.NodeID, index uint64, items []fetchItem) ([]fetchState, error) {
	s := g.s
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	resp, err := s.opts.Peers.Call(ctx, peer, cluster.MethodBodyFetch, appendFetch(nil, g.id, index, items))
	if err != nil {
		return nil, fmt.Errorf("body: fetching: %w", err)
	}
	r, states, err := parseFetched(resp, len(items))
	if err != nil {
		return nil, err
	}
	s.space.heard(peer, r)
	return states, nil
}

// unknownSize is what a body of unknown size is taken for.
const unknownSize = 64 << 10

// bundle returns how many of refs are asked for at once, and their bytes.
func bundle(refs []cluster.BodyRef) (n int, total int64) {
	for n < len(refs) && n < maxItems {
		size := int64(refs[n].Size)
		if size == 0 {
			size = unknownSize
		}
		if n > 0 && total+size > maxRange {
			break
		}
		total += size
		n++
	}
	return n, total
}

// fetchInto fetches bodies from a peer and stores them. It returns those it
// could not get; err says why if the peer or the disk failed. Bodies the peer
// proves to be gone for the entry at index are noted as such and not returned.
func (g *group) fetchInto(ctx context.Context, sem *semaphore.Weighted, peer cluster.NodeID, index uint64, want []cluster.BodyRef) (left []cluster.BodyRef, err error) {
	for len(want) > 0 {
		n, total := bundle(want)
		cur, rest := want[:n], want[n:]
		weight := min(total, g.s.opts.MaxPullBytes)
		if err := sem.Acquire(ctx, weight); err != nil {
			return append(left, want...), err
		}
		began := time.Now()
		again, missed, err := g.fetchBundle(ctx, peer, index, cur)
		sem.Release(weight)
		if sem == g.s.net.backPulls {
			yield(ctx, time.Since(began))
		}
		left = append(left, missed...)
		if err != nil {
			return append(append(left, again...), rest...), err
		}
		want = append(again, rest...)
	}
	return left, nil
}

// maxYield bounds a pause of the backfill: what took longer waited for a peer.
const maxYield = 50 * time.Millisecond

// yield pauses the backfill for as long as it worked. Nobody waits for it, but
// others do for deliveries and reads on the same cores and disks, here and at
// the peer.
func yield(ctx context.Context, worked time.Duration) {
	t := time.NewTimer(min(worked, maxYield))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// fetchBundle fetches one bundle. again is worth asking the same peer for at
// once; missed is not.
func (g *group) fetchBundle(ctx context.Context, peer cluster.NodeID, index uint64, refs []cluster.BodyRef) (again, missed []cluster.BodyRef, err error) {
	items := make([]fetchItem, len(refs))
	for i := range refs {
		items[i] = fetchItem{id: refs[i].ID, max: maxRange}
	}
	states, err := g.callFetch(ctx, peer, index, items)
	if err != nil {
		return nil, refs, err
	}
	var got []pushItem
	var gotRefs []cluster.BodyRef
	for i := range states {
		f, ref := &states[i], refs[i]
		switch {
		case f.state == stGone && f.at >= index:
			g.proveGone(ref.ID, f.at)
			g.back.settle(ref.ID)
		case f.state == stLater && i > 0 && (ref.Size == 0 || ref.Size == f.size):
			ref.Size = f.size // no loop: the next bundle fits
			again = append(again, ref)
		case f.state != stDurable:
			missed = append(missed, ref)
		case len(f.data) == int(f.size):
			got = append(got, pushItem{ref.ID, f.data})
			gotRefs = append(gotRefs, ref)
		case len(f.data) == 0 || ref.Size != 0 && ref.Size != f.size:
			missed = append(missed, ref)
		case ref.Size == 0:
			// Larger than a range. Now that its size is known it is asked
			// for again by itself, under its true weight.
			ref.Size = f.size
			again = append(again, ref)
		default:
			data, ferr := g.fetchRest(ctx, peer, index, ref, f.data)
			if ferr != nil {
				return again, append(missed, ref), ferr
			}
			got = append(got, pushItem{ref.ID, data})
			gotRefs = append(gotRefs, ref)
		}
	}
	for i, perr := range g.putMany(ctx, got) {
		if perr != nil {
			missed = append(missed, gotRefs[i])
			err = perr
			continue
		}
		g.s.stats.pulled.Add(1)
		g.s.stats.pulledBytes.Add(uint64(len(got[i].data)))
	}
	return again, missed, err
}

// fetchRest fetches the ranges after the first of a large body.
func (g *group) fetchRest(ctx context.Context, peer cluster.NodeID, index uint64, ref cluster.BodyRef, first []byte) ([]byte, error) {
	data := make([]byte, 0, ref.Size)
	data = append(data, first...)
	for len(data) < int(ref.Size) {
		states, err := g.callFetch(ctx, peer, index, []fetchItem{{id: ref.ID, off: uint32(len(data)), max: maxRange}})
		if err != nil {
			return nil, err
		}
		f := &states[0]
		if f.state != stDurable || f.size != ref.Size || len(f.data) == 0 || len(data)+len(f.data) > int(ref.Size) {
			return nil, fmt.Errorf("body: a member stopped in the middle of a body: %w", cluster.ErrNotHere)
		}
		data = append(data, f.data...)
	}
	return data, nil
}

// Fetch returns a reader of a body, from this node or, while it is missing
// here, from a member: then it is read into memory, verified, and stored here
// in passing. ref.Size may be 0 if it is not known. cluster.ErrGone means that
// a member proved the body dead, cluster.ErrNotHere that no reachable member
// has it.
func (s *Store) Fetch(ctx context.Context, group cluster.GroupID, ref cluster.BodyRef) (*Handle, error) {
	h, err := s.Open(group, ref.ID)
	if !errors.Is(err, cluster.ErrNotHere) || s.opts.Peers == nil {
		return h, err
	}
	g, err := s.group(group)
	if err != nil {
		return nil, err
	}
	index := max(s.opts.Live.Applied(group), 1)
	g.back.add(s, index, false, ref)
	cause := error(cluster.ErrNotHere)
	for _, peer := range g.candidates(cluster.NodeID{}, int(ref.ID[0])) {
		h, err := g.fetchOne(ctx, peer, index, ref)
		if err == nil {
			s.stats.readThrough.Add(1)
			return h, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("body: reading from a member: %w", ctx.Err())
		}
		if errors.Is(err, cluster.ErrGone) || !errors.Is(cause, cluster.ErrGone) && !errors.Is(err, cluster.ErrNotHere) {
			cause = err
		}
	}
	if errors.Is(cause, cluster.ErrGone) || errors.Is(cause, cluster.ErrNotHere) {
		return nil, cause
	}
	return nil, fmt.Errorf("body: %w: %w", cluster.ErrNotHere, cause)
}

// fetchOne reads a whole body from a peer into memory. Its share of the
// memory for reads is given back when the handle is closed.
func (g *group) fetchOne(ctx context.Context, peer cluster.NodeID, index uint64, ref cluster.BodyRef) (*Handle, error) {
	sem := g.s.net.readPulls
	for {
		weight := min(max(int64(ref.Size), unknownSize), g.s.opts.MaxPullBytes)
		if err := sem.Acquire(ctx, weight); err != nil {
			return nil, err
		}
		data, size, err := g.fetchData(ctx, peer, index, ref)
		if err != nil || data == nil {
			sem.Release(weight)
			if err != nil {
				return nil, err
			}
			ref.Size = size // now it is known
			continue
		}
		if sha256.Sum256(data) != ref.ID {
			sem.Release(weight)
			g.s.stats.badHash.Add(1)
			return nil, fmt.Errorf("body: %w: bytes do not match their id", errFormat)
		}
		g.s.spawn(func() {
			// Best effort: if it fails the body stays queued for backfill.
			if err := g.put(g.s.ctx, ref.ID, data, putMember); err != nil {
				g.s.log.Debug("a body read from a member was not stored", "group", g.id, "err", err)
			}
		})
		return &Handle{size: int64(len(data)), mem: bytes.NewReader(data), s: g.s, free: func() { sem.Release(weight) }}, nil
	}
}

// fetchData returns the body, or only its size if that was not known and is
// more than one range.
func (g *group) fetchData(ctx context.Context, peer cluster.NodeID, index uint64, ref cluster.BodyRef) ([]byte, uint32, error) {
	states, err := g.callFetch(ctx, peer, index, []fetchItem{{id: ref.ID, max: maxRange}})
	if err != nil {
		return nil, 0, err
	}
	f := &states[0]
	switch {
	case f.state == stGone:
		return nil, 0, cluster.ErrGone
	case f.state != stDurable:
		return nil, 0, cluster.ErrNotHere
	case len(f.data) == int(f.size):
		return f.data, f.size, nil
	case len(f.data) == 0 || ref.Size != 0 && ref.Size != f.size:
		return nil, 0, cluster.ErrNotHere
	case ref.Size == 0:
		return nil, f.size, nil
	}
	data, err := g.fetchRest(ctx, peer, index, ref, f.data)
	return data, f.size, err
}
