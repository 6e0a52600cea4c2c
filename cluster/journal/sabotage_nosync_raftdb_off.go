//go:build !sabotage_nosync_raftdb

package journal

// noSync is a bug that only the build with the tag sabotage_nosync_raftdb has.
const noSync = false
