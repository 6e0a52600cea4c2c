package commit

import (
	"context"
	"fmt"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// memory bounds what sealed copies on their way hold. One operation takes all
// it needs at once, so that none waits for another that waits for it.
type memory struct {
	max  int64
	room *semaphore.Weighted
	used atomic.Int64
}

func newMemory(max int64) *memory {
	return &memory{max: max, room: semaphore.NewWeighted(max)}
}

// take waits for room for n octets, or all there is for more than that, and
// returns what gives it back.
func (m *memory) take(ctx context.Context, n int64) (release func(), err error) {
	n = min(n, m.max)
	if err := m.room.Acquire(ctx, n); err != nil {
		return nil, fmt.Errorf("commit: no memory for a sealed message: %w", err)
	}
	m.used.Add(n)
	return func() {
		m.used.Add(-n)
		m.room.Release(n)
	}, nil
}
