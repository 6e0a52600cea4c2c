//go:build e2e

package clients

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// tuid is the header line by which mbsync finds its copies again.
var tuid = regexp.MustCompile(`(?m)^X-TUID: .*\n`)

// mbsync mirrors both ways: it is cut off while it pulls, and once more while
// it pushes; flags, expunges, new mail and renamed mailboxes go each way.
func mbsync(s *seat) {
	mail := s.mkdir("mail")
	rc := s.file("mbsyncrc", fmt.Sprintf(`IMAPAccount altmail
Host localhost
Port %s
User %s
Pass %s
SSLType IMAPS
CertificateFile %s
Timeout 240

IMAPStore far
Account altmail

MaildirStore near
Path %s/
Inbox %s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Remove Both
CopyArrivalDate yes
SyncState *
`, s.relay.port, s.account.Address, s.account.Password, s.h.ca, mail, mail))
	sync := func() {
		s.Helper()
		for line := range strings.SplitSeq(s.again("mbsync", "-c", rc, "-a"), "\n") {
			// A new Maildir gets its first one with a notice.
			if strings.Contains(line, "UIDVALIDITY") && !strings.Contains(line, "creating new") {
				s.Errorf("mbsync complains: %s", line)
			}
		}
	}
	local := func(box string) [][]byte {
		out := s.maildir("mail/" + box)
		for i := range out {
			out[i] = tuid.ReplaceAll(out[i], nil)
		}
		return out
	}

	held := s.relay.hold(200 << 10)
	p := s.start("mbsync", "-c", rc, "-a")
	s.middle(held, p)
	s.failed(p)
	if n := len(local("INBOX")); n == len(s.want) {
		s.Error("nothing was left to do after the kill")
	}
	sync()
	s.same("INBOX", local("INBOX"), unix(s.want))

	// There: one expunged, one flagged, a mailbox with mail, and renamed.
	gone, flagged := s.want[len(s.want)-1], s.want[len(s.want)-2]
	s.expungeElsewhere(gone.UID)
	s.flagElsewhere(flagged.UID, imap.FlagFlagged)
	cl := s.dial(s.other())
	defer cl.Close()
	for _, err := range []error{
		cl.Create("Work/Plans", nil).Wait(),
		func() error {
			if _, err := cl.Select("INBOX", nil).Wait(); err != nil {
				return err
			}
			_, err := cl.Copy(imap.UIDSetNum(imap.UID(s.want[0].UID), imap.UID(s.want[1].UID)), "Work/Plans").Wait()
			return err
		}(),
		cl.Rename("Work", "Done", nil).Wait(),
	} {
		if err != nil {
			s.Fatal(err)
		}
	}
	sync()
	want := unix(s.want[:len(s.want)-1])
	s.same("INBOX after changes there", local("INBOX"), want)
	s.same("Done/Plans", local("Done/Plans"), unix(s.want[:2]))
	if n := flaggedFiles(s, flagged.Raw, "F"); n != 1 {
		s.Errorf("%d files carry the flag set there", n)
	}
	// Renamed there after it was mirrored: mbsync sees another mailbox, and
	// one that is no more, which it must be told to forget.
	if err := cl.Rename("Done", "Kept", nil).Wait(); err != nil {
		s.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(mail, "Done")); err != nil {
		s.Fatal(err)
	}
	sync()
	s.same("Kept/Plans", local("Kept/Plans"), unix(s.want[:2]))

	// Here: messages removed, seen, written, and a mailbox made; cut off while
	// it tells the server.
	removed := s.paths("mail/INBOX/cur/*", "mail/INBOX/new/*")[:8]
	for _, path := range removed {
		b, err := os.ReadFile(path)
		if err != nil {
			s.Fatal(err)
		}
		b = tuid.ReplaceAll(b, nil)
		want = slices.DeleteFunc(want, func(w []byte) bool { return bytes.Equal(w, b) })
		if err := os.Remove(path); err != nil {
			s.Fatal(err)
		}
	}
	seenPath := s.paths("mail/INBOX/cur/*", "mail/INBOX/new/*")[0]
	seenText, err := os.ReadFile(seenPath)
	if err != nil {
		s.Fatal(err)
	}
	base, _, _ := strings.Cut(filepath.Base(seenPath), ":")
	if err := os.Rename(seenPath, filepath.Join(mail, "INBOX", "cur", base+":2,RS")); err != nil {
		s.Fatal(err)
	}
	var written [][]byte
	for _, sub := range []string{"cur", "new", "tmp"} {
		s.mkdir("mail/Made here/" + sub)
	}
	for i := range 60 {
		text := fmt.Sprintf("Subject: written %d\nMessage-ID: <w%d@example.org>\n\n%s", i, i, strings.Repeat(fmt.Sprintln("line", i), 200))
		s.file(fmt.Sprintf("mail/Made here/new/%d.here.host", i), text)
		written = append(written, []byte(text))
	}
	held = s.relay.hold(3000)
	p = s.start("mbsync", "-c", rc, "-a")
	s.middle(held, p)
	s.failed(p)
	sync()
	_, inbox := s.look("INBOX")
	s.same("INBOX on the server", unix(inbox), want)
	for _, m := range inbox {
		if bytes.Equal(lf(m.Raw), tuid.ReplaceAll(seenText, nil)) && !slices.Contains(m.Flags, `\Answered`) {
			s.Errorf("flags set here did not arrive: %v", m.Flags)
		}
	}
	_, made := s.look("Made here")
	there := unix(made)
	for i := range there {
		there[i] = tuid.ReplaceAll(there[i], nil)
	}
	s.same("Made here on the server", there, written)
	s.same("Made here", local("Made here"), written)

	// And once more: nothing is left to do.
	before := s.names("mail")
	sync()
	if after := s.names("mail"); after != before {
		s.Errorf("mbsync still changes something:\n%s\n---\n%s", before, after)
	}
}

// flaggedFiles counts the files with this message in INBOX that carry a flag
// of Maildirs.
func flaggedFiles(s *seat, raw []byte, flag string) int {
	n := 0
	for _, path := range s.paths("mail/INBOX/cur/*") {
		b, err := os.ReadFile(path)
		if err != nil {
			s.Fatal(err)
		}
		_, flags, _ := strings.Cut(filepath.Base(path), ":2,")
		if bytes.Equal(tuid.ReplaceAll(b, nil), lf(raw)) && strings.Contains(flags, flag) {
			n++
		}
	}
	return n
}

// names are the names of all mail below a directory, which hold the flags.
func (s *seat) names(dir string) string {
	s.Helper()
	var b strings.Builder
	err := filepath.WalkDir(filepath.Join(s.dir, dir), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(d.Name(), ".") {
			fmt.Fprintln(&b, strings.TrimPrefix(path, s.dir))
		}
		return err
	})
	if err != nil {
		s.Fatal(err)
	}
	return b.String()
}
