package imap

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// pipe is a net.Conn on the standard streams of a process.
type pipe struct {
	net.Conn // nil: deadlines are not for processes
	io.Reader
	io.WriteCloser
}

func (p pipe) Read(b []byte) (int, error)       { return p.Reader.Read(b) }
func (p pipe) Write(b []byte) (int, error)      { return p.WriteCloser.Write(b) }
func (p pipe) Close() error                     { return p.WriteCloser.Close() }
func (p pipe) SetReadDeadline(time.Time) error  { return nil }
func (p pipe) SetWriteDeadline(time.Time) error { return nil }

const dovecotIMAP = "/usr/lib/dovecot/imap"

// dovecot starts Debian's Dovecot, its IMAP process alone, logged in.
func dovecot(t *testing.T) *client { return newDovecot(t).dial() }

// dovecotHome is where a user of Dovecot has his mail.
type dovecotHome struct {
	t         *testing.T
	dir, conf string
}

func newDovecot(t *testing.T) *dovecotHome {
	t.Helper()
	if _, err := os.Stat(dovecotIMAP); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("no Dovecot here")
	}
	dir := t.TempDir()
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 65534, 65534 // it refuses to work for root
	}
	for d := dir; len(d) > len(os.TempDir()); d = filepath.Dir(d) {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "conf")
	text := fmt.Sprintf("log_path = %[1]s/log\nbase_dir = %[1]s\nmail_location = sdbox:%[1]s/mail\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n"+
		"mail_uid = %[2]d\nmail_gid = %[3]d\nnamespace inbox {\n  inbox = yes\n  separator = /\n}\n", dir, uid, gid)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return &dovecotHome{t: t, dir: dir, conf: conf}
}

