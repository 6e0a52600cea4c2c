// Package deflate speaks the compressed data format of RFC 1951 over a
// connection, as COMPRESS=DEFLATE does (RFC 4978): what one end has written,
// the other can read, however it was flushed.
//
// Inflater decodes what can be decoded from the octets that are there, to the
// last symbol. Readers that wait for the beginning of the next block, as those
// of Go's libraries do, never see the end of a command after a partial flush.
// Deflater makes each piece decodable at once, and keeps little between two.
// Conn is both over a connection.
package deflate
