package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// smtpClient is one connection for SMTP (RFC 5321) or LMTP (RFC 2033). It asks
// for no more round trips than the server's extensions need.
type smtpClient struct {
	*line
	pipelining, eight, chunking, sizes bool
	out                                []byte // of the commands; reused
}

// openSMTP connects and says hello.
func (t *Target) openSMTP(ctx context.Context, addr string) (*smtpClient, error) {
	l, err := t.dial(ctx, addr, t.Delivery.TLS, smallReads)
	if err != nil {
		return nil, err
	}
	c := &smtpClient{line: l}
	if err := c.hello(ctx, t, addr); err != nil {
		l.Close()
		return nil, err
	}
	return c, nil
}

func (c *smtpClient) hello(ctx context.Context, t *Target, addr string) error {
	if err := c.within(opTimeout); err != nil {
		return err
	}
	if err := c.expect("greeting", '2'); err != nil {
		return err
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "localhost"
	}
	verb := "EHLO "
	if t.Delivery.Proto == LMTP {
		verb = "LHLO "
	}
	if err := c.ehlo(verb + name + "\r\n"); err != nil {
		return err
	}
	if t.Delivery.TLS != TLSStartTLS {
		return nil
	}
	if err := c.send("STARTTLS", "STARTTLS\r\n"); err != nil {
		return err
	}
	if err := c.expect("STARTTLS", '2'); err != nil {
		return err
	}
	if err := c.encrypt(ctx, t.tlsConfig(addr)); err != nil {
		return err
	}
	return c.ehlo(verb + name + "\r\n")
}

func (c *smtpClient) ehlo(cmd string) error {
	if err := c.send("EHLO", cmd); err != nil {
		return err
	}
	c.pipelining, c.eight, c.chunking, c.sizes = false, false, false, false
	return c.reply("EHLO", '2', func(text []byte) {
		word, _, _ := strings.Cut(strings.ToUpper(string(text)), " ")
		switch word {
		case "PIPELINING":
			c.pipelining = true
		case "8BITMIME":
			c.eight = true
		case "CHUNKING":
			c.chunking = true
		case "SIZE":
			c.sizes = true
		}
	})
}

func (c *smtpClient) send(step, s string) error {
	if _, err := c.Write([]byte(s)); err != nil {
		return &failure{step, err}
	}
	return nil
}

func (c *smtpClient) expect(step string, class byte) error { return c.reply(step, class, nil) }

// reply reads a reply of one or more lines and gives each line's text to each.
func (c *smtpClient) reply(step string, class byte, each func([]byte)) error {
	for n := 0; ; n++ {
		b, err := c.readLine(step)
		if err != nil {
			return err
		}
		if len(b) < 3 || !digitsOnly(b[:3]) || len(b) > 3 && b[3] != ' ' && b[3] != '-' || n > 200 {
			return &failure{step, errProtocol}
		}
		if len(b) > 3 && b[3] == '-' {
			if each != nil {
				each(b[4:])
			}
			continue
		}
		if b[0] != class {
			// 421 is also the last thing a server says, RFC 5321 section 3.8.
			return &refusal{step, code(b), bytes.HasPrefix(b, []byte("421"))}
		}
		if each != nil && len(b) > 3 {
			each(b[4:])
		}
		return nil
	}
}

