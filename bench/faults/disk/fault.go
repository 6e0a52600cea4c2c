//go:build linux

package disk

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// faults decides what is hurt.
type faults struct {
	any atomic.Bool // there are some

	mu   sync.Mutex
	list []fault
	rand *rand.Rand
}

type fault struct {
	Fault
	seen, fired int
}

// harm is what happens to one operation.
type harm struct {
	delay time.Duration
	err   syscall.Errno
	torn  int // bytes to write all the same
	lie   bool
}

func newFaults(seed uint64) *faults {
	return &faults{rand: rand.New(rand.NewPCG(seed, 0x6661756c74))}
}

func (f *faults) set(list []Fault) error {
	out := make([]fault, len(list))
	for i, x := range list {
		if err := x.Check(); err != nil {
			return err
		}
		out[i].Fault = x
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list = out
	f.any.Store(len(out) > 0)
	return nil
}

// hit tells what happens to an operation on a path; n is the size of a write.
func (f *faults) hit(op Op, path string, n int) (h harm, hurt bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.list {
		x := &f.list[i]
		if x.ops()&op == 0 || !x.covers(path) || x.Count > 0 && x.fired >= x.Count || x.Lie && op&(Fsync|FsyncDir) == 0 {
			continue
		}
		if x.seen++; x.seen <= x.Skip || x.P > 0 && f.rand.Float64() >= x.P {
			continue
		}
		x.fired++
		hurt = true
		h.delay += x.Delay
		if x.Jitter > 0 {
			h.delay += time.Duration(f.rand.Int64N(int64(x.Jitter)))
		}
		h.lie = h.lie || x.Lie
		if x.Err != 0 && h.err == 0 {
			h.err = x.Err
			if x.Torn && op == Write {
				h.torn = f.rand.IntN(n/sector+1) * sector
			}
		}
	}
	return h, hurt
}
