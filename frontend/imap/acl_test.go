package imap

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"altmail.se/altmail/cluster"
)

// What is about others' mailboxes is looked at for the patterns that may be.
func TestMayBeOther(t *testing.T) {
	for pat, want := range map[string]bool{
		"*": true, "%": true, "O*": true, "Other Users": true, "Other Users/%": true, "Other Users/a@b/*": true, "Other%": true, "Other Users*": true,
		"": false, "INBOX": false, "INBOX*": false, "Other": false, "Others*": false, "other*": false, "Other Users2": false, "Sent/%": false,
	} {
		if got := mayBeOther(pat); got != want {
			t.Errorf("%q: %v", pat, got)
		}
		if !want && (matchPattern(pat, "Other Users") || matchPattern(pat, "Other Users/a@b/INBOX")) {
			t.Errorf("%q matches", pat)
		}
	}
}

// An address may look like levels of a name.
func TestSharedNames(t *testing.T) {
	k := newKit(t, nil)
	for _, u := range []string{"a/b@example.org", "c.d@sub.example.org"} {
		k.auth.ids[u] = k.stack.AddAccount(u, "secret")
	}
	bob := k.login("bob")
	for _, u := range []string{"a/b@example.org", "c.d@sub.example.org"} {
		c := k.dial()
		c.line()
		c.ok("LOGIN " + u + " secret")
		c.ok("CREATE x/y")
		c.ok("SETACL x/y bob@example.org lr")
		bob.ok(`SELECT "Other Users/` + u + `/x/y"`)
		if lines := bob.ok(`LIST "" "Other Users/` + u + `/*"`); len(lines) != 2 || !strings.HasSuffix(lines[1], `"Other Users/`+u+`/x/y"`) {
			t.Errorf("%q", lines)
		}
	}
	for _, name := range []string{"", "@", "a@", "@example.org", "a/b@example.org", "a/b@example.org/", "a/b@example.org//y", "x/y", "a b@c d/e"} {
		bob.gets(`SELECT "Other Users/`+name+`"`, "NO [NONEXISTENT]")
	}
}

// subjects returns what a mailbox has.
func (c *client) subjects(box string) []string {
	c.t.Helper()
	c.ok(`EXAMINE "` + box + `"`)
	var out []string
	for _, l := range c.ok("UID FETCH 1:* (FLAGS BODY.PEEK[])") {
		if _, text, ok := strings.Cut(l, "Subject: "); ok {
			out = append(out, strings.TrimSuffix(strings.ReplaceAll(text, "\r\n", " "), " )"))
		}
	}
	slices.Sort(out)
	c.ok("UNSELECT")
	return out
}

const teamOfAlice = "Other Users/alice@example.org/Team"

// shareTeam gives bob rights on a mailbox of alice.
func (k *kit) shareTeam(rights string) (alice, bob *client) {
	k.t.Helper()
	alice, bob = k.login("alice"), k.login("bob")
	alice.ok("CREATE Team")
	alice.ok("SETACL Team bob@example.org " + rights)
	return alice, bob
}

func (c *client) fill(box string, n int) {
	c.t.Helper()
	var cmd strings.Builder
	fmt.Fprintf(&cmd, `APPEND "%s"`, box)
	for i := range n {
		msg := fmt.Sprintf("Subject: number %03d\r\n\r\nText of %d\r\n", i, i)
		fmt.Fprintf(&cmd, " {%d+}\r\n%s", len(msg), msg)
	}
	c.ok(cmd.String())
}

