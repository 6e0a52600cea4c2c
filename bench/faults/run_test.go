//go:build e2e

package faults

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"
)

var (
	duration = flag.Duration("duration", 20*time.Second, "of the faults of each kind")
	only     = flag.String("faults", "", "kinds to run together, with commas; none is each for itself")
)

// TestRun plays kinds of faults against a cluster.
func TestRun(t *testing.T) {
	o := Options{Bin: binary(t), Seed: *seed, Duration: *duration, Progress: t.Output()}
	if *only != "" {
		o.Faults = strings.Split(*only, ",")
	}
	dir, err := os.MkdirTemp("", "altmail-faults-")
	if err != nil {
		t.Fatal(err)
	}
	o.Dir = dir
	res, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if !res.Held() {
		t.Fatalf("%+v", res)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}
