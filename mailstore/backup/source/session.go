package source

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"sync"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore/backup/grant"
	"altmail.se/altmail/mailstore/backup/repo"
	"altmail.se/altmail/mailstore/backup/wire"
	"altmail.se/altmail/mailstore/state"
)

var (
	errNoSession = errors.New("source: no such session: it took too long, or another pull of this grant began")
	errBusy      = errors.New("source: too many backups are pulled at the moment")
)

// session is one puller's view of every group.
type session struct {
	id     string
	grant  grant.Grant
	sealer *wire.Sealer
	begun  time.Time
	groups []*pinned // the directory first

	mu     sync.Mutex
	head   [32]byte
	timer  *time.Timer // ends it when it is idle
	now    func() time.Time
	closed bool
	busy   int // calls that use the views
}

// pinned is one group at one index. The session's mutex guards it.
type pinned struct {
	id    cluster.GroupID
	view  state.RowView
	level uint32

	chunks    []chunk
	sum       hash.Hash
	chunked   bool
	bodies    int64
	bodyBytes int64
	bodySum   repo.ID
	listed    bool
}

// chunk is a run of rows: from is the key before its first one.
type chunk struct {
	from []byte
	rows int
	id   [32]byte
}

// open begins a session, and ends one of the same grant: its puller is gone.
// Views are taken after a read index, so that the snapshot holds everything
// answered before the call; the directory's first. So a mail group may know of
// what the directory of the snapshot does not: an account that was opened or
// closed in between. A restore settles that.
func (s *Server) open(w http.ResponseWriter, r *http.Request, g *grant.Grant) (err error) {
	to, err := grant.Recipients(g.Recipients)
	if err != nil {
		return err
	}
	index, ok := s.c.Ring.IndexKey()
	if !ok {
		return errors.New("source: no index key")
	}
	x := &session{grant: *g, begun: s.c.Now(), now: s.c.Now}
	if x.sealer, err = wire.NewSealer(index, g.Recipients, to); err != nil {
		return err
	}
	var raw [16]byte
	rand.Read(raw[:]) // never fails (crypto/rand)
	x.id = hex.EncodeToString(raw[:])
	defer func() {
		if err != nil {
			err = errors.Join(err, x.close())
		}
	}()
	out := wire.Opened{Session: x.id}
	for _, id := range append([]cluster.GroupID{cluster.Directory}, s.c.Groups()...) {
		p, err := s.pin(r.Context(), id)
		if err != nil {
			return err
		}
		x.groups = append(x.groups, p)
		at, _ := p.view.Index()
		out.Groups = append(out.Groups, wire.Group{Group: uint32(id), Index: at})
	}
	s.mu.Lock()
	old := s.sessions[g.Name]
	switch {
	case s.closed:
		err = cluster.ErrStopped
	case old == nil && len(s.sessions) >= maxSessions:
		err = errBusy
	default:
		s.sessions[g.Name] = x
		s.stats.Sessions++
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.timer = time.AfterFunc(sessionIdle, func() { s.expire(x) })
	x.mu.Unlock()
	s.c.Log.Info("backup begins", "grant", g.Name)
	if old != nil {
		if err := old.close(); err != nil {
			return err
		}
	}
	return reply(w, out)
}

func (s *Server) pin(ctx context.Context, id cluster.GroupID) (*pinned, error) {
	m, ok := s.c.Machine(id)
	g, runs := s.c.Group(id)
	if !ok || !runs {
		return nil, fmt.Errorf("%w: group %s is not on this node", cluster.ErrUnavailable, id)
	}
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	if err := g.ReadIndex(ctx); err != nil {
		return nil, err
	}
	v, err := m.View()
	if err != nil {
		return nil, err
	}
	rv, ok := v.(state.RowView)
	if !ok {
		return nil, errors.Join(fmt.Errorf("source: a view of type %T", v), v.Close())
	}
	return &pinned{id: id, view: rv, level: m.Level(), sum: sha256.New()}, nil
}

// expire ends a session that nobody uses.
func (s *Server) expire(x *session) {
	x.mu.Lock()
	busy := x.busy > 0 && x.now().Sub(x.begun) < sessionMax
	if busy {
		x.timer.Reset(sessionIdle)
	}
	x.mu.Unlock()
	if busy {
		return
	}
	s.forget(x)
	if err := x.close(); err != nil {
		s.c.Log.Warn("backup session", "err", err)
	}
}

func (s *Server) forget(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[x.grant.Name] == x {
		delete(s.sessions, x.grant.Name)
	}
}

// touch keeps a session alive; false: it has ended.
func (x *session) touch() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed || x.now().Sub(x.begun) > sessionMax {
		return false
	}
	if x.timer != nil {
		x.timer.Reset(sessionIdle)
	}
	return true
}

