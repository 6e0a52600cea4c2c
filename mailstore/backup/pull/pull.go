package pull

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"altmail.se/altmail/crypto/pki"
	"altmail.se/altmail/mailstore/backup/grant"
	"altmail.se/altmail/mailstore/backup/repo"
	"altmail.se/altmail/mailstore/backup/wire"
)

// Progress tells how far a pull is.
type Progress struct {
	Stage       string // "metadata" or "bodies"
	Done, All   int64  // bytes; All is 0 while it is not known
	Objects, Of int64  // bodies
}

// Options of Pull.
type Options struct {
	Storage repo.Storage
	Dial    Dial
	// Nodes are addresses of cluster ports. Without Chosen, the node that
	// leads the fewest groups is asked first.
	Nodes  []string
	Chosen bool
	// CA is the fingerprint of the CA that the snapshot must be signed under.
	CA   [32]byte
	Tell func(Progress)
	Log  *slog.Logger
	// Attempts is how many failures in a row, with nothing brought in between,
	// end the pull; 2 for each node, and at least 4.
	Attempts int
	// Pause is how long it waits after every node failed; 2 s.
	Pause time.Duration
}

// Result is what a pull did.
type Result struct {
	Snapshot *repo.Snapshot
	Moved    int64 // bytes on the network, both ways
	Sealed   int64 // bytes of sealed metadata that came
	Lists    int64 // bytes of lists of ids that came
	New      int64 // bytes of bodies that came
	Bodies   int   // that came
	Gone     int   // listed, and expunged before they could be copied
}

// ErrUnreachable: no node answers.
var ErrUnreachable = errors.New("pull: no node answers")

// ErrIncomplete: no node has some bodies that the snapshot needs.
var ErrIncomplete = errors.New("pull: no node has some of the messages' bodies at the moment")

type puller struct {
	o     Options
	nodes []*node
	w     *repo.Writer
	res   Result

	mu    sync.Mutex
	conns []Conn

	gained bool // something came since the last failure
	at     int  // node in use
}

// Pull brings a snapshot. Errors of repo, grant and cluster are told as they
// are; when it ends early, what was brought is kept.
func Pull(ctx context.Context, o Options) (_ *Result, err error) {
	if o.Attempts <= 0 {
		o.Attempts = max(4, 2*len(o.Nodes))
	}
	if o.Pause <= 0 {
		o.Pause = 2 * time.Second
	}
	p := &puller{o: o}
	for _, a := range o.Nodes {
		p.nodes = append(p.nodes, newNode(a, o.Dial, p.opened))
	}
	defer func() {
		for _, n := range p.nodes {
			n.close()
		}
	}()
	name, err := p.order(ctx)
	if err != nil {
		return nil, err
	}
	if p.w, err = repo.NewWriter(ctx, o.Storage, name); err != nil {
		return nil, err
	}
	defer func() {
		// Also when it was told to stop.
		err = errors.Join(err, p.w.Flush(context.WithoutCancel(ctx)), p.w.Close())
	}()
	for name, err := range p.w.Bad {
		o.Log.Warn("the repository is damaged; what is lost is brought again", "file", name, "err", err)
	}
	s := &session{p: p}
	if err := p.insist(ctx, func(n *node) error {
		*s = session{p: p}
		return s.metadata(ctx, n)
	}); err != nil {
		return nil, err
	}
	if err := s.fetchBodies(ctx); err != nil {
		return nil, err
	}
	p.res.Moved = p.moved()
	snap := s.snapshot()
	if fp := pki.Fingerprint(snap.CACert); fp != o.CA {
		return nil, fmt.Errorf("%w: under another CA than the credential names", repo.ErrSignature)
	}
	if err := p.w.Commit(ctx, snap); err != nil {
		return nil, err
	}
	p.res.Snapshot = snap
	return &p.res, nil
}

func (p *puller) opened(c Conn) {
	p.mu.Lock()
	p.conns = append(p.conns, c)
	p.mu.Unlock()
}

func (p *puller) moved() (n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		n += c.Moved()
	}
	return n
}

// order asks the nodes how they are and puts the best one first: one that has
// every body and leads the fewest groups. It returns the cluster's id.
func (p *puller) order(ctx context.Context) (name string, err error) {
	type answer struct {
		n   *node
		st  wire.Status
		err error
	}
	ch := make(chan answer, len(p.nodes))
	for _, n := range p.nodes {
		go func() {
			a := answer{n: n}
			c, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			a.err = n.ask(c, "GET", "status", nil, &a.st)
			ch <- a
		}()
	}
	var up []answer
	var down []*node
	var errs []error
	for range p.nodes {
		a := <-ch
		if a.err != nil {
			errs = append(errs, a.err)
			down = append(down, a.n)
			continue
		}
		up = append(up, a)
	}
	if len(up) == 0 {
		for _, err := range errs {
			if errors.Is(err, grant.ErrRefused) {
				return "", err
			}
		}
		return "", fmt.Errorf("%w: %w", ErrUnreachable, errors.Join(errs...))
	}
	if !p.o.Chosen {
		slices.SortStableFunc(up, func(a, b answer) int {
			if a.st.Whole != b.st.Whole {
				if a.st.Whole {
					return -1
				}
				return 1
			}
			return cmp.Compare(a.st.Leads, b.st.Leads)
		})
	}
	var nodes []*node
	for _, a := range up {
		if a.st.Cluster != up[0].st.Cluster {
			return "", fmt.Errorf("pull: the nodes are of different clusters: %s and %s", a.st.Cluster, up[0].st.Cluster)
		}
		nodes = append(nodes, a.n)
	}
	p.nodes = append(nodes, down...)
	return up[0].st.Cluster, nil
}

