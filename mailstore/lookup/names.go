package lookup

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"altmail.se/altmail/mailstore"
)

// Limits of mailbox names and keywords, in octets of UTF-8.
const (
	MaxNameLevel  = 255  // one level of a mailbox name
	MaxName       = 1000 // a whole mailbox name
	MaxNameLevels = 64
	MaxKeyword    = 255
)

// Inbox is the name every account's first mailbox has (RFC 9051 section 5.1).
const Inbox = "INBOX"

// Separator stands between the levels of a mailbox name.
const Separator = "/"

// CleanName returns the one form of a mailbox name by which it is stored and
// matched: NFC, with INBOX in capitals at the first level. It returns
// mailstore.ErrBadName for what cannot be a name: empty levels, more than the
// limits, and what RFC 9051 section 5.1 and RFC 5198 keep out of names.
func CleanName(name string) (string, error) {
	if !norm.NFC.IsNormalString(name) {
		if !utf8.ValidString(name) || len(name) > 4*MaxName {
			return "", badName("is not UTF-8 of a sensible length")
		}
		name = norm.NFC.String(name)
	}
	if len(name) > MaxName {
		return "", badName("is longer than %d octets", MaxName)
	}
	levels := 1
	for from := 0; ; levels++ {
		level, _, more := strings.Cut(name[from:], Separator)
		switch {
		case level == "":
			return "", badName("has an empty level")
		case len(level) > MaxNameLevel:
			return "", badName("has a level longer than %d octets", MaxNameLevel)
		case levels > MaxNameLevels:
			return "", badName("has more than %d levels", MaxNameLevels)
		}
		if !more {
			break
		}
		from += len(level) + len(Separator)
	}
	for i, r := range name {
		switch {
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(name[i:]); n == 1 {
				return "", badName("is not UTF-8")
			}
		case r < ' ' || r >= 0x7f && r <= 0x9f:
			return "", badName("has a control character")
		case r == '\u2028' || r == '\u2029' || r == '\ufeff':
			// RFC 5198 section 2 keeps them out of network text.
			return "", badName("has a line separator or byte order mark")
		}
	}
	// "INBOX" is reserved in any case (RFC 9051 section 5.1), and so that its
	// inferiors are found under it, at the head of a longer name too.
	if len(name) >= len(Inbox) && name[:len(Inbox)] != Inbox && strings.EqualFold(name[:len(Inbox)], Inbox) &&
		(len(name) == len(Inbox) || name[len(Inbox)] == Separator[0]) {
		name = Inbox + name[len(Inbox):]
	}
	return name, nil
}

// badName tells what is wrong without the name, which is its owner's own.
func badName(format string, args ...any) error {
	return fmt.Errorf("%w: it "+format, append([]any{mailstore.ErrBadName}, args...)...)
}

// Superiors returns the names above a clean name, the highest first.
func Superiors(name string) []string {
	var out []string
	for i := range len(name) {
		if name[i] == Separator[0] {
			out = append(out, name[:i])
		}
	}
	return out
}

// Inferior reports whether the clean name lies below the clean name of.
func Inferior(name, of string) bool {
	return len(name) > len(of) && name[len(of)] == Separator[0] && name[:len(of)] == of
}

// nameLess orders names with INBOX and what is below it first, and inferiors
// after their superior, before whatever else begins like it.
func nameLess(a, b string) bool {
	ai, bi := a == Inbox || Inferior(a, Inbox), b == Inbox || Inferior(b, Inbox)
	if ai != bi {
		return ai
	}
	for {
		x, restX, moreX := strings.Cut(a, Separator)
		y, restY, moreY := strings.Cut(b, Separator)
		if x != y {
			return x < y
		}
		if !moreX || !moreY {
			return !moreX && moreY
		}
		a, b = restX, restY
	}
}

// CheckKeyword returns mailstore.ErrBadName for what is not a flag-keyword of
// RFC 9051 section 9.
func CheckKeyword(k string) error {
	if k == "" || len(k) > MaxKeyword {
		return fmt.Errorf("%w: a keyword has 1 to %d octets", mailstore.ErrBadName, MaxKeyword)
	}
	for i := range len(k) {
		if c := k[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return fmt.Errorf("%w: a keyword is an atom", mailstore.ErrBadName)
		}
	}
	return nil
}

// foldKeyword returns the form by which a keyword is matched: keywords differ
// by more than ASCII case (RFC 9051 section 2.3.2).
func foldKeyword(k string) string { return lowerASCII(k) }

func lowerASCII(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; c >= 'A' && c <= 'Z' {
					b[i] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
