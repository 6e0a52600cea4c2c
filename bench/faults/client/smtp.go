package client

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"time"
)

// Answer is how a delivery to one recipient ended.
type Answer struct {
	// Done: the server has taken it. Refused: provably nothing happened.
	// Neither: it may have happened.
	Done, Refused bool
	Err           error
}

// Deliver sends a message to recipients in one transaction and tells how it
// ended for each: by SMTP the same for all, by LMTP (RFC 2033) each for itself.
func Deliver(addr string, lmtp bool, to []string, raw []byte, timeout time.Duration) []Answer {
	out := make([]Answer, len(to))
	all := func(a Answer) []Answer {
		for i := range out {
			out[i] = a
		}
		return out
	}
	conn, err := net.DialTimeout("tcp", addr, dialTime)
	if err != nil {
		return all(Answer{Refused: true, Err: err})
	}
	defer conn.Close()
	tp := textproto.NewConn(conn)
	// say sends a line and wants an answer of a class (2, 25, 250).
	say := func(code int, line string) error {
		if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return err
		}
		if line != "" {
			if err := tp.PrintfLine("%s", line); err != nil {
				return err
			}
		}
		_, _, err := tp.ReadResponse(code)
		return err
	}
	hello := "EHLO faults.example.org"
	if lmtp {
		hello = "LHLO faults.example.org"
	}
	type step struct {
		code int
		line string
	}
	steps := []step{{220, ""}, {250, hello}, {250, "MAIL FROM:<writer@example.org>"}}
	for _, r := range to {
		steps = append(steps, step{250, "RCPT TO:<" + r + ">"})
	}
	for _, s := range append(steps, step{354, "DATA"}) {
		if err := say(s.code, s.line); err != nil {
			return all(Answer{Refused: true, Err: fmt.Errorf("%s: %w", s.line, err)})
		}
	}
	stuffed := bytes.ReplaceAll(append([]byte("\r\n"), raw...), []byte("\r\n."), []byte("\r\n.."))[2:]
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return all(Answer{Refused: true, Err: err})
	}
	// Without the final dot nothing was asked for yet.
	if _, err := conn.Write(stuffed); err != nil {
		return all(Answer{Refused: true, Err: err})
	}
	if _, err := conn.Write([]byte(".\r\n")); err != nil {
		return all(Answer{Err: err})
	}
	judge := func(err error) Answer {
		var pe *textproto.Error
		switch {
		case err == nil:
			return Answer{Done: true}
		case errors.As(err, &pe) && pe.Code >= 500:
			return Answer{Refused: true, Err: err}
		}
		// A 4xx leaves the mail with the client; it may have happened.
		return Answer{Err: err}
	}
	if !lmtp {
		a := judge(say(250, ""))
		if a.Done {
			// Courtesy; the answer stands.
			if err := tp.PrintfLine("QUIT"); err != nil {
				return all(a)
			}
		}
		return all(a)
	}
	for i := range out {
		out[i] = judge(say(250, ""))
	}
	return out
}
