package faults

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// memberKinds are changes of who belongs to the cluster.
var memberKinds = []kind{
	{name: "joinleave", play: playJoinLeave},
	{name: "wipe", play: playWipe},
}

// usage is how many bytes the files of a directory tree take.
func usage(dir string) (n int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		i, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			n += i.Size()
		}
		return err
	})
	return n, err
}

// empty removes everything in a directory, which may be a mount.
func empty(dir string) error {
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range list {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}

// destroy takes everything off a node's disk, for good.
func (n *Node) destroy() error {
	err := empty(n.DataDir)
	if n.disk != nil {
		n.disk.Sync() // else a power loss would bring it back
	}
	return err
}

// insist repeats an operator's command until it is done: while nodes are hurt
// it may be refused.
func (f *field) insist(ctx context.Context, what string, try func(at *Node) error) error {
	var last error
	i := 0
	err := f.c.Wait(ctx, func() (bool, error) {
		i++
		at := f.c.Nodes[i%len(f.c.Nodes)]
		if !at.Up() {
			return false, nil
		}
		last = try(at)
		if last != nil {
			f.rec.say("%s: %v", what, last)
		}
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w: %w", what, err, last)
	}
	return nil
}

// maxVoters is how many members vote; more are held ready.
const maxVoters = 5

// enter makes a node with an empty data directory a member and waits until it
// is whole and, where there is a vote to be had, votes.
func (f *field) enter(ctx context.Context, n *Node, votes bool) error {
	if err := f.insist(ctx, n.Name+" joins", func(at *Node) error {
		tctx, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		if at == n {
			return errors.New("not by itself")
		}
		tok, _, err := f.c.CLI(tctx, at, "cluster", "token")
		if err != nil {
			return err
		}
		_, err = f.c.pipe(tctx, n, tok, "cluster", "join", "--token-file", "-")
		return err
	}); err != nil {
		return err
	}
	if err := f.revive(n); err != nil {
		return err
	}
	return f.whole(ctx, n, votes)
}

// whole waits until a node holds everything and, if it is to vote, votes
// everywhere.
func (f *field) whole(ctx context.Context, n *Node, vote bool) error {
	var last string
	err := f.c.Wait(ctx, func() (bool, error) {
		if ended, err := n.Ended(); ended {
			return false, fmt.Errorf("%s has ended: %w\n%s", n.Name, errors.Join(err, errEnded), n.Log(30))
		}
		sctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		s, err := f.c.Status(sctx, n)
		if err != nil {
			if ctx.Err() == nil {
				last = err.Error()
			}
			return false, nil
		}
		whole := false
		for _, x := range s.Nodes {
			whole = whole || x.ID == s.Self && x.Whole
		}
		var mute []uint32
		for _, g := range s.Groups {
			votes := !vote
			for _, r := range g.Replicas {
				votes = votes || r.Node == s.Self && r.Voter
			}
			if !votes {
				mute = append(mute, g.Group)
			}
		}
		last = fmt.Sprintf("whole: %v, without a vote in %v, problems %q", whole, mute, s.Problems)
		return whole && len(mute) == 0, nil
	})
	if err != nil {
		return fmt.Errorf("%s is not whole: %w (%s)\n%s", n.Name, err, last, n.Log(30))
	}
	return nil
}

// playJoinLeave lets one more node join, serve, and leave in good order.
func playJoinLeave(_ context.Context, f *field, rng *rand.Rand) error {
	// It is played to its end: a cluster of four would be another one.
	ctx, cancel := context.WithTimeout(context.Background(), f.patience)
	defer cancel()
	select {
	case f.member <- struct{}{}:
		defer func() { <-f.member }()
	default:
		return nil // another one is under way
	}
	f.guests++
	name := fmt.Sprintf("guest%d", f.guests)
	over := f.rec.fault(name + " joins and leaves")
	defer over()
	n, err := f.c.Make(ctx, name, f.guestHost)
	if err != nil {
		return err
	}
	defer func() {
		if err := n.release(); err != nil {
			f.rec.say("%s: %v", name, err)
		}
	}()
	if err := f.enter(ctx, n, len(f.c.Nodes) < maxVoters); err != nil {
		return errors.Join(err, n.Terminate(stopTime))
	}
	f.rec.say("%s is whole", name)
	f.serving(append(f.c.Nodes[:len(f.c.Nodes):len(f.c.Nodes)], n))
	nap(ctx, between(rng, time.Second, 5*time.Second))
	f.serving(f.c.Nodes)
	if err := f.insist(ctx, name+" leaves", func(*Node) error {
		tctx, cancel := context.WithTimeout(ctx, 40*time.Second)
		defer cancel()
		if ended, err := n.Ended(); ended {
			return err // after an answer that was lost
		}
		_, _, err := f.c.CLI(tctx, n, "cluster", "leave")
		return err
	}); err != nil {
		return errors.Join(err, n.Terminate(stopTime))
	}
	f.rec.say("%s has left", name)
	// It ends by itself.
	if err := f.c.Wait(ctx, func() (bool, error) {
		ended, err := n.Ended()
		if ended && err != nil {
			return true, fmt.Errorf("%s left and ended badly: %w\n%s", name, err, n.Log(30))
		}
		return ended, nil
	}); err != nil {
		return errors.Join(err, n.Terminate(stopTime))
	}
	return nil
}

// playWipe destroys a node's disk; it is evicted and comes back as a new one.
func playWipe(ctx context.Context, f *field, rng *rand.Rand) error {
	n, release, err := f.victim(ctx, rng)
	if err != nil {
		return atEnd(err)
	}
	defer release()
	mctx, cancel := context.WithTimeout(context.Background(), f.patience)
	defer cancel()
	over := f.rec.fault("the disk of " + n.Name + " is destroyed")
	defer over()
	if err := n.Kill(); err != nil {
		return err
	}
	if err := n.destroy(); err != nil {
		return err
	}
	nap(ctx, between(rng, 0, 3*time.Second))
	if err := f.evict(mctx, n); err != nil {
		return err
	}
	return f.enter(mctx, n, true)
}

// evict takes a dead node out of the cluster.
func (f *field) evict(ctx context.Context, n *Node) error {
	asked := false
	return f.insist(ctx, "evict "+n.Name, func(at *Node) error {
		tctx, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if s, err := f.c.Status(tctx, at); err == nil && asked {
			there := false
			for _, x := range s.Nodes {
				there = there || x.Name == n.Name
			}
			if !there {
				return nil // an answer was lost
			}
		}
		asked = true
		_, _, err := f.c.CLI(tctx, at, "cluster", "evict", n.Name)
		return err
	})
}
