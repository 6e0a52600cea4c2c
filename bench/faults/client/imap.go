package client

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

const dialTime = 2 * time.Second

// StatusError is a tagged NO or BAD, or a BYE.
type StatusError struct{ Kind, Code, Text string }

func (e *StatusError) Error() string {
	if e.Code != "" {
		return fmt.Sprintf("%s [%s] %s", e.Kind, e.Code, e.Text)
	}
	return e.Kind + " " + e.Text
}

// Refused reports whether an error of a command proves that it did nothing: a
// NO or BAD that does not say UNAVAILABLE.
func Refused(err error) bool {
	var se *StatusError
	return errors.As(err, &se) && se.Kind != "BYE" && se.Code != "UNAVAILABLE"
}

// Fetched is what a FETCH response says of a message.
type Fetched struct {
	Seq, UID uint32
	HasFlags bool
	Flags    []string
	ModSeq   uint64
	Data     []byte // of the one body section asked for
}

// Update is an untagged response that tells of the mailbox: one field is set.
type Update struct {
	Exists   *uint32
	Expunged uint32   // a sequence number
	Vanished []uint32 // UIDs
	Earlier  bool     // of Vanished: before this session (RFC 7162 section 3.2.10)
	Fetch    *Fetched
}

// IMAP is a session. Only one goroutine may use it. After an error that is no
// *StatusError it is of no use any more.
type IMAP struct {
	// OnUpdate, if set, sees every untagged response about the mailbox.
	OnUpdate func(Update)

	conn    net.Conn
	r       *bufio.Reader
	timeout time.Duration
	tags    int
	caps    []string
	lines   []*line // untagged ones of the command under way
}

// DialIMAP connects without TLS and logs in.
func DialIMAP(addr, account, password string, timeout time.Duration) (*IMAP, error) {
	conn, err := net.DialTimeout("tcp", addr, dialTime)
	if err != nil {
		return nil, err
	}
	c := &IMAP{conn: conn, r: bufio.NewReaderSize(conn, 32<<10), timeout: timeout}
	if err := c.login(account, password); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return c, nil
}

func (c *IMAP) login(account, password string) error {
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	l, err := readLine(c.r)
	if err != nil {
		return err
	}
	if len(l.values) == 0 || l.values[0] != "OK" {
		return &StatusError{"BYE", l.code, l.text}
	}
	done, err := c.Do(fmt.Sprintf("LOGIN %s %s", quote(account), quote(password)))
	if err != nil {
		return err
	}
	if caps, ok := strings.CutPrefix(done.code, "CAPABILITY "); ok {
		c.caps = strings.Fields(caps)
		return nil
	}
	if _, err := c.Do("CAPABILITY"); err != nil {
		return err
	}
	for _, l := range c.lines {
		if len(l.values) > 0 && l.values[0] == "CAPABILITY" {
			for _, v := range l.values[1:] {
				if s, ok := v.(string); ok {
					c.caps = append(c.caps, s)
				}
			}
		}
	}
	return nil
}

// Close ends the connection without a word.
func (c *IMAP) Close() error { return c.conn.Close() }

// Can reports whether the server announced a capability after login.
func (c *IMAP) Can(name string) bool { return slices.Contains(c.caps, name) }

// Do sends a command and waits for its tagged answer; what else came is given
// to OnUpdate and kept in lines until the next command.
func (c *IMAP) Do(command string) (*line, error) { return c.do(command, nil) }

func (c *IMAP) do(command string, literal []byte) (*line, error) {
	c.tags++
	c.lines = nil
	tag := "c" + strconv.Itoa(c.tags)
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return nil, err
	}
	out := append([]byte(tag+" "+command), literal...)
	if _, err := c.conn.Write(append(out, '\r', '\n')); err != nil {
		return nil, err
	}
	return c.until(tag)
}

