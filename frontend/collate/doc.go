// Package collate compares text as the comparator i;unicode-casemap of RFC
// 5051 does, which IMAP searches, sorts and threads by (RFC 5255 section 4.2):
// without regard to case, and with composed characters as what they are
// composed of.
package collate
