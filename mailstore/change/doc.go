// Package change tells local readers that something changed after it was
// applied here: it drives IDLE, NOTIFY and the drivers. An event is a hint
// that names how far a mailbox has come; readers then ask lookup what changed
// since the last modification sequence they know. Hints are merged while a
// reader is slow, never dropped: what cannot be kept in detail becomes one
// event that asks the reader to compare everything.
package change
