package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"altmail.se/altmail/bench/faults/disk"
)

// diskKinds are the faults of disks and of the power that feeds them.
var diskKinds = []kind{
	{name: "power", disk: true, play: playPower},
	{name: "powerall", disk: true, play: playPowerAll},
	{name: "diskfull", disk: true, play: playDiskFull},
	{name: "slowfsync", disk: true, play: playSlowFsync},
	{name: "failfsync", disk: true, play: playFailFsync},
	{name: "failread", disk: true, play: playFailRead},
	{name: "lostdisk", disk: true, play: playLostDisk},
}

// giveDisk puts a disk that can be hurt under a node's data directory.
func (c *Cluster) giveDisk(ctx context.Context, n *Node) error {
	f, err := disk.Mount(ctx, filepath.Join(filepath.Dir(n.Config), "disk"), n.DataDir, disk.Options{
		Rules: c.launch.DiskRules, Seed: c.launch.Seed, Log: c.launch.Log,
	})
	if err == nil {
		n.disk = f
	}
	return err
}

// dark takes the power from nodes at one moment. draw chooses what survives
// of what was not synced; 0 is nothing.
func (f *field) dark(nodes []*Node, draw uint64) error {
	for _, n := range nodes {
		n.disk.Cut()
	}
	errs := make([]error, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() { errs[i] = n.Kill() })
	}
	wg.Wait()
	for i, n := range nodes {
		d := draw
		if d != 0 {
			d += uint64(i)
		}
		r, err := n.disk.PowerLoss(d)
		errs = append(errs, err)
		f.rec.say("%s lost power: %s", n.Name, r)
	}
	return errors.Join(errs...)
}

// drawn is a seed of a power loss: as often as not the one that takes
// everything.
func drawn(rng *rand.Rand) uint64 {
	if rng.IntN(2) == 0 {
		return 0
	}
	return 1 + rng.Uint64()>>1
}

func playPower(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	over := f.rec.fault("power loss of " + n.Name)
	defer over()
	if err := f.dark([]*Node{n}, drawn(rng)); err != nil {
		return err
	}
	nap(ctx, between(rng, 0, 4*time.Second))
	return f.revive(n)
}