// use holds the views open while f runs.
func (x *session) use(f func() error) error {
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return errNoSession
	}
	x.busy++
	x.mu.Unlock()
	err := f()
	x.mu.Lock()
	x.busy--
	last := x.closed && x.busy == 0
	x.mu.Unlock()
	if last {
		err = errors.Join(err, x.release())
	}
	return err
}

// close ends the session; its views go when nobody uses them.
func (x *session) close() error {
	x.mu.Lock()
	if x.closed {
		x.mu.Unlock()
		return nil
	}
	x.closed = true
	if x.timer != nil {
		x.timer.Stop()
	}
	busy := x.busy > 0
	x.mu.Unlock()
	if busy {
		return nil
	}
	return x.release()
}

func (x *session) release() error {
	var errs []error
	for _, p := range x.groups {
		errs = append(errs, p.view.Close())
	}
	return errors.Join(errs...)
}

// Sizes of chunks, in bytes of records.
const (
	minChunk = 16 << 10
	avgChunk = 64 << 10 // over minChunk
	maxChunk = 1 << 20
)

// cuts reports whether a chunk may end before this row. It depends on the row
// alone, so that a change elsewhere moves no boundary but the next.
func cuts(key []byte, size int) bool {
	h := sha256.Sum256(key)
	return binary.BigEndian.Uint64(h[:8])%avgChunk < uint64(size)
}

// walk cuts the rows of a group after a key into chunks and calls fn for each;
// fn returns false to stop. records is only valid during the call.
func (p *pinned) walk(after []byte, fn func(from []byte, rows int, records []byte) (bool, error)) error {
	var records []byte
	rows := 0
	from, last := bytes.Clone(after), bytes.Clone(after)
	more := true
	err := p.view.Rows(after, func(key, row []byte) (bool, error) {
		size := len(key) + len(row) + 4
		if rows > 0 && (len(records)+size > maxChunk || len(records) >= minChunk && cuts(key, size)) {
			var err error
			if more, err = fn(from, rows, records); err != nil || !more {
				return false, err
			}
			from = append(from[:0:0], last...)
			records, rows = records[:0], 0
		}
		records = state.AppendRecord(records, key, row)
		rows++
		last = append(last[:0], key...)
		return true, nil
	})
	if err == nil && more && rows > 0 {
		_, err = fn(from, rows, records)
	}
	return err
}

// chunks tells the ids of a group's chunks, in order.
func (s *Server) chunks(w http.ResponseWriter, r *http.Request, g *grant.Grant) error {
	x, p, err := s.group(r, g)
	if err != nil {
		return err
	}
	return x.use(func() error {
		var list []chunk
		sum := sha256.New()
		err := p.walk(nil, func(from []byte, rows int, records []byte) (bool, error) {
			c := chunk{from: bytes.Clone(from), rows: rows, id: x.sealer.ChunkID(uint32(p.id), records)}
			list = append(list, c)
			sum.Write(c.id[:])
			if len(list)%256 == 0 && !x.touch() {
				return false, errNoSession
			}
			return true, wire.Write(w, wire.KindChunk, c.id[:], binary.BigEndian.AppendUint32(nil, uint32(len(records))))
		})
		if err == nil {
			x.mu.Lock()
			p.chunks, p.sum, p.chunked = list, sum, true
			x.mu.Unlock()
		}
		return stream(w, err)
	})
}

// sealed gives the chunks that the request numbers, ascending.
func (s *Server) sealed(w http.ResponseWriter, r *http.Request, g *grant.Grant) error {
	x, p, err := s.group(r, g)
	if err != nil {
		return err
	}
	want, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil || len(want)%4 != 0 {
		return badRequest{"chunk numbers"}
	}
	return x.use(func() error {
		x.mu.Lock()
		list := p.chunks
		x.mu.Unlock()
		for ; len(want) > 0; want = want[4:] {
			n := binary.BigEndian.Uint32(want)
			if int64(n) >= int64(len(list)) {
				return stream(w, badRequest{"no such chunk"})
			}
			if err := s.sealOne(w, x, p, n, &list[n]); err != nil {
				return stream(w, err)
			}
			if !x.touch() {
				return stream(w, errNoSession)
			}
		}
		return stream(w, nil)
	})
}

