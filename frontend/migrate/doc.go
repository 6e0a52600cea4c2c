// Package migrate moves mail of one account in from elsewhere: a Source, which
// packages maildir, mbox and remote (IMAP) read, goes to a Sink, which is an
// account. It can be interrupted at any point and begun again: the Sink knows
// how far each mailbox has come.
package migrate
