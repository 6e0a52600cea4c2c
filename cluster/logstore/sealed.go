//go:build !unsealed_log

package logstore

// sealing is false only in the build that a test of the seal must catch.
const sealing = true
