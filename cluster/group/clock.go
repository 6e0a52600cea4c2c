package group

import (
	"sync"
	"time"
)

// clockStep is how far entry times may run ahead of the time that passed since
// this node took over.
const clockStep = time.Second

// leaderClock stamps entries: never backwards, and never faster than time
// passes, whatever the wall clock does (H21). All ids of operations expire by
// these stamps, so a clock that jumps a day must not move them.
type leaderClock struct {
	wall func() time.Time

	mu    sync.Mutex
	start time.Time // monotonic
	base  uint64    // ms
	last  uint64    // ms
}

// begin starts a leadership. floor is the machine time: stamps go on from it.
func (c *leaderClock) begin(floor uint64) {
	now := uint64(max(0, c.wall().UnixMilli()))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.start = time.Now()
	c.base = max(floor, now)
	c.last = c.base
}

// stamp returns the time of the next entry in ms since the Unix epoch.
func (c *leaderClock) stamp() uint64 {
	now := uint64(max(0, c.wall().UnixMilli()))
	c.mu.Lock()
	defer c.mu.Unlock()
	limit := c.base + uint64((time.Since(c.start) + clockStep).Milliseconds())
	c.last = max(c.last, min(now, limit))
	return c.last
}
