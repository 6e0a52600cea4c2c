//go:build linux

package disk

import "math/rand/v2"

// nothing keeps nothing: all that was not synced is gone.
type nothing struct{}

func (nothing) block() fate                                 { return drop }
func (nothing) tornAt(int) int                              { return 0 }
func (nothing) size(start, _, _ int64, _ int) (int64, bool) { return start, true }
func (nothing) prefix(int) int                              { return 0 }
func (nothing) op() bool                                    { return false }

// dice decides by a seed. One draw sets how kind this loss is on the whole:
// losing nearly nothing finds other bugs than losing nearly all.
type dice struct {
	r *rand.Rand
	p float64 // that something is kept
}

func roll(seed uint64) chance {
	if seed == 0 {
		return nothing{}
	}
	r := rand.New(rand.NewPCG(seed, 0x6469736b))
	return dice{r, []float64{0, 0.1, 0.5, 0.9, 1}[r.IntN(5)]}
}

func (d dice) block() fate {
	switch {
	case d.r.Float64() < d.p:
		return keep
	case d.r.IntN(8) == 0:
		return tear
	}
	return drop
}

func (d dice) tornAt(block int) int {
	return d.r.IntN(max(1, block/sector)) * sector
}

func (d dice) size(start, low, now int64, block int) (int64, bool) {
	switch {
	case d.r.Float64() < d.p:
		return now, false
	case d.r.IntN(2) == 0:
		return start, true
	}
	first, last := low/int64(block), now/int64(block)
	return max(low, min(now, (first+d.r.Int64N(last-first+1))*int64(block))), false
}

func (d dice) prefix(n int) int {
	switch d.p {
	case 0:
		return 0
	case 1:
		return n
	}
	return d.r.IntN(n + 1)
}

func (d dice) op() bool { return d.r.Float64() < d.p }
