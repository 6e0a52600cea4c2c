//go:build sabotage_nosync_raftdb

package logstore

// noSyncLog answers for entries that are only in the page cache:
// a bug on purpose, for a build that the fault harness must catch.
const noSyncLog = true
