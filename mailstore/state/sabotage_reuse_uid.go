//go:build sabotage_reuse_uid

package state

// reuseUID takes UIDNEXT for one more than the highest UID there is:
// a bug on purpose, for a build that the fault harness must catch.
const reuseUID = true
