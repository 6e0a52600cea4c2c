//go:build linux && e2e

package disk

// dbLosses is how many times a database loses power.
const dbLosses = 50
