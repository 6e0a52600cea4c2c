package lookup

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"altmail.se/altmail/mailstore"
)

func TestCleanName(t *testing.T) {
	long := strings.Repeat("x", MaxNameLevel)
	for _, tc := range []struct{ in, want string }{ // want "": refused
		{"INBOX", "INBOX"}, {"inbox", "INBOX"}, {"iNbOx/Child", "INBOX/Child"}, {"inboxes", "inboxes"},
		{"inbox ", "inbox "}, {"a/inbox", "a/inbox"}, {"INBOX/inbox", "INBOX/inbox"},
		{"Sent", "Sent"}, {"sent", "sent"}, {"a/b/c", "a/b/c"}, {"50%", "50%"}, {"*", "*"}, {"a&b", "a&b"},
		{"A\u030angstro\u0308m", "\u00c5ngstr\u00f6m"}, {"台北", "台北"}, {"🦭", "🦭"}, {"\ufffd", "\ufffd"},
		{"", ""}, {"/", ""}, {"a/", ""}, {"/a", ""}, {"a//b", ""}, {"a\x00", ""}, {"a\x1f", ""}, {"\x7f", ""},
		{"\u0085", ""}, {"a\u2028b", ""}, {"\ufeffa", ""}, {"a\xff", ""}, {"\xc3", ""}, {"a\r\nb", ""}, {"\t", ""},
		{long, long}, {long + "/" + long, long + "/" + long}, {long + "x", ""}, {"a/" + long + "x", ""},
		{strings.Repeat("å", 128), ""}, {strings.Repeat(long+"/", 3) + long, ""},
		{strings.Repeat("a/", 63) + "a", strings.Repeat("a/", 63) + "a"}, {strings.Repeat("a/", 64) + "a", ""},
	} {
		got, err := CleanName(tc.in)
		if tc.want == "" {
			if !errors.Is(err, mailstore.ErrBadName) {
				t.Errorf("%.40q: %.40q, %v", tc.in, got, err)
			}
			if err != nil && len(tc.in) > 8 && strings.Contains(err.Error(), tc.in) {
				t.Errorf("the error tells the name: %v", err)
			}
			continue
		}
		if err != nil || got != tc.want {
			t.Errorf("%.40q: %.40q, %v", tc.in, got, err)
		}
	}
}

// A clean name stays as it is, whatever it was made from.
func TestCleanNameTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.StringOf(rapid.RuneFrom([]rune("iInNbBoOxX/aå\u0308A\u030a\x01台%é"))).Draw(t, "name")
		once, err := CleanName(in)
		if err != nil {
			return
		}
		if again, err := CleanName(once); err != nil || again != once {
			t.Fatalf("%q → %q → %q, %v", in, once, again, err)
		}
		ups := Superiors(once)
		if len(ups) != strings.Count(once, "/") {
			t.Fatalf("superiors of %q: %q", once, ups)
		}
		for _, up := range ups {
			if !Inferior(once, up) || Inferior(up, once) {
				t.Fatalf("%q is not below %q", once, up)
			}
			if clean, err := CleanName(up); err != nil || clean != up {
				t.Fatalf("superior %q is not clean: %v", up, err)
			}
		}
	})
}

func TestNameOrder(t *testing.T) {
	names := []string{"a b", "INBOX/z", "a", "Zoo", "a/b", "INBOX", "a!", "a/b/c"}
	slices.SortFunc(names, func(a, b string) int {
		if nameLess(a, b) {
			return -1
		}
		return 1
	})
	want := []string{"INBOX", "INBOX/z", "Zoo", "a", "a/b", "a/b/c", "a b", "a!"}
	if !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestCheckKeyword(t *testing.T) {
	for _, ok := range []string{"$Forwarded", "Junk", "a", "label:1", "x-é"[:2], strings.Repeat("k", MaxKeyword)} {
		if err := CheckKeyword(ok); err != nil {
			t.Errorf("%.20q: %v", ok, err)
		}
	}
	for _, bad := range []string{"", " ", "a b", `\Seen`, "a(", "a)", "{", "a%", "*", `"`, "]", "é", "\x7f", "a\r", strings.Repeat("k", MaxKeyword+1)} {
		if err := CheckKeyword(bad); !errors.Is(err, mailstore.ErrBadName) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestCleanAddress(t *testing.T) {
	for _, tc := range []struct{ local, domain, shown, key string }{ // shown "": refused
		{"Anna", "Example.SE", "Anna@example.se", "anna@example.se"},
		{"anna+tag", "example.se.", "anna+tag@example.se", "anna+tag@example.se"},
		{"ÅSA", "räksmörgås.se", "ÅSA@xn--rksmrgs-5wao1o.se", "åsa@xn--rksmrgs-5wao1o.se"},
		{"A\u030asa", "XN--rksmrgs-5wao1o.se", "Åsa@xn--rksmrgs-5wao1o.se", "åsa@xn--rksmrgs-5wao1o.se"},
		{"o'neil", "a_b.example", "o'neil@a_b.example", "o'neil@a_b.example"},
		{"", "example.se", "", ""}, {"a", "", "", ""}, {"a", "exa mple.se", "", ""}, {"a", "[127.0.0.1]", "", ""},
		{"a b", "example.se", "", ""}, {"a\n", "example.se", "", ""}, {"a\xff", "example.se", "", ""},
		{"a", "example..se", "", ""}, {"a", ".se", "", ""}, {"a", strings.Repeat("x", 64) + ".se", "", ""},
		{strings.Repeat("a", 65), "example.se", "", ""}, {"a", strings.Repeat("abc.", 64) + "se", "", ""},
	} {
		shown, key, err := CleanAddress(tc.local, tc.domain)
		if tc.shown == "" {
			if !errors.Is(err, mailstore.ErrNoAddress) {
				t.Errorf("%q@%q: %q, %v", tc.local, tc.domain, shown, err)
			}
			continue
		}
		if err != nil || shown != tc.shown || key != tc.key {
			t.Errorf("%q@%q: %q, %q, %v", tc.local, tc.domain, shown, key, err)
		}
	}
}

func TestSplitAddress(t *testing.T) {
	for in, want := range map[string][2]string{
		"a@b": {"a", "b"}, "a@b@c": {"a@b", "c"}, "@b": {}, "a@": {}, "": {}, "ab": {},
	} {
		local, domain, ok := SplitAddress(in)
		if ok != (want[0] != "") || local != want[0] || domain != want[1] {
			t.Errorf("%q: %q, %q, %v", in, local, domain, ok)
		}
	}
}

func FuzzCleanName(f *testing.F) {
	for _, s := range []string{"INBOX", "inbox/x", "a/b", "å", "\u0041\u030a", "/", "", "\xff", "%*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, err := CleanName(s)
		if err != nil {
			return
		}
		if again, err := CleanName(once); err != nil || again != once {
			t.Fatalf("%q → %q → %q, %v", s, once, again, err)
		}
	})
}
