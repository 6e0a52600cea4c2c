//go:build sabotage_nosync_segment

package body

// noSyncSegment answers for a body that is only in the page cache:
// a bug on purpose, for a build that the fault harness must catch.
const noSyncSegment = true
