package imap

import (
	"slices"
	"strings"

	"altmail.se/altmail/mailstore/lookup"
)

// inRev2 are the capabilities that IMAP4rev2 has built in (RFC 9051 appendix
// E): where one of them is masked, a client must not take it from there.
var inRev2 = []string{"BINARY", "ENABLE", "ESEARCH", "IDLE", "LIST-EXTENDED", "LIST-STATUS", "LITERAL-", "MOVE", "NAMESPACE",
	"SASL-IR", "SEARCHRES", "SPECIAL-USE", "STATUS=SIZE", "UIDPLUS", "UNSELECT"}

// needs names, for capabilities, those that are nothing without them.
var needs = map[string][]string{
	"ACL":           {"RIGHTS", "LIST-MYRIGHTS"},
	"CONDSTORE":     {"QRESYNC"},
	"ENABLE":        {"QRESYNC", "UTF8=ACCEPT", "UIDONLY"},
	"LIST-EXTENDED": {"LIST-STATUS", "LIST-METADATA", "LIST-MYRIGHTS"},
	"ESEARCH":       {"MULTISEARCH"},
	"METADATA":      {"LIST-METADATA"},
	"SORT":          {"CONTEXT=SORT"},
	"SPECIAL-USE":   {"CREATE-SPECIAL-USE"},
}

// mask keeps capabilities from the client, and what is nothing without them.
// The commands stay: a client that uses what it was not told of is not one
// that is protected from itself. Capabilities with a "+" are turned on.
func (s *session) mask(caps []string) {
	s.masked = nil
	caps, s.optional = lookup.SplitMask(caps)
	s.hide(caps)
	s.limitMessages()
}

func (s *session) hide(caps []string) {
	if len(caps) == 0 {
		return
	}
	s.masked = make(map[string]bool)
	for len(caps) > 0 {
		c := caps[0]
		caps = caps[1:]
		if s.masked[c] || c == "IMAP4REV1" {
			continue
		}
		s.masked[c] = true
		caps = append(slices.Clip(caps), needs[c]...)
		if slices.Contains(inRev2, c) {
			caps = append(caps, "IMAP4REV2")
		}
	}
}

// isMasked reports whether a capability is kept from the client, by its name
// or by what stands before its "=".
func (s *session) isMasked(c string) bool {
	if s.masked == nil {
		return false
	}
	c = strings.ToUpper(c)
	family, _, _ := strings.Cut(c, "=")
	return s.masked[c] || s.masked[family]
}

// turnedOn reports whether a capability that is off by default is announced to
// this account's clients.
func (s *session) turnedOn(c string) bool {
	return slices.Contains(s.optional, c) && !s.isMasked(c)
}