// insist calls f with one node after another until one call succeeds, the
// attempts are used up, or something happened that another node can't help.
func (p *puller) insist(ctx context.Context, f func(*node) error) error {
	for tries := 1; ; tries++ {
		n := p.nodes[p.at%len(p.nodes)]
		err := f(n)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if p.gained {
			p.gained, tries = false, 1
		}
		if !p.mayHelp(err) || tries >= p.o.Attempts {
			return err
		}
		p.o.Log.Warn("trying on", "err", err)
		n.close()
		p.at++
		if tries%len(p.nodes) == 0 {
			t := time.NewTimer(p.o.Pause)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return ctx.Err()
			}
		}
	}
}

// local marks errors of the repository, which no node can help.
type local struct{ error }

func (l local) Unwrap() error { return l.error }

func (p *puller) mayHelp(err error) bool {
	var l local
	return !errors.As(err, &l) && !errors.Is(err, grant.ErrRefused)
}

// put stores what came.
func (p *puller) put(ctx context.Context, k repo.Kind, id repo.ID, b []byte) error {
	err := p.w.Put(ctx, k, id, b)
	if errors.Is(err, repo.ErrDamaged) {
		return err // it came damaged: again, from another node
	}
	if err != nil {
		return local{err}
	}
	p.gained = true
	return nil
}

// session is one view of the cluster.
type session struct {
	p      *puller
	fin    wire.Finished
	parts  []repo.Parts
	groups []uint32
	bodies [][]repo.Body
	newMD  int64
}

func query(session string, group uint32) url.Values {
	return url.Values{"session": {session}, "group": {strconv.FormatUint(uint64(group), 10)}}
}

// metadata brings every group's rows and lists, and the node's signature.
func (s *session) metadata(ctx context.Context, n *node) error {
	var open wire.Opened
	if err := n.ask(ctx, "POST", "open", nil, &open); err != nil {
		return err
	}
	for _, g := range open.Groups {
		var part repo.Parts
		if err := s.rows(ctx, n, query(open.Session, g.Group), &part); err != nil {
			return fmt.Errorf("group %d: %w", g.Group, err)
		}
		list, err := s.list(ctx, n, query(open.Session, g.Group), &part)
		if err != nil {
			return fmt.Errorf("group %d: %w", g.Group, err)
		}
		s.parts = append(s.parts, part)
		s.groups = append(s.groups, g.Group)
		s.bodies = append(s.bodies, list)
	}
	q := url.Values{"session": {open.Session}}
	if err := n.frames(ctx, "GET", "head", q, nil, func(k wire.Kind, b []byte) error {
		_, err := s.keep(ctx, k, b)
		return err
	}); err != nil {
		return err
	}
	if err := n.ask(ctx, "POST", "finish", q, &s.fin); err != nil {
		return err
	}
	return nil
}

// keep stores a sealed object and returns its number.
func (s *session) keep(ctx context.Context, k wire.Kind, b []byte) (uint32, error) {
	if k != wire.KindSealed || len(b) <= 36 {
		return 0, wire.ErrStream
	}
	s.p.res.Sealed += int64(len(b))
	s.newMD += int64(len(b))
	s.p.o.Tell(Progress{Stage: "metadata", Done: s.newMD})
	return binary.BigEndian.Uint32(b), s.p.put(ctx, repo.KindSealed, repo.ID(b[4:36]), b[36:])
}

// sealedBatch is how many chunks are asked for at a time.
const sealedBatch = 256

func (s *session) rows(ctx context.Context, n *node, q url.Values, part *repo.Parts) error {
	var missing []uint32
	asked := map[repo.ID]bool{}
	var count uint32
	if err := n.frames(ctx, "GET", "chunks", q, nil, func(k wire.Kind, b []byte) error {
		if k != wire.KindChunk || len(b) != 36 {
			return wire.ErrStream
		}
		s.p.res.Lists += int64(len(b))
		id := repo.ID(b[:32])
		part.Chunks = append(part.Chunks, id[:]...)
		if !s.p.w.Has(repo.KindSealed, id) && !asked[id] {
			asked[id] = true
			missing = append(missing, count)
		}
		count++
		return nil
	}); err != nil {
		return err
	}
	for len(missing) > 0 {
		batch := missing[:min(len(missing), sealedBatch)]
		missing = missing[len(batch):]
		var req []byte
		for _, m := range batch {
			req = binary.BigEndian.AppendUint32(req, m)
		}
		got := 0
		if err := n.frames(ctx, "POST", "sealed", q, req, func(k wire.Kind, b []byte) error {
			num, err := s.keep(ctx, k, b)
			if err == nil && (got >= len(batch) || num != batch[got]) {
				err = wire.ErrStream
			}
			got++
			return err
		}); err != nil {
			return err
		}
		if got != len(batch) {
			return wire.ErrStream
		}
	}
	return nil
}

