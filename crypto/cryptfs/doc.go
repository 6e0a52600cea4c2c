// Package cryptfs is a Pebble vfs.FS under which everything that is written
// is encrypted: each file has a random id in a durable header and its own
// AES-256-CTR key derived from a file key and that id.
//
// It gives confidentiality of a seized, powered-off disk and nothing more.
// Integrity is the business of the layers above: Pebble's checksums, AEAD
// around values that carry content, and the replica digests. Names, sizes and
// times of files stay visible; Pebble's names carry only numbers.
//
// A counter-mode keystream must never cover two contents. So a file is
// written once, from its start to its end, by the handle that created it:
// nothing is ever appended, rewritten or recycled. FORMAT.md draws the bytes,
// DESIGN.md gives the reasons.
package cryptfs