// dial starts another process for the same mail.
func (d *dovecotHome) dial() *client {
	t := d.t
	t.Helper()
	cmd := exec.CommandContext(t.Context(), dovecotIMAP, "-c", d.conf)
	cmd.Env = []string{"HOME=" + d.dir, "USER=x", "TZ=UTC"}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &client{t: t, conn: pipe{Reader: out, WriteCloser: in}, log: func(string) {}}
	c.r = bufio.NewReader(out)
	t.Cleanup(func() {
		if err := in.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	if s := c.line(); !strings.HasPrefix(s, "* PREAUTH") {
		t.Fatal(s)
	}
	return c
}

// mailings makes messages that threads and sorts are hard to make of.
type mailings struct {
	*rand.Rand
	n int
}

func (g *mailings) one(of ...string) string { return of[g.IntN(len(of))] }

func (g *mailings) id(n int) string { return fmt.Sprintf("<%d.%d@example.org>", n, n*7919%1000) }

func (g *mailings) subject() string {
	base := g.one("supper", "Supper", "the quick brown fox", "äpfel", "Äpfel", "=?utf-8?q?=C3=A4pfel?=", "=?iso-8859-1?q?=E4pfel?=", "ﬁsh", "Zebra", "zoo",
		"", "a", "  spaced   out ", "[list] supper", "supper (fwd)", "10", "9", "é", "e\u0301", "Ελλάδα", "日本", "=?utf-8?b?0JTQvtCx?= =?utf-8?b?0YDRi9C5?=", strconv.Itoa(g.IntN(60)))
	for g.IntN(3) == 0 {
		base = g.one("Re: ", "RE: ", "Fwd: ", "fw: ", "Re[2]: ", "[x] ", "Re : ", "re:", "[a][b] Re: ") + base
	}
	switch g.IntN(12) {
	case 0:
		base = "[Fwd: " + base + "]"
	case 1:
		base += " (fwd)"
	}
	return base
}

func (g *mailings) address() string {
	return g.one("fred@example.org", "Fred <fred@example.org>", `"Fred, B." <FRED@example.org>`, "=?utf-8?q?=C3=85sa?= <asa@example.org>", "Åsa <aasa@example.org>",
		"zoe@example.org (Zoe)", "<anna@example.org>", "Friends: a@example.org, b@example.org;", "undisclosed-recipients:;", `"" <empty@example.org>`,
		`"=?utf-8?q?=C3=A5?=" <q@example.org>`, "b@example.org, a@example.org", fmt.Sprintf("u%d@example.org", g.IntN(50)), "Älg <alg@example.org>", "alg <x@example.org>")
}

func (g *mailings) date() string {
	t := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(g.IntN(3000)) * time.Hour)
	if g.IntN(4) == 0 {
		t = t.In(time.FixedZone("", (g.IntN(25)-12)*3600))
	}
	return t.Format(g.one("Mon, 2 Jan 2006 15:04:05 -0700", "Mon, 2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04 -0700", "2 Jan 2006 15:04:05 -0700 (comment)"))
}

func (g *mailings) next() string {
	n := g.n
	g.n++
	var b strings.Builder
	if g.IntN(30) > 0 {
		fmt.Fprintf(&b, "Date: %s\r\n", g.date())
	} else if g.IntN(2) == 0 {
		fmt.Fprintf(&b, "Date: not at all\r\n")
	}
	if g.IntN(40) > 0 {
		fmt.Fprintf(&b, "Subject: %s\r\n", g.subject())
	}
	for _, f := range []string{"From", "To", "Cc"} {
		if g.IntN(15) > 0 {
			fmt.Fprintf(&b, "%s: %s\r\n", f, g.address())
		}
	}
	switch g.IntN(25) {
	case 0:
	case 1:
		fmt.Fprintf(&b, "Message-ID: %s\r\n", g.id(g.IntN(n+1))) // another has it
	case 2:
		fmt.Fprintf(&b, "Message-ID: nonsense\r\n")
	default:
		fmt.Fprintf(&b, "Message-ID: %s\r\n", g.id(n))
	}
	near := func() int { return max(n-g.IntN(40), 0) + g.IntN(3) - 1 }
	switch g.IntN(4) {
	case 0:
		var refs []string
		for range 1 + g.IntN(5) {
			refs = append(refs, g.id(near()))
		}
		fmt.Fprintf(&b, "References: %s\r\n", strings.Join(refs, "\r\n "))
	case 1:
		fmt.Fprintf(&b, "In-Reply-To: %s\r\n", g.id(near()))
	}
	fmt.Fprintf(&b, "\r\n%s\r\n", strings.Repeat("x", g.IntN(400)))
	return b.String()
}

// TestAgainstDovecot: SORT and THREAD say what Dovecot's say.
func TestAgainstDovecot(t *testing.T) {
	if testing.Short() {
		t.Skip("short")
	}
	theirs := dovecot(t)
	seed := uint64(5256)
	if v, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		seed = v
	}
	k := newKit(t, nil)
	ours := k.login("alice")
	g := &mailings{Rand: rand.New(rand.NewPCG(seed, 1))}
	const messages = 2500
	for range messages / 50 {
		var b strings.Builder
		for range 50 {
			raw := g.next()
			when := time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(g.IntN(100000)) * time.Second)
			fmt.Fprintf(&b, "m APPEND INBOX %q {%d+}\r\n%s\r\n", when.Format("02-Jan-2006 15:04:05 -0700"), len(raw), raw)
		}
		for _, c := range []*client{ours, theirs} {
			c.send(b.String())
			for range 50 {
				if _, s := c.until("m"); !strings.HasPrefix(s, "OK") {
					t.Fatal(s)
				}
			}
		}
	}
	ours.ok("SELECT INBOX")
	theirs.ok("SELECT INBOX")
	var commands []string
	for _, key := range []string{"ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO"} {
		commands = append(commands, "SORT ("+key+") UTF-8 ALL", "SORT (REVERSE "+key+") US-ASCII ALL", "UID SORT ("+key+" REVERSE DATE) UTF-8 1:1000")
	}
	commands = append(commands, "SORT (SUBJECT REVERSE FROM DATE) UTF-8 SMALLER 400",
		"SORT RETURN (MIN MAX COUNT) (DATE) UTF-8 ALL", "SORT RETURN (ALL) (SIZE) UTF-8 ALL", "UID SORT RETURN (PARTIAL 11:20) (SUBJECT) UTF-8 ALL",
		"SORT RETURN (PARTIAL 90000:90001) (SUBJECT) UTF-8 ALL", "SEARCH RETURN (PARTIAL 3:7) SMALLER 400")
	for _, how := range []string{"REFERENCES", "ORDEREDSUBJECT", "REFS"} {
		commands = append(commands, "THREAD "+how+" UTF-8 ALL", "UID THREAD "+how+" UTF-8 ALL", "THREAD "+how+" US-ASCII 1:700 NOT LARGER 300")
	}
	for _, text := range []string{"cafe", "äpfel", "e", "FI", "α", "ｂ"} {
		commands = append(commands, fmt.Sprintf("SEARCH CHARSET UTF-8 SUBJECT {%d+}\r\n%s", len(text), text))
	}
	bad := 0
	for _, cmd := range commands {
		a, b := ours.ok(cmd), theirs.ok(cmd)
		x, y := strings.Join(a, "\n"), strings.Join(b, "\n")
		if strings.Contains(cmd, "RETURN") {
			// The tags differ, and the order of items is free.
			x, y = items(x), items(y)
		}
		if strings.Contains(cmd, "THREAD REFS") {
			// No RFC says in which order those with one date come.
			x, y = threadSet(x), threadSet(y)
		}
		if x == y {
			continue
		}
		bad++
		i := 0
		for i < len(x) && i < len(y) && x[i] == y[i] {
			i++
		}
		from := max(i-60, 0)
		t.Errorf("%s: at %d:\n us %.140q\nthem %.140q", cmd, i, x[from:], y[from:])
	}
	t.Logf("%d of %d commands differ", bad, len(commands))
}

// items puts the items of an ESEARCH response in order.
func items(s string) string {
	_, s, _ = strings.Cut(s, ")")
	return s
}

// threadSet returns the threads of a response in an order of their own.
func threadSet(s string) string {
	var all []string
	depth, from := 0, 0
	for i, c := range s {
		switch c {
		case '(':
			if depth++; depth == 1 {
				from = i
			}
		case ')':
			if depth--; depth == 0 {
				all = append(all, s[from:i+1])
			}
		}
	}
	slices.Sort(all)
	return strings.Join(all, "")
}
