package commit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore/command/commandpb"
	"altmail.se/altmail/mailstore/state"
)

// Driver brings to an end what one command could not: deliveries kept for
// another group, records of what was deleted, and account commands that span
// two groups. Run one on every node: it works for the groups this node leads,
// and takes up what an earlier leader left, because all it goes by is the
// state.
type Driver struct {
	d *Door
	// Every is the time between two looks at the state when nothing tells of
	// work; 2 s.
	Every time.Duration
	// AuditEvery is the time between two comparisons of every account in the
	// directory with its mail group; 10 min.
	AuditEvery time.Duration
	// PurgePause is the time between two Purge commands, so that a big purge
	// leaves the group to its users; 20 ms.
	PurgePause time.Duration

	led     map[cluster.GroupID]bool // what this node led at the last look
	audited time.Time                // when every account was compared last
	scanned time.Time                // when the accounts were looked through last
	seen    uint64                   // index of the directory that had nothing left to do
}

const (
	purgeLimit = 2000 // records of one Purge
	// maxHandoffs bounds what one look takes up in one group, atOnce how many
	// of them are on their way together.
	maxHandoffs = 200
	atOnce      = 8
	// scanEvery is the time between two looks through the accounts for plans
	// that nobody finished, where nothing tells of one.
	scanEvery = 15 * time.Second
)

// NewDriver returns a driver for the door.
func (d *Door) NewDriver() *Driver {
	return &Driver{d: d, Every: 2 * time.Second, AuditEvery: 10 * time.Minute, PurgePause: 20 * time.Millisecond}
}

// Wake tells the node's driver that there may be something to do.
func (d *Door) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends.
func (r *Driver) Run(ctx context.Context) {
	tick := time.NewTicker(r.Every)
	defer tick.Stop()
	for woken := false; ; {
		pause, ready := tick.C, (<-chan time.Time)(nil)
		if r.step(ctx, woken) {
			ready = time.After(r.PurgePause)
		}
		woken = false
		select {
		case <-ctx.Done():
			return
		case <-pause:
		case <-ready:
		case <-r.d.wake:
			woken = true
		}
	}
}

// Step does one round of what there is to do for the groups this node leads
// and reports whether it knows of more. It is not for concurrent use, nor
// beside Run.
func (r *Driver) Step(ctx context.Context) (more bool) { return r.step(ctx, true) }

func (r *Driver) step(ctx context.Context, woken bool) (more bool) {
	if r.led == nil {
		r.led = map[cluster.GroupID]bool{}
	}
	for _, id := range r.d.cfg.Groups.Mail() {
		if !r.leads(id) {
			continue
		}
		again, err := r.handoffs(ctx, id)
		if err != nil {
			r.failed("handoff", id, err)
		}
		more = more || again
		if again, err = r.purge(ctx, id); err != nil {
			r.failed("purge", id, err)
		}
		more = more || again
	}
	before := r.led[cluster.Directory]
	if !r.leads(cluster.Directory) {
		return more && ctx.Err() == nil
	}
	now := r.d.cfg.Now()
	audit := !before || now.Sub(r.audited) >= r.AuditEvery
	index, _ := r.d.cfg.Directory.Applied()
	if audit || woken || index != r.seen && now.Sub(r.scanned) >= scanEvery {
		r.scanned = now
		if err := r.plans(ctx, audit); err != nil {
			r.failed("accounts", cluster.Directory, err)
			r.seen = 0
		} else {
			r.seen = index
			if audit {
				r.audited = now
			}
		}
	}
	return more && ctx.Err() == nil
}

func (r *Driver) leads(id cluster.GroupID) bool {
	g, ok := r.d.cfg.Groups.Group(id)
	leads := ok && g.IsLeader()
	r.led[id] = leads
	return leads
}

func (r *Driver) failed(what string, id cluster.GroupID, err error) {
	if !errors.Is(err, context.Canceled) {
		r.d.cfg.Logger.Warn("work left for the next round", "work", what, "group", id, "error", err)
	}
}

