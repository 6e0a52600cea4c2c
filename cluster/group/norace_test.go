//go:build !race

package group

// slowness stretches the tests' elections under the race detector.
const slowness = 1
