// Package load drives a mail server, ours or another, over the network only
// and says how fast, how regular and how frugal it was.
//
// The driver shares the machine with what it measures, so its clients do as
// little as they can: what is sent is made before the clock starts, and what
// comes back is counted and not parsed.
package load
