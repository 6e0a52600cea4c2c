// Package check judges what clients of a mail cluster did, were answered and
// saw. It is made of pure functions over a History: no clock, no network, no
// randomness, so that a kept history can be judged again and each rule is
// tested with a history that breaks it.
//
// Times are offsets from the beginning of a run on one monotonic clock. An
// operation took effect, if it did, at some moment between its Start and its
// End; one whose outcome is Unknown has no End that counts.
package check
