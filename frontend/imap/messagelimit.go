package imap

import (
	"fmt"
	"strconv"
	"strings"

	"altmail.se/altmail/mailstore"
)

// limitCapability begins the capability that tells the limit.
const limitCapability = "MESSAGELIMIT="

// limitMessages sets how many messages a command of this session may be about
// (RFC 9738): what the account has, else what the server has. Where the
// capability is masked there is no limit, because nothing told of it.
func (s *session) limitMessages() {
	s.most = 0
	own := ""
	for _, c := range s.optional {
		if n, ok := strings.CutPrefix(c, limitCapability); ok {
			own = n
		}
	}
	if n := s.srv.cfg.Limits.MessagesPerCommand; own == "" && n > 0 {
		own = strconv.Itoa(n)
		s.optional = append(s.optional, limitCapability+own)
	}
	if own == "" || s.isMasked("MESSAGELIMIT") {
		return
	}
	if n, err := strconv.ParseUint(own, 10, 32); err == nil {
		s.most = uint32(n)
	}
}

// tooMany refuses a command that cannot be done in part (RFC 9738 section 3.1).
func (s *session) tooMany() error {
	return no(fmt.Sprintf("MESSAGELIMIT %d", s.most), "Too many messages for one command")
}

// over reports whether these are more messages than one command may be about.
func (s *session) over(uids []mailstore.Range) bool {
	return s.most > 0 && s.box.count(uids) > int(s.most)
}

// limit cuts messages down to the newest that one command may be about, and has
// the answer tell from where the client is to go on (RFC 9738 section 3.1).
func (c *call) limit(uids []mailstore.Range) []mailstore.Range {
	s := c.s
	if !s.over(uids) {
		return uids
	}
	list := &s.box.list
	_, uids = list.cut(uids, uint32(s.box.count(uids))-s.most)
	c.limited(list.at(list.before(uids[0].First) + 1))
	return uids
}

// limitRows is limit for messages that were looked up already.
func (c *call) limitRows(rows []mailstore.Message) []mailstore.Message {
	if most := int(c.s.most); most > 0 && len(rows) > most {
		rows = rows[len(rows)-most:]
		c.limited(rows[0].UID)
	}
	return rows
}

// limited has the tagged response say that a command was done in part.
func (c *call) limited(lowest mailstore.UID) {
	c.cut = true
	c.code = fmt.Sprintf("MESSAGELIMIT %d %d", c.s.most, lowest)
	c.text = "Done for the newest messages only"
}

// issued is the answer where messages were expunged meanwhile. That not all
// were looked at is more important (RFC 9738 section 3.1).
func (c *call) issued() error {
	if c.cut {
		return no(c.code, "Some of the messages were expunged meanwhile")
	}
	return no("EXPUNGEISSUED", "Some of the messages were expunged meanwhile")
}

// limitSearch cuts what is looked at; what is told of all of it together, as
// SORT and THREAD do, is refused.
func (r *searchRun) limitSearch(uids []mailstore.Range) ([]mailstore.Range, error) {
	if r.whole && r.c.s.over(uids) {
		return nil, r.c.s.tooMany()
	}
	return r.c.limit(uids), nil
}

// mayAppendMany refuses more messages than one APPEND may have.
func (s *session) mayAppendMany(n int) error {
	if s.most > 0 && n > int(s.most) {
		return s.tooMany()
	}
	return nil
}
