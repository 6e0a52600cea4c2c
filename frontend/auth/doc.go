// Package auth lets users in: it checks passwords against what the directory
// holds, remembers those that were right, and slows down who guesses. It also
// answers the SMTP servers where mail for an address goes.
package auth
