//go:build unsealed_body

package seal

import (
	"bytes"
	"math/rand"
	"testing"
)

// TestUnsealedShows: this build leaves an 8-bit canary readable, so the test
// that scans a disk for one has something to find.
func TestUnsealedShows(t *testing.T) {
	canary := noise(rand.New(rand.NewSource(9)), 4096)
	if !bytes.Contains(mustSeal(t, testKey(1), canary, 0), canary) {
		t.Fatal("the canary is hidden")
	}
}
