// Package seal makes and opens sealed bodies: the compressed, encrypted form
// in which a message's bytes rest on disk and travel between nodes.
//
// A body is cut into chunks of at most 256 KiB. The header block comes first
// and ends exactly at the end of a chunk, but in small messages, which are one
// chunk. In each chunk base64 is replaced by what it encodes, where nothing is
// lost by that; the chunk is compressed on its own and then sealed with
// XChaCha20-Poly1305, so that any part can be opened without the rest. The list
// of chunks is itself sealed, and the whole is padded, because compressed
// lengths identify known attachments.
//
// A message key seals exactly one body, once. The nonces inside are fixed
// numbers; sealing two bodies with one key would reuse them. Callers make a
// fresh random key for each call of [Seal]. The bytes are drawn in FORMAT.md.
package seal
