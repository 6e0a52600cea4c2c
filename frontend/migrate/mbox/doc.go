// Package mbox reads and writes mail in files of the mboxrd form: a line
// "From …" begins a message, and ">From …" within one had a ">" added. Flags are
// in the fields Status, X-Status and X-Keywords, as mutt, Alpine and Dovecot
// write them.
package mbox
