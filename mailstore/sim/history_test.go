package sim

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/state"
)

// entry is what some node executed at an index.
type entry struct {
	term   uint64
	kind   cluster.EntryKind
	op     cluster.OpID
	cmd    []byte
	value  []byte
	bodies []cluster.BodyRef
	node   int
}

// history is what the nodes executed, by index. Two nodes, or one before and
// after a crash, that executed different entries at one index, or got different
// results from one, are a violation at once.
type history struct {
	w *world

	mu      sync.Mutex
	entries map[uint64]*entry
	last    uint64
}

// spy is a node's machine; it tells the history what it executes.
type spy struct {
	*state.Mail
	n *node
}

func (s *spy) Apply(es []cluster.Entry) ([]cluster.Result, error) {
	own := make([]entry, len(es))
	for i, e := range es {
		own[i] = entry{e.Term, e.Kind, e.Op, bytes.Clone(e.Command), nil, slices.Clone(e.Bodies), s.n.i}
	}
	rs, err := s.Mail.Apply(es)
	if err == nil {
		for i := range rs {
			if !rs[i].Skipped {
				own[i].value = bytes.Clone(rs[i].Value)
				s.n.w.hist.add(es[i].Index, &own[i])
			}
		}
	}
	return rs, err
}

func (h *history) add(index uint64, e *entry) {
	h.mu.Lock()
	defer h.mu.Unlock()
	old := h.entries[index]
	if old == nil {
		h.entries[index] = e
		h.last = max(h.last, index)
		return
	}
	switch {
	case old.term != e.term || old.kind != e.kind || old.op != e.op || !bytes.Equal(old.cmd, e.cmd):
		h.w.violation("index %d: node %d executed %s of term %d, node %d %s of term %d", index, old.node, old.what(), old.term, e.node, e.what(), e.term)
	case !bytes.Equal(old.value, e.value):
		h.w.violation("index %d: %s gave node %d %x and node %d %x", index, e.what(), old.node, old.value, e.node, e.value)
	}
}

func (e *entry) what() string {
	if e.kind != cluster.KindCommand {
		return fmt.Sprintf("kind %d", e.kind)
	}
	sum := sha256.Sum256(e.cmd)
	return fmt.Sprintf("operation %x (command %x)", e.op[:4], sum[:4])
}

// at returns the highest index anybody executed.
func (h *history) at() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last
}

func (h *history) get(index uint64) *entry {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.entries[index]
}

// row is a message as the model keeps it: which one it is, and its flags.
type row struct {
	content mailstore.ContentID
	body    cluster.BodyID
	date    int64
	flags   uint32
}

type modelBox struct {
	next uint32
	rows map[uint32]row
}

