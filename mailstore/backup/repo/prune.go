package repo

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Keep says which snapshots stay. The newest one always does.
type Keep struct {
	Daily  int           // the last one of each of so many days
	Weekly int           // and of so many weeks
	Within time.Duration // and everything that is not older
}

// Choose sorts snapshots, oldest first, into those that stay and those that
// go. Days and weeks are those of UTC.
func (k Keep) Choose(all []*Snapshot, now time.Time) (stay, leave []*Snapshot) {
	keep := map[ID]bool{}
	days, weeks := map[string]bool{}, map[string]bool{}
	for i, s := range slices.Backward(all) {
		t := s.Time()
		year, week := t.ISOWeek()
		d, w := t.Format(time.DateOnly), fmt.Sprintf("%d-%d", year, week)
		if i == len(all)-1 || now.Sub(t) <= k.Within {
			keep[s.ID] = true
		}
		if !days[d] && len(days) < k.Daily {
			days[d] = true
			keep[s.ID] = true
		}
		if !weeks[w] && len(weeks) < k.Weekly {
			weeks[w] = true
			keep[s.ID] = true
		}
	}
	for _, s := range all {
		if keep[s.ID] {
			stay = append(stay, s)
		} else {
			leave = append(leave, s)
		}
	}
	return stay, leave
}

// plan is the file that says which snapshots go: it is durable before the
// first does, and removed when nothing of them is left.
type plan struct {
	Version   int      `json:"version"`
	Snapshots []string `json:"snapshots"` // files
}

// Pruned is what Prune did.
type Pruned struct {
	Snapshots int   `json:"snapshots"` // removed
	Packs     int   `json:"packs"`     // removed
	Rewritten int   `json:"rewritten"` // of these, packs of which something stays
	Objects   int   `json:"objects"`   // dead ones
	Bytes     int64 `json:"bytes"`     // by which it shrank
}

// Prune removes snapshots, and every object that no other snapshot needs: a
// pack that holds one is written anew without it. It may be interrupted at any
// point and repeated; a plan that is there is carried out first. It refuses
// when a snapshot that stays can't be read, because what that needs is not
// known (ErrDamaged).
func (w *Writer) Prune(ctx context.Context, leave []*Snapshot, tell func(done, all int)) (p Pruned, err error) {
	var todo plan
	b, err := w.st.Read(ctx, planName, 0, -1)
	switch {
	case err == nil:
		if err := json.Unmarshal(b, &todo); err != nil || todo.Version > Version {
			return p, fmt.Errorf("%w: the plan of a prune that was interrupted: remove the file %s and prune again", ErrDamaged, planName)
		}
	case !errors.Is(err, ErrMissing):
		return p, err
	}
	todo.Version = Version
	for _, s := range leave {
		if !slices.Contains(todo.Snapshots, s.Name) {
			todo.Snapshots = append(todo.Snapshots, s.Name)
		}
	}
	// Everything that stays must be readable before anything goes.
	live, err := w.live(ctx, todo.Snapshots)
	if err != nil {
		return p, err
	}
	if b, err = json.Marshal(todo); err != nil {
		return p, err
	}
	if err := w.st.Write(ctx, planName, b); err != nil {
		return p, err
	}
	for _, name := range todo.Snapshots {
		if err := w.st.Remove(ctx, name); err != nil {
			return p, err
		}
		p.Snapshots++
	}
	if err := w.sweep(ctx, live, &p, tell); err != nil {
		return p, err
	}
	return p, w.st.Remove(ctx, planName)
}

// live returns what the snapshots that stay need.
func (w *Writer) live(ctx context.Context, leave []string) (map[object]bool, error) {
	snaps, bad, err := w.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	for name, err := range bad {
		if !slices.Contains(leave, name) {
			return nil, fmt.Errorf("%s can't be read, so that what it needs is not known (%w): remove that file if it is not wanted", name, err)
		}
	}
	live := map[object]bool{}
	for _, s := range snaps {
		if slices.Contains(leave, s.Name) {
			continue
		}
		if err := w.needs(ctx, s, func(k Kind, id ID, _ bool) { live[object{k, id}] = true }); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Name, err)
		}
	}
	return live, nil
}

// sweep copies what is alive out of packs that hold dead objects, writes the
// index without them, and then removes them. A crash in between leaves both
// packs, and the next sweep finds the same.
func (w *Writer) sweep(ctx context.Context, live map[object]bool, p *Pruned, tell func(done, all int)) error {
	var leaving []ID
	for id := range w.sizes {
		es, err := w.readTail(ctx, id)
		if errors.Is(err, ErrDamaged) {
			continue // verify names it; what is intact in it may be wanted
		}
		if err != nil {
			return err
		}
		dead := 0
		for i := range es {
			if k := (object{es[i].kind, es[i].id}); !live[k] || w.elsewhere(k, id) {
				dead++
			}
		}
		if dead > 0 || len(es) == 0 {
			leaving = append(leaving, id)
			p.Objects += dead
		}
	}
	slices.SortFunc(leaving, func(a, b ID) int { return cmp.Compare(a.String(), b.String()) })
	var before, after int64
	for i, id := range leaving {
		es, err := w.readTail(ctx, id)
		if err != nil {
			return err
		}
		before += w.sizes[id]
		kept := 0
		for j := range es {
			k := object{es[j].kind, es[j].id}
			if !live[k] || w.elsewhere(k, id) {
				continue
			}
			b, err := w.Get(ctx, k.kind, k.id)
			if err != nil {
				return fmt.Errorf("pack %s: %w", id, err)
			}
			delete(w.objects, k)
			if err := w.Put(ctx, k.kind, k.id, b); err != nil {
				return err
			}
			after += int64(len(b))
			kept++
		}
		if kept > 0 {
			p.Rewritten++
		}
		tell(i+1, len(leaving))
	}
	if len(leaving) == 0 {
		return nil
	}
	if err := w.Flush(ctx); err != nil {
		return err
	}
	for _, id := range leaving {
		delete(w.sizes, id)
	}
	if err := w.reindex(ctx); err != nil {
		return err
	}
	for _, id := range leaving {
		if err := w.st.Remove(ctx, packFolder+"/"+id.String()); err != nil {
			return err
		}
		p.Packs++
	}
	p.Bytes = before - after
	return w.load(ctx)
}

// elsewhere reports whether the index takes an object from another pack than
// this one, which then holds a copy nobody reads.
func (w *Writer) elsewhere(k object, pack ID) bool {
	l, ok := w.objects[k]
	return ok && (l.pack == pendingPack || w.packs[l.pack] != pack)
}
