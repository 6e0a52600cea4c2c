// Package maildir reads and writes Maildirs as Dovecot lays them out
// (Maildir++): folders, flags in file names, and the files dovecot-uidlist,
// dovecot-keywords and subscriptions.
package maildir
