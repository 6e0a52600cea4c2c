package faults

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/emersion/go-smtp"
)

// answerTime is how long a client waits for one answer: longer than the 5 s
// within which a node without a majority must refuse.
const answerTime = 12 * time.Second

// Deliver sends one message by SMTP and tells how it ended.
func Deliver(addr, to string, raw []byte) (Outcome, error) {
	return deliverFrom(addr, "writer@example.org", to, raw)
}

func deliverFrom(addr, from, to string, raw []byte) (Outcome, error) {
	conn, err := net.DialTimeout("tcp", addr, 2*time.Second)
	if err != nil {
		return Refused, err
	}
	c := smtp.NewClient(conn)
	defer c.Close()
	c.CommandTimeout, c.SubmissionTimeout = answerTime, answerTime
	if err := c.Mail(from, nil); err != nil {
		return Refused, err
	}
	if err := c.Rcpt(to, nil); err != nil {
		return Refused, err
	}
	w, err := c.Data()
	if err != nil {
		return Refused, err
	}
	if _, err := w.Write(raw); err != nil {
		return Unknown, err
	}
	if err := w.Close(); err != nil {
		// Any answer to the final dot but 250 leaves the mail with the client;
		// 451 may still be followed by the delivery (an unanswered change may
		// have happened or not), a 5xx may not.
		var se *smtp.SMTPError
		if errors.As(err, &se) && se.Code >= 500 {
			return Refused, err
		}
		return Unknown, err
	}
	return Answered, nil
}

// Dial logs in to a node's IMAP and returns a client whose every read and
// write has a deadline.
func Dial(n *Node, a Account) (*imapclient.Client, error) { return dialWith(n, a, nil) }

func dialWith(n *Node, a Account, o *imapclient.Options) (*imapclient.Client, error) {
	raw, err := net.DialTimeout("tcp", n.IMAPS, 2*time.Second)
	if err != nil {
		return nil, err
	}
	// The test's certificate is self-signed and the connection is loopback.
	conn := tls.Client(&deadlineConn{raw}, &tls.Config{InsecureSkipVerify: true})
	c := imapclient.New(conn, o)
	if err := c.WaitGreeting(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if err := c.Login(a.Address, a.Password).Wait(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

type deadlineConn struct{ net.Conn }

func (d *deadlineConn) Read(p []byte) (int, error) {
	if err := d.SetReadDeadline(time.Now().Add(answerTime)); err != nil {
		return 0, err
	}
	return d.Conn.Read(p)
}

func (d *deadlineConn) Write(p []byte) (int, error) {
	if err := d.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return 0, err
	}
	return d.Conn.Write(p)
}

// outcome tells how an IMAP command ended. A tagged NO [UNAVAILABLE] leaves it
// open, any other NO or BAD refuses.
func outcome(err error) Outcome {
	if err == nil {
		return Answered
	}
	var ie *imap.Error
	if errors.As(err, &ie) && ie.Code != imap.ResponseCodeUnavailable {
		return Refused
	}
	return Unknown
}

// Append appends a message and returns its UID.
func Append(c *imapclient.Client, mailbox string, raw []byte) (imap.UID, Outcome, error) {
	cmd := c.Append(mailbox, int64(len(raw)), nil)
	if _, err := cmd.Write(raw); err != nil {
		return 0, Unknown, err
	}
	if err := cmd.Close(); err != nil {
		return 0, Unknown, err
	}
	d, err := cmd.Wait()
	if err != nil {
		return 0, outcome(err), err
	}
	return d.UID, Answered, nil
}

// SetFlags replaces a message's flags.
func SetFlags(c *imapclient.Client, uid imap.UID, flags []string) (Outcome, error) {
	fs := make([]imap.Flag, len(flags))
	for i, f := range flags {
		fs[i] = imap.Flag(f)
	}
	got, err := c.Store(imap.UIDSetNum(uid), &imap.StoreFlags{Op: imap.StoreFlagsSet, Flags: fs}, nil).Collect()
	if err != nil {
		return outcome(err), err
	}
	// STORE of a message that is gone is answered OK without a FETCH; what
	// was set must be shown.
	for _, m := range got {
		if m.UID == uid || m.UID == 0 {
			have := slices.Sorted(slices.Values(names(m.Flags)))
			if want := slices.Sorted(slices.Values(flags)); !slices.Equal(have, want) {
				return Unknown, fmt.Errorf("STORE of %v answered FETCH %v", want, have)
			}
		}
	}
	return Answered, nil
}

func names(fs []imap.Flag) []string {
	var out []string
	for _, f := range fs {
		if !strings.EqualFold(string(f), `\Recent`) {
			out = append(out, string(f))
		}
	}
	return out
}

// List reads a whole mailbox.
func List(c *imapclient.Client, mailbox string) (validity uint32, seen []Seen, err error) {
	sel, err := c.Select(mailbox, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil {
		return 0, nil, err
	}
	if sel.NumMessages == 0 {
		return sel.UIDValidity, nil, nil
	}
	all := imap.SeqSet{}
	all.AddRange(1, 0)
	cmd := c.Fetch(all, &imap.FetchOptions{UID: true, Flags: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
	ms, err := cmd.Collect()
	if err != nil {
		return 0, nil, err
	}
	for _, m := range ms {
		if len(m.BodySection) != 1 {
			return 0, nil, fmt.Errorf("UID %d came without its body", m.UID)
		}
		seen = append(seen, Seen{UID: uint32(m.UID), Flags: names(m.Flags), Raw: bytes.Clone(m.BodySection[0].Bytes)})
	}
	if len(seen) != int(sel.NumMessages) {
		return 0, nil, fmt.Errorf("%d of %d messages came", len(seen), sel.NumMessages)
	}
	return sel.UIDValidity, seen, nil
}

// VerifyAt compares mailboxes as a node shows them with the history, waiting
// for the node to answer within ctx.
func (c *Cluster) VerifyAt(ctx context.Context, n *Node, h *History, mailboxes []string) error {
	for _, box := range mailboxes {
		var validity uint32
		var seen []Seen
		var last error
		err := c.Wait(ctx, func() (bool, error) {
			cl, err := Dial(n, c.Account)
			if err != nil {
				last = err
				return false, nil
			}
			defer cl.Close()
			validity, seen, last = List(cl, box)
			return last == nil, nil
		})
		if err != nil {
			return fmt.Errorf("%s: %s: %w", n.Name, box, errors.Join(err, last))
		}
		if err := h.Verify(box, validity, seen); err != nil {
			return fmt.Errorf("%s: %w", n.Name, err)
		}
	}
	return nil
}
