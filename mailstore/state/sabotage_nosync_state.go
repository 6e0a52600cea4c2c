//go:build sabotage_nosync_state

package state

// noSyncState tells that the state is durable without a sync:
// a bug on purpose, for a build that the fault harness must catch.
const noSyncState = true
