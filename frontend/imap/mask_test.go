package imap

import (
	"context"
	"slices"
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	k := newKit(t, nil)
	set := func(caps ...string) {
		t.Helper()
		if err := k.stack.Commit.SetMask(context.Background(), k.alice, caps); err != nil {
			t.Fatal(err)
		}
	}
	caps := func(user string) []string {
		t.Helper()
		c := k.login(user)
		defer c.conn.Close()
		return strings.Fields(c.ok("CAPABILITY")[0])[2:]
	}
	all := caps("alice")
	without := func(gone ...string) {
		t.Helper()
		want := slices.DeleteFunc(slices.Clone(all), func(c string) bool { return slices.Contains(gone, c) })
		if got := caps("alice"); !slices.Equal(got, want) || len(want) != len(all)-len(gone) {
			t.Errorf("%q, want %q", got, want)
		}
	}
	set("qresync")
	without("QRESYNC")
	set("CONDSTORE")
	without("CONDSTORE", "QRESYNC")
	// What IMAP4rev2 implies cannot be masked in it.
	set("MOVE", "X-UNKNOWN")
	without("MOVE", "IMAP4rev2")
	set("IMAP4rev2", "IMAP4rev1")
	without("IMAP4rev2")
	set("ACL")
	without("ACL", "RIGHTS=kxte", "LIST-MYRIGHTS")
	set("QUOTA", "NOTIFY")
	without("QUOTA", "QUOTA=RES-STORAGE", "QUOTA=RES-MESSAGE", "NOTIFY")
	// Of literals one capability is announced, unless both are masked.
	set("LITERAL+")
	if got := caps("alice"); !slices.Contains(got, "LITERAL-") || slices.Contains(got, "LITERAL+") || !slices.Contains(got, "IMAP4rev2") || len(got) != len(all) {
		t.Errorf("%q", got)
	}
	set("LITERAL+", "LITERAL-")
	without("LITERAL+", "IMAP4rev2")
	set("APPENDLIMIT", "SPECIAL-USE")
	without("APPENDLIMIT=67108864", "SPECIAL-USE", "CREATE-SPECIAL-USE", "IMAP4rev2")
	if got := caps("bob"); !slices.Equal(got, all) {
		t.Errorf("another account: %q", got)
	}

	// What is masked cannot be enabled.
	set("QRESYNC", "MOVE")
	c := k.login("alice")
	if lines := c.ok("ENABLE QRESYNC IMAP4rev2 CONDSTORE"); !slices.Equal(lines, []string{"* ENABLED CONDSTORE"}) {
		t.Errorf("%q", lines)
	}
	// A session keeps what it was told; the login tells too.
	set()
	if lines := c.ok("CAPABILITY"); strings.Contains(lines[0], "QRESYNC") {
		t.Errorf("%q", lines)
	}
	_, tagged := c.do("UNAUTHENTICATE")
	if !strings.Contains(tagged, " IMAP4rev2 ") {
		t.Error(tagged)
	}
	if _, tagged = c.do("LOGIN alice@example.org secret"); !strings.Contains(tagged, " QRESYNC ") {
		t.Error(tagged)
	}
	without()
}