func (c *IMAP) until(tag string) (*line, error) {
	for {
		l, err := readLine(c.r)
		if err != nil {
			return nil, err
		}
		switch {
		case l.tag == tag && len(l.values) > 0 && l.values[0] == "OK":
			return l, nil
		case l.tag == tag && len(l.values) > 0:
			kind, _ := l.values[0].(string)
			return nil, &StatusError{kind, l.code, l.text}
		case l.tag == tag:
			return nil, errors.New("an empty answer")
		case l.tag == "*":
			if err := c.untagged(l); err != nil {
				return nil, err
			}
		}
	}
}

func (c *IMAP) untagged(l *line) error {
	if len(l.values) == 0 {
		return nil
	}
	if l.values[0] == "BYE" {
		return &StatusError{"BYE", l.code, l.text}
	}
	c.lines = append(c.lines, l)
	u, ok, err := update(l)
	if err == nil && ok && c.OnUpdate != nil {
		c.OnUpdate(u)
	}
	return err
}

// update reads an untagged response that tells of the mailbox.
func update(l *line) (u Update, ok bool, err error) {
	if l.values[0] == "VANISHED" {
		for _, v := range l.values[1:] {
			switch v := v.(type) {
			case []any:
				u.Earlier = true
			case string:
				u.Vanished, err = ParseSet(v)
			}
		}
		return u, true, err
	}
	first, _ := l.values[0].(string)
	n, nerr := strconv.ParseUint(first, 10, 32)
	if nerr != nil || len(l.values) < 2 {
		return u, false, nil
	}
	switch l.values[1] {
	case "EXISTS":
		x := uint32(n)
		return Update{Exists: &x}, true, nil
	case "EXPUNGE":
		return Update{Expunged: uint32(n)}, true, nil
	case "FETCH":
		f, err := fetched(uint32(n), l)
		return Update{Fetch: f}, err == nil, err
	}
	return u, false, nil
}

func fetched(seq uint32, l *line) (*Fetched, error) {
	if len(l.values) != 3 {
		return nil, fmt.Errorf("FETCH with %d values", len(l.values))
	}
	list, ok := l.values[2].([]any)
	if !ok || len(list)%2 != 0 {
		return nil, errors.New("FETCH without a list of pairs")
	}
	f := &Fetched{Seq: seq}
	for i := 0; i < len(list); i += 2 {
		name, _ := list[i].(string)
		switch v := list[i+1].(type) {
		case string:
			if name == "UID" {
				uid, err := strconv.ParseUint(v, 10, 32)
				if err != nil {
					return nil, err
				}
				f.UID = uint32(uid)
			}
		case []byte:
			if strings.HasPrefix(name, "BODY[") {
				f.Data = v
			}
		case []any:
			switch name {
			case "FLAGS":
				f.HasFlags = true
				for _, x := range v {
					if s, ok := x.(string); ok {
						f.Flags = append(f.Flags, s)
					}
				}
			case "MODSEQ":
				if len(v) != 1 {
					return nil, errors.New("MODSEQ without one value")
				}
				s, _ := v[0].(string)
				m, err := strconv.ParseUint(s, 10, 63)
				if err != nil {
					return nil, err
				}
				f.ModSeq = m
			}
		}
	}
	return f, nil
}

// ParseSet reads a set of UIDs without *, of at most a million.
func ParseSet(s string) ([]uint32, error) {
	var out []uint32
	for part := range strings.SplitSeq(s, ",") {
		a, b, isRange := strings.Cut(part, ":")
		lo, err := strconv.ParseUint(a, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("set %q: %w", s, err)
		}
		hi := lo
		if isRange {
			if hi, err = strconv.ParseUint(b, 10, 32); err != nil {
				return nil, fmt.Errorf("set %q: %w", s, err)
			}
		}
		if lo > hi {
			lo, hi = hi, lo
		}
		if len(out)+int(hi-lo) > 1_000_000 {
			return nil, fmt.Errorf("set %q is too large", s)
		}
		for u := lo; u <= hi; u++ {
			out = append(out, uint32(u))
		}
	}
	return out, nil
}

// FormatSet writes a set of UIDs.
func FormatSet(uids []uint32) string {
	var b strings.Builder
	for i, u := range uids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatUint(uint64(u), 10))
	}
	return b.String()
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
