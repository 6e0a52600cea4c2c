// Package repo keeps backups: an append-only store of sealed objects named by
// what they hold, in few files, that needs no key to be read, checked or
// thinned out. FORMAT.md draws the bytes.
//
// Objects lie in packs. An index says which object is where; it can always be
// made again from the packs. A snapshot names the objects it needs, and is
// written last. So a writer that dies at any point leaves a valid repository,
// with objects in it that the next writer need not bring again.
package repo
