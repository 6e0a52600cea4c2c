//go:build sabotage_vanished

package state

// dropVanished leaves every fourth UID out of the log of expunged ones:
// a bug on purpose, for a build that the fault harness must catch.
const dropVanished = true
