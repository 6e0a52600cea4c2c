//go:build e2e

package faults

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-smtp"
)

// canary returns a random word that nothing else contains.
func canary(r *rand.Rand, n int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

// secrets stores mail with known words in every place a cluster keeps, and
// returns the words.
func secrets(t *testing.T, c *Cluster) []Needle {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r := rand.New(rand.NewPCG(*seed, 3))
	word := func(what string) Needle { return Needle{what, []byte(canary(r, 20))} }
	subject, body, attached, box, keyword := word("subject"), word("body"), word("attachment"), word("mailbox name"), word("keyword")
	local, sender := word("address"), word("sender")
	// Random octets that compression can only store as they are: all values but
	// NUL, LF and CR. Of half of them it would make a Huffman code.
	noise := make([]byte, 4096)
	for i := range noise {
		for noise[i] == 0 || noise[i] == '\n' || noise[i] == '\r' {
			noise[i] = byte(r.IntN(256))
		}
	}
	needles := []Needle{subject, body, attached, box, keyword, local, sender, {"8-bit body", noise[1000:1040]},
		{"password", []byte(c.Account.Password)}}
	// Nothing a node writes is in clear, membership included.
	for _, n := range c.Nodes {
		addr, err := n.clusterAddr()
		if err != nil {
			t.Fatal(err)
		}
		needles = append(needles, Needle{"cluster address of " + n.Name, []byte(addr)})
	}

	addr := string(local.Bytes) + "@altmail.example"
	if _, _, err := c.CLI(ctx, c.Nodes[0], "address", "add", c.Account.Address, addr); err != nil {
		t.Fatal(err)
	}
	mail := fmt.Sprintf("From: %s@example.org\r\nTo: %s\r\nSubject: %s\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=xyz\r\n\r\n"+
		"--xyz\r\nContent-Type: text/plain\r\n\r\n%s\r\n%s\r\n--xyz\r\nContent-Type: application/octet-stream; name=%s.bin\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n--xyz--\r\n",
		sender.Bytes, addr, subject.Bytes, body.Bytes, strings.Repeat(string(body.Bytes)+" ", 50), attached.Bytes,
		base64.StdEncoding.EncodeToString(bytes.Repeat(append(attached.Bytes, ' '), 20)))
	for range 20 {
		if o, err := deliverFrom(c.Nodes[0].SMTP, string(sender.Bytes)+"@example.org", addr, []byte(mail)); o != Answered {
			t.Fatal(err)
		}
	}
	eight := append([]byte("Subject: eight\r\n\r\n"), noise...)
	eight = append(eight, "\r\n"...)

	cl, err := Dial(c.Nodes[1], c.Account)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.Create(string(box.Bytes), nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Append(cl, string(box.Bytes), eight); err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := cl.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.Flag(keyword.Bytes)}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Copy(imap.SeqSetNum(1, 2, 3), string(box.Bytes)).Wait(); err != nil {
		t.Fatal(err)
	}
	// A transaction that is never finished leaves its message under way.
	conn, err := net.Dial("tcp", c.Nodes[2].SMTP)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	sc := smtp.NewClient(conn)
	if err := sc.Mail(string(sender.Bytes)+"@example.org", nil); err != nil {
		t.Fatal(err)
	}
	if err := sc.Rcpt(addr, nil); err != nil {
		t.Fatal(err)
	}
	w, err := sc.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(mail)); err != nil {
		t.Fatal(err)
	}
	return needles
}

// settled waits until every replica has everything.
func settled(t *testing.T, c *Cluster) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.WaitHealthy(ctx, c.Nodes[0], len(c.Nodes)); err != nil {
		t.Fatal(err)
	}
	if err := c.Compare(ctx, c.Nodes[0]); err != nil {
		t.Fatal(err)
	}
}

// TestNoise looks for known words in the data directories of a cluster that
// runs and of the same cluster stopped.
func TestNoise(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c, err := Start(ctx, binary(t), dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	needles := secrets(t, c)
	settled(t, c)
	scan := func(when string) {
		for _, n := range c.Nodes {
			found, read, err := Scan(n.DataDir, needles)
			if err != nil {
				t.Fatal(err)
			}
			if read < 100_000 {
				t.Errorf("%s, %s: only %d bytes there: the scan proves little", when, n.Name, read)
			}
			for _, f := range found {
				t.Errorf("%s, %s: %s", when, n.Name, f)
			}
		}
	}
	scan("running")
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	scan("stopped")
}

// TestNoiseSeesUnsealed shows that the scan is not blind: a build that leaves
// out one seal is caught each time.
func TestNoiseSeesUnsealed(t *testing.T) {
	for _, tag := range []string{"unsealed_body", "unsealed_cryptfs", "unsealed_log"} {
		t.Run(tag, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			bin, err := Build(ctx, t.TempDir(), tag)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Start(ctx, bin, t.TempDir(), 3)
			if err != nil {
				t.Fatal(err)
			}
			needles := secrets(t, c)
			settled(t, c)
			if err := c.Stop(); err != nil {
				t.Fatal(err)
			}
			found, _, err := Scan(c.Nodes[0].DataDir, needles)
			if err != nil {
				t.Fatal(err)
			}
			if len(found) == 0 {
				t.Errorf("a build with %s is not caught", tag)
			}
		})
	}
}

// TestScan shows that each form of a needle is found.
func TestScan(t *testing.T) {
	dir := t.TempDir()
	needle := Needle{"word", []byte("quixoticzephyrword")}
	for _, f := range append(forms(needle), Needle{"an address", []byte("somebody@example.org")}) {
		if err := os.WriteFile(filepath.Join(dir, "x"), append([]byte{0, 1, 200}, f.Bytes...), 0o600); err != nil {
			t.Fatal(err)
		}
		found, _, err := Scan(dir, []Needle{needle})
		if err != nil || len(found) == 0 {
			t.Errorf("%s: not found (%v)", f.What, err)
		}
	}
}

// clusterAddr reads the address of the port between nodes from the node's
// configuration.
func (n *Node) clusterAddr() (string, error) {
	b, err := os.ReadFile(n.Config)
	if err != nil {
		return "", err
	}
	_, rest, ok := strings.Cut(string(b), "[cluster]")
	if !ok {
		return "", fmt.Errorf("%s: no [cluster]", n.Config)
	}
	i := strings.Index(rest, "127.0.0.1:")
	if i < 0 {
		return "", fmt.Errorf("%s: no cluster address", n.Config)
	}
	j := strings.IndexAny(rest[i:], "'\"")
	if j < 0 {
		return "", fmt.Errorf("%s: no cluster address", n.Config)
	}
	return rest[i : i+j], nil
}
