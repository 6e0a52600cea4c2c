package lookup

import (
	"errors"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/state"
)

// Gathered are the contents of some messages as the state has them, sealed.
// They are read in one pass while a view is open, and opened after it was
// closed, by as many goroutines as there are: Open may be called concurrently.
type Gathered struct {
	a     *Account
	rows  []gathered
	arena []byte
}

// gathered is a content; its wrapped key and its summary follow each other in
// the arena.
type gathered struct {
	id      mailstore.ContentID
	body    cluster.BodyRef
	size    uint32
	off     uint32
	wrapped uint32 // length
	sealed  uint32 // length
	how     gatheredHow
}

type gatheredHow uint8

const (
	gatherGone gatheredHow = iota // the zero value: there was none such
	gatherHere
	gatherLate // it would have been too much: read when it is opened
)

// maxGathered bounds the octets of one Gathered. Ordinary summaries take a
// KiB; those of huge headers are read one at a time instead.
const maxGathered = 2 << 20

// Gather reads the contents with these ids, in any order, into g, whose memory
// it uses again.
func (v *View) Gather(g *Gathered, ids []mailstore.ContentID) error {
	g.a, g.arena = v.a, g.arena[:0]
	if cap(g.rows) < len(ids) {
		g.rows = make([]gathered, len(ids))
	}
	g.rows = g.rows[:len(ids)]
	clear(g.rows)
	if _, err := v.account(); err != nil {
		return err
	}
	return v.r.Contents(v.a.id, ids, func(i int, row *state.ContentRow) error {
		r := &g.rows[i]
		r.id = row.ID
		if len(g.arena)+len(row.WrappedKey)+len(row.Summary) > maxGathered {
			r.how = gatherLate
			return nil
		}
		r.body, r.size, r.how = row.Body, row.Size, gatherHere
		r.off, r.wrapped, r.sealed = uint32(len(g.arena)), uint32(len(row.WrappedKey)), uint32(len(row.Summary))
		g.arena = append(append(g.arena, row.WrappedKey...), row.Summary...)
		return nil
	})
}

// Open opens the content of the id with this place into c, whose memory it
// uses again; ok is false if it is gone.
func (g *Gathered) Open(i int, c *Content) (ok bool, err error) {
	r := &g.rows[i]
	switch r.how {
	case gatherGone:
		return false, nil
	case gatherLate:
		v := g.a.Read()
		defer v.Close()
		late, err := v.Content(r.id)
		if errors.Is(err, mailstore.ErrExpunged) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		*c = *late
		return true, nil
	}
	wrapped := g.arena[r.off : r.off+r.wrapped]
	sealed := g.arena[r.off+r.wrapped : r.off+r.wrapped+r.sealed]
	return true, c.open(g.a.keys, r.id, r.body, r.size, wrapped, sealed)
}
