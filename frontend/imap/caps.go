package imap

import (
	"slices"
	"strconv"
	"strings"
)

// loginCaps are announced after login. Only what is true stands here.
var loginCaps = []string{
	"ENABLE", "IDLE", "UIDPLUS", "MOVE", "NAMESPACE", "CHILDREN", "UNSELECT",
	"SPECIAL-USE", "CREATE-SPECIAL-USE", "LIST-EXTENDED", "LIST-STATUS",
	"ESEARCH", "SEARCHRES", "BINARY", "CONDSTORE", "QRESYNC", "STATUS=SIZE", "OBJECTID",
	"SAVEDATE", "WITHIN", "MULTIAPPEND", "UTF8=ACCEPT",
	"SORT", "SORT=DISPLAY", "ESORT", "CONTEXT=SEARCH", "CONTEXT=SORT", "THREAD=ORDEREDSUBJECT", "THREAD=REFERENCES", "THREAD=REFS", "PARTIAL", "I18NLEVEL=1", "INPROGRESS",
	"QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE", "PREVIEW", "REPLACE", "CATENATE", "UNAUTHENTICATE", "NOTIFY", "METADATA", "LIST-METADATA", "ACL", "RIGHTS=kxte", "LIST-MYRIGHTS", "MULTISEARCH", "SEARCH=FUZZY",
}

// capabilities returns the list for the state the session is in.
func (s *session) capabilities() string {
	caps := []string{"IMAP4rev1", "IMAP4rev2", s.literals(), "ID"}
	if s.account == nil {
		caps = append(caps, "SASL-IR")
		if s.srv.cfg.TLS != nil && !s.tls && !s.compressed() {
			caps = append(caps, "STARTTLS")
		}
		if s.mayLogin() {
			for _, m := range s.sasl().Mechanisms() {
				caps = append(caps, "AUTH="+m)
			}
		} else {
			caps = append(caps, "LOGINDISABLED")
		}
		return strings.Join(caps, " ")
	}
	caps = append(caps, loginCaps...)
	if !s.compressed() {
		caps = append(caps, "COMPRESS=DEFLATE")
	}
	caps = append(caps, s.optional...)
	caps = append(caps, "APPENDLIMIT="+strconv.FormatInt(s.srv.cfg.Limits.MessageSize, 10))
	caps = slices.DeleteFunc(caps, s.isMasked)
	return strings.Join(caps, " ")
}

// literals is what is announced of literals without a wait. LITERAL+ has all of
// LITERAL-, and one of the two is announced (RFC 7888 section 5).
func (s *session) literals() string {
	if s.isMasked("LITERAL+") {
		return "LITERAL-"
	}
	return "LITERAL+"
}

func cmdCapability(c *call) error {
	if err := c.args.End(); err != nil {
		return err
	}
	c.s.w.Untagged("CAPABILITY ").Raw(c.s.capabilities()).CRLF()
	return nil
}

// cmdEnable is of RFC 9051 section 6.3.1.
func cmdEnable(c *call) error {
	var names []string
	for c.args.Err() == nil && c.args.Peek(' ') {
		c.args.SP()
		if c.args.AtEnd() {
			break
		}
		names = append(names, c.args.Word())
		if len(names) > 100 {
			c.args.Fail("too many capabilities")
		}
	}
	if len(names) == 0 {
		c.args.Fail("expected a capability")
	}
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	var enabled []string
	for _, n := range names {
		if s.isMasked(n) {
			continue
		}
		switch n {
		case "IMAP4REV2":
			n = "IMAP4rev2"
			s.rev2, s.utf8 = true, true
		case "UTF8=ACCEPT":
			s.utf8 = true
		case "CONDSTORE":
			s.enableCondstore()
		case "QRESYNC":
			// RFC 7162 section 3.2.3.
			s.enableCondstore()
			s.qresync = true
		case "UIDONLY":
			if !s.turnedOn(n) {
				continue
			}
			s.enableUIDOnly()
		default:
			continue // RFC 9051: unknown ones are ignored
		}
		if !slices.Contains(enabled, n) {
			enabled = append(enabled, n)
		}
	}
	s.w.UTF8 = s.utf8
	s.w.Untagged("ENABLED")
	for _, n := range enabled {
		s.w.SP().Raw(n)
	}
	s.w.CRLF()
	return nil
}

// enableCondstore is called by every command that is a "CONDSTORE enabling
// command" (RFC 7162 section 3.1).
func (s *session) enableCondstore() {
	if s.condst {
		return
	}
	s.condst = true
	if s.box != nil {
		s.highestModSeq(s.box.complete())
	}
}
