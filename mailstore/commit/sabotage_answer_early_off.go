//go:build !sabotage_answer_early

package commit

// answerEarly is a bug that only the build with the tag sabotage_answer_early has.
const answerEarly = false