func (s *Server) sealOne(w http.ResponseWriter, x *session, p *pinned, n uint32, c *chunk) error {
	var records []byte
	rows := 0
	from := c.from
	if len(from) == 0 {
		from = nil
	}
	if err := p.view.Rows(from, func(key, row []byte) (bool, error) {
		records = state.AppendRecord(records, key, row)
		rows++
		return rows < c.rows, nil
	}); err != nil {
		return err
	}
	id, sealed, err := x.sealer.Chunk(uint32(p.id), records)
	if err != nil {
		return err
	}
	if id != c.id {
		return fmt.Errorf("source: group %s reads differently a second time", p.id)
	}
	s.count(func(t *Stats) { t.SealedBytes += uint64(len(sealed)) })
	return wire.Write(w, wire.KindSealed, binary.BigEndian.AppendUint32(nil, n), id[:], sealed)
}

// listPiece is how many bodies one frame of the list names.
const listPiece = 1 << 15

// bodies lists what a group's messages need.
func (s *Server) bodies(w http.ResponseWriter, r *http.Request, g *grant.Grant) error {
	x, p, err := s.group(r, g)
	if err != nil {
		return err
	}
	return x.use(func() error {
		sum := sha256.New()
		var n, size int64
		var piece []repo.Body
		send := func() error {
			b := repo.EncodeBodies(piece)
			piece = piece[:0]
			sum.Write(b)
			if !x.touch() {
				return errNoSession
			}
			return wire.Write(w, wire.KindBodies, b)
		}
		var err error
		if p.id != cluster.Directory {
			err = p.view.Bodies(func(ref cluster.BodyRef) error {
				n++
				size += int64(ref.Size)
				if piece = append(piece, repo.Body{ID: repo.ID(ref.ID), Size: ref.Size}); len(piece) == listPiece {
					return send()
				}
				return nil
			})
		}
		if err == nil && len(piece) > 0 {
			err = send()
		}
		if err == nil {
			x.mu.Lock()
			p.bodies, p.bodyBytes, p.bodySum, p.listed = n, size, repo.ID(sum.Sum(nil)), true
			x.mu.Unlock()
		}
		return stream(w, err)
	})
}

// head gives the sealed keys.
func (s *Server) head(w http.ResponseWriter, r *http.Request, g *grant.Grant) error {
	x, err := s.session(r, g)
	if err != nil {
		return err
	}
	index, ok := s.c.Ring.IndexKey()
	if !ok {
		return errors.New("source: no index key")
	}
	h := wire.Head{
		Cluster: s.c.Cluster, Roots: map[uint32][]byte{}, Current: uint32(s.c.Ring.CurrentRoot()), Index: index[:],
		Recipients: x.grant.Recipients,
	}
	for e, k := range s.c.Ring.Roots() {
		h.Roots[uint32(e)] = k[:]
	}
	id, sealed, err := x.sealer.Head(&h)
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.head = id
	x.mu.Unlock()
	return stream(w, wire.Write(w, wire.KindSealed, make([]byte, 4), id[:], sealed))
}

// finish signs what the session gave and ends it.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, g *grant.Grant) error {
	x, err := s.session(r, g)
	if err != nil {
		return err
	}
	core := repo.Core{Version: repo.Version, Cluster: s.c.Cluster, Node: s.c.Node.String(), Time: x.begun.UnixMilli()}
	x.mu.Lock()
	core.Head = x.head
	whole := x.head != [32]byte{}
	for _, p := range x.groups {
		index, term := p.view.Index()
		d := p.view.Digest()
		core.Groups = append(core.Groups, repo.Group{
			Group: uint32(p.id), Index: index, Term: term, Digest: d[:], Level: p.level,
			Chunks: len(p.chunks), ChunksSum: repo.ID(p.sum.Sum(nil)),
			Bodies: p.bodies, BodyBytes: p.bodyBytes, BodiesSum: p.bodySum,
		})
		whole = whole && p.chunked && p.listed
	}
	x.mu.Unlock()
	if !whole {
		return badRequest{"finish before everything was given"}
	}
	b, err := json.Marshal(core)
	if err != nil {
		return err
	}
	key, cert, err := s.signer()
	if err != nil {
		return err
	}
	s.forget(x)
	if err := x.close(); err != nil {
		return err
	}
	s.count(func(t *Stats) { t.Finished++ })
	s.c.Log.Info("backup told", "grant", g.Name, "took", s.c.Now().Sub(x.begun))
	return reply(w, wire.Finished{Core: b, Signature: repo.Sign(key, b), NodeCert: cert, CACert: s.c.CACert})
}
