package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/node"
	"altmail.se/altmail/crypto/cryptfs"
	"altmail.se/altmail/crypto/keyring"
)

// erasedFact is when keys were last changed and the state last rewritten.
const erasedFact = "erased-at"

// erase makes what was deleted leave this node's disk in time (P6): every half
// of erase_within, log and file keys change, the state is rewritten without
// what was deleted, and keys that nothing uses any more are destroyed, so that
// blocks the file system has let go of are noise. The journal goes on in new
// files. Log files and body segments are rewritten by the groups and the body
// store themselves.
func (n *nodeProc) erase() {
	every := time.Duration(n.cfg.Store.EraseWithin) / 2
	for {
		wait := every
		b, ok := n.ring.Get(erasedFact)
		if !ok {
			// The first period begins now and survives restarts.
			if err := n.ring.Put(erasedFact, strconv.AppendInt(nil, n.clock.now().Unix(), 10)); err != nil {
				n.log.Error("the time of the next erasure is not kept", "err", err)
			}
		} else {
			if at, err := strconv.ParseInt(string(b), 10, 64); err == nil {
				wait = max(time.Unix(at, 0).Add(every).Sub(n.clock.now()), time.Second)
			}
		}
		t := time.NewTimer(wait)
		select {
		case <-n.ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		if err := n.eraseOnce(n.ctx); err != nil && n.ctx.Err() == nil {
			n.log.Error("deleted mail may still be on this disk", "err", err)
			// Again in a while, not at once and not a whole period later.
			every := min(every, time.Hour)
			select {
			case <-n.ctx.Done():
				return
			case <-time.After(every):
			}
		}
	}
}

func (n *nodeProc) eraseOnce(ctx context.Context) error {
	begin := time.Now()
	if err := errors.Join(n.journal.Renew(), node.ForgetDamaged(n.cfg.DataDir)); err != nil {
		return err
	}
	if err := rotate(ctx, n.ring, []rewritten{
		{stateDir(n.cfg), n.db.Compact},
		{searchDir(n.cfg), func(ctx context.Context) error { return renewIndex(ctx, n.ring, n.search) }},
	}, n.oldestLogKey); err != nil {
		return err
	}
	if err := n.ring.Put(erasedFact, strconv.AppendInt(nil, n.clock.now().Unix(), 10)); err != nil {
		return err
	}
	n.log.Info("keys changed and state rewritten", "took", time.Since(begin))
	return nil
}

// oldestLogKey is the oldest log key epoch that any group here still needs.
func (n *nodeProc) oldestLogKey() (keyring.Epoch, error) {
	oldest := keyring.Epoch(0)
	for _, r := range n.node.Replicas() {
		g, ok := r.(interface{ OldestLogKey() (uint32, error) })
		if !ok {
			return 0, fmt.Errorf("group %s does not tell its log keys", r.ID())
		}
		e, err := g.OldestLogKey()
		if err != nil {
			return 0, fmt.Errorf("group %s: %w", r.ID(), err)
		}
		if oldest == 0 || keyring.Epoch(e) < oldest {
			oldest = keyring.Epoch(e)
		}
	}
	if oldest == 0 {
		return 0, cluster.ErrStopped
	}
	return oldest, nil
}

// rewritten is a folder of encrypted files, and what writes them anew under
// the newest key.
type rewritten struct {
	dir     string
	rewrite func(context.Context) error
}

// rotate begins new log and file keys, has the files rewritten, and destroys
// the keys that nothing needs any more.
func rotate(ctx context.Context, ring *keyring.Ring, files []rewritten, oldestLog func() (keyring.Epoch, error)) error {
	if _, err := ring.NewLogKey(); err != nil {
		return err
	}
	if _, err := ring.NewFileKey(); err != nil {
		return err
	}
	used := map[uint32]int{}
	for _, f := range files {
		if err := f.rewrite(ctx); err != nil {
			return err
		}
		epochs, err := cryptfs.EpochsInUse(vfs.Default, f.dir)
		if err != nil {
			return err
		}
		for e, n := range epochs {
			used[e] += n
		}
	}
	var errs []error
	// The former epoch stays until the next time: a file just made under it
	// may not have its header yet, and is not counted.
	current, _ := ring.FileKey()
	for _, e := range ring.FileKeyEpochs() {
		if e+1 < current && used[uint32(e)] == 0 {
			errs = append(errs, ring.DropFileKey(e))
		}
	}
	oldest, err := oldestLog()
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	newest, _ := ring.LogKey()
	for _, e := range ring.LogKeyEpochs() {
		if e < oldest && e+1 < newest {
			errs = append(errs, ring.DropLogKey(e))
		}
	}
	return errors.Join(errs...)
}
