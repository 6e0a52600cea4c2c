// Package seal makes and opens sealed bodies: the compressed, encrypted form
// in which a message's bytes rest on disk and travel between nodes.
//
// A body is cut into chunks of at most 256 KiB, the header block first and
// ending exactly at the end of a chunk. Each chunk is compressed on its own
// and then sealed with XChaCha20-Poly1305, so that any part can be opened
// without the rest. The list of chunks is itself sealed, and the whole is
// padded, because compressed lengths identify known attachments.
//
// A message key seals exactly one body, once. The nonces inside are fixed
// numbers; sealing two bodies with one key would reuse them. Callers make a
// fresh random key for each call of [Seal]. The bytes are drawn in FORMAT.md.
package seal
