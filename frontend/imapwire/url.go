package imapwire

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// MessageURL is a relative IMAP URL of a message or of a part of one (RFC 5092
// section 7, RFC 4469 section 3).
type MessageURL struct {
	Mailbox     string // "": the selected mailbox
	UIDValidity uint32 // 0: not given
	UID         uint32
	Section     *Section // the whole message if it has neither path nor text
}

// ParseMessageURL reads a URL that CATENATE takes. Absolute URLs, and those
// with an authorization (RFC 4467), are none.
func ParseMessageURL(url string) (u MessageURL, ok bool) {
	// RFC 3986 section 4.2: a colon in the first segment ends a scheme.
	if first, _, _ := strings.Cut(url, "/"); strings.HasPrefix(url, "//") || strings.Contains(first, ":") {
		return u, false
	}
	// The mailbox may have slashes of its own: it ends before "/;UID=".
	path, rest, ok := cutFold(url, ";uid=")
	if !ok || path != "" && path[len(path)-1] != '/' {
		return u, false
	}
	path = strings.TrimPrefix(strings.TrimSuffix(path, "/"), "/")
	box, validity, given := cutFold(path, ";uidvalidity=")
	if given {
		if u.UIDValidity, ok = urlNumber(validity); !ok || box == "" {
			return u, false
		}
	}
	if box != "" {
		name, ok := unescapeURL(box)
		if !ok || !utf8.ValidString(name) {
			return u, false
		}
		u.Mailbox = CanonicalName(name)
	}
	uid, rest, more := strings.Cut(rest, "/")
	if u.UID, ok = urlNumber(uid); !ok {
		return u, false
	}
	section, partial := "", ""
	if more && hasPrefixFold(rest, ";section=") {
		section, rest, more = strings.Cut(rest[len(";section="):], "/")
		if section == "" {
			return u, false
		}
	}
	if more && hasPrefixFold(rest, ";partial=") {
		partial, rest, more = rest[len(";partial="):], "", false
		if partial == "" {
			return u, false
		}
	}
	if more || strings.Contains(section, ";") {
		return u, false
	}
	u.Section, ok = urlSection(section, partial)
	return u, ok
}

// urlSection reads an escaped section and a partial range.
func urlSection(section, partial string) (*Section, bool) {
	text, ok := unescapeURL(section)
	if !ok || strings.ContainsAny(text, "\r\n\x00{") {
		return nil, false
	}
	var f Fetch
	s := &Scanner{f: &Frame{}, b: []byte("[" + text + "]")}
	f.section(s, FetchSection, true)
	if s.End() != nil {
		return nil, false
	}
	sec := f.Atts[0].Section
	if partial == "" {
		return sec, true
	}
	off, length, both := strings.Cut(partial, ".")
	sec.Partial, sec.Length = true, 1<<63-1
	var err error
	if sec.Offset, err = strconv.ParseUint(off, 10, 63); err != nil {
		return nil, false
	}
	if both {
		if sec.Length, err = strconv.ParseUint(length, 10, 63); err != nil || sec.Length == 0 {
			return nil, false
		}
	}
	return sec, true
}

func urlNumber(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n > 0 && s[0] != '+'
}

// cutFold is strings.Cut without case; sep is in small letters.
func cutFold(s, sep string) (before, after string, found bool) {
	for i := 0; i+len(sep) <= len(s); i++ {
		if hasPrefixFold(s[i:], sep) {
			return s[:i], s[i+len(sep):], true
		}
	}
	return s, "", false
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func unescapeURL(s string) (string, bool) {
	if strings.IndexByte(s, '%') < 0 {
		return s, true
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			out = append(out, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		n, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
		if err != nil || s[i+1] == '+' {
			return "", false
		}
		out = append(out, byte(n))
		i += 2
	}
	return string(out), true
}

// AppendURL appends a URL as a response code has it: what cannot stand there
// is escaped (RFC 4469 section 5, url-resp-text).
func AppendURL(dst []byte, url string) []byte {
	for i := range len(url) {
		if c := url[i]; c <= ' ' || c == ']' || c == '[' || c >= 0x7f {
			const hex = "0123456789ABCDEF"
			dst = append(dst, '%', hex[c>>4], hex[c&15])
			continue
		}
		dst = append(dst, url[i])
	}
	return dst
}
