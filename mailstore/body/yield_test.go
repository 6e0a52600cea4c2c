package body

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestYield: as long as it worked, within bounds, and not past the end.
func TestYield(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		for _, c := range []struct{ worked, want time.Duration }{
			{0, 0}, {10 * time.Millisecond, 10 * time.Millisecond}, {time.Hour, maxYield},
		} {
			began := time.Now()
			yield(ctx, c.worked)
			if got := time.Since(began); got != c.want {
				t.Errorf("worked %s, paused %s", c.worked, got)
			}
		}
		cancel()
		began := time.Now()
		yield(ctx, maxYield)
		if got := time.Since(began); got != 0 {
			t.Errorf("paused %s after the end", got)
		}
	})
}
