//go:build sabotage_body_gate

package group

// skipGate takes entries whose bodies have not arrived:
// a bug on purpose, for a build that the fault harness must catch.
const skipGate = true
