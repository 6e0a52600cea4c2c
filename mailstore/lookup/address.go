package lookup

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"altmail.se/altmail/mailstore"
)

// Limits of RFC 5321 section 4.5.3.1, in octets.
const (
	maxLocal  = 64
	maxDomain = 255
)

// SplitAddress cuts an address at its last "@".
func SplitAddress(address string) (local, domain string, ok bool) {
	i := strings.LastIndexByte(address, '@')
	if i <= 0 || i == len(address)-1 {
		return "", "", false
	}
	return address[:i], address[i+1:], true
}

// CleanAddress returns an address as it is stored and shown, and the key by
// which it is matched: NFC and lower case, the domain in its ASCII form (RFC
// 5890), because one mailbox that answers to only one spelling of its name
// loses mail. Its error is mailstore.ErrNoAddress: no such address can exist.
func CleanAddress(local, domain string) (shown, key string, err error) {
	if !plainASCII(local) {
		if !utf8.ValidString(local) {
			return "", "", badAddress("the local part is not UTF-8")
		}
		local = norm.NFC.String(local)
		for _, r := range local {
			if unicode.IsControl(r) || unicode.IsSpace(r) {
				return "", "", badAddress("the local part has a control character or a space")
			}
		}
	}
	if local == "" || len(local) > maxLocal {
		return "", "", badAddress("the local part has 1 to %d octets", maxLocal)
	}
	domain, err = CleanDomain(domain)
	if err != nil {
		return "", "", err
	}
	return local + "@" + domain, strings.ToLower(local) + "@" + domain, nil
}

func badAddress(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{mailstore.ErrNoAddress}, args...)...)
}

// plainASCII reports whether s has only graphic ASCII characters.
func plainASCII(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// CleanDomain returns the one form of a domain: lower case, ASCII, without a
// final dot. Its error is mailstore.ErrNoAddress.
func CleanDomain(domain string) (string, error) {
	domain = strings.TrimSuffix(domain, ".")
	if !plainASCII(domain) {
		ascii, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return "", badAddress("the domain is not one of IDNA")
		}
		domain = ascii
	}
	domain = lowerASCII(domain)
	if domain == "" || len(domain) > maxDomain {
		return "", badAddress("the domain has 1 to %d octets", maxDomain)
	}
	start := 0
	for i := 0; i <= len(domain); i++ {
		if i < len(domain) && domain[i] != '.' {
			if c := domain[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return "", badAddress("the domain has a character that no domain has")
			}
			continue
		}
		// RFC 1035 section 2.3.4.
		if i == start || i-start > 63 {
			return "", badAddress("the domain has an empty or too long label")
		}
		start = i + 1
	}
	return domain, nil
}