func (s *session) list(ctx context.Context, n *node, q url.Values, part *repo.Parts) (list []repo.Body, err error) {
	err = n.frames(ctx, "GET", "bodies", q, nil, func(k wire.Kind, b []byte) error {
		if k != wire.KindBodies {
			return wire.ErrStream
		}
		s.p.res.Lists += int64(len(b))
		piece, err := repo.DecodeBodies(b)
		if err != nil {
			return err
		}
		id := repo.ID(sha256.Sum256(b))
		part.Lists = append(part.Lists, id[:]...)
		list = append(list, piece...)
		return s.p.put(ctx, repo.KindList, id, b)
	})
	return list, err
}

// Sizes of one request for bodies.
const (
	fetchBytes = 8 << 20
	fetchCount = 1024
)

// fetchBodies brings the bodies that the repository lacks, from any node.
func (s *session) fetchBodies(ctx context.Context) error {
	p := s.p
	missing := make([][]repo.Body, len(s.groups))
	pr := Progress{Stage: "bodies"}
	queued := map[repo.ID]bool{}
	for i := range s.groups {
		for _, b := range s.bodies[i] {
			if !p.w.Has(repo.KindBody, b.ID) && !queued[b.ID] {
				queued[b.ID] = true
				missing[i] = append(missing[i], b)
				pr.All += int64(b.Size)
				pr.Of++
			}
		}
		s.bodies[i] = nil
	}
	queued = nil
	p.o.Tell(pr)
	for i, g := range s.groups {
		gone := map[repo.ID]bool{}
		for len(missing[i]) > 0 {
			var left []repo.Body // nobody had them this time
			if err := p.insist(ctx, func(n *node) error {
				for len(missing[i]) > 0 {
					rest, err := s.fetch(ctx, n, g, missing[i], gone, &pr)
					left = append(left, rest.nowhere...)
					missing[i] = rest.todo
					if err != nil {
						return err
					}
				}
				missing[i], left = left, nil
				if len(missing[i]) > 0 {
					return fmt.Errorf("%w: %d of group %d", ErrIncomplete, len(missing[i]), g)
				}
				return nil
			}); err != nil {
				return err
			}
		}
		for _, id := range slices.SortedFunc(mapKeys(gone), func(a, b repo.ID) int { return slices.Compare(a[:], b[:]) }) {
			s.parts[i].Gone = append(s.parts[i].Gone, id[:]...)
		}
		p.res.Gone += len(gone)
	}
	return nil
}

func mapKeys(m map[repo.ID]bool) func(func(repo.ID) bool) {
	return func(yield func(repo.ID) bool) {
		for id := range m {
			if !yield(id) {
				return
			}
		}
	}
}

type rest struct{ todo, nowhere []repo.Body }

// fetch asks for the first bodies of todo.
func (s *session) fetch(ctx context.Context, n *node, g uint32, todo []repo.Body, gone map[repo.ID]bool, pr *Progress) (rest, error) {
	var req []byte
	size, count := int64(0), 0
	for count < len(todo) && count < fetchCount && (count == 0 || size+int64(todo[count].Size) <= fetchBytes) {
		req = append(req, todo[count].ID[:]...)
		size += int64(todo[count].Size)
		count++
	}
	out := rest{}
	got := 0
	err := n.frames(ctx, "POST", "fetch", url.Values{"group": {strconv.FormatUint(uint64(g), 10)}}, req, func(k wire.Kind, b []byte) error {
		if got >= count || len(b) < 32 || repo.ID(b[:32]) != todo[got].ID {
			return wire.ErrStream
		}
		want := todo[got]
		switch {
		case k == wire.KindBody && len(b)-32 == int(want.Size):
			if err := s.p.put(ctx, repo.KindBody, want.ID, b[32:]); err != nil {
				return err
			}
			s.p.res.Bodies++
			s.p.res.New += int64(want.Size)
		case k == wire.KindGone:
			gone[want.ID] = true
		case k == wire.KindNotHere:
			out.nowhere = append(out.nowhere, want)
			got++
			return nil
		default:
			return wire.ErrStream
		}
		got++
		pr.Done += int64(want.Size)
		pr.Objects++
		s.p.o.Tell(*pr)
		return nil
	})
	out.todo = todo[got:]
	if err == nil && got != count {
		err = wire.ErrStream
	}
	return out, err
}

func (s *session) snapshot() *repo.Snapshot {
	return &repo.Snapshot{
		CoreBytes: s.fin.Core, Signature: s.fin.Signature, NodeCert: s.fin.NodeCert, CACert: s.fin.CACert,
		Parts: s.parts, Moved: s.p.res.Moved, New: s.p.res.New,
	}
}
