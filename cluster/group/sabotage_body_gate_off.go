//go:build !sabotage_body_gate

package group

// skipGate is a bug that only the build with the tag sabotage_body_gate has.
const skipGate = false
