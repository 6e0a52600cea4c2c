//go:build !sabotage_nosync_segment

package body

// noSyncSegment is a bug that only the build with the tag sabotage_nosync_segment has.
const noSyncSegment = false