func playPowerAll(ctx context.Context, f *field, rng *rand.Rand) error {
	all, release, err := f.take(ctx, rng, len(f.c.Nodes), nil)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	over := f.rec.fault("power loss of all nodes")
	defer over()
	if err := f.dark(all, drawn(rng)); err != nil {
		return err
	}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, n := range all {
		wg.Go(func() { errs[i] = f.revive(n) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// excuse is how long after its disk was hurt a node may still end because of
// it: what failed is often noticed later, and to stop in good order takes a
// moment.
const excuse = 20 * time.Second

// repaired notes that a node's disk is well again. If what was done to it ends
// the node, as it may because nothing can be promised on such a disk, mend
// starts it again.
func (f *field) repaired(n *Node) error {
	f.mu.Lock()
	f.frail[n] = time.Now()
	f.mu.Unlock()
	return f.mend(n)
}

// mend starts a node again that has ended by itself and is excused; without an
// excuse that is the error.
func (f *field) mend(n *Node) error {
	ended, how := n.Ended()
	if !ended {
		return nil
	}
	f.mu.Lock()
	since := time.Since(f.frail[n])
	f.mu.Unlock()
	if since > excuse {
		return fmt.Errorf("%s has ended by itself: %w", n.Name, errors.Join(how, errEnded))
	}
	f.rec.say("%s had ended: %s", n.Name, n.Log(1))
	return f.revive(n)
}

func playDiskFull(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	var st syscall.Statfs_t
	if err := syscall.Statfs(n.DataDir, &st); err != nil {
		return err
	}
	used, err := usage(n.disk.Backing())
	if err != nil {
		return err
	}
	room := int64(rng.IntN(1 << 20))
	over := f.rec.fault(fmt.Sprintf("disk of %s is full but for %d bytes", n.Name, room))
	defer over()
	n.disk.SetCapacity(used + room)
	nap(ctx, between(rng, 2*time.Second, 12*time.Second))
	n.disk.SetCapacity(0)
	return f.repaired(n)
}

func playSlowFsync(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	d := []time.Duration{20 * time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 6 * time.Second}[rng.IntN(4)]
	over := f.rec.fault(fmt.Sprintf("each fsync of %s takes %s and more", n.Name, d))
	defer over()
	if err := n.disk.Set(disk.Fault{Ops: disk.Fsync | disk.FsyncDir, Delay: d, Jitter: d}); err != nil {
		return err
	}
	nap(ctx, between(rng, 3*time.Second, 15*time.Second))
	n.disk.Clear()
	return f.repaired(n)
}

// playFailFsync lets one fsync fail. What it was for is lost though the kernel
// shows it: only a machine that starts anew sees what the disk has.
func playFailFsync(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	path := []string{"", "bodies/", "*.db", "state/"}[rng.IntN(4)]
	over := f.rec.fault(fmt.Sprintf("an fsync fails at %s (%s)", n.Name, path))
	defer over()
	if err := n.disk.Set(disk.Fault{Path: path, Ops: disk.Fsync, Err: syscall.EIO, Count: 1 + rng.IntN(2), Skip: rng.IntN(30)}); err != nil {
		return err
	}
	nap(ctx, between(rng, time.Second, 5*time.Second))
	n.disk.Clear()
	if err := f.dark([]*Node{n}, drawn(rng)); err != nil {
		return err
	}
	return f.revive(n)
}

func playFailRead(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	path := []string{"", "bodies/", "state/"}[rng.IntN(3)]
	p := []float64{0.01, 0.2, 1}[rng.IntN(3)]
	over := f.rec.fault(fmt.Sprintf("reads of %s (%s) fail, %g of them", n.Name, path, p))
	defer over()
	if err := n.disk.Set(disk.Fault{Path: path, Ops: disk.Read, Err: syscall.EIO, P: p}); err != nil {
		return err
	}
	nap(ctx, between(rng, time.Second, 8*time.Second))
	n.disk.Clear()
	return f.repaired(n)
}

// playLostDisk makes bodies slow to reach every disk but one, takes the power
// from everything, and destroys that one disk. A majority of the disks is left:
// what was answered is on it, body and all, if the answer waited for that.
func playLostDisk(ctx context.Context, f *field, rng *rand.Rand) error {
	// The wish of a certain node is granted before anybody is hurt.
	var like *Node
	if groups, err := f.c.Groups(ctx, f.c.Nodes[0]); err == nil && len(groups) > 0 {
		like = groups[uint32(rng.IntN(len(groups)))]
	}
	all, release, err := f.take(ctx, rng, len(f.c.Nodes), like)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	mctx, cancel := context.WithTimeout(context.Background(), f.patience)
	defer cancel()
	lost, rest := all[0], all[1:]
	over := f.rec.fault(fmt.Sprintf("bodies are slow at %v, then the power goes and the disk of %s is destroyed", nodeNames(rest), lost.Name))
	defer over()
	for _, n := range rest {
		if err := n.disk.Set(disk.Fault{Path: "bodies/", Ops: disk.Fsync, Delay: 3 * time.Second}); err != nil {
			return err
		}
	}
	nap(ctx, between(rng, time.Second, 3*time.Second))
	if err := f.dark(all, 0); err != nil {
		return err
	}
	for _, n := range rest {
		n.disk.Clear()
	}
	if err := lost.destroy(); err != nil {
		return err
	}
	errs := make([]error, len(rest))
	var wg sync.WaitGroup
	for i, n := range rest {
		wg.Go(func() { errs[i] = f.revive(n) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := f.evict(mctx, lost); err != nil {
		return err
	}
	return f.enter(mctx, lost, true)
}
