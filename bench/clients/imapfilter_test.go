//go:build e2e

package clients

import (
	"fmt"
)

// imapfilter sorts mail into mailboxes, message by message, and is cut off in
// between: run again it must come to the same end, with nothing lost.
func imapfilter(s *seat) {
	rc := s.file("config.lua", fmt.Sprintf(`options.timeout = 240
options.create = true
options.recover = 'none'
options.certificates = false
local a = IMAP { server = 'localhost', port = %s, username = '%s', password = '%s', ssl = 'auto' }
local boxes = { 'Sorted/even', 'Sorted/odd' }
for _, m in ipairs(a.INBOX:select_all()) do
	local mailbox, uid = table.unpack(m)
	local one = Set { m }
	-- Reading it takes time on the wire, so that it is cut off in the middle.
	local text = mailbox[uid]:fetch_message()
	io.write(uid, ' ', #text, '\n')
	one:mark_flagged()
	one:move_messages(a[boxes[uid %% 2 + 1]])
end
`, s.relay.port, s.account.Address, s.account.Password))
	args := []string{"-c", rc, "-t", s.h.ca}
	held := s.relay.hold(150 << 10)
	p := s.start("imapfilter", args...)
	s.middle(held, p)
	s.failed(p)
	if _, left := s.look("INBOX"); len(left) == 0 || len(left) == len(s.want) {
		s.Errorf("%d of %d messages are left after the kill", len(left), len(s.want))
	}
	s.again("imapfilter", args...)
	_, inbox := s.look("INBOX")
	if len(inbox) != 0 {
		s.Errorf("%d messages are left in INBOX", len(inbox))
	}
	var even, odd [][]byte
	for _, m := range s.want {
		if m.UID%2 == 0 {
			even = append(even, m.Raw)
		} else {
			odd = append(odd, m.Raw)
		}
	}
	for box, want := range map[string][][]byte{"Sorted/even": even, "Sorted/odd": odd} {
		_, got := s.look(box)
		if err := compare(raws(got), want, 1); err != nil {
			s.Errorf("imapfilter: %s: %v", box, err)
		}
		for _, m := range got {
			if f := flagsOf(got, m.UID); len(f) == 0 || f[0] != `\Flagged` {
				s.Errorf("%s: UID %d has flags %v", box, m.UID, f)
			}
		}
	}
}
