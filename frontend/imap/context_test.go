package imap

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// expand turns a set of RFC 9051 into numbers, in its order.
func expand(t *testing.T, set string) (out []int) {
	t.Helper()
	if set == "" {
		return nil
	}
	for r := range strings.SplitSeq(set, ",") {
		a, b, ok := strings.Cut(r, ":")
		if !ok {
			b = a
		}
		first, err1 := strconv.Atoi(a)
		last, err2 := strconv.Atoi(b)
		if err1 != nil || err2 != nil {
			t.Fatal(set)
		}
		for n := first; n <= last; n++ {
			out = append(out, n)
		}
	}
	return out
}

var contextChange = regexp.MustCompile(`^\* ESEARCH \(TAG "(\w+)"\) UID (ADDTO|REMOVEFROM) \(([^)]*)\)$`)

// TestContextMirror: a client that only goes by what it is told of its
// contexts has what a new search finds, whatever another does.
func TestContextMirror(t *testing.T) {
	k := newKit(t, nil)
	a, b := k.login("alice"), k.login("alice")
	a.ok("SELECT INBOX")
	b.ok("SELECT INBOX")
	searches := map[string]string{
		"unseen":  "UID SEARCH RETURN (%s) UNSEEN",
		"flagged": "UID SEARCH RETURN (%s) FLAGGED SUBJECT x",
		"subject": "UID SORT RETURN (%s) (SUBJECT REVERSE SIZE) UTF-8 UNDELETED",
	}
	mirror := map[string][]int{}
	for tag, s := range searches {
		a.send(tag + " " + fmt.Sprintf(s, "UPDATE ALL") + "\r\n")
		if lines, s := a.until(tag); !strings.HasPrefix(s, "OK") || len(lines) != 1 {
			t.Fatal(lines, s)
		}
	}
	rnd := rand.New(rand.NewPCG(5267, 2))
	told := 0
	take := func(lines []string) {
		for _, l := range lines {
			m := contextChange.FindStringSubmatch(l)
			if m == nil {
				continue
			}
			told++
			list := mirror[m[1]]
			f := strings.Fields(m[3])
			for i := 0; i+1 < len(f); i += 2 {
				at, err := strconv.Atoi(f[i])
				if err != nil {
					t.Fatal(l)
				}
				for j, u := range expand(t, f[i+1]) {
					has := slices.Index(list, u)
					switch {
					case m[2] == "ADDTO" && has >= 0, m[2] == "REMOVEFROM" && (has < 0 || at > 0 && has != at-1):
						t.Fatalf("%s: has %v", l, list)
					case m[2] == "REMOVEFROM":
						list = slices.Delete(list, has, has+1)
					case at > 0:
						list = slices.Insert(list, at-1+j, u)
					default:
						list = append(list, u)
						slices.Sort(list)
					}
				}
			}
			mirror[m[1]] = list
		}
	}
	total := 0
	for range 150 {
		who := b
		if rnd.IntN(3) == 0 {
			who = a
		}
		var lines []string
		switch op := rnd.IntN(8); {
		case op < 3 || total == 0:
			raw := fmt.Sprintf("Subject: %s %d\r\n\r\n%s", strings.Repeat("x", rnd.IntN(2)), rnd.IntN(9), strings.Repeat("y", rnd.IntN(50)))
			lines = who.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(raw), raw))
			total++
		case op == 3:
			lines = who.ok("EXPUNGE")
		default:
			flag := []string{`\Seen`, `\Flagged`, `\Deleted`}[rnd.IntN(3)]
			u := 1 + rnd.IntN(total)
			lines = who.ok(fmt.Sprintf("UID STORE %d:%d %cFLAGS%s (%s)", u, u+rnd.IntN(3), "+-"[rnd.IntN(2)], []string{"", ".SILENT"}[rnd.IntN(2)], flag))
		}
		if who == a {
			take(lines)
		}
		b.ok("NOOP")
		take(a.ok("NOOP"))
		take(a.ok("NOOP"))
		for tag, s := range searches {
			lines := a.ok(fmt.Sprintf(s, "ALL"))
			_, set, _ := strings.Cut(lines[0], " ALL ")
			if got, want := mirror[tag], expand(t, set); !slices.Equal(got, want) {
				t.Fatalf("%s: told %v, there is %v", tag, got, want)
			}
		}
	}
	if told < 100 {
		t.Fatalf("told %d changes", told)
	}
}
