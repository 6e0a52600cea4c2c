//go:build !sabotage_nosync_state

package state

// noSyncState is a bug that only the build with the tag sabotage_nosync_state has.
const noSyncState = false
