//go:build !sabotage_vanished

package state

// dropVanished is a bug that only the build with the tag sabotage_vanished has.
const dropVanished = false
