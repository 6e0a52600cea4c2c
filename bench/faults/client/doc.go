// Package client speaks SMTP, LMTP and IMAP for the fault harness: without a
// library in between, so that it is known to the octet what was asked, what
// was answered, and whether a failure proves that nothing happened. Every wait
// has a deadline.
package client
