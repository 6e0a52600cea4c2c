//go:build !sabotage_nosync_dir

package body

// noSyncDir is a bug that only the build with the tag sabotage_nosync_dir has.
const noSyncDir = false
