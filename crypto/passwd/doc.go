// Package passwd turns passwords into verifiers and checks them: one SCRAM
// record (RFC 5802, RFC 7677) per password that serves both SCRAM and PLAIN,
// argon2id (RFC 9106) and the hashes of Dovecot's schemes for what comes from
// elsewhere, the server side of
// the SCRAM-SHA-256 exchange, and a cache that makes repeated PLAIN logins
// cheap.
//
// Passwords are prepared by the OpaqueString profile (RFC 8265 section 4.2)
// before use, so that the same characters typed on different machines are the
// same password.
package passwd
