// Package disk serves storage that can lose power: a file system in user
// space, mounted over a directory, that passes everything through to a backing
// directory but remembers what was never flushed. PowerLoss takes that away, as
// a machine does that goes dark: blocks written but not synced, sizes, and
// directory entries whose directory was not synced. It also fails, delays,
// tears and fills up on request.
//
// The processes that work on it know nothing of it. It needs /dev/fuse, and
// root for clean ends; it runs on Linux only.
//
// kill -9 alone leaves the page cache, so a build without a single fsync would
// survive it: this is what tells the two apart.
package disk
