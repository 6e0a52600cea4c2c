//go:build sabotage_nosync_raftdb

package journal

// noSync answers for records that are only in the page cache: a bug on purpose,
// for a build that the fault harness must catch.
const noSync = true
