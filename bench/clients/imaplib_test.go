//go:build e2e

package clients

import (
	"encoding/json"
	"slices"

	"altmail.se/altmail/bench/faults"
)

// imaplib reads with Python's library, over two connections, then writes.
func imaplib(s *seat) {
	const text = "Subject: from imaplib\r\n\r\nwritten\r\n"
	held := s.relay.hold(150 << 10)
	p := s.start("python3", script(s, "read.py"), s.told(map[string]any{"append": text}))
	s.middle(held, p)
	if err := p.end(); err != nil {
		s.Fatalf("%v\n%s", err, p.out.String())
	}
	var said struct {
		Breaks   int
		Validity uint32
	}
	if err := json.Unmarshal(p.out.Bytes(), &said); err != nil {
		s.Fatal(err)
	}
	if said.Breaks == 0 || said.Validity != s.validity {
		s.Errorf("%+v, validity was %d", said, s.validity)
	}
	s.same("INBOX", s.files("out/*.eml"), raws(s.want))

	_, inbox := s.look("INBOX")
	want := append(raws(s.want[:1]), append(raws(s.want[1:2]), raws(s.want[4:])...)...)
	s.same("INBOX on the server", raws(inbox), append(want, []byte(text)))
	if f := flagsOf(inbox, s.want[0].UID); !slices.Equal(f, []string{"$Forwarded", `\Seen`}) {
		s.Errorf("flags %v", f)
	}
	_, copied := s.look("Copied")
	s.same("Copied on the server", raws(copied), [][]byte{s.want[1].Raw, s.want[3].Raw})
}

// flagsOf are the sorted flags of a message.
func flagsOf(seen []faults.Seen, uid uint32) []string {
	for _, m := range seen {
		if m.UID == uid {
			return slices.Sorted(slices.Values(m.Flags))
		}
	}
	return nil
}
