//go:build sabotage_nosync_dir

package body

// noSyncDir leaves the name of a new segment to chance:
// a bug on purpose, for a build that the fault harness must catch.
const noSyncDir = true
