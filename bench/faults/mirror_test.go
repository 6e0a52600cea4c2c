//go:build e2e

package faults

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"
)

// mirror is an mbsync channel between a node and a Maildir.
type mirror struct {
	dir, rc string
}

func newMirror(t *testing.T, c *Cluster, n *Node) *mirror {
	t.Helper()
	need(t, "mbsync")
	dir := t.TempDir()
	host, port, err := net.SplitHostPort(n.IMAPS)
	if err != nil {
		t.Fatal(err)
	}
	rc := filepath.Join(dir, "mbsyncrc")
	text := fmt.Sprintf(`IMAPAccount altmail
Host %s
Port %s
User %s
Pass %s
SSLType IMAPS
CertificateFile %s
Timeout 15

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
`, host, port, c.Account.Address, c.Account.Password, certificate(t, n, dir), filepath.Join(dir, "mail"), filepath.Join(dir, "mail"))
	if err := os.MkdirAll(filepath.Join(dir, "mail"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &mirror{dir: dir, rc: rc}
}

// need fails the test when a client is not installed: a missing client is no
// reason to skip.
func need(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is not installed: %v", name, err)
	}
}

// certificate writes the node's IMAP certificate as PEM and returns the path.
func certificate(t *testing.T, n *Node, dir string) string {
	t.Helper()
	c, err := tls.Dial("tcp", n.IMAPS, &tls.Config{InsecureSkipVerify: true}) // to learn it
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	path := filepath.Join(dir, n.Name+".pem")
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ConnectionState().PeerCertificates[0].Raw})
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (m *mirror) run(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "mbsync", "-c", m.rc, "-a").CombinedOutput()
	if err != nil {
		return fmt.Errorf("mbsync: %w\n%s", err, out)
	}
	for line := range strings.SplitSeq(string(out), "\n") {
		// A new Maildir gets its first one with a notice.
		if strings.Contains(line, "UIDVALIDITY") && !strings.Contains(line, "creating new") {
			return fmt.Errorf("mbsync complains: %s", line)
		}
	}
	return nil
}

// files lists the messages of a mailbox in the mirror.
func (m *mirror) files(t *testing.T, box string) []string {
	t.Helper()
	var out []string
	for _, sub := range []string{"cur", "new"} {
		got, err := filepath.Glob(filepath.Join(m.dir, "mail", box, sub, "*"))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, got...)
	}
	sort.Strings(out)
	return out
}

// snapshot is a fingerprint of all local mail, names (flags) and contents.
func (m *mirror) snapshot(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(filepath.Join(m.dir, "mail"), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(m.dir, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %x\n", rel, sha256.Sum256(data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