func (b *modelBox) in(rs []*pb.UIDRange) (out []uint32) {
	for u := range b.rows {
		for _, r := range rs {
			if r.First <= u && u <= r.Last {
				out = append(out, u)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}

// model executes the history naively: the mailboxes of one account.
type model struct {
	boxes map[uint32]*modelBox
	done  map[cluster.OpID]uint64 // index of the first execution
	value map[cluster.OpID][]byte
	dates map[int64]uint64 // of deliveries and appends: index
	seq   uint64           // the highest MODSEQ told
}

func newModel(img *image) *model {
	m := &model{boxes: map[uint32]*modelBox{}, done: map[cluster.OpID]uint64{}, value: map[cluster.OpID][]byte{}, dates: map[int64]uint64{}}
	for _, b := range img.boxes {
		m.boxes[uint32(b)] = &modelBox{next: 1, rows: map[uint32]row{}}
	}
	return m
}

// exec executes one entry and says what is wrong with the result that the
// nodes gave it.
func (m *model) exec(index uint64, e *entry) error {
	if e.kind != cluster.KindCommand {
		return nil
	}
	if first, again := m.done[e.op]; again {
		if !bytes.Equal(m.value[e.op], e.value) {
			return fmt.Errorf("index %d repeats the operation of index %d and gave another result", index, first)
		}
		return nil
	}
	c, err := command.Decode(e.cmd)
	if err != nil {
		return err
	}
	got, err := command.DecodeResult(e.value)
	if err != nil {
		return err
	}
	if got.Code == pb.Code_EXPIRED {
		return nil // nothing was executed, and nothing is remembered
	}
	m.done[e.op], m.value[e.op] = index, e.value
	if got.Code != pb.Code_OK {
		return fmt.Errorf("index %d: %T was refused: %s", index, c.Op, got.Code)
	}
	switch o := c.Op.(type) {
	case *pb.Command_Deliver:
		if len(o.Deliver.To) != len(got.Stored) {
			return fmt.Errorf("index %d: %d results for %d recipients", index, len(got.Stored), len(o.Deliver.To))
		}
		for i, to := range o.Deliver.To {
			s := got.Stored[i]
			if s.Code != pb.Code_OK {
				return fmt.Errorf("index %d: delivery refused: %s", index, s.Code)
			}
			if err := m.place(index, s.Mailbox, s.Uid, to.Message); err != nil {
				return err
			}
		}
	case *pb.Command_Append:
		for i, p := range o.Append.Messages {
			if err := m.place(index, o.Append.Mailbox, got.Stored[i].Uid, p); err != nil {
				return err
			}
		}
	case *pb.Command_StoreFlags:
		b := m.boxes[o.StoreFlags.Mailbox]
		var changed []uint32
		for _, u := range b.in(o.StoreFlags.Uids) {
			r := b.rows[u]
			old := r.flags
			switch o.StoreFlags.Mode {
			case pb.StoreFlags_ADD:
				r.flags |= o.StoreFlags.Flags
			case pb.StoreFlags_REMOVE:
				r.flags &^= o.StoreFlags.Flags
			default:
				r.flags = o.StoreFlags.Flags
			}
			if r.flags != old {
				changed = append(changed, u)
			}
			b.rows[u] = r
		}
		var told []uint32
		for _, c := range got.Changed {
			told = append(told, c.Uid)
		}
		if !slices.Equal(changed, told) {
			return fmt.Errorf("index %d: a store changed %v and says %v", index, changed, told)
		}
		return m.rise(index, got, len(changed) > 0)
	case *pb.Command_Expunge:
		b := m.boxes[o.Expunge.Mailbox]
		var gone []uint32
		for _, u := range b.in(o.Expunge.Uids) {
			if o.Expunge.Any || b.rows[u].flags&uint32(mailstore.FlagDeleted) != 0 {
				gone = append(gone, u)
				delete(b.rows, u)
			}
		}
		if !slices.Equal(gone, spread(got.Expunged)) {
			return fmt.Errorf("index %d: an expunge removed %v and says %v", index, gone, spread(got.Expunged))
		}
		return m.rise(index, got, len(gone) > 0)
	case *pb.Command_Copy:
		b, to := m.boxes[o.Copy.Mailbox], m.boxes[o.Copy.Target]
		src := b.in(o.Copy.Uids)
		if len(src) != len(got.Stored) {
			return fmt.Errorf("index %d: a copy of %d says %d", index, len(src), len(got.Stored))
		}
		for i, u := range src {
			if s := got.Stored[i]; s.Source != u || s.Uid != to.next {
				return fmt.Errorf("index %d: a copy of %d to %d says %d to %d", index, u, to.next, s.Source, s.Uid)
			}
			to.rows[to.next] = b.rows[u]
			to.next++
			if o.Copy.Move {
				delete(b.rows, u)
			}
		}
		return m.rise(index, got, len(src) > 0)
	default:
		return fmt.Errorf("index %d: %T is not for the model", index, c.Op)
	}
	return nil
}

// rise checks that a command that changed something was given a higher MODSEQ.
func (m *model) rise(index uint64, got *pb.Result, changed bool) error {
	if changed && got.Modseq <= m.seq || got.Modseq < m.seq {
		return fmt.Errorf("index %d: MODSEQ %d after %d", index, got.Modseq, m.seq)
	}
	m.seq = got.Modseq
	return nil
}

func (m *model) place(index uint64, box, uid uint32, p *pb.Placed) error {
	b := m.boxes[box]
	if b == nil || uid != b.next {
		return fmt.Errorf("index %d: message given UID %d of mailbox %d, the next is %v", index, uid, box, b)
	}
	if at, again := m.dates[p.InternalDate]; again {
		return fmt.Errorf("index %d stores the message of index %d again", index, at)
	}
	m.dates[p.InternalDate] = index
	b.rows[uid] = row{mailstore.ContentID(p.Content.Id), cluster.BodyID(p.Content.Body), p.InternalDate, p.Flags}
	b.next++
	return nil
}

func spread(rs []*pb.UIDRange) (out []uint32) {
	for _, r := range rs {
		for u := r.First; u <= r.Last; u++ {
			out = append(out, u)
		}
	}
	return out
}

// listing is a mailbox as a reader saw it, in one line.
func (b *modelBox) listing() string {
	var out []byte
	uids := make([]uint32, 0, len(b.rows))
	for u := range b.rows {
		uids = append(uids, u)
	}
	slices.Sort(uids)
	for _, u := range uids {
		r := b.rows[u]
		out = fmt.Appendf(out, "%d:%d:%02x ", u, r.date, r.flags)
	}
	return fmt.Sprintf("next %d %s", b.next, out)
}

func listingOf(next mailstore.UID, ms []mailstore.Message) string {
	var out []byte
	for i := range ms {
		out = fmt.Appendf(out, "%d:%d:%02x ", ms[i].UID, ms[i].InternalDate.Unix(), uint8(ms[i].Flags))
	}
	return fmt.Sprintf("next %d %s", next, out)
}
