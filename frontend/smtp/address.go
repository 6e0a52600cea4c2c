package smtp

import (
	"strings"
	"unicode/utf8"
)

// splitPath cuts a mailbox as the engine gives it, the local part without its
// quotes, at its last "@".
func splitPath(s string) (local, domain string, ok bool) {
	i := strings.LastIndexByte(s, '@')
	if i <= 0 || i == len(s)-1 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// cleanPath checks an address that will be written into header fields. Lengths
// are those of RFC 5321 section 4.5.3.1, doubled: longer addresses exist.
func cleanPath(s string, utf8ok bool) (local, domain string, ok bool) {
	local, domain, ok = splitPath(s)
	if !ok || len(local) > 128 || len(domain) > 510 || !utf8.ValidString(s) {
		return "", "", false
	}
	for _, r := range s {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x80 && !utf8ok {
			return "", "", false
		}
	}
	return local, domain, !strings.ContainsAny(domain, " \t<>()\"\\,;")
}

// quotePath puts the quotes back that a local part needs (RFC 5321 section
// 4.1.2).
func quotePath(local, domain string) string {
	if isDotString(local) {
		return local + "@" + domain
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(local) {
		if local[i] == '"' || local[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(local[i])
	}
	b.WriteString("\"@")
	b.WriteString(domain)
	return b.String()
}

func isDotString(s string) bool {
	atom := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.':
			if atom == 0 {
				return false
			}
			atom = 0
			continue
		case c <= ' ' || c == 0x7f || strings.IndexByte("()<>[]:;@\\,\"", c) >= 0:
			return false
		}
		atom++
	}
	return atom > 0
}
