package imap

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestInProgress: a long command says how far it is, ascending, below the
// goal, under its own tag; a short one nothing.
func TestInProgress(t *testing.T) {
	k := newKit(t, func(c *Config) { c.Limits.InProgress = time.Nanosecond })
	c := k.login("alice")
	const n = 3*summaryBatch + 7
	for at := 0; at < n; at += 100 {
		var b strings.Builder
		b.WriteString("APPEND INBOX")
		for i := range min(100, n-at) {
			raw := fmt.Sprintf("Subject: %d\r\n\r\nx\r\n", at+i)
			fmt.Fprintf(&b, " {%d+}\r\n%s", len(raw), raw)
		}
		c.ok(b.String())
	}
	c.ok("SELECT INBOX")
	said := regexp.MustCompile(`^\* OK \[INPROGRESS \("(t\d+)" (\d+) (\d+)\)\] .`)
	for _, cmd := range []string{"SEARCH SUBJECT 17", "SEARCH TEXT nowhere", "SORT (SUBJECT) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL"} {
		last, times := 0, 0
		for _, l := range c.ok(cmd) {
			m := said.FindStringSubmatch(l)
			if m == nil {
				continue
			}
			done, err := strconv.Atoi(m[2])
			if err != nil {
				t.Fatal(err)
			}
			if m[1] != fmt.Sprintf("t%d", c.n) || m[3] != strconv.Itoa(n) || done <= last || done >= n {
				t.Errorf("%s: %s after %d", cmd, l, last)
			}
			last = done
			times++
		}
		if times == 0 {
			t.Errorf("%s: nothing was said", cmd)
		}
	}
	for _, cmd := range []string{"SEARCH ALL", "SEARCH 1:3 SUBJECT 17", "SORT (SUBJECT) UTF-8 1:5"} {
		if l := c.ok(cmd); len(l) != 1 {
			t.Errorf("%s: %q", cmd, l)
		}
	}
}
