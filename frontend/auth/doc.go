// Package auth lets users in: it checks passwords against what the directory
// holds, remembers those that were right, and slows down who guesses.
package auth
