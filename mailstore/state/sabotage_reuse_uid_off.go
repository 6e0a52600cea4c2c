//go:build !sabotage_reuse_uid

package state

// reuseUID is a bug that only the build with the tag sabotage_reuse_uid has.
const reuseUID = false
