package message

import (
	"bytes"
)

// maxSubject bounds the subject that BaseSubject looks at, in bytes.
const maxSubject = 2 << 10

// BaseSubject returns the base subject of RFC 5256 section 2.1 of an unfolded
// Subject value, as UTF-8 in its own case (compare it without), and whether
// anything said that the message is a reply or a forward.
func BaseSubject(subject []byte) (base []byte, reply bool) {
	// (1) decode, and collapse white space. Real subjects are short; the rest
	// is cut because what follows is not linear.
	s := collapse(DecodeWords(subject[:min(len(subject), maxSubject)]))
	for {
		before := len(s)
		// (2) trailers.
		for {
			s = bytes.TrimRight(s, " ")
			if !hasSuffixFold(s, "(fwd)") {
				break
			}
			s = s[:len(s)-5]
			reply = true
		}
		// (3) to (5): leaders, and blobs where something is left behind them.
		for {
			s = bytes.TrimLeft(s, " ")
			if n := leader(s); n > 0 {
				s = s[n:]
				reply = true
				continue
			}
			if n := blob(s); n > 0 && len(bytes.TrimLeft(s[n:], " ")) > 0 {
				s = s[n:]
				continue
			}
			break
		}
		// (6) [fwd: ... ] around everything.
		if hasPrefixFold(s, "[fwd:") && s[len(s)-1] == ']' {
			s = s[5 : len(s)-1]
			reply = true
			continue
		}
		if len(s) == before {
			return s, reply
		}
	}
}

func collapse(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for _, c := range s {
		if isSpace(c) {
			if len(out) > 0 && out[len(out)-1] == ' ' {
				continue
			}
			c = ' '
		}
		out = append(out, c)
	}
	return out
}

func hasPrefixFold(s []byte, p string) bool { return len(s) >= len(p) && equalFold(s[:len(p)], p) }

func hasSuffixFold(s []byte, p string) bool {
	return len(s) >= len(p) && equalFold(s[len(s)-len(p):], p)
}

// blob returns the length of "[...]" and the space behind it at the start of
// s, 0 if there is none.
func blob(s []byte) int {
	if len(s) == 0 || s[0] != '[' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '[':
			return 0
		case ']':
			i++
			for i < len(s) && s[i] == ' ' {
				i++
			}
			return i
		}
	}
	return 0
}

// leader returns the length of "re:", "fw:", "fwd:" with any blobs before and
// one behind the word; 0 if there is none.
func leader(s []byte) int {
	i := 0
	for {
		n := blob(s[i:])
		if n == 0 {
			break
		}
		i += n
	}
	switch r := s[i:]; {
	case hasPrefixFold(r, "fwd"):
		i += 3
	case hasPrefixFold(r, "re"), hasPrefixFold(r, "fw"):
		i += 2
	default:
		return 0
	}
	for i < len(s) && s[i] == ' ' {
		i++
	}
	i += blob(s[i:])
	if i < len(s) && s[i] == ':' {
		return i + 1
	}
	return 0
}

// maxThreadIDs bounds the references looked at: as many from the beginning of
// the thread as from its end.
const maxThreadIDs = 20

// MessageIDs returns the message ids of a Message-ID, References or
// In-Reply-To value, without their angle brackets, normalized as RFC 5256
// section 3 asks (quoting that means nothing is gone), in order. Of more than
// 40 it returns the first 20 and the last 20.
func MessageIDs(value []byte) [][]byte {
	var first, last [][]byte
	for {
		id, rest, ok := nextMessageID(value)
		if !ok {
			break
		}
		value = rest
		if len(first) < maxThreadIDs {
			first = append(first, id)
			continue
		}
		if len(last) == 2*maxThreadIDs {
			last = last[:copy(last, last[maxThreadIDs:])]
		}
		last = append(last, id)
	}
	if len(last) > maxThreadIDs {
		last = last[len(last)-maxThreadIDs:]
	}
	return append(first, last...)
}

// nextMessageID cuts the next <left@right>. White space inside, which old
// mailers fold in, is dropped; what is not in angle brackets is no id.
func nextMessageID(v []byte) (id, rest []byte, ok bool) {
	for {
		i := bytes.IndexByte(v, '<')
		if i < 0 {
			return nil, nil, false
		}
		v = v[i+1:]
		plain, inQuote := true, false
		i = 0
	scan:
		for i < len(v) {
			switch c := v[i]; {
			case inQuote && c == '\\':
				i++
			case c == '"':
				inQuote, plain = !inQuote, false
			case isSpace(c) || c == 0:
				plain = false
			case !inQuote && (c == '>' || c == '<'):
				break scan
			}
			i++
		}
		if i >= len(v) {
			return nil, nil, false
		}
		if v[i] == '<' || i == 0 {
			v = v[i:]
			continue
		}
		id = v[:i:i]
		if !plain {
			id = unquoteID(id)
		}
		return id, v[i+1:], true
	}
}

func unquoteID(id []byte) []byte {
	out := make([]byte, 0, len(id))
	for i := 0; i < len(id); i++ {
		switch c := id[i]; {
		case c == '\\' && i+1 < len(id):
			i++
			out = append(out, id[i])
		case c == '"' || isSpace(c) || c == 0:
		default:
			out = append(out, c)
		}
	}
	return out
}

// Thread is what decides to which thread a message belongs.
type Thread struct {
	// ID is the message's own id; nil if it has none.
	ID []byte
	// References are its ancestors, oldest first: those of the References
	// field, else the first of In-Reply-To (RFC 5256 section 3).
	References [][]byte
}

// Thread reads the thread fields of a summary. It reports false if one of
// them was too large to be kept.
func (s *Summary) Thread() (t Thread, ok bool) {
	id, ok1 := s.Value("Message-ID")
	refs, ok2 := s.Value("References")
	reply, ok3 := s.Value("In-Reply-To")
	return newThread(id, refs, reply), ok1 && ok2 && ok3
}

// HeaderThread reads the thread fields of a header block.
func HeaderThread(header []byte) Thread {
	var id, refs, reply []byte
	for f := range Fields(header) {
		switch n := fieldID(f.Name); {
		case n == fieldMessageID && id == nil:
			id = f.Value
		case n == fieldReferences && refs == nil:
			refs = f.Value
		case n == fieldInReplyTo && reply == nil:
			reply = f.Value
		}
	}
	return newThread(id, refs, reply)
}

func newThread(id, refs, reply []byte) Thread {
	var t Thread
	if id, _, ok := nextMessageID(id); ok {
		t.ID = id
	}
	if t.References = MessageIDs(refs); len(t.References) == 0 {
		if id, _, ok := nextMessageID(reply); ok {
			t.References = [][]byte{id}
		}
	}
	return t
}