// handoffs repeats the deliveries that the group keeps for others and reports
// whether there are more. A group that does not answer is asked once a round.
func (r *Driver) handoffs(ctx context.Context, id cluster.GroupID) (more bool, err error) {
	m, ok := r.d.cfg.Mail(id)
	if !ok {
		return false, nil
	}
	rows, err := openHandoffs(m)
	if err != nil || len(rows) == 0 {
		return false, err
	}
	var mu sync.Mutex
	silent := map[cluster.GroupID]error{}
	done := 0
	var work errgroup.Group
	work.SetLimit(atOnce)
	for i := range rows {
		h := &rows[i]
		work.Go(func() error {
			mu.Lock()
			for j := range h.Items {
				if silent[h.Items[j].Group] != nil {
					mu.Unlock()
					return nil
				}
			}
			mu.Unlock()
			g, err := r.deliverHandoff(ctx, id, h)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				silent[g] = err
			} else {
				done++
			}
			return nil
		})
	}
	failed := []error{work.Wait()}
	for _, err := range silent {
		failed = append(failed, err)
	}
	return len(rows) == maxHandoffs && done > 0, errors.Join(failed...)
}

// openHandoffs reads the first handoffs, so that no snapshot is held while they
// are worked on.
func openHandoffs(m *state.Mail) (rows []state.HandoffRow, err error) {
	rd := m.Read()
	defer func() { err = errors.Join(err, rd.Close()) }()
	enough := errors.New("enough")
	err = rd.Handoffs(func(h *state.HandoffRow) error {
		if rows = append(rows, *h); len(rows) == maxHandoffs {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		err = nil
	}
	return rows, err
}

// deliverHandoff brings one handoff to its end, or returns the group that
// failed with its error.
func (r *Driver) deliverHandoff(ctx context.Context, kept cluster.GroupID, h *state.HandoffRow) (cluster.GroupID, error) {
	for i := range h.Items {
		it := &h.Items[i]
		err := r.deliverItem(ctx, kept, h.Body, it)
		if err != nil && !final(err) {
			return it.Group, fmt.Errorf("commit: a delivery kept for group %v: %w", it.Group, err)
		}
		if err != nil {
			// It can never be executed, so keeping it helps nobody.
			r.d.stats.handoffsLost.Add(1)
			r.d.cfg.Logger.Warn("a kept delivery was refused", "from", kept, "to", it.Group, "error", err)
		}
	}
	c := &commandpb.Command{Op: &commandpb.Command_CloseHandoff{CloseHandoff: &commandpb.CloseHandoff{Id: h.ID[:]}}}
	if _, err := r.d.propose(ctx, kept, derive(h.ID, opClose, uint32(kept), 0), c, nil); err != nil && !errors.Is(err, ErrNoSuch) {
		return kept, err
	}
	r.d.stats.handoffsClosed.Add(1)
	return 0, nil
}

// deliverItem brings one kept Deliver, with its body, to its group.
func (r *Driver) deliverItem(ctx context.Context, kept cluster.GroupID, ref cluster.BodyRef, it *state.HandoffItem) error {
	ctx, cancel := r.d.deadline(ctx)
	defer cancel()
	release, err := r.d.memory.take(ctx, int64(ref.Size))
	if err != nil {
		return unanswered(err)
	}
	defer release()
	h, err := r.d.cfg.Bodies.Fetch(ctx, kept, ref)
	if err != nil {
		return err
	}
	data := make([]byte, h.Size())
	_, err = h.ReadAt(data, 0)
	if err = errors.Join(err, h.Close()); err != nil {
		return err
	}
	res, err := r.d.proposeWithBodies(ctx, it.Group, it.Op, it.Command, []*sealed{{ref: ref, data: data}})
	if err != nil {
		return err
	}
	for _, s := range res.Stored {
		// Its sender was told that it is stored, and the account has gone
		// since (H14).
		if s.Code != commandpb.Code_OK && s.Code != commandpb.Code_EXISTS {
			r.d.stats.handoffsLost.Add(1)
			r.d.cfg.Logger.Warn("a kept delivery had no account to go to", "group", it.Group, "code", s.Code)
		}
	}
	return nil
}

// purge removes one portion of what was deleted and reports whether there is
// more.
func (r *Driver) purge(ctx context.Context, id cluster.GroupID) (more bool, err error) {
	m, ok := r.d.cfg.Mail(id)
	if !ok {
		return false, nil
	}
	rd := m.Read()
	dying, err := rd.NeedsPurge()
	if err = errors.Join(err, rd.Close()); err != nil || !dying {
		return false, err
	}
	res, err := r.d.propose(ctx, id, NewOp(), &commandpb.Command{Op: &commandpb.Command_Purge{Purge: &commandpb.Purge{Limit: purgeLimit}}}, nil)
	if err != nil {
		return false, err
	}
	return res.More, nil
}
