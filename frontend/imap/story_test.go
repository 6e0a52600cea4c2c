package imap

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/passwd"
	"altmail.se/altmail/frontend/sasl"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/storetest"
)

var update = flag.Bool("update", false, "rewrite the expected responses of the stories")

// testAuth knows a few users; their password is "secret".
type testAuth struct {
	ids map[string]mailstore.AccountID
	err error
}

func (a *testAuth) Plain(_ context.Context, user, password string) (sasl.Identity, error) {
	id, ok := a.ids[user]
	switch {
	case a.err != nil:
		return sasl.Identity{}, a.err
	case !ok || password != "secret":
		return sasl.Identity{}, sasl.ErrCredentials
	}
	return sasl.Identity{Account: id, Address: user}, nil
}

func (a *testAuth) Scram(context.Context, string) (*passwd.Verifier, sasl.Identity, error) {
	return nil, sasl.Identity{}, sasl.ErrCredentials
}

// kit is a server on a store with the accounts alice, bob and carol.
type kit struct {
	t      testing.TB
	stack  *storetest.Stack
	auth   *testAuth
	srv    *Server
	addr   string
	alice  mailstore.AccountID
	listen func(net.Listener) net.Listener // for serve; nil for nothing
}

func newKit(t testing.TB, set func(*Config)) *kit {
	return newKitWith(t, storetest.Options{}, set)
}

// impatient gives up soon when there is no quorum.
var impatient = storetest.Options{Timeout: 150 * time.Millisecond}

func newKitWith(t testing.TB, opts storetest.Options, set func(*Config)) *kit {
	t.Helper()
	k := &kit{t: t, auth: &testAuth{ids: map[string]mailstore.AccountID{}}}
	k.stack = storetest.NewWith(t, opts)
	for _, u := range []string{"alice@example.org", "bob@example.org", "carol@example.org"} {
		k.auth.ids[u] = k.stack.AddAccount(u, "secret")
	}
	k.alice = k.auth.ids["alice@example.org"]
	k.serve(func(c *Config) {
		c.Limits.Quorum = opts.Timeout
		if set != nil {
			set(c)
		}
	}, false)
	return k
}

func (k *kit) serve(set func(*Config), implicitTLS bool) {
	k.t.Helper()
	cfg := Config{Lookup: k.stack.Lookup, Commit: k.stack.Commit, Feed: k.stack.Feed, Auth: k.auth, AllowPlaintext: true}
	if set != nil {
		set(&cfg)
	}
	srv := New(cfg)
	k.srv = srv
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		k.t.Fatal(err)
	}
	k.addr = l.Addr().String()
	if k.listen != nil {
		l = k.listen(l)
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l, implicitTLS) }()
	k.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := srv.Shutdown(ctx); err != nil {
			k.t.Error(err)
		}
		if err := <-done; !errors.Is(err, ErrClosed) {
			k.t.Error(err)
		}
		if n := srv.Stats().Panics; n != 0 {
			k.t.Errorf("%d panics", n)
		}
	})
}

// client is one raw connection.
type client struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	log  func(line string) // each line that is received
	n    int
}

const clientWait = 10 * time.Second

func (k *kit) dialFor(t testing.TB) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", k.addr)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func (k *kit) dial() *client {
	k.t.Helper()
	conn := k.dialFor(k.t)
	c := &client{t: k.t, conn: conn, log: func(string) {}}
	c.r = bufio.NewReader(conn)
	k.t.Cleanup(func() { conn.Close() })
	return c
}

// login returns a client past the greeting and its login.
func (k *kit) login(user string) *client {
	k.t.Helper()
	c := k.dial()
	c.line()
	c.ok("LOGIN " + user + "@example.org secret")
	return c
}

func (c *client) send(s string) {
	c.t.Helper()
	if err := c.conn.SetWriteDeadline(time.Now().Add(clientWait)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.WriteString(c.conn, s); err != nil {
		c.t.Fatal(err)
	}
}

var errGone = errors.New("closed")

// read returns one response, literals included.
func (c *client) read() (string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(clientWait)); err != nil {
		return "", err
	}
	var out []byte
	for {
		line, err := c.r.ReadBytes('\n')
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return string(out), fmt.Errorf("nothing came; so far %q", append(out, line...))
			}
			return string(out), errGone
		}
		if !bytes.HasSuffix(line, []byte("\r\n")) {
			return "", fmt.Errorf("line without CRLF: %q", line)
		}
		out = append(out, line...)
		i := bytes.LastIndexByte(line, '{')
		if i < 0 || !bytes.HasSuffix(line, []byte("}\r\n")) {
			return string(out[:len(out)-2]), nil
		}
		n, err := strconv.Atoi(string(line[i+1 : len(line)-3]))
		if err != nil {
			return "", err
		}
		lit := make([]byte, n)
		if _, err := io.ReadFull(c.r, lit); err != nil {
			return "", errGone
		}
		out = append(out, lit...)
	}
}

