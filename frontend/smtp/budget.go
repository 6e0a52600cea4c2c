package smtp

import "sync/atomic"

// Budget bounds the octets of messages being taken in, over as many servers as
// share it.
type Budget struct {
	max  int64
	used atomic.Int64
}

// NewBudget makes a budget of max octets.
func NewBudget(max int64) *Budget { return &Budget{max: max} }

// Used returns the octets in use.
func (b *Budget) Used() int64 { return b.used.Load() }

func (b *Budget) take(n int64) bool {
	if b.used.Add(n) > b.max {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *Budget) give(n int64) { b.used.Add(-n) }
