//go:build sabotage_answer_early

package commit

// answerEarly answers a delivery once its command has been handed on, before it is
// committed:
// a bug on purpose, for a build that the fault harness must catch.
const answerEarly = true
