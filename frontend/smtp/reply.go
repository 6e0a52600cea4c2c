package smtp

import (
	"errors"

	gosmtp "github.com/emersion/go-smtp"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/frontend/auth"
	"altmail.se/altmail/frontend/sasl"
	"altmail.se/altmail/mailstore"
)

func reply(code, class, subject, detail int, text string) *gosmtp.SMTPError {
	return &gosmtp.SMTPError{Code: code, EnhancedCode: gosmtp.EnhancedCode{class, subject, detail}, Message: text}
}

// Replies by RFC 5321 section 4.2 and RFC 3463. None tells anything of the
// message or of what went wrong inside.
var (
	errTooBig    = reply(552, 5, 3, 4, "message is too big")
	errNoMemory  = reply(452, 4, 3, 1, "no memory for messages, try again later")
	errNewline   = reply(550, 5, 6, 0, "message has a bare CR or LF, lines must end with CRLF (RFC 5321 section 2.3.8)")
	errNUL       = reply(550, 5, 6, 0, "message has a NUL, which needs BODY=BINARYMIME")
	errLoop      = reply(554, 5, 4, 6, "too many hops, mail loop")
	errSequence  = reply(503, 5, 5, 1, "bad sequence of commands")
	errNested    = reply(503, 5, 5, 1, "sender was already given")
	errAuthFirst = reply(530, 5, 7, 0, "authentication required")
	errAuthInTx  = reply(503, 5, 5, 1, "AUTH is not allowed during a transaction")
	errAuthPlain = reply(538, 5, 7, 11, "encryption required, use STARTTLS")
	errSender    = reply(501, 5, 1, 7, "malformed sender address")
	errRecipient = reply(501, 5, 1, 3, "malformed recipient address")
	errNeedUTF8  = reply(553, 5, 6, 7, "address needs SMTPUTF8")
	errNotOwn    = reply(550, 5, 7, 1, "sender address is not one of yours")
	errUnknown   = reply(550, 5, 1, 1, "no such address here")
	errRelay     = reply(550, 5, 7, 1, "relaying denied")
	errNoRelay   = reply(550, 5, 7, 1, "relaying is not available yet, only recipients on this cluster")
	errFull      = reply(452, 4, 2, 2, "mailbox is full")
	errTooBigFor = reply(552, 5, 2, 3, "message is bigger than this recipient may get")
	errQuorum    = reply(451, 4, 3, 2, "mail store is not available, try again later")
	errDisk      = reply(452, 4, 3, 1, "no disk space, try again later")
	errLocal     = reply(451, 4, 3, 0, "local error, try again later")
	errBroken    = reply(451, 4, 4, 2, "connection broke within the message")
	errBadAuth   = reply(535, 5, 7, 8, "wrong user or password")
	errAuthForm  = reply(501, 5, 5, 2, "malformed authentication message")
	errAuthOut   = reply(454, 4, 7, 0, "authentication is not available, try again later")
	errThrottled = reply(454, 4, 7, 0, "too many failed logins, try again later")
	errDisabled  = reply(525, 5, 7, 13, "account is disabled")
	errMechanism = reply(504, 5, 5, 4, "unknown authentication mechanism")
	errTooMany   = reply(452, 4, 5, 3, "too many recipients")
)

// routeReply is the answer to RCPT. A negative one that another node might
// know better is never permanent (H8).
func routeReply(role Role, err error) *gosmtp.SMTPError {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, cluster.ErrUnavailable), errors.Is(err, cluster.ErrStopped):
		return errQuorum
	case errors.Is(err, ErrNotLocal):
		if role == Submission {
			return errNoRelay
		}
		return errRelay
	case errors.Is(err, mailstore.ErrNoAddress), errors.Is(err, mailstore.ErrNoAccount):
		return errUnknown
	case errors.Is(err, mailstore.ErrOverQuota):
		return errFull
	case errors.Is(err, mailstore.ErrTooBig):
		return errTooBigFor
	}
	return errLocal
}

// deliverReply is the answer for one recipient of a delivery, nil for stored.
func deliverReply(err error) *gosmtp.SMTPError {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, cluster.ErrNoRoom):
		return errDisk
	case errors.Is(err, cluster.ErrUnavailable), errors.Is(err, cluster.ErrStopped), errors.Is(err, cluster.ErrRefused):
		return errQuorum
	case errors.Is(err, mailstore.ErrNoAccount), errors.Is(err, mailstore.ErrNoAddress):
		return errUnknown
	case errors.Is(err, mailstore.ErrOverQuota):
		return errFull
	case errors.Is(err, mailstore.ErrTooBig), errors.Is(err, cluster.ErrTooLarge):
		return errTooBig
	}
	return errLocal
}

// authReply is the answer to a failed AUTH (RFC 4954 section 6).
func authReply(err error) *gosmtp.SMTPError {
	switch {
	case errors.Is(err, sasl.ErrCredentials):
		return errBadAuth
	case errors.Is(err, sasl.ErrMalformed):
		return errAuthForm
	case errors.Is(err, sasl.ErrMechanism):
		return errMechanism
	case errors.Is(err, auth.ErrThrottled):
		return errThrottled
	case errors.Is(err, mailstore.ErrSuspended):
		return errDisabled
	}
	return errAuthOut
}
