package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"altmail.se/altmail/cmd/altmail/config"
)

// plain returns where a node serves without TLS.
func plain(ts *testscript.TestScript, name, service string) string {
	c, err := config.Load(ts.MkAbs(name + ".toml"))
	ts.Check(err)
	addrs := map[string][]string{
		"smtp": c.SMTP.Listen, "submission": c.Submission.Listen, "imap": c.IMAP.Listen, "lmtp": c.LMTP.Listen,
	}[service]
	if len(addrs) != 1 {
		ts.Fatalf("%s has no plain address of %s", name, service)
	}
	return addrs[0]
}

// lineClient talks lines with a server.
type lineClient struct {
	ts   *testscript.TestScript
	name string
	conn net.Conn
	r    *bufio.Reader
}

func dialLines(ts *testscript.TestScript, name, addr string) *lineClient {
	conn, err := net.DialTimeout("tcp", addr, patience)
	ts.Check(err)
	ts.Defer(func() { conn.Close() })
	ts.Check(conn.SetDeadline(time.Now().Add(patience)))
	return &lineClient{ts, name, conn, bufio.NewReader(conn)}
}

// until reads lines up to one that begins like this, and returns it.
func (c *lineClient) until(prefix string) string {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.ts.Fatalf("%s: %v before %q", c.name, err, prefix)
		}
		if strings.HasPrefix(line, prefix) {
			return line
		}
	}
}

// say sends a line and reads up to the answer.
func (c *lineClient) say(line, prefix string) string {
	_, err := fmt.Fprintf(c.conn, "%s\r\n", line)
	c.ts.Check(err)
	return c.until(prefix)
}

// cmdGuess makes wrong logins at a node, each with its own connection. The last
// of them has to take a while.
func cmdGuess(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: guess NAME COUNT AT-LEAST")
	}
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	least, err := time.ParseDuration(args[2])
	ts.Check(err)
	var last time.Duration
	for range n {
		c := dialLines(ts, args[0], plain(ts, args[0], "imap"))
		c.until("* OK")
		begin := time.Now()
		c.say("a LOGIN anna@example.org wrong", "a NO [AUTHENTICATIONFAILED]")
		last = time.Since(begin)
		c.conn.Close()
	}
	if last < least {
		ts.Fatalf("the last guess at %s took %s, want %s", args[0], last, least)
	}
}

// goodbye is how long a client may have to wait for it.
const goodbye = 2 * time.Second

// cmdDrain ends a node with SIGTERM under clients in every state: each is told
// so at once, in words that have it come again, and sees the connection end.
func cmdDrain(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: drain NAME USER PASSWORD")
	}
	name := args[0]
	login := fmt.Sprintf("a LOGIN %s %q", args[1], args[2])
	imap := func(what string, lines ...string) *lineClient {
		c := dialLines(ts, what, plain(ts, name, "imap"))
		c.until("* OK")
		for _, l := range lines {
			tag, _, _ := strings.Cut(l, " ")
			if strings.HasSuffix(l, " IDLE") {
				c.say(l, "+ ")
				continue
			}
			c.say(l, tag+" OK")
		}
		return c
	}
	smtp := func(service, hello string) *lineClient {
		c := dialLines(ts, service, plain(ts, name, service))
		c.until("220 ")
		c.say(hello, "250 ")
		return c
	}
	const imapEnd, smtpEnd = "* BYE [UNAVAILABLE]", "421 4.3.2"
	clients := []struct {
		c   *lineClient
		end string
	}{
		{imap("imap before login"), imapEnd},
		{imap("imap after login", login), imapEnd},
		{imap("imap with a mailbox", login, "b SELECT INBOX"), imapEnd},
		{imap("imap in IDLE", login, "b SELECT INBOX", "c IDLE"), imapEnd},
		{imap("imap in IDLE without a mailbox", login, "c IDLE"), imapEnd},
		{imap("imap with NOTIFY", login, "b NOTIFY SET (PERSONAL (MessageNew MessageExpunge))"), imapEnd},
		{smtp("smtp", "EHLO client.example"), smtpEnd},
		{smtp("submission", "EHLO client.example"), smtpEnd},
		{smtp("lmtp", "LHLO client.example"), smtpEnd},
	}
	began := time.Now()
	ts.Check(syscall.Kill(holder(ts, false, []string{name}), syscall.SIGTERM))
	for _, x := range clients {
		x.c.until(x.end)
		if d := time.Since(began); d > goodbye {
			ts.Fatalf("%s waited %s for its goodbye", x.c.name, d)
		}
		if rest, err := io.ReadAll(x.c.r); len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			ts.Fatalf("%s: %q, %v after its goodbye", x.c.name, rest, err)
		}
		x.c.conn.Close()
	}
	if conn, err := net.DialTimeout("tcp", plain(ts, name, "imap"), time.Second); err == nil {
		conn.Close()
		ts.Fatalf("%s takes connections on its way down", name)
	}
}
