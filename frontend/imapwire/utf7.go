package imapwire

import (
	"encoding/base64"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The base64 of RFC 3501 section 5.1.3.
var base64utf7 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").WithPadding(base64.NoPadding).Strict()

// AppendUTF7 appends s in modified UTF-7 (RFC 3501 section 5.1.3).
func AppendUTF7(dst []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c == '&' {
			dst = append(dst, '&', '-')
			i++
			continue
		}
		if c >= 0x20 && c < 0x7f {
			dst = append(dst, c)
			i++
			continue
		}
		var units []byte
		for i < len(s) && (s[i] < 0x20 || s[i] >= 0x7f) {
			r, n := utf8.DecodeRuneInString(s[i:])
			i += n
			if a, b := utf16.EncodeRune(r); a != utf8.RuneError {
				units = append(units, byte(a>>8), byte(a), byte(b>>8), byte(b))
			} else {
				units = append(units, byte(r>>8), byte(r))
			}
		}
		dst = append(dst, '&')
		dst = base64utf7.AppendEncode(dst, units)
		dst = append(dst, '-')
	}
	return dst
}

// DecodeUTF7 reads modified UTF-7. It takes only the one form each name has,
// so that two spellings never name the same mailbox; names that are UTF-8
// already, without an ampersand, are taken as they are.
func DecodeUTF7(s string) (string, bool) {
	if strings.IndexByte(s, '&') < 0 {
		return s, true
	}
	var out []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '&' {
			out = append(out, s[i])
			continue
		}
		n := strings.IndexByte(s[i:], '-')
		if n < 0 {
			return "", false
		}
		enc := s[i+1 : i+n]
		i += n
		if enc == "" {
			out = append(out, '&')
			continue
		}
		units, err := base64utf7.DecodeString(enc)
		if err != nil || len(units)%2 != 0 {
			return "", false
		}
		for u := 0; u < len(units); u += 2 {
			r := rune(units[u])<<8 | rune(units[u+1])
			if utf16.IsSurrogate(r) {
				if u+3 >= len(units) {
					return "", false
				}
				u += 2
				if r = utf16.DecodeRune(r, rune(units[u])<<8|rune(units[u+1])); r == utf8.RuneError {
					return "", false
				}
			} else if r >= 0x20 && r < 0x7f {
				return "", false // must not be encoded
			}
			out = utf8.AppendRune(out, r)
		}
		if strings.HasPrefix(s[i+1:], "&") && !strings.HasPrefix(s[i+1:], "&-") {
			return "", false // two runs where one does
		}
	}
	return string(out), true
}
