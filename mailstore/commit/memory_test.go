package commit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemory: operations wait for room and give it back, and one that is larger
// than all of it goes alone.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(100)
		first, err := m.take(t.Context(), 60)
		if err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.take(short, 41); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("took what was not there: %v", err)
		}
		began := time.Now()
		time.AfterFunc(3*time.Second, first)
		large, err := m.take(t.Context(), 1000)
		if err != nil || time.Since(began) != 3*time.Second || m.used.Load() != 100 {
			t.Fatalf("%v after %v, %d in use", err, time.Since(began), m.used.Load())
		}
		large()
		if m.used.Load() != 0 {
			t.Fatalf("%d still in use", m.used.Load())
		}
	})
}
