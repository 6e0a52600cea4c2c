//go:build race

package group

// slowness stretches the tests' elections: under the race detector a leader
// on a busy machine may not run for longer than a short one takes.
const slowness = 3
