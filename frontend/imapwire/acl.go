package imapwire

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// SetACL are the arguments of SETACL (RFC 4314 section 3.1).
type SetACL struct {
	Mailbox, Identifier string
	Mode                StoreMode
	// Rights are the letters, without their sign.
	Rights string
}

// maxIdentifier is more octets than any identifier has.
const maxIdentifier = 1000

// identifier reads one: what cannot be prepared or is empty is refused (section
// 3).
func (s *Scanner) identifier() string {
	id := string(s.Astring())
	switch {
	case !s.ok():
	case id == "":
		s.Fail("expected an identifier")
	case len(id) > maxIdentifier, !utf8.ValidString(id), strings.ContainsFunc(id, unicode.IsControl):
		s.Fail("no identifier is like this")
	}
	return id
}

// ACLName reads the mailbox and the identifier of DELETEACL and LISTRIGHTS.
func (s *Scanner) ACLName() (mailbox, identifier string) {
	s.SP()
	mailbox = s.Mailbox()
	s.SP()
	return mailbox, s.identifier()
}

// SetACL reads the arguments of SETACL. Which rights there are is not its
// matter.
func (s *Scanner) SetACL() (a SetACL) {
	a.Mailbox, a.Identifier = s.ACLName()
	s.SP()
	a.Rights = string(s.Astring())
	switch {
	case strings.HasPrefix(a.Rights, "+"):
		a.Mode, a.Rights = StoreAdd, a.Rights[1:]
	case strings.HasPrefix(a.Rights, "-"):
		a.Mode, a.Rights = StoreRemove, a.Rights[1:]
	}
	return a
}