func (c *client) line() string {
	c.t.Helper()
	s, err := c.read()
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// do sends a command and returns its untagged responses and the tagged one
// without its tag.
func (c *client) do(cmd string) (untagged []string, tagged string) {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("t%d", c.n)
	c.send(tag + " " + cmd + "\r\n")
	return c.until(tag)
}

func (c *client) until(tag string) (untagged []string, tagged string) {
	c.t.Helper()
	for {
		s := c.line()
		if rest, ok := strings.CutPrefix(s, tag+" "); ok {
			return untagged, rest
		}
		untagged = append(untagged, s)
	}
}

// ok does a command that has to succeed.
func (c *client) ok(cmd string) []string {
	c.t.Helper()
	lines, tagged := c.do(cmd)
	if !strings.HasPrefix(tagged, "OK ") {
		c.t.Fatalf("%.80s: %s", cmd, tagged)
	}
	return lines
}

// gets checks the tagged response of a command.
func (c *client) gets(cmd, want string) []string {
	c.t.Helper()
	lines, tagged := c.do(cmd)
	if !strings.HasPrefix(tagged, want) {
		c.t.Fatalf("%.80s: %s, want %s", cmd, tagged, want)
	}
	return lines
}

// deliver appends a message as another client.
func (k *kit) deliver(box, raw string) {
	k.t.Helper()
	c := k.login("alice")
	defer c.conn.Close()
	c.ok(fmt.Sprintf("APPEND %s {%d+}\r\n%s", box, len(raw), raw))
}

// What differs from run to run.
var volatile = []struct {
	re  *regexp.Regexp
	out string
}{
	{regexp.MustCompile(`EMAILID \(M[0-9a-f]{32}\)`), "EMAILID (M…)"},
	// basics.story has the list.
	{regexp.MustCompile(`\[CAPABILITY [^\]]*\]`), "[CAPABILITY …]"},
	{regexp.MustCompile(`THREADID \(T[0-9a-f]{32}\)`), "THREADID (T…)"},
	{regexp.MustCompile(`(UIDVALIDITY|APPENDUID|COPYUID) \d+`), "$1 V"},
	{regexp.MustCompile(`MAILBOXID \((F\d+)-[0-9a-f]+\)`), "MAILBOXID ($1-…)"},
	// Told to others after a while, which nobody waits for; TestRecent looks
	// at it.
	{regexp.MustCompile(`\d+ RECENT`), "n RECENT"},
	{regexp.MustCompile(` ?\\Recent`), ""},
	{regexp.MustCompile(`(SAVEDATE|INTERNALDATE) "[ 0-9]\d-\w{3}-202[6-9] [^"]*"`), `$1 "…"`},
}

var toldValidity = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)

func normalize(s string) string {
	for _, v := range volatile {
		s = v.re.ReplaceAllString(s, v.out)
	}
	return s
}

// TestStories runs the conversations in testdata. Their lines are:
//
//	# comment
//	message NAME          the lines up to a single "." are a message
//	store DIRECTIVE       quota BYTES [MESSAGES] | mask CAPABILITY... | unavailable | available
//	server OPTION         before any client: tlsonly | limit OCTETS | connections N | messages N | impatient
//	X> text               client X sends a line; {{NAME}} is a message as a literal,
//	                      {{V}} the last UIDVALIDITY that any client was told
//	X>> text              the same, and nothing is waited for
//	X? text               client X receives until a line that has the text
//	X< line               what it got: written by -update, compared without
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.story")
	if err != nil || len(files) == 0 {
		t.Fatal("no stories", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".story"), func(t *testing.T) {
			t.Parallel()
			in, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := runStory(t, string(in))
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
				return
			}
			a, b := strings.Split(got, "\n"), strings.Split(string(in), "\n")
			for i := range max(len(a), len(b)) {
				if i >= len(a) || i >= len(b) || a[i] != b[i] {
					t.Fatalf("line %d differs:\n got %s\nwant %s", i+1, at(a, i), at(b, i))
				}
			}
		})
	}
}

func at(s []string, i int) string {
	if i < len(s) {
		return s[i]
	}
	return "(end)"
}

