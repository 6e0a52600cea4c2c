package imap

import (
	"slices"
	"strings"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

// maxKeywords bounds the keywords of one command.
const maxKeywords = 64

// parseFlags turns the flags of a command into bits and keywords.
func parseFlags(flags []string) (bits mailstore.Flags, keywords []string, err error) {
next:
	for _, f := range flags {
		if !strings.HasPrefix(f, `\`) {
			if err := lookup.CheckKeyword(f); err != nil {
				return 0, nil, no("CANNOT", "Keyword is not allowed")
			}
			for _, k := range keywords {
				if strings.EqualFold(k, f) {
					continue next
				}
			}
			if keywords = append(keywords, f); len(keywords) > maxKeywords {
				return 0, nil, no("LIMIT", "Too many keywords")
			}
			continue
		}
		for _, sys := range systemFlags {
			if strings.EqualFold(f, sys.name) {
				bits |= sys.bit
				continue next
			}
		}
		// RFC 9051 section 2.3.2: \Recent cannot be set, and names with a
		// backslash are for those defined there.
		return 0, nil, &imapwire.SyntaxError{Text: "No such system flag"}
	}
	return bits, keywords, nil
}

// usualKeywords are keywords with a meaning that many clients share (RFC 5788,
// RFC 9051 section 2.3.2). They are listed in FLAGS of every mailbox, those
// that messages have after them.
var usualKeywords = []string{"$Forwarded", "$MDNSent", "$Junk", "$NotJunk", "$Phishing"}

// maxListed bounds the octets of the keywords in a FLAGS response: clients
// have limits for a line.
const maxListed = 8000

// tellKeywords writes which flags there are (RFC 9051 sections 7.3.5 and 7.1,
// PERMANENTFLAGS). Keywords are an account's, not a mailbox's: what was found
// useful in one mailbox may be set in another.
func (s *session) tellKeywords(used []string) {
	b := s.box
	words := make([]string, 0, len(usualKeywords)+len(used))
	for _, k := range usualKeywords {
		same := func(u string) bool { return strings.EqualFold(u, k) }
		if i := slices.IndexFunc(used, same); i >= 0 {
			k = used[i] // as it is spelled in FETCH responses
		}
		words = append(words, k)
	}
	for _, k := range used {
		if !slices.Contains(words[:len(usualKeywords)], k) {
			words = append(words, k)
		}
	}
	list := []byte(flagTexts[mailstore.AllFlags])
	for _, k := range words {
		if len(list)+len(k) > maxListed {
			break
		}
		list = append(append(list, ' '), k...)
	}
	text := string(list)
	s.w.Untagged("FLAGS (").Raw(text).Raw(")").CRLF()
	if may := permanent(b.rights); b.readOnly {
		s.w.Status("*", "OK", "PERMANENTFLAGS ()", "Read-only")
	} else if !b.rights.Has(mailstore.RightWrite) {
		// RFC 4314 section 5.1.1.
		s.w.Status("*", "OK", "PERMANENTFLAGS ("+flagTexts[may]+")", "Permitted")
	} else if may != mailstore.AllFlags {
		text = flagTexts[may] + strings.TrimPrefix(text, flagTexts[mailstore.AllFlags])
		s.w.Status("*", "OK", "PERMANENTFLAGS ("+text+` \*)`, "Permitted")
	} else {
		s.w.Status("*", "OK", "PERMANENTFLAGS ("+text+` \*)`, "Permitted")
	}
	slices.Sort(words)
	b.keywords = words
}

// knowsKeywords reports whether the client was told of keywords.
func (b *view) knowsKeywords(ks []string) bool {
	for _, k := range ks {
		if _, ok := slices.BinarySearch(b.keywords, k); !ok {
			return false
		}
	}
	return true
}