// Copies to another account are whole, in as many steps as it takes; a COPY that
// does not end is undone, a MOVE that does not end has every message in one
// place.
func TestAcross(t *testing.T) {
	k := newKit(t, nil)
	alice, bob := k.shareTeam("lrswite")
	const n = 2*acrossMessages + 50
	bob.fill("INBOX", n)
	all := bob.subjects("INBOX")
	if len(all) != n {
		t.Fatal(len(all))
	}
	bob.ok("SELECT INBOX")
	bob.ok(`COPY 1:* "` + teamOfAlice + `"`)
	if got := alice.subjects("Team"); !slices.Equal(got, all) {
		t.Errorf("copied %d of %d", len(got), n)
	}
	// Room for one step and a half.
	k.option(fmt.Sprintf("quota 0 %d", n+acrossMessages*3/2))
	bob.gets(`COPY 1:* "`+teamOfAlice+`"`, "NO [OVERQUOTA]")
	if got := alice.subjects("Team"); !slices.Equal(got, all) {
		t.Errorf("after a COPY that failed there are %d of %d", len(got), n)
	}
	lines, tagged := bob.do(`MOVE 1:* "` + teamOfAlice + `"`)
	if !strings.HasPrefix(tagged, "NO [OVERQUOTA]") || !strings.Contains(lines[0], "COPYUID") {
		t.Errorf("%s; %q", tagged, lines[:1])
	}
	if gone := len(slices.DeleteFunc(lines, func(l string) bool { return !strings.HasSuffix(l, " EXPUNGE") })); gone != acrossMessages {
		t.Errorf("%d were moved", gone)
	}
	rest := bob.subjects("INBOX")
	if got := append(alice.subjects("Team"), rest...); len(rest) != n-acrossMessages || len(got) != 2*n {
		t.Errorf("%d are left, %d there are in both", len(rest), len(got))
	}
	k.option("quota 0 0")

	// Out of it, with all that it has.
	alice.ok("SELECT Team")
	alice.ok("STORE 1 FLAGS (\\Flagged \\Seen word)")
	bob.ok(`SELECT "` + teamOfAlice + `"`)
	bob.ok("CREATE Kept")
	bob.ok("UID MOVE 1 Kept")
	bob.ok("SELECT Kept")
	if l := bob.ok("FETCH 1 (FLAGS BODY.PEEK[] RFC822.SIZE)"); len(l) != 1 || !strings.Contains(l[0], `FLAGS (\Flagged \Seen word`) || !strings.Contains(l[0], "number 000\r\n\r\nText of 0\r\n") {
		t.Errorf("%q", l)
	}
	// Rights that are gone by the time: nothing is moved, nothing doubled.
	bob.ok(`SELECT "` + teamOfAlice + `"`)
	alice.ok("SETACL Team bob@example.org -e")
	bob.gets("MOVE 1:5 Kept", "NO [NOPERM]")
	bob.gets(`REPLACE 1 Kept {7+}`+"\r\nA: b\r\n\r", "NO [CANNOT]")
	if got := bob.subjects("Kept"); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// A client that synchronises sees another's mailbox as it does its own.
func TestSharedSync(t *testing.T) {
	k := newKit(t, nil)
	alice, bob := k.shareTeam("lrs")
	alice.fill("Team", 5)
	bob.ok("ENABLE QRESYNC")
	var validity, modseq string
	for _, l := range bob.ok(`SELECT "` + teamOfAlice + `"`) {
		if m := toldValidity.FindStringSubmatch(l); m != nil {
			validity = m[1]
		}
		if _, rest, ok := strings.Cut(l, "[HIGHESTMODSEQ "); ok {
			modseq, _, _ = strings.Cut(rest, "]")
		}
	}
	bob.ok("UNSELECT")
	alice.ok("SELECT Team")
	alice.ok("STORE 2,4 +FLAGS (\\Deleted)")
	alice.ok("EXPUNGE")
	alice.ok("STORE 1 +FLAGS (\\Flagged)")
	lines := bob.ok(fmt.Sprintf(`SELECT "%s" (QRESYNC (%s %s))`, teamOfAlice, validity, modseq))
	if !slices.Contains(lines, "* VANISHED (EARLIER) 2,4") || !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, "FETCH (UID 1 FLAGS (\\Flagged") }) {
		t.Errorf("%q", lines)
	}
	alice.ok("STORE 3 +FLAGS (\\Deleted)")
	alice.ok("EXPUNGE")
	if lines := bob.ok("NOOP"); !slices.Contains(lines, "* VANISHED 5") {
		t.Errorf("%q", lines)
	}
	// The text of its messages is found, that of the owner's others is not.
	k.deliver("INBOX", "Subject: hidden\r\n\r\nunspeakable\r\n")
	for cmd, want := range map[string]string{
		`UID SEARCH BODY "Text of 2"`: "* SEARCH 3", `UID SEARCH TEXT number`: "* SEARCH 1 3",
		`UID SEARCH TEXT unspeakable`: "* SEARCH", `UID SEARCH FUZZY BODY unspeakable`: "* SEARCH",
	} {
		if lines := bob.ok(cmd); !slices.Contains(lines, want) {
			t.Errorf("%s: %q", cmd, lines)
		}
	}
	// The parts of a message of it may go into another.
	bob.ok("APPEND INBOX CATENATE (URL \"/Other%20Users/alice%40example.org/Team/;UID=1\")")
	bob.gets("APPEND INBOX CATENATE (URL \"/Other%20Users/alice%40example.org/INBOX/;UID=1\")", "NO [BADURL")
	// NOTIFY is about the selected one whose ever it is.
	bob.ok("NOTIFY SET (selected (MessageNew (UID BODY.PEEK[TEXT]) MessageExpunge))")
	alice.fill("Team", 1)
	for !strings.Contains(bob.line(), "Text of 0") {
	}
	bob.ok("NOOP")
}

