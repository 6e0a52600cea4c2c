package client

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Mailbox is what SELECT told.
type Mailbox struct {
	Exists   uint32
	Validity uint32
	Next     uint32
	Highest  uint64
	Vanished []uint32  // with QRESYNC
	Changed  []Fetched // with QRESYNC
}

// Select opens a mailbox; param is what stands in parentheses behind its name,
// such as CONDSTORE or QRESYNC (67890 20).
func (c *IMAP) Select(mailbox, param string) (*Mailbox, error) {
	cmd := "SELECT " + quote(mailbox)
	if param != "" {
		cmd += " (" + param + ")"
	}
	if _, err := c.Do(cmd); err != nil {
		return nil, err
	}
	m := &Mailbox{}
	for _, l := range c.lines {
		if word, num, ok := strings.Cut(l.code, " "); ok {
			n, err := strconv.ParseUint(num, 10, 63)
			if err != nil {
				continue // PERMANENTFLAGS and the like
			}
			switch word {
			case "UIDVALIDITY":
				m.Validity = uint32(n)
			case "UIDNEXT":
				m.Next = uint32(n)
			case "HIGHESTMODSEQ":
				m.Highest = n
			}
			continue
		}
		if len(l.values) == 0 {
			continue
		}
		u, ok, err := update(l)
		switch {
		case err != nil:
			return nil, err
		case !ok:
		case u.Exists != nil:
			m.Exists = *u.Exists
		case u.Vanished != nil:
			m.Vanished = append(m.Vanished, u.Vanished...)
		case u.Fetch != nil:
			m.Changed = append(m.Changed, *u.Fetch)
		}
	}
	if m.Validity == 0 || m.Next == 0 {
		return nil, errors.New("SELECT without UIDVALIDITY or UIDNEXT")
	}
	return m, nil
}

// Fetch asks for items of the messages of a UID set; modifier is such as
// CHANGEDSINCE 17.
func (c *IMAP) Fetch(set, items, modifier string) ([]Fetched, error) {
	cmd := fmt.Sprintf("UID FETCH %s (%s)", set, items)
	if modifier != "" {
		cmd += " (" + modifier + ")"
	}
	_, err := c.Do(cmd)
	return c.fetches(), err
}

// fetches are the FETCH responses of the last command.
func (c *IMAP) fetches() []Fetched {
	var out []Fetched
	for _, l := range c.lines {
		if u, ok, err := update(l); ok && err == nil && u.Fetch != nil {
			out = append(out, *u.Fetch)
		}
	}
	return out
}

// Append stores a message and returns its UIDVALIDITY and UID.
func (c *IMAP) Append(mailbox string, flags []string, raw []byte) (validity, uid uint32, err error) {
	cmd := fmt.Sprintf("APPEND %s (%s) {%d+}\r\n", quote(mailbox), strings.Join(flags, " "), len(raw))
	done, err := c.do(cmd, raw)
	if err != nil {
		return 0, 0, err
	}
	f := strings.Fields(done.code)
	if len(f) != 3 || f[0] != "APPENDUID" {
		return 0, 0, nil
	}
	v, verr := strconv.ParseUint(f[1], 10, 32)
	u, uerr := strconv.ParseUint(f[2], 10, 32)
	return uint32(v), uint32(u), errors.Join(verr, uerr)
}

// Copied is what COPYUID told: the messages From became To.
type Copied struct {
	Validity uint32
	From, To []uint32
}

// Copy copies messages of a UID set, or moves them (RFC 6851).
func (c *IMAP) Copy(move bool, set, mailbox string) (*Copied, error) {
	verb := "COPY"
	if move {
		verb = "MOVE"
	}
	done, err := c.Do(fmt.Sprintf("UID %s %s %s", verb, set, quote(mailbox)))
	if err != nil {
		return nil, err
	}
	codes := []string{done.code}
	for _, l := range c.lines {
		codes = append(codes, l.code)
	}
	for _, code := range codes {
		f := strings.Fields(code)
		if len(f) != 4 || f[0] != "COPYUID" {
			continue
		}
		v, err := strconv.ParseUint(f[1], 10, 32)
		if err != nil {
			return nil, err
		}
		from, err := ParseSet(f[2])
		if err != nil {
			return nil, err
		}
		to, err := ParseSet(f[3])
		if err == nil && len(from) != len(to) {
			err = errors.New("COPYUID with sets of different sizes")
		}
		return &Copied{uint32(v), from, to}, err
	}
	return &Copied{}, nil
}

// Store changes flags: op is FLAGS, +FLAGS or -FLAGS. since is UNCHANGEDSINCE,
// 0 is none; modified tells that the condition failed. The message as the
// answer showed it is nil when it was not shown.
func (c *IMAP) Store(uid uint32, op string, flags []string, since uint64) (shown *Fetched, modified bool, err error) {
	cond := ""
	if since > 0 {
		cond = fmt.Sprintf("(UNCHANGEDSINCE %d) ", since)
	}
	done, err := c.Do(fmt.Sprintf("UID STORE %d %s%s (%s)", uid, cond, op, strings.Join(flags, " ")))
	if err != nil {
		return nil, false, err
	}
	for _, f := range c.fetches() {
		if f.UID == uid && f.HasFlags {
			shown = &f
		}
	}
	return shown, strings.HasPrefix(done.code, "MODIFIED"), nil
}

// Expunge removes the messages of a UID set that are marked \Deleted
// (RFC 4315).
func (c *IMAP) Expunge(set string) error {
	_, err := c.Do("UID EXPUNGE " + set)
	return err
}

// Search returns the UIDs of messages that match.
func (c *IMAP) Search(criteria string) ([]uint32, error) {
	if _, err := c.Do("UID SEARCH " + criteria); err != nil {
		return nil, err
	}
	var out []uint32
	for _, l := range c.lines {
		if l.values[0] != "SEARCH" {
			continue
		}
		for _, v := range l.values[1:] {
			s, ok := v.(string)
			if !ok {
				continue // (MODSEQ n)
			}
			n, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				return nil, err
			}
			out = append(out, uint32(n))
		}
	}
	return out, nil
}

// Idle waits in IDLE (RFC 2177) until something came, the time is over, or
// stop is closed, and then ends it. OnUpdate hears what came.
func (c *IMAP) Idle(d time.Duration, stop <-chan struct{}) error {
	c.tags++
	c.lines = nil
	tag := "c" + strconv.Itoa(c.tags)
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	if _, err := c.conn.Write([]byte(tag + " IDLE\r\n")); err != nil {
		return err
	}
	for {
		l, err := readLine(c.r)
		if err != nil {
			return err
		}
		if l.tag == "+" {
			break
		}
		if l.tag == tag {
			return errors.New("IDLE was refused")
		}
		if err := c.untagged(l); err != nil {
			return err
		}
	}
	// Whatever ends the wait first, reading is cut short by a deadline; the
	// response under way is then read in full.
	ended, gone := make(chan struct{}), make(chan struct{})
	if err := c.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return err
	}
	go func() {
		defer close(gone)
		select {
		case <-stop:
			// An error means that the connection is gone, which the reader
			// finds out.
			_ = c.conn.SetReadDeadline(time.Unix(1, 0))
		case <-ended:
		}
	}()
	_, err := c.r.Peek(1)
	close(ended)
	<-gone
	var te interface{ Timeout() bool }
	if err != nil && !(errors.As(err, &te) && te.Timeout()) {
		return err
	}
	if err := c.conn.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	if _, err := c.conn.Write([]byte("DONE\r\n")); err != nil {
		return err
	}
	_, err = c.until(tag)
	return err
}
