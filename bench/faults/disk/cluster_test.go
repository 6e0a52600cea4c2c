//go:build e2e && linux

package disk_test

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"altmail.se/altmail/bench/faults"
	"altmail.se/altmail/bench/faults/disk"
)

var (
	seed     = flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of what a power loss takes")
	losses   = flag.Int("losses", 4, "power losses of the whole site")
	prebuilt = flag.String("altmail", "", "binary to test instead of building one")
)

// site is a cluster whose nodes keep their data on disks that can lose power.
type site struct {
	t     *testing.T
	c     *faults.Cluster
	disks []*disk.FS
	h     *faults.History
}

// newSite starts n nodes of a build with the given tags.
func newSite(t *testing.T, n int, o disk.Options, tags ...string) *site {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	bin := *prebuilt
	if bin == "" || len(tags) > 0 {
		var err error
		if bin, err = faults.Build(ctx, t.TempDir(), tags...); err != nil {
			t.Fatal(err)
		}
	}
	s := &site{t: t, h: faults.NewHistory()}
	dir := t.TempDir()
	o.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	for i := range n {
		node := filepath.Join(dir, fmt.Sprintf("node%d", i+1))
		f, err := disk.Mount(ctx, filepath.Join(node, "disk"), filepath.Join(node, "data"), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := f.Unmount(); err != nil {
				t.Error(err)
			}
		})
		s.disks = append(s.disks, f)
	}
	var err error
	if s.c, err = faults.Start(ctx, bin, dir, n); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range s.c.Nodes {
				t.Logf("--- %s\n%s", n.Name, n.Log(40))
			}
		}
		s.kill()
		if err := s.c.Stop(); err != nil {
			t.Errorf("demo: %v", err)
		}
	})
	return s
}

// kill ends every node that runs.
func (s *site) kill() {
	s.t.Helper()
	for _, n := range s.c.Nodes {
		if !n.Up() {
			continue
		}
		if err := n.Kill(); err != nil {
			s.t.Errorf("kill %s: %v", n.Name, err)
		}
	}
}

// dark takes the power from everything at once.
func (s *site) dark(seed uint64) {
	s.t.Helper()
	for _, f := range s.disks {
		f.Cut()
	}
	s.kill()
	for i, f := range s.disks {
		n := seed
		if n != 0 {
			n += uint64(i)
		}
		r, err := f.PowerLoss(n)
		if err != nil {
			s.t.Fatal(err)
		}
		if r.Busy {
			s.t.Errorf("node%d: files were still open", i+1)
		}
		s.t.Logf("node%d: %s", i+1, r)
	}
}

// light starts every node again and waits until they are one cluster.
func (s *site) light(ctx context.Context) error {
	for _, n := range s.c.Nodes {
		if err := s.c.Serve(ctx, n); err != nil {
			return fmt.Errorf("%s does not start: %w\n%s", n.Name, err, n.Log(5))
		}
	}
	return s.c.WaitHealthy(ctx, s.c.Nodes[0], len(s.c.Nodes))
}

// deliver sends messages from some clients for as long as until is open, or
// count of them.
func (s *site) deliver(clients, count int, until <-chan struct{}) {
	var wg sync.WaitGroup
	work := make(chan struct{})
	for i := range clients {
		r := rand.New(rand.NewPCG(*seed, uint64(i)))
		wg.Go(func() {
			for range work {
				size := 300 + r.IntN(8000)
				if r.IntN(40) == 0 {
					size = 400_000
				}
				id, raw := s.h.New("INBOX", size)
				// Unanswered ones are allowed: the history knows them.
				o, err := faults.Deliver(s.c.Nodes[r.IntN(len(s.c.Nodes))].SMTP, s.c.Account.Address, raw)
				if err != nil && o == faults.Answered {
					s.t.Error(err)
				}
				s.h.Done(id, o)
			}
		})
	}
	for n := 0; count == 0 || n < count; n++ {
		select {
		case work <- struct{}{}:
			continue
		case <-until:
		}
		break
	}
	close(work)
	wg.Wait()
}

// verify compares every node with what was answered.
func (s *site) verify(ctx context.Context) error {
	var errs []error
	for _, n := range s.c.Nodes {
		errs = append(errs, s.c.VerifyAt(ctx, n, s.h, []string{"INBOX"}))
	}
	return errors.Join(append(errs, s.c.Compare(ctx, s.c.Nodes[0]), s.c.Check(ctx))...)
}