// What cannot be known is not answered.
func TestSharedUnavailable(t *testing.T) {
	k := newKitWith(t, impatient, func(c *Config) { c.StaleReads = true })
	_, bob := k.shareTeam("lr")
	group := k.stack.Open(k.alice).Group()
	if group == k.stack.Open(k.auth.ids["bob@example.org"]).Group() {
		t.Fatal("both are in one group")
	}
	bob.ok(`SELECT "` + teamOfAlice + `"`)
	k.stack.Solo(group).Unavailable(true)
	bob.ok("NOOP") // what is open stays
	for _, cmd := range []string{
		`LIST "" *`, `LSUB "" *`, `STATUS "` + teamOfAlice + `" (MESSAGES)`, `MYRIGHTS "` + teamOfAlice + `"`, `GETACL "` + teamOfAlice + `"`,
		`APPEND "` + teamOfAlice + `" {1+}` + "\r\nx", `CREATE "` + teamOfAlice + `/x"`, `DELETE "` + teamOfAlice + `"`, `SELECT "` + teamOfAlice + `"`,
	} {
		bob.gets(cmd, "NO [UNAVAILABLE]")
	}
	bob.ok(`LIST "" INBOX`)
	bob.ok("SELECT INBOX")
	k.stack.Solo(group).Unavailable(false)
	k.stack.Solo(cluster.Directory).Unavailable(true)
	bob.gets(`LIST "" *`, "NO [UNAVAILABLE]")
	bob.gets(`SELECT "Other Users/nobody@example.org/x"`, "NO [UNAVAILABLE]")
	bob.ok(`SELECT "` + teamOfAlice + `"`)
	k.stack.Solo(cluster.Directory).Unavailable(false)
}

// An owner that is closed or suspended.
func TestOwnerGoes(t *testing.T) {
	k := newKit(t, nil)
	alice, bob := k.shareTeam("lrswi")
	alice.fill("Team", 1)
	bob.ok(`SELECT "` + teamOfAlice + `"`)
	if err := k.stack.Commit.SuspendAccount(t.Context(), k.alice); err != nil {
		t.Fatal(err)
	}
	bob.ok("FETCH 1 BODY.PEEK[]")
	bob.gets("STORE 1 +FLAGS (\\Flagged)", "NO [NOPERM]")
	if err := k.stack.Commit.ResumeAccount(t.Context(), k.alice); err != nil {
		t.Fatal(err)
	}
	bob.ok("STORE 1 +FLAGS (\\Flagged)")
	if err := k.stack.Commit.CloseAccount(t.Context(), k.alice); err != nil {
		t.Fatal(err)
	}
	for s := ""; !strings.HasPrefix(s, "* BYE"); s = bob.line() {
		if s == "" {
			bob.send("x NOOP\r\n")
		}
	}
	bob = k.login("bob")
	if lines := bob.ok(`LIST "" "Other*"`); len(lines) != 0 {
		t.Errorf("%q", lines)
	}
	bob.gets(`SELECT "`+teamOfAlice+`"`, "NO [NONEXISTENT]")
}
