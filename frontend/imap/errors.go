package imap

import (
	"context"
	"errors"
	"strings"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/frontend/sasl"
	"altmail.se/altmail/mailstore"
)

// refusal is a tagged NO or BAD. Its text is for the client.
type refusal struct {
	status, code, text string
}

func (r *refusal) Error() string { return "imap: " + r.status + " " + r.text }

func no(code, text string) error { return &refusal{"NO", code, text} }

func bad(text string) error { return &refusal{"BAD", "", text} }

var (
	// errCutShort: a response cannot be finished, so the connection is of no
	// use any more.
	errCutShort = errors.New("imap: response cannot be finished")
	// errBoxGone: the selected mailbox was deleted or exchanged.
	errBoxGone       = errors.New("imap: selected mailbox is gone")
	errIdleOver      = errors.New("imap: idle for too long")
	errTooBad        = errors.New("imap: too many bad commands")
	errTooManyLogins = errors.New("imap: too many failed logins")
)

// connError is a failure of the connection.
type connError struct{ err error }

func (e *connError) Error() string { return e.err.Error() }
func (e *connError) Unwrap() error { return e.err }

// fatal reports whether an error ends the connection.
func fatal(err error) bool {
	if err == nil {
		return false
	}
	var ce *connError
	if errors.As(err, &ce) {
		return true
	}
	for _, f := range fatalErrors {
		if errors.Is(err, f) {
			return true
		}
	}
	return false
}

var fatalErrors = []error{errLogout, errCutShort, errBoxGone, errShutdown, errKicked, errLoginDue,
	errTooManyLogins, errIdleOver, imapwire.ErrTooMuch}

// answers says how errors of the rooms below are told to a client, the first
// that fits. RFC 5530 has the codes.
var answers = []struct {
	err        error
	code, text string
}{
	{mailstore.ErrNoMailbox, "NONEXISTENT", "No such mailbox"},
	{mailstore.ErrMailboxExists, "ALREADYEXISTS", "Mailbox exists already"},
	{mailstore.ErrBadName, "CANNOT", "Name is not allowed"},
	{mailstore.ErrOverQuota, "OVERQUOTA", "Account is over its quota"},
	{mailstore.ErrTooBig, "TOOBIG", "Message is too big"},
	{mailstore.ErrLimit, "LIMIT", "A limit is reached"},
	{cluster.ErrTooLarge, "LIMIT", "Too much for one command"},
	{mailstore.ErrExpunged, "EXPUNGEISSUED", "Message was expunged"},
	{mailstore.ErrNotPermitted, "NOPERM", "Not permitted"},
	{mailstore.ErrSuspended, "CONTACTADMIN", "Account is suspended"},
	{mailstore.ErrConflict, "INUSE", "Changed by another client meanwhile, try again"},
	{mailstore.ErrExpired, "UNAVAILABLE", "Took too long, try again"},
	{mailstore.ErrNoAccount, "CONTACTADMIN", "Account does not exist any more"},
	{cluster.ErrNoRoom, "UNAVAILABLE", "No room for new messages at this time"},
	{cluster.ErrUnavailable, "UNAVAILABLE", "Not available at this time, try again"},
	{cluster.ErrRefused, "UNAVAILABLE", "Not available at this time, try again"},
	{cluster.ErrStopped, "UNAVAILABLE", "Server is shutting down"},
	{cluster.ErrNotHere, "UNAVAILABLE", "Message is not available at this time"},
	{context.DeadlineExceeded, "UNAVAILABLE", "Not available at this time, try again"},
	{context.Canceled, "UNAVAILABLE", "Interrupted"},
	{message.ErrUnknownEncoding, "UNKNOWN-CTE", "Content transfer encoding is not known"},
	{mailstore.ErrDamaged, "SERVERBUG", "Stored message is damaged"},
	{sasl.ErrCredentials, "AUTHENTICATIONFAILED", "Wrong user or password"},
	{sasl.ErrMalformed, "", "Malformed response"},
}

// answer tells the client that its command failed.
func (s *session) answer(tag, name string, err error) error {
	var syn *imapwire.SyntaxError
	var ref *refusal
	status, code, text := "NO", "SERVERBUG", "Internal error"
	switch {
	case errors.As(err, &syn):
		status, code, text = "BAD", "", capital(syn.Text)
	case errors.As(err, &ref):
		status, code, text = ref.status, ref.code, ref.text
	default:
		known := false
		for i := range answers {
			if known = errors.Is(err, answers[i].err); known {
				code, text = answers[i].code, answers[i].text
				break
			}
		}
		if !known || code == "SERVERBUG" {
			s.srv.stats.errors.Add(1)
			s.srv.log.Error("imap: command failed", "command", name, "err", err)
		}
	}
	if status == "BAD" {
		s.srv.stats.bad.Add(1)
		if s.bad++; s.bad > s.srv.cfg.Limits.Bad || s.account == nil && s.bad > s.srv.cfg.Limits.BadPreAuth {
			return errTooBad
		}
		// RFC 9051 section 7.1: a BAD without a tag where there is none.
	} else {
		s.bad = 0
		s.srv.stats.no.Add(1)
		if code == "UNAVAILABLE" {
			s.srv.stats.unavailable.Add(1)
		}
	}
	if tag == "" {
		tag = "*"
	}
	s.w.Status(tag, status, code, text)
	return nil
}

func capital(s string) string {
	if s == "" {
		return "Syntax error"
	}
	return strings.ToUpper(s[:1]) + s[1:]
}
