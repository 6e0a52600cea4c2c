package imap

import (
	"os"
	"strings"
	"testing"
)

// TestReadme: README.md says of each capability whether the server announces
// it, and leaves none out.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "\n## Which IMAP\n")
	if !ok {
		t.Fatal("no section")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	said := map[string]string{}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 8 || strings.HasPrefix(cells[1], "-") {
			continue
		}
		names, _, _ := strings.Cut(cells[1], " (")
		for name := range strings.SplitSeq(names, ",") {
			if name = strings.TrimSpace(name); name == "" {
				continue
			}
			if said[name] != "" {
				t.Errorf("%s is there twice", name)
			}
			said[name] = strings.TrimSpace(cells[2])
		}
	}
	if len(said) < 55 {
		t.Fatalf("%d capabilities are in the table", len(said))
	}
	k := newKit(t, nil)
	c := k.dial()
	announced := map[string]bool{}
	gather := func() {
		for _, l := range c.ok("CAPABILITY") {
			for _, name := range strings.Fields(strings.TrimPrefix(l, "* CAPABILITY ")) {
				// The value behind these is the server's own.
				if base, _, ok := strings.Cut(name, "="); base == "APPENDLIMIT" || base == "MESSAGELIMIT" || base == "RIGHTS" || base == "AUTH" && ok {
					name = base
				}
				announced[name] = true
			}
		}
	}
	c.line()
	gather()
	c.ok("LOGIN alice@example.org secret")
	gather()
	for _, how := range []string{"AUTH", "STARTTLS", "LOGINDISABLED"} {
		delete(announced, how) // of the connection, not of IMAP
	}
	delete(announced, "RIGHTS") // how ACL is meant
	for name, how := range said {
		switch {
		case how != "yes" && how != "chosen" && how != "–":
			t.Errorf("%s: %q", name, how)
		case how == "yes" && !announced[name]:
			t.Errorf("%s is not announced", name)
		case how != "yes" && announced[name]:
			t.Errorf("%s is announced", name)
		}
		delete(announced, name)
	}
	for name := range announced {
		t.Errorf("%s is not in the table", name)
	}
}
