package imap

import (
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
// RFC 9051 section 2.3.2). They are listed in FLAGS of every mailbox.
var usualKeywords = []string{"$Forwarded", "$MDNSent", "$Junk", "$NotJunk", "$Phishing"}
