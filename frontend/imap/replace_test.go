package imap

import (
	"errors"
	"strings"
	"testing"

	"altmail.se/altmail/cluster"
)

// TestReplaceWhole: whatever becomes of the answer, both halves of a REPLACE
// happened or none.
func TestReplaceWhole(t *testing.T) {
	k := newKitWith(t, impatient, nil)
	k.deliver("Drafts", "Subject: old\r\n\r\n")
	c := k.login("alice")
	c.ok("SELECT Drafts")
	g := k.stack.Solo(k.stack.Open(k.alice).Group())
	const replace = "UID REPLACE 1 Drafts {16+}\r\nSubject: new\r\n\r\n"
	state := func() string {
		t.Helper()
		d := k.login("alice")
		defer d.conn.Close()
		d.ok("EXAMINE Drafts")
		return strings.Join(d.ok("UID FETCH 1:* (UID BODY.PEEK[])"), "\n")
	}
	before := state()

	g.Before(func(cluster.Proposal) error { return cluster.ErrUnavailable })
	c.gets(replace, "NO [UNAVAILABLE]")
	g.Before(nil)
	if got := state(); got != before {
		t.Errorf("after a refusal: %s", got)
	}

	g.After(func(cluster.Proposal) error { return errors.Join(cluster.ErrUnavailable, errors.New("lost")) })
	lines := c.gets(replace, "NO [UNAVAILABLE]")
	g.After(nil)
	if got := state(); !strings.Contains(got, "UID 2") || strings.Contains(got, "UID 1 ") || !strings.Contains(got, "new") {
		t.Errorf("after a lost answer: %s", got)
	}
	// The client is told what happened.
	lines = append(lines, c.ok("NOOP")...)
	if len(lines) < 2 || lines[0] != "* 1 EXPUNGE" || lines[1] != "* 1 EXISTS" {
		t.Errorf("%q", lines)
	}
}