func digitsOnly(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// code is a reply's code and its enhanced one, RFC 3463.
func code(b []byte) string {
	s := string(b[:3])
	if len(b) < 9 {
		return s
	}
	word, _, _ := bytes.Cut(b[4:], []byte(" "))
	if len(word) < 5 || len(word) > 11 || word[1] != '.' || !digitsOnly(bytes.ReplaceAll(word, []byte("."), nil)) {
		return s
	}
	return s + " " + string(word)
}

// deliver sends one message to one recipient. It returns when the last octet
// had been written. On a refusal the connection can be used again.
func (c *smtpClient) deliver(from, to string, s sending, bdat bool) (sent time.Time, err error) {
	if err := c.within(opTimeout); err != nil {
		return sent, &failure{"deliver", err}
	}
	b := append(append(append(c.out[:0], "MAIL FROM:<"...), from...), '>')
	if c.sizes {
		b = strconv.AppendInt(append(b, " SIZE="...), int64(s.size()), 10)
	}
	if s.m.eight && c.eight {
		b = append(b, " BODY=8BITMIME"...)
	}
	b = append(b, "\r\n"...)
	if !c.pipelining {
		if err := c.step("MAIL", b); err != nil {
			return sent, c.reset(err)
		}
		b = b[:0]
	}
	b = append(append(append(b, "RCPT TO:<"...), to...), ">\r\n"...)
	if !c.pipelining {
		if err := c.step("RCPT", b); err != nil {
			return sent, c.reset(err)
		}
		b = b[:0]
	}
	if bdat {
		b = fmt.Appendf(b, "BDAT %d LAST\r\n", s.size())
	} else {
		b = append(b, "DATA\r\n"...)
	}
	c.out = b
	p := s.parts(!bdat)
	if bdat {
		// Everything goes out at once; RFC 3030 section 2 allows BDAT in a
		// pipeline.
		if err := c.writeAll("BDAT", b, p[0], p[1], p[2]); err != nil {
			return sent, err
		}
		sent = time.Now()
	} else if err := c.writeAll("DATA", b); err != nil {
		return sent, err
	}
	var refused error
	if c.pipelining {
		for _, step := range [...]string{"MAIL", "RCPT"} {
			if err := c.expect(step, '2'); err != nil {
				if !isRefusal(err) {
					return sent, err
				}
				if refused == nil {
					refused = err
				}
			}
		}
	}
	if bdat {
		return sent, c.end(refused, c.expect("BDAT", '2'))
	}
	if err := c.expect("DATA", '3'); err != nil {
		return sent, c.end(refused, err)
	}
	if refused != nil {
		// The server waits for a message to nobody: RFC 2920 section 3.1.
		if err := c.writeAll("DATA", []byte(".\r\n")); err != nil {
			return sent, err
		}
		if t := c.expect("DATA", '2'); t != nil && !isRefusal(t) {
			return sent, t
		}
		return sent, c.reset(refused)
	}
	if err := c.writeAll("DATA", p[0], p[1], p[2], []byte(".\r\n")); err != nil {
		return sent, err
	}
	sent = time.Now()
	return sent, c.expect("message", '2')
}

// end picks the error that came first and leaves the connection ready.
func (c *smtpClient) end(refused, last error) error {
	if refused == nil {
		refused = last
	} else if last != nil && !isRefusal(last) {
		return last
	}
	return c.reset(refused)
}

// reset ends a transaction that was refused.
func (c *smtpClient) reset(err error) error {
	if err == nil || !isRefusal(err) {
		return err
	}
	if e := c.step("RSET", []byte("RSET\r\n")); e != nil {
		return e
	}
	return err
}

func (c *smtpClient) step(name string, b []byte) error {
	if err := c.writeAll(name, b); err != nil {
		return err
	}
	return c.expect(name, '2')
}

// writeAll writes parts in as few system calls as the connection allows.
func (c *line) writeAll(step string, parts ...[]byte) error {
	buffers := net.Buffers(parts)
	if _, err := buffers.WriteTo(c.Conn); err != nil {
		return &failure{step, err}
	}
	return nil
}

// quit says goodbye; what the server says to it is of no interest.
func (c *smtpClient) quit() {
	if c.within(time.Second) == nil && c.send("QUIT", "QUIT\r\n") == nil {
		if err := c.expect("QUIT", '2'); err != nil {
			c.Close()
			return
		}
	}
	c.Close()
}

// isRefusal tells that an operation failed and its connection did not.
func isRefusal(err error) bool {
	var no *refusal
	return errors.As(err, &no) && !no.dead
}
