package imap

import (
	"strconv"

	"altmail.se/altmail/mailstore"
)

// errUIDRequired answers what would need sequence numbers in a session that
// has given them up (RFC 9586 section 3).
var errUIDRequired error = &refusal{"BAD", "UIDREQUIRED", "Only UIDs are in use"}

// enableUIDOnly is ENABLE UIDONLY (RFC 9586 section 3): from here on no
// sequence number is taken or given.
func (s *session) enableUIDOnly() {
	s.uidonly = true
	if s.box == nil {
		return
	}
	// Results that are followed go on as UIDs, which their responses say.
	for _, x := range s.box.contexts {
		x.uid = true
	}
}

// beginFetch begins a FETCH response, or the UIDFETCH that takes its place (RFC
// 9586 section 3.2).
func (s *session) beginFetch(out []byte, seq uint32, u mailstore.UID) []byte {
	out = append(out, '*', ' ')
	if s.uidonly {
		out = strconv.AppendUint(out, uint64(u), 10)
		return append(out, " UIDFETCH ("...)
	}
	out = strconv.AppendUint(out, uint64(seq), 10)
	return append(out, " FETCH ("...)
}
