//go:build !sabotage_lose_flag

package state

// loseFlag is a bug that only the build with the tag sabotage_lose_flag has.
const loseFlag = false
