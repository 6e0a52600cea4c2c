package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/smtp"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// outside is a host with a repository, beside a cluster.
type outside struct {
	t    *testing.T
	exe  string
	dir  string
	repo string
	id   string // file of the age identity
	to   string
	rng  *rand.Rand
	sent int
}

func newOutside(t *testing.T) *outside {
	t.Helper()
	if testing.Short() {
		t.Skip("runs whole clusters")
	}
	dir := t.TempDir()
	me, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o := &outside{t: t, dir: dir, exe: filepath.Join(dir, "altmail"), repo: filepath.Join(dir, "repo"), id: filepath.Join(dir, "identity"), rng: rand.New(rand.NewPCG(1, 2))}
	o.must(os.Symlink(me, o.exe)) // TestMain makes it the command by its name
	id, err := age.GenerateX25519Identity()
	o.must(err)
	o.must(os.WriteFile(o.id, []byte(id.String()+"\n"), 0o600))
	o.to = id.Recipient().String()
	return o
}

func (o *outside) must(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// cluster starts nodes in a folder.
func (o *outside) demo(name string) *demo {
	o.t.Helper()
	d := &demo{
		e:   &env{ctx: o.t.Context(), stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard},
		exe: o.exe, dir: filepath.Join(o.dir, name), procs: map[string]*demoProc{},
	}
	o.t.Cleanup(d.stopAll)
	return d
}

// run runs the command and returns its output and exit code.
func (o *outside) run(args ...string) (string, int) {
	o.t.Helper()
	cmd := exec.Command(o.exe, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var ee *exec.ExitError
	if err != nil && !errors.As(err, &ee) {
		o.t.Fatal(err)
	}
	if err != nil {
		o.t.Logf("altmail %s: %v: %s", strings.Join(args[:2], " "), err, errs.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

func (o *outside) ok(args ...string) string {
	o.t.Helper()
	out, code := o.run(args...)
	if code != exitDone {
		o.t.Fatalf("altmail %s: exit code %d: %s", strings.Join(args, " "), code, out)
	}
	return out
}

func (o *outside) grant(d *demo, name string) (credential string) {
	o.t.Helper()
	credential = filepath.Join(o.dir, name+".json")
	o.ok("backup", "grant", name, "--config", d.info.Nodes[0].Config, "--recipient", o.to, "--out", credential)
	return credential
}

type pulled struct {
	Snapshot                            string
	Moved, Metadata, Lists, New, Bodies int64
}

func (o *outside) pull(credential string) (p pulled) {
	o.t.Helper()
	o.must(json.Unmarshal([]byte(o.ok("backup", "pull", "--json", "--credential", credential, "--repo", o.repo)), &p))
	return p
}

// deliver sends a message of random letters by SMTP, and returns its text.
func (o *outside) deliver(n *demoNode, to string, size int) {
	o.t.Helper()
	o.sent++
	text := make([]byte, size)
	for i := range text {
		if text[i] = 'a' + byte(o.rng.IntN(26)); i%70 == 69 {
			text[i] = '\n'
		}
	}
	msg := fmt.Sprintf("Subject: message %d\r\nMessage-ID: <%d@example.org>\r\n\r\n%s\r\n", o.sent, o.sent, strings.ReplaceAll(string(text), "\n", "\r\n"))
	c, err := smtp.Dial(n.SMTP)
	o.must(err)
	defer c.Close()
	o.must(c.Mail("you@example.org"))
	o.must(c.Rcpt(to))
	w, err := c.Data()
	o.must(err)
	_, err = io.WriteString(w, msg)
	o.must(err)
	o.must(w.Close())
	o.must(c.Quit())
}

func (o *outside) imap(n *demoNode, a demoAccount) *imapclient.Client {
	o.t.Helper()
	c, err := imapclient.DialTLS(n.IMAPS, &imapclient.Options{TLSConfig: &tls.Config{InsecureSkipVerify: true}})
	o.must(err)
	o.must(c.Login(a.Address, a.Password).Wait())
	return c
}

// mail is what a client sees of an account: a line a message, and one a
// mailbox.
func (o *outside) mail(n *demoNode, a demoAccount) (messages, boxes map[string]string) {
	o.t.Helper()
	c := o.imap(n, a)
	defer c.Close()
	messages, boxes = map[string]string{}, map[string]string{}
	list, err := c.List("", "*", nil).Collect()
	o.must(err)
	for _, l := range list {
		s, err := c.Select(l.Mailbox, &imap.SelectOptions{ReadOnly: true}).Wait()
		o.must(err)
		boxes[l.Mailbox] = fmt.Sprint(s.UIDValidity)
		if s.NumMessages == 0 {
			continue
		}
		whole := &imap.FetchItemBodySection{Peek: true}
		ms, err := c.Fetch(imap.SeqSet{{Start: 1, Stop: 0}}, &imap.FetchOptions{
			UID: true, Flags: true, InternalDate: true, RFC822Size: true, BodySection: []*imap.FetchItemBodySection{whole},
		}).Collect()
		o.must(err)
		for _, m := range ms {
			var flags []string
			for _, f := range m.Flags {
				if f != "\\Recent" {
					flags = append(flags, string(f))
				}
			}
			slices.Sort(flags)
			messages[fmt.Sprintf("%s/%d", l.Mailbox, m.UID)] = fmt.Sprintf("%v %s %d %x", flags, m.InternalDate.UTC(), m.RFC822Size, sha256.Sum256(m.FindBodySection(whole)))
		}
	}
	return messages, boxes
}

// crash ends every node of a cluster at once and takes its disks away.
func (o *outside) destroy(d *demo) {
	o.t.Helper()
	for _, n := range d.info.Nodes {
		if pid, ok := lockHolder(n.DataDir); ok {
			o.must(syscall.Kill(pid, syscall.SIGKILL))
		}
	}
	for _, p := range d.procs {
		<-p.done
	}
	o.must(os.RemoveAll(d.dir))
}

// restored makes a cluster out of the repository.
func (o *outside) restored(name string, args ...string) *demo {
	o.t.Helper()
	d := o.demo(name)
	var ports portList
	defer ports.release()
	for i := range 3 {
		n, err := d.configure(fmt.Sprintf("new%d", i+1), &ports)
		o.must(err)
		d.info.Nodes = append(d.info.Nodes, n)
	}
	ports.release()
	first := d.info.Nodes[0]
	restore := append([]string{"backup", "restore", "--config", first.Config, "--repo", o.repo, "--identity", o.id}, args...)
	o.t.Log(o.ok(restore...))
	if _, code := o.run(restore...); code != exitNotAllowed {
		o.t.Errorf("restoring over what was restored: exit code %d", code)
	}
	for i, n := range d.info.Nodes {
		o.must(d.enter(i, n))
		if i == 0 {
			o.must(d.waitHealthy(1, patience))
		}
	}
	o.must(d.waitHealthy(3, 2*patience))
	return d
}

// TestBackup is the story of a cluster that is lost: pulled, pulled again,
// destroyed, restored into new nodes; a client that was in sync goes on.
func TestBackup(t *testing.T) {
	o := newOutside(t)
	d := o.demo("a")
	o.must(d.start(3))
	acc := d.info.Account
	for i := range 120 {
		o.deliver(d.info.Nodes[i%3], acc.Address, 300+o.rng.IntN(5000))
	}
	c := o.imap(d.info.Nodes[1], acc)
	o.must(c.Create("Kept", nil).Wait())
	_, err := c.Select("INBOX", nil).Wait()
	o.must(err)
	var uids imap.UIDSet
	uids.AddRange(10, 20)
	o.must(c.Store(uids, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen, imap.FlagFlagged, "$Work"}}, nil).Close())
	_, err = c.Copy(uids, "Kept").Wait()
	o.must(err)
	var gone imap.UIDSet
	gone.AddRange(1, 5)
	o.must(c.Store(gone, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	o.must(c.Expunge().Close())
	o.must(c.Close())

	cred := o.grant(d, "outside")
	if _, code := o.run("backup", "grant", "outside", "--config", d.info.Nodes[1].Config, "--recipient", o.to, "--out", filepath.Join(o.dir, "second")); code != exitData {
		t.Errorf("a second grant of that name: exit code %d", code)
	}
	if _, err := os.Stat(filepath.Join(o.dir, "second")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused grant left its file behind (%v)", err)
	}
	o.killPulls(cred, 8)
	first := o.pull(cred)

	for i := range 40 {
		o.deliver(d.info.Nodes[i%3], acc.Address, 30_000)
	}
	next := o.pull(cred)
	all := next.New + next.Metadata + next.Lists
	t.Logf("first %+v; then %d bytes of new bodies, %d of metadata: %d moved (%.3f)", first, next.New, next.Metadata+next.Lists, next.Moved, float64(next.Moved)/float64(all))
	if next.Bodies != 40 || float64(next.Moved) > 1.1*float64(all) {
		t.Errorf("the second pull: %+v", next)
	}
	if out := o.ok("backup", "verify", "--read-data", "--repo", o.repo); !strings.Contains(out, "0 files damaged") {
		t.Error(out)
	}
	near := o.mbsync("first", d.info.Nodes[0], acc)
	messages, boxes := o.mail(d.info.Nodes[2], acc)
	if len(messages) != 115+11+40 {
		t.Fatalf("%d messages", len(messages))
	}
	o.destroy(d)

	r := o.restored("b")
	r.info.Account = acc
	gotMessages, gotBoxes := o.mail(r.info.Nodes[2], acc)
	if !maps.Equal(gotMessages, messages) {
		t.Fatalf("%d messages instead of %d, or others", len(gotMessages), len(messages))
	}
	if !maps.Equal(gotBoxes, boxes) {
		t.Fatalf("UIDVALIDITY: %v, was %v", gotBoxes, boxes)
	}
	if now := o.mbsync("after", r.info.Nodes[1], acc); !maps.Equal(now, near) {
		t.Errorf("mbsync had %d files, then %d", len(near), len(now))
	}
	o.deliver(r.info.Nodes[1], acc.Address, 100)
	after, _ := o.mail(r.info.Nodes[0], acc)
	for k := range after {
		if _, old := messages[k]; old {
			continue
		}
		var uid uint32
		if _, err := fmt.Sscanf(k, "INBOX/%d", &uid); err != nil || uid < 1<<20 {
			t.Errorf("the new message is %s (%v)", k, err)
		}
	}
	if len(after) != len(messages)+1 {
		t.Errorf("%d messages, then %d", len(messages), len(after))
	}
	if now := o.mbsync("new", r.info.Nodes[1], acc); len(now) != len(near)+1 && len(near) > 0 {
		t.Errorf("mbsync had %d files, then %d", len(near), len(now))
	}
	// The old credential is of the lost cluster; a new one goes on in the same
	// repository.
	if _, code := o.run("backup", "pull", "--credential", cred, "--repo", o.repo); code == exitDone {
		t.Error("the credential of the lost cluster pulled")
	}
	if p := o.pull(o.grant(r, "again")); p.Bodies != 1 {
		t.Errorf("after the restore: %+v", p)
	}
	o.messages(r, messages)
	o.ok("check", "--config", r.info.Nodes[0].Config, "--bodies")
}

// messages restores one mailbox, and one message, beside what is there.
func (o *outside) messages(d *demo, before map[string]string) {
	o.t.Helper()
	acc := d.info.Account
	args := func(more ...string) []string {
		return append([]string{"backup", "restore", "--config", d.info.Nodes[1].Config, "--repo", o.repo, "--identity", o.id, "--account", acc.Address}, more...)
	}
	o.t.Log(o.ok(args("--mailbox", "Kept", "--into", "Old")...))
	o.ok(args("--mailbox", "INBOX", "--uid", "12")...)
	for _, c := range []struct {
		what string
		code int
		args []string
	}{
		{"over messages", exitNotAllowed, args("--mailbox", "Kept", "--into", "Old")},
		{"a mailbox that was not", exitData, args("--mailbox", "Never")},
		{"a message that was not", exitData, args("--mailbox", "INBOX", "--uid", "3")},
		{"a UID without a mailbox", exitUsage, args("--uid", "3")},
		{"nobody", exitNoAccount, append(args()[:len(args())-1], "nobody@altmail.example")},
	} {
		if _, code := o.run(c.args...); code != c.code {
			o.t.Errorf("%s: exit code %d, want %d", c.what, code, c.code)
		}
	}
	now, boxes := o.mail(d.info.Nodes[2], acc)
	for i, uid := 1, 1; i <= 11; i, uid = i+1, uid+1 {
		got, want := now[fmt.Sprintf("Old/Kept/%d", i)], before[fmt.Sprintf("Kept/%d", uid)]
		if got == "" || got != want {
			o.t.Errorf("message %d of Kept is %q, was %q", i, got, want)
		}
	}
	one := 0
	for k, v := range now {
		if strings.HasPrefix(k, "Restored/") && strings.Contains(k, "/INBOX/") && v == before["INBOX/12"] {
			one++
		}
	}
	if one != 1 {
		o.t.Errorf("%d messages like INBOX/12 in %v", one, slices.Sorted(maps.Keys(boxes)))
	}
	o.ok(args("--mailbox", "Kept", "--into", "Old", "--accept-risk", "duplicate-messages")...)
}

// killPulls kills pullers at random points; the repository is valid each time.
func (o *outside) killPulls(cred string, n int) {
	o.t.Helper()
	for range n {
		cmd := exec.Command(o.exe, "backup", "pull", "--quiet", "--credential", cred, "--repo", o.repo)
		o.must(cmd.Start())
		after := time.NewTimer(time.Duration(5+o.rng.IntN(150)) * time.Millisecond)
		<-after.C
		o.must(cmd.Process.Kill())
		// Killed, or done just before.
		if err := cmd.Wait(); err != nil && cmd.ProcessState.ExitCode() != -1 {
			o.t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(o.repo, "repo")); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		o.ok("backup", "verify", "--read-data", "--repo", o.repo)
	}
}

// mbsync syncs into a Maildir and returns the files in it with their times, nil
// where mbsync is not installed.
func (o *outside) mbsync(step string, n *demoNode, a demoAccount) map[string]string {
	o.t.Helper()
	path, err := exec.LookPath("mbsync")
	if err != nil {
		o.t.Log("mbsync is not installed")
		return nil
	}
	host, port, err := net.SplitHostPort(n.IMAPS)
	o.must(err)
	home := filepath.Join(o.dir, "mbsync")
	o.must(os.MkdirAll(filepath.Join(home, "mail"), 0o700))
	cert := filepath.Join(home, step+".pem")
	o.must(os.WriteFile(cert, serverCertificate(o.t, n.IMAPS), 0o600))
	rc := fmt.Sprintf("IMAPAccount a\nHost %s\nPort %s\nUser %s\nPass %s\nSSLType IMAPS\nCertificateFile %s\nAuthMechs LOGIN\n\n"+
		"IMAPStore far\nAccount a\n\nMaildirStore near\nPath %s/mail/\nInbox %s/mail/INBOX\nSubFolders Verbatim\n\n"+
		"Channel all\nFar :far:\nNear :near:\nPatterns *\nCreate Near\nExpunge Both\nSyncState *\n", host, port, a.Address, a.Password, cert, home, home)
	o.must(os.WriteFile(filepath.Join(home, "rc"), []byte(rc), 0o600))
	ctx, cancel := context.WithTimeout(o.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "-c", filepath.Join(home, "rc"), "-a", "-V")
	cmd.Env = append(os.Environ(), "HOME="+home)
	out, err := cmd.CombinedOutput()
	if err != nil || step != "first" && bytes.Contains(out, []byte("UIDVALIDITY")) {
		o.t.Fatalf("mbsync, %s: %v: %s", step, err, out)
	}
	files := map[string]string{}
	o.must(filepath.WalkDir(filepath.Join(home, "mail"), func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			return err
		}
		st, err := e.Info()
		if err == nil {
			files[p] = st.ModTime().String()
		}
		return err
	}))
	return files
}

// serverCertificate returns what a listener shows, as PEM.
func serverCertificate(t *testing.T, addr string) []byte {
	t.Helper()
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return pemCertificate(c.ConnectionState().PeerCertificates[0].Raw)
}

func pemCertificate(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