func runStory(t *testing.T, in string) string {
	var out []string
	messages := map[string]string{}
	clients := map[string]*client{}
	validity := "0"
	var set []func(*Config)
	var k *kit
	opts := indexed
	lines := strings.Split(strings.TrimRight(in, "\n"), "\n")
	get := func(name string) *client {
		if k == nil {
			k = newKitWith(t, opts, func(c *Config) {
				for _, f := range set {
					f(c)
				}
			})
		}
		c := clients[name]
		if c == nil {
			c = k.dial()
			c.log = func(line string) {
				if m := toldValidity.FindStringSubmatch(line); m != nil {
					validity = m[1]
				}
				for i, l := range strings.Split(normalize(line), "\r\n") {
					mark := "< "
					if i > 0 {
						mark = "| "
					}
					out = append(out, name+mark+escape(l))
				}
			}
			clients[name] = c
			first, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			c.log(first)
		}
		return c
	}
	for n := 0; n < len(lines); n++ {
		line := lines[n]
		word, rest, _ := strings.Cut(line, " ")
		switch {
		case len(word) == 2 && (word[1] == '<' || word[1] == '|'):
			continue // what came the last time
		case line == "" || word == "#":
			out = append(out, line)
			continue
		case word == "message":
			out = append(out, line)
			var msg []string
			for n++; lines[n] != "."; n++ {
				out = append(out, lines[n])
				msg = append(msg, unescape(t, lines[n]))
			}
			out = append(out, ".")
			messages[rest] = strings.Join(msg, "\r\n") + "\r\n"
			continue
		}
		out = append(out, line)
		switch {
		case word == "server":
			if rest == "impatient" {
				opts = impatient
				continue
			}
			set = append(set, serverOption(t, rest))
		case word == "store":
			get("A")
			k.option(rest)
		case len(word) >= 2 && word[1] == '>':
			c := get(word[:1])
			for name, msg := range messages {
				rest = strings.ReplaceAll(rest, "{{"+name+"}}", fmt.Sprintf("{%d+}\r\n%s", len(msg), msg))
			}
			rest = unescape(t, strings.ReplaceAll(rest, "{{V}}", validity))
			c.send(rest + "\r\n")
			if word[1:] == ">>" {
				continue
			}
			tag, _, _ := strings.Cut(rest, " ")
			for {
				s, err := c.read()
				if err != nil {
					if !errors.Is(err, errGone) {
						t.Fatalf("line %d: %v", n+1, err)
					}
					out = append(out, word[:1]+"< (closed)")
					break
				}
				c.log(s)
				if strings.HasPrefix(s, tag+" ") || strings.HasPrefix(s, "+ ") || strings.HasPrefix(s, "* BAD") {
					break
				}
			}
		case len(word) == 2 && word[1] == '?':
			c := get(word[:1])
			for {
				s, err := c.read()
				if err != nil {
					t.Fatalf("line %d: %v", n+1, err)
				}
				c.log(s)
				if strings.Contains(s, rest) {
					break
				}
			}
		default:
			t.Fatalf("line %d: %q", n+1, line)
		}
	}
	return strings.Join(out, "\n") + "\n"
}

// escape shows bytes that are not text.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == 0x7f {
			fmt.Fprintf(&b, `\x%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func unescape(t *testing.T, s string) string {
	if !strings.Contains(s, `\x`) && !strings.Contains(s, `\r`) {
		return s
	}
	u, err := strconv.Unquote(`"` + strings.NewReplacer(`"`, `\"`, `\x`, `\x`, `\r`, `\r`, `\n`, `\n`, `\`, `\\`).Replace(s) + `"`)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return u
}

func serverOption(t *testing.T, opt string) func(*Config) {
	word, arg, _ := strings.Cut(opt, " ")
	switch word {
	case "tlsonly":
		return func(c *Config) { c.AllowPlaintext = false; c.TLS = &tls.Config{} }
	case "stalereads":
		return func(c *Config) { c.StaleReads = true }
	case "limit":
		n, err := strconv.Atoi(arg)
		if err != nil {
			t.Fatal(err)
		}
		return func(c *Config) { c.Limits.MessageSize = int64(n) }
	case "messages":
		n, err := strconv.Atoi(arg)
		if err != nil {
			t.Fatal(err)
		}
		return func(c *Config) { c.Limits.MessagesPerCommand = n }
	case "connections":
		n, err := strconv.Atoi(arg)
		if err != nil {
			t.Fatal(err)
		}
		return func(c *Config) { c.Limits.ConnectionsPerAccount = n }
	}
	t.Fatalf("no server option %q", opt)
	return nil
}

// option changes the store under the server.
func (k *kit) option(opt string) {
	word, arg, _ := strings.Cut(opt, " ")
	switch word {
	case "quota":
		octets, messages, _ := strings.Cut(arg, " ")
		n, err := strconv.ParseUint(octets, 10, 64)
		if err != nil {
			k.t.Fatal(err)
		}
		m, err := strconv.ParseUint("0"+messages, 10, 64)
		if err != nil {
			k.t.Fatal(err)
		}
		if err := k.stack.Commit.SetQuota(context.Background(), k.alice, n, m); err != nil {
			k.t.Fatal(err)
		}
	case "mask":
		if err := k.stack.Commit.SetMask(context.Background(), k.alice, strings.Fields(arg)); err != nil {
			k.t.Fatal(err)
		}
	case "suspend":
		if err := k.stack.Commit.SuspendAccount(context.Background(), k.alice); err != nil {
			k.t.Fatal(err)
		}
		k.auth.err = mailstore.ErrSuspended
	case "unavailable", "available":
		off := word == "unavailable"
		k.stack.Unavailable(off)
		if k.auth.err = nil; off {
			k.auth.err = cluster.ErrUnavailable
		}
	default:
		k.t.Fatalf("no store option %q", opt)
	}
}

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }
