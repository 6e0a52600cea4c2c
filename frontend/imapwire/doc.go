// Package imapwire is the syntax of IMAP (RFC 9051, RFC 3501 and extensions):
// how a command is cut out of the byte stream, how its arguments are read, and
// how responses are written. It knows no mailbox.
//
// A command is framed before anything of it is executed: a Reader collects its
// lines and literals under limits, asking a Gate before each literal, so that
// a refused one is either never sent or thrown away. No byte of a command is
// ever looked at as the beginning of another one, whatever was wrong with it.
// A Scanner then reads the arguments. A Writer puts responses together from
// pieces that are legal by themselves and sends many of them in one write.
//
// A Reader, Scanner or Writer belongs to one goroutine at a time.
package imapwire
