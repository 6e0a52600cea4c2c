//go:build e2e

package clients

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/emersion/go-imap/v2"
)

// imapflow reads with CONDSTORE, QRESYNC and COMPRESS; after the kill it comes
// back with what it knew, and must be told what has changed since.
func imapflow(s *seat) {
	for _, name := range []string{"package.json", "flow.mjs"} {
		b, err := os.ReadFile(filepath.Join("testdata", "imapflow", name))
		if err != nil {
			s.Fatal(err)
		}
		s.file("flow/"+name, string(b))
	}
	s.run("npm", "install", "--prefix", "flow", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error")
	held := s.relay.hold(60 << 10)
	changed, err := json.Marshal(map[string]uint32{"gone": s.want[1].UID, "flagged": s.want[4].UID})
	if err != nil {
		s.Fatal(err)
	}
	p := s.start("node", "flow/flow.mjs", s.told(nil))
	s.middle(held, p)
	// It waits for a word before it comes back.
	s.expungeElsewhere(s.want[1].UID)
	s.flagElsewhere(s.want[4].UID, imap.FlagFlagged)
	s.deliver("Subject: later\r\n\r\nlater\r\n")
	s.file("go", string(changed))
	s.until(time.Minute, "it does not read all", func() bool { return len(s.files("idling")) > 0 })
	s.deliver("Subject: by idle\r\n\r\nidle\r\n")
	if err := p.end(); err != nil {
		s.Fatalf("%v\n%s", err, p.out.String())
	}
	var said struct {
		Enabled  []string
		Compress bool
		Before   int
		Vanished []uint32
		Flagged  []uint32
	}
	if err := json.Unmarshal(p.out.Bytes(), &said); err != nil {
		s.Fatalf("%v\n%s", err, p.out.String())
	}
	if !said.Compress || !slices.Contains(said.Enabled, "CONDSTORE") || !slices.Contains(said.Enabled, "QRESYNC") {
		s.Errorf("not all was used: %+v", said)
	}
	if said.Before == 0 || said.Before == len(s.want) {
		s.Errorf("%d messages were read before the kill", said.Before)
	}
	if !slices.Equal(said.Vanished, []uint32{s.want[1].UID}) || !slices.Equal(said.Flagged, []uint32{s.want[4].UID}) {
		s.Errorf("it was told of vanished %v and flagged %v", said.Vanished, said.Flagged)
	}
	_, inbox := s.look("INBOX")
	s.same("INBOX", s.files("out/*.eml"), raws(inbox))
}