// TestSiteLosesPower takes the power from all nodes at once, in the middle of
// deliveries, again and again: every answered message is there afterwards.
func TestSiteLosesPower(t *testing.T) {
	t.Logf("seed %d", *seed)
	for name, rules := range map[string]disk.Rules{"posix": disk.POSIX, "ext4": disk.Ext4} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, 3, disk.Options{Rules: rules})
			for round := range *losses {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				until := make(chan struct{})
				var wg sync.WaitGroup
				wg.Go(func() { s.deliver(8, 0, until) })
				before, _, _ := s.h.Count()
				if err := s.c.Wait(ctx, func() (bool, error) {
					now, _, _ := s.h.Count()
					return now >= before+100, nil
				}); err != nil {
					t.Fatal(err)
				}
				draw := uint64(0) // everything that was not synced goes
				if round%2 == 1 {
					draw = *seed + uint64(10*round)
				}
				s.dark(draw)
				close(until)
				wg.Wait()
				if err := s.light(ctx); err != nil {
					t.Fatal(err)
				}
				if err := s.verify(ctx); err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
			}
			a, r, u := s.h.Count()
			t.Logf("%d answered, %d refused, %d unknown; %+v", a, r, u, s.disks[0].Stats())
			if a < 100**losses {
				t.Errorf("only %d deliveries were answered", a)
			}
		})
	}
}

// TestNoSyncIsSeen: a build that leaves out one fsync loses answered mail, or
// does not come up, when the whole site loses power right after the answers.
// The build without a bug goes through the same and has everything.
func TestNoSyncIsSeen(t *testing.T) {
	for _, tag := range []string{"", "sabotage_nosync_segment", "sabotage_nosync_raftdb", "sabotage_nosync_dir", "sabotage_nosync_state"} {
		t.Run(cmp.Or(strings.TrimPrefix(tag, "sabotage_"), "none"), func(t *testing.T) {
			var tags []string
			within := 2 * time.Minute
			if tag != "" {
				tags, within = []string{tag}, 30*time.Second
			}
			s := newSite(t, 3, disk.Options{}, tags...)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			short := tag == "" || tag == "sabotage_nosync_state"
			if short {
				shortLogs(t, ctx, s)
			}
			begin := time.Now()
			s.deliver(8, 600, nil)
			a, _, _ := s.h.Count()
			if a < 300 {
				t.Fatalf("only %d deliveries were answered", a)
			}
			t.Logf("%d answered in %s", a, time.Since(begin))
			if short {
				logsCut(t, ctx, s)
			}
			s.dark(0)
			after, end := context.WithTimeout(ctx, within)
			defer end()
			err := s.light(after)
			if err == nil {
				err = s.verify(after)
			}
			switch {
			case tag == "" && err != nil:
				t.Fatal(err)
			case tag != "" && err == nil:
				t.Fatal("nothing was lost")
			case tag != "":
				t.Logf("seen: %.400s", err)
			}
		})
	}
}

// shortLogs makes the nodes take snapshots often.
func shortLogs(t *testing.T, ctx context.Context, s *site) {
	t.Helper()
	for _, n := range s.c.Nodes {
		b, err := os.ReadFile(n.Config)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(string(b), "log_entries = 200000", "log_entries = 64", 1)
		if text == string(b) {
			t.Fatal("no log_entries in the configuration")
		}
		if err := os.WriteFile(n.Config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := s.c.Serve(ctx, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.c.WaitHealthy(ctx, s.c.Nodes[0], len(s.c.Nodes)); err != nil {
		t.Fatal(err)
	}
}

// logsCut waits until every node has let go of the log of what was delivered,
// so that only its state has it.
func logsCut(t *testing.T, ctx context.Context, s *site) {
	t.Helper()
	group, err := s.c.AccountGroup(ctx, s.c.Nodes[0], s.c.Account.Address)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.c.Wait(ctx, func() (bool, error) {
		for _, n := range s.c.Nodes {
			out, _, err := s.c.CLI(ctx, n, "stats")
			if err != nil {
				return false, err
			}
			_, rest, ok := strings.Cut(out, fmt.Sprintf("altmail_raft_log_entries.%d=", group))
			if !ok {
				return false, errors.New("no altmail_raft_log_entries in stats")
			}
			var entries float64
			if _, err := fmt.Sscan(rest, &entries); err != nil {
				return false, err
			}
			if entries > 200 {
				return false, nil
			}
		}
		return true, nil
	}); err != nil {
		t.Fatalf("the log is not cut: %v", err)
	}
}
