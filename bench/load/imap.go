package load

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// imapClient is one IMAP connection (RFC 3501, RFC 9051) that reads answers
// without parsing them: it finds their lines and skips their literals.
type imapClient struct {
	*line
	tag         int
	literalPlus bool // RFC 7888, also LITERAL-
	literalMax  int  // of a literal that need not be waited for
	exists      int  // messages, as last told
	out         []byte
}

// answer is what a command brought back.
type answer struct {
	untagged int   // lines that begin with "* "
	literal  int64 // octets in literals
	bytes    int64 // octets in all
	hits     int   // numbers in SEARCH answers
}

// openIMAP connects, and logs in unless the account is nil.
func (t *Target) openIMAP(ctx context.Context, addr string, a *Account, buffer int) (*imapClient, error) {
	l, err := t.dial(ctx, addr, t.IMAP.TLS, buffer)
	if err != nil {
		return nil, err
	}
	c := &imapClient{line: l}
	if err := c.begin(ctx, t, addr, a); err != nil {
		l.Close()
		return nil, err
	}
	return c, nil
}

func (c *imapClient) begin(ctx context.Context, t *Target, addr string, a *Account) error {
	if err := c.within(opTimeout); err != nil {
		return &failure{"greeting", err}
	}
	b, err := c.readLine("greeting")
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(b, []byte("* OK")) {
		return &refusal{"greeting", status(b, 2), true}
	}
	if t.IMAP.TLS == TLSStartTLS {
		if _, err := c.do("STARTTLS", "STARTTLS"); err != nil {
			return err
		}
		if err := c.encrypt(ctx, t.tlsConfig(addr)); err != nil {
			return err
		}
	}
	if a == nil {
		return nil
	}
	return c.login(*a, false)
}

// login also learns what the server can do.
func (c *imapClient) login(a Account, plain bool) error {
	cmd := "LOGIN " + quoted(a.user()) + " " + quoted(a.Password)
	if plain {
		// The initial response, RFC 4959, saves a round trip.
		cmd = "AUTHENTICATE PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00"+a.user()+"\x00"+a.Password))
	}
	_, err := c.do("LOGIN", cmd)
	return err
}

// capabilities asks for what append needs.
func (c *imapClient) capabilities() error {
	_, err := c.command("CAPABILITY", func(l []byte) {
		if l = bytes.ToUpper(l); bytes.HasPrefix(l, []byte("* CAPABILITY ")) {
			for word := range strings.FieldsSeq(string(l)) {
				switch word {
				case "LITERAL+":
					c.literalPlus, c.literalMax = true, 1<<62
				case "LITERAL-":
					if !c.literalPlus {
						c.literalPlus, c.literalMax = true, 4096 // RFC 7888 section 5
					}
				}
			}
		}
	}, "CAPABILITY")
	return err
}

// quoted writes a string for a command, RFC 9051 section 9.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// do runs a command of one line.
func (c *imapClient) do(step, cmd string) (answer, error) { return c.command(step, nil, cmd) }

// command runs a command of one line and shows each untagged answer's first
// line to each.
func (c *imapClient) command(step string, each func([]byte), cmd string) (answer, error) {
	tag := c.begun()
	c.out = append(append(c.out, cmd...), "\r\n"...)
	if err := c.writeAll(step, c.out); err != nil {
		return answer{}, err
	}
	return c.finish(step, tag, each)
}

// begun starts a command in c.out with a new tag, which it returns.
func (c *imapClient) begun() string {
	c.tag++
	tag := strconv.Itoa(c.tag)
	c.out = append(append(c.out[:0], tag...), ' ')
	return tag
}

// finish reads up to the tagged answer.
func (c *imapClient) finish(step, tag string, each func([]byte)) (answer, error) {
	var a answer
	for {
		l, err := c.next(step, &a)
		if err != nil {
			return a, err
		}
		switch {
		case len(l) > 1 && l[0] == '*':
			a.untagged++
			c.note(l, &a)
			if each != nil {
				each(l)
			}
			if bytes.HasPrefix(l, []byte("* BYE")) && step != "LOGOUT" {
				return a, &refusal{step, status(l, 2), true}
			}
		case len(l) > 0 && l[0] == '+':
			return a, &failure{step, errProtocol}
		case bytes.HasPrefix(l, []byte(tag)) && len(l) > len(tag) && l[len(tag)] == ' ':
			if s := status(l, len(tag)+1); s != "OK" {
				return a, &refusal{step, s, false}
			}
			return a, nil
		default:
			return a, &failure{step, errProtocol}
		}
	}
}

// next reads one answer with all its literals and returns its first line, or
// as much of it as is buffered; it is valid until the next read.
func (c *imapClient) next(step string, a *answer) ([]byte, error) {
	var first []byte
	keep := true
	for {
		b, err := c.r.ReadSlice('\n')
		a.bytes += int64(len(b))
		if keep {
			first = b
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			// A very long line: counted in pieces, its beginning is enough.
			if keep {
				first = append([]byte(nil), b[:min(len(b), 128)]...)
				keep = false
			}
			if n := bytes.Count(b, []byte(" ")); bytes.HasPrefix(first, []byte("* SEARCH")) {
				a.hits += n
			}
			continue
		}
		if err != nil {
			return nil, &failure{step, err}
		}
		n, ok := literal(b)
		if !ok {
			if !keep && bytes.HasPrefix(first, []byte("* SEARCH")) {
				a.hits += bytes.Count(b, []byte(" ")) - 1
			}
			return first, nil
		}
		if keep {
			first = append([]byte(nil), b[:min(len(b), 128)]...)
			keep = false
		}
		a.literal += n
		a.bytes += n
		if _, err := c.r.Discard(int(n)); err != nil {
			return nil, &failure{step, err}
		}
	}
}

