package imapwire

// The character classes of RFC 9051 section 9.
const (
	classAtom = 1 << iota
	classAstring
	classTag
	classList
	classQuoted // may stand in a quoted string as it is
)

var classes = func() (t [256]uint8) {
	for c := 0x20; c < 0x7f; c++ {
		atom, resp, wild := true, c == ']', c == '%' || c == '*'
		switch c {
		case '(', ')', '{', ' ', '%', '*', '"', '\\', ']':
			atom = false
		}
		if atom {
			t[c] |= classAtom
		}
		if atom || resp {
			t[c] |= classAstring
			if c != '+' {
				t[c] |= classTag
			}
		}
		if atom || resp || wild {
			t[c] |= classList
		}
		if c != '"' && c != '\\' {
			t[c] |= classQuoted
		}
	}
	t['\t'] |= classQuoted
	return t
}()

func isAtomChar(c byte) bool { return classes[c]&classAtom != 0 }
func isTagChar(c byte) bool  { return classes[c]&classTag != 0 }

// IsAtom reports whether s can stand as an atom.
func IsAtom[T string | []byte](s T) bool {
	for i := range len(s) {
		if classes[s[i]]&classAtom == 0 {
			return false
		}
	}
	return len(s) > 0
}
