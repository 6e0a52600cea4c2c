//go:build !sabotage_nosync_raftdb

package logstore

// noSyncLog is a bug that only the build with the tag sabotage_nosync_raftdb has.
const noSyncLog = false
