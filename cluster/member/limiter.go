package member

import (
	"sync"
	"time"
)

// limiter allows a few join calls a minute, so that nobody guesses at length.
type limiter struct {
	mu    sync.Mutex
	start time.Time
	n     int
}

func (l *limiter) allow(now time.Time) bool {
	const perMinute = 30
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.start) > time.Minute {
		l.start, l.n = now, 0
	}
	l.n++
	return l.n <= perMinute
}
