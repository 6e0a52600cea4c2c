package keyring

import "strconv"

// Kind says what a sealed or hashed value is. It is part of what is
// authenticated, so that a value of one kind is never taken for another. The
// numbers are in stored bytes: never change or reuse one.
type Kind byte

// The kinds.
const (
	KindMailboxName  Kind = 1  // a mailbox's name
	KindKeyword      Kind = 2  // a keyword (RFC 9051 section 2.3.2)
	KindSummary      Kind = 3  // facts to answer FETCH without the body
	KindMessageKey   Kind = 4  // the key of one sealed body
	KindThread       Kind = 5  // a Message-ID, In-Reply-To or References id
	KindAddress      Kind = 6  // a mail address
	KindSieveScript  Kind = 7  // the text of a Sieve script
	KindSieveName    Kind = 8  // the name of a Sieve script
	KindTracePrefix  Kind = 9  // an account's own trace header lines
	KindMetadata     Kind = 10 // an annotation (RFC 5464)
	KindSubject      Kind = 11 // a base subject (RFC 5256 section 2.1)
	KindSubscription Kind = 12 // a subscribed name
	KindLogin        Kind = 13 // a login name
	KindAccount      Kind = 14 // an account's record
	KindAccountKeys  Kind = 15 // an account's wrapped keys
	KindCredential   Kind = 16 // a password verifier
	KindDomain       Kind = 17 // a mail domain
	KindCAKey        Kind = 18 // the cluster CA's private key
	KindCertificate  Kind = 19 // a served certificate with its private key
	KindDKIMKey      Kind = 20 // a DKIM private key
	KindJoinToken    Kind = 21 // a join token's verifier
	KindNode         Kind = 22 // a node's record
	KindPolicy       Kind = 23 // a cluster-wide setting
	KindQueue        Kind = 24 // an outbound queue entry
	KindSearch       Kind = 25 // a search posting
	KindBackup       Kind = 26 // a backup grant or recipient
	KindAudit        Kind = 27 // an audit record
	KindVacation     Kind = 28 // a sender already answered (RFC 5230)
	KindMailboxPath  Kind = 29 // a normalised mailbox name, for its uniqueness
	KindCommand      Kind = 30 // a sealed part of a logged command
	KindFakeVerifier Kind = 31 // the secret behind answers for unknown logins
	KindContent      Kind = 32 // an account-wide digest of content
	KindIdentifier   Kind = 33 // who an entry of an access list is about (RFC 4314)
	KindSource       Kind = 34 // where mail is imported from
)

func (k Kind) String() string { return "kind " + strconv.Itoa(int(k)) }