// literal tells whether a line ends in {n} or ~{n}, and the n.
func literal(b []byte) (int64, bool) {
	b = bytes.TrimRight(b, "\r\n")
	if len(b) < 3 || b[len(b)-1] != '}' {
		return 0, false
	}
	open := bytes.LastIndexByte(b, '{')
	if open < 0 || open == len(b)-2 || len(b)-open > 14 {
		return 0, false
	}
	var n int64
	for _, d := range b[open+1 : len(b)-1] {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int64(d-'0')
	}
	return n, true
}

// note keeps what later commands need to know.
func (c *imapClient) note(l []byte, a *answer) {
	l = bytes.TrimRight(l, "\r\n")
	switch {
	case bytes.HasSuffix(l, []byte(" EXISTS")):
		if n, err := strconv.Atoi(string(l[2 : len(l)-len(" EXISTS")])); err == nil {
			c.exists = n
		}
	case bytes.HasPrefix(l, []byte("* SEARCH")) && a.hits == 0:
		a.hits = bytes.Count(l, []byte(" ")) - 1
	}
}

// status is OK, NO, BAD, BYE, with the response code's name when it is no OK.
func status(l []byte, at int) string {
	l = bytes.TrimRight(l[min(at, len(l)):], "\r\n")
	word, rest, _ := strings.Cut(string(l), " ")
	word = strings.ToUpper(word)
	switch word {
	case "OK":
		return word
	case "NO", "BAD", "BYE", "PREAUTH":
	default:
		return "no status"
	}
	if c, ok := strings.CutPrefix(rest, "["); ok {
		if end := strings.IndexAny(c, " ]"); end > 0 && end < 32 {
			return word + " [" + strings.ToUpper(c[:end]) + "]"
		}
	}
	return word
}

// selectBox opens a mailbox.
func (c *imapClient) selectBox(name string) (answer, error) {
	return c.do("SELECT", "SELECT "+quoted(box(name)))
}

func box(name string) string {
	if name == "" {
		return "INBOX"
	}
	return name
}

// append adds a message, in one round trip where the server allows.
func (c *imapClient) append(mailbox, flags string, s sending) error {
	if err := c.within(opTimeout); err != nil {
		return &failure{"APPEND", err}
	}
	tag := c.begun()
	b := append(c.out, "APPEND "...)
	b = append(append(b, quoted(box(mailbox))...), ' ')
	if flags != "" {
		b = append(append(append(b, '('), flags...), ") "...)
	}
	b = strconv.AppendInt(append(b, '{'), int64(s.size()), 10)
	p := s.parts(false)
	if c.literalPlus && s.size() <= c.literalMax {
		b = append(b, "+}\r\n"...)
		c.out = b
		if err := c.writeAll("APPEND", b, p[0], p[1], p[2], []byte("\r\n")); err != nil {
			return err
		}
		_, err := c.finish("APPEND", tag, nil)
		return err
	}
	c.out = append(b, "}\r\n"...)
	if err := c.writeAll("APPEND", c.out); err != nil {
		return err
	}
	if err := c.wait("APPEND", tag); err != nil {
		return err
	}
	if err := c.writeAll("APPEND", p[0], p[1], p[2], []byte("\r\n")); err != nil {
		return err
	}
	_, err := c.finish("APPEND", tag, nil)
	return err
}

// wait reads up to the server's "+".
func (c *imapClient) wait(step, tag string) error {
	var a answer
	for {
		l, err := c.next(step, &a)
		switch {
		case err != nil:
			return err
		case len(l) > 0 && l[0] == '+':
			return nil
		case len(l) > 1 && l[0] == '*':
			c.note(l, &a)
			if bytes.HasPrefix(l, []byte("* BYE")) {
				return &refusal{step, status(l, 2), true}
			}
		case bytes.HasPrefix(l, []byte(tag)):
			return &refusal{step, status(l, len(tag)+1), false}
		default:
			return &failure{step, errProtocol}
		}
	}
}

// idle starts RFC 2177's IDLE and returns its tag.
func (c *imapClient) idle() (string, error) {
	if err := c.within(opTimeout); err != nil {
		return "", &failure{"IDLE", err}
	}
	tag := c.begun()
	c.out = append(c.out, "IDLE\r\n"...)
	if err := c.writeAll("IDLE", c.out); err != nil {
		return "", err
	}
	return tag, c.wait("IDLE", tag)
}

func (c *imapClient) done(tag string) error {
	if err := c.within(opTimeout); err != nil {
		return &failure{"IDLE", err}
	}
	if err := c.writeAll("IDLE", []byte("DONE\r\n")); err != nil {
		return err
	}
	_, err := c.finish("IDLE", tag, nil)
	return err
}

// awaitExists reads until the mailbox is told to hold n messages.
func (c *imapClient) awaitExists(n int, deadline time.Time) error {
	if err := c.SetDeadline(deadline); err != nil {
		return &failure{"IDLE", err}
	}
	return c.hearExists(n)
}

// hearExists is awaitExists with the deadline that is set.
func (c *imapClient) hearExists(n int) error {
	var a answer
	for c.exists < n {
		l, err := c.next("IDLE", &a)
		if err != nil {
			if k := kind(err); strings.HasSuffix(k, "timeout") {
				return errMissed
			}
			return err
		}
		if len(l) < 2 || l[0] != '*' {
			return &failure{"IDLE", errProtocol}
		}
		if bytes.HasPrefix(l, []byte("* BYE")) {
			return &refusal{"IDLE", status(l, 2), true}
		}
		c.note(l, &a)
	}
	return nil
}

func (c *imapClient) logout() error {
	_, err := c.do("LOGOUT", "LOGOUT")
	if e := c.Close(); err == nil {
		err = e
	}
	return err
}
