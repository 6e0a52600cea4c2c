// Package sasl runs the server side of an authentication exchange (RFC 4422)
// for any protocol: SMTP, IMAP and ManageSieve carry the same messages.
//
// Mechanisms: PLAIN (RFC 4616), LOGIN (draft-murchison-sasl-login), which old
// mail programs need, SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC
// 7677). Whether a mechanism may be used without TLS is the protocol's to
// decide. Nothing here logs; no error holds a name or a password.
package sasl
