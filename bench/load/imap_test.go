package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"altmail.se/altmail/bench/corpus"
)

// TestMailbox fills, reads, flags and idles against servers that are not ours.
func TestMailbox(t *testing.T) {
	list := accounts(3)
	f, mem := newFakes(list...)
	f.delivers = true
	target := &Target{
		Name: "fake", Accounts: list,
		Delivery: Delivery{Proto: LMTP, Addrs: []string{f.listen(t, true, nil, false)}},
		IMAP:     IMAP{Addrs: []string{listenIMAP(t, mem, nil, false)}},
	}
	ctx := t.Context()
	const n = 60
	if r, err := Fill(ctx, target, FillOptions{Count: n, Source: text}); err != nil || r.Ops != n || r.Work != "fill" {
		t.Fatalf("%+v, %v", r, err)
	}
	raw := int64(0)
	for i := range n {
		raw += int64(len(text.Message(i)))
	}
	rs, err := Read(ctx, target, ReadOptions{Repeat: 3, Random: 20, Connections: 2, Word: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if len(rs) != len(ReadWorks) {
		t.Fatalf("%d results", len(rs))
	}
	for i, r := range rs {
		if r.Work != "read."+ReadWorks[i] || len(r.Runs) != 3 || r.First == nil || r.Warm == nil || r.Failed() > 0 {
			t.Errorf("%+v", r)
		}
		want := map[string]int64{
			"select": 1, "flags": n, "envelope": n, "bodystructure": n, "headers": n, "body-all": 2 * n, "body-random": 20, "search-body": 0,
		}
		if w, ok := want[ReadWorks[i]]; ok && r.Ops != w {
			t.Errorf("%s: %d answers, want %d", r.Work, r.Ops, w)
		}
		switch ReadWorks[i] {
		case "body-all":
			if r.Bytes != 2*raw || r.MBps <= 0 {
				t.Errorf("%d bytes read, want twice %d; %f MB/s", r.Bytes, raw, r.MBps)
			}
		case "search-text", "search-subject":
			if r.Ops == 0 || r.Ops > n {
				t.Errorf("%s: %d hits", r.Work, r.Ops)
			}
		case "body-random":
			if r.Latency.Count != 60 {
				t.Errorf("%d latencies", r.Latency.Count)
			}
		}
	}
	// Patience that is over at once still leaves the first time and one more.
	if rs, err := Read(ctx, target, ReadOptions{Repeat: 5, Patience: 1, Works: []string{"flags"}}); err != nil || len(rs[0].Runs) != 2 {
		t.Errorf("%+v, %v", rs, err)
	}
	if r, err := Store(ctx, target, StoreOptions{Options: Options{Connections: 3, Count: 90}, SameAccount: true}); err != nil || r.Ops != 90 || r.Failed() > 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := Store(ctx, target, StoreOptions{Options: Options{Connections: 3, Count: 9}}); !errors.Is(err, ErrTarget) {
		t.Errorf("empty mailboxes: %v", err)
	}
	if r, err := Idle(ctx, target, IdleOptions{Options: Options{Connections: 3, Count: 30}, Source: text}); err != nil || r.Ops != 30 || r.Failed() > 0 || r.Latency.Max > 5000 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestAppend: octets arrive as they are, with and without LITERAL+.
func TestAppend(t *testing.T) {
	list := accounts(2)
	_, mem := newFakes(list...)
	target := &Target{Accounts: list, IMAP: IMAP{Addrs: []string{listenIMAP(t, mem, nil, false)}}}
	src := script{"Message-ID: <1@x>\r\n\r\n.\r\n..\r\n.a\r\nend\r\n", strings.Repeat("X: y\r\n", 2000) + "\r\nover 4096\r\n"}
	r, err := Append(t.Context(), target, AppendOptions{Options: Options{Connections: 2, Count: 8}, Source: src, Flags: `\Seen`})
	if err != nil || r.Ops != 8 || r.Failed() > 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	for a := range list {
		one := *target
		one.Accounts = list[a : a+1]
		rs, err := Read(t.Context(), &one, ReadOptions{Works: []string{"body-all"}, Repeat: 1})
		if errors.Is(err, ErrTarget) {
			continue // the other connection took all
		}
		if err != nil || rs[0].Ops == 0 {
			t.Fatalf("%+v, %v", rs, err)
		}
		r.Bytes -= rs[0].Bytes
	}
	if r.Bytes != 0 {
		t.Errorf("%d bytes went missing", r.Bytes)
	}
	if r, err = Append(t.Context(), target, AppendOptions{Options: Options{Count: 2}, Source: src, Mailbox: "nowhere"}); err != nil || r.Ops != 0 || r.Errors["APPEND: NO [TRYCREATE]"] != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestLogin(t *testing.T) {
	list := accounts(2)
	_, mem := newFakes(list...)
	cert := certificate(t)
	for _, mode := range []TLSMode{TLSNone, TLSStartTLS, TLSImplicit} {
		cfg := cert
		if mode == TLSNone {
			cfg = nil
		}
		target := &Target{Accounts: list, IMAP: IMAP{Addrs: []string{listenIMAP(t, mem, cfg, mode == TLSImplicit)}, TLS: mode}, InsecureTLS: true}
		for _, plain := range []bool{false, true} {
			r, err := Login(t.Context(), target, LoginOptions{Options: Options{Connections: 2, Count: 6}, Plain: plain})
			if err != nil || r.Ops != 6 || r.Failed() > 0 {
				t.Errorf("%s, plain %t: %+v, %v", mode, plain, r, err)
			}
		}
		target.Accounts = []Account{{Address: list[0].Address, Password: "wrong"}}
		r, err := Login(t.Context(), target, LoginOptions{Options: Options{Count: 2}})
		if err != nil || r.Ops != 0 || r.Failed() != 2 || len(r.Errors) != 1 {
			t.Errorf("%s: a wrong password: %+v, %v", mode, r, err)
		}
		if mode != TLSNone {
			target.InsecureTLS = false
			if r, err := Login(t.Context(), target, LoginOptions{Options: Options{Count: 2}}); err != nil || r.Errors["TLS: other error"] != 2 {
				t.Errorf("%s: a certificate of nobody: %+v, %v", mode, r, err)
			}
		}
	}
}

func TestIdleMemory(t *testing.T) {
	list := accounts(2)
	_, mem := newFakes(list...)
	target := &Target{
		Accounts: list, PIDs: func() []int { return []int{os.Getpid()} }, InsecureTLS: true,
		IMAP: IMAP{Addrs: []string{listenIMAP(t, mem, certificate(t), true)}, TLS: TLSImplicit},
	}
	r, err := IdleMemory(t.Context(), target, IdleMemoryOptions{Connections: 40, Settle: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	// Both ends are in this process, whose heap may shrink meanwhile.
	if m := r.Memory; m == nil || m.PSSBefore <= 0 || m.RSSAfter < m.PSSAfter || m.Connections != 40 || m.Processes < 1 ||
		m.PSS != float64(m.PSSAfter-m.PSSBefore)/40 || m.RSS != float64(m.RSSAfter-m.RSSBefore)/40 {
		t.Errorf("%+v", r.Memory)
	}
}

// TestIdleCrowd: every connection of every account hears of each message, at
// every address; one that does not is missed, and counted.
func TestIdleCrowd(t *testing.T) {
	list := accounts(2)
	f, mem := newFakes(list...)
	f.delivers = true
	cert := certificate(t)
	target := &Target{
		Accounts: list, PIDs: func() []int { return []int{os.Getpid()} }, InsecureTLS: true,
		IMAP:     IMAP{Addrs: []string{listenIMAP(t, mem, cert, true), listenIMAP(t, mem, cert, true)}, TLS: TLSImplicit},
		Delivery: Delivery{Addrs: []string{f.listen(t, false, nil, false), f.listen(t, false, nil, false)}},
	}
	o := IdleCrowdOptions{Source: text, Rounds: 3}
	o.Connections, o.Settle = 12, time.Millisecond
	r, err := IdleCrowd(t.Context(), target, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Ops != 36 || r.Latency.Count != 36 || r.Failed() != 0 || r.Latency.Max <= 0 {
		t.Errorf("%+v", r)
	}
	if m := r.Memory; m == nil || len(m.Each) != 1 || m.Each[0] <= 0 || m.RSSTold <= 0 {
		t.Errorf("%+v", r.Memory)
	}
	for _, a := range list {
		if n := len(f.got[a.Address]); n != 3 {
			t.Errorf("%d messages for one account", n)
		}
	}
	f.delivers, o.Timeout, o.Rounds = false, 50*time.Millisecond, 1
	if r, err = IdleCrowd(t.Context(), target, o); err != nil || r.Ops != 0 || r.Errors[errMissed.Error()] != 12 {
		t.Errorf("nothing arrives: %+v, %v", r, err)
	}
	// Without processes there are no figures of memory.
	target.PIDs, f.delivers = nil, true
	if r, err = IdleCrowd(t.Context(), target, o); err != nil || r.Ops != 12 || r.Memory != nil {
		t.Errorf("%+v, %v", r, err)
	}
	// A refused message ends it.
	f.answer = func() error { return &smtp.SMTPError{Code: 554, Message: "no"} }
	if _, err = IdleCrowd(t.Context(), target, o); err == nil || !strings.Contains(err.Error(), "554") {
		t.Errorf("%v", err)
	}
}

func TestCheckFiles(t *testing.T) {
	if err := checkFiles(1); err != nil {
		t.Error(err)
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < 1<<30 {
		if err := checkFiles(int(limit.Cur)); !errors.Is(err, ErrTarget) {
			t.Errorf("more than may be open: %v", err)
		}
	}
}

// talker is a server that plays a script: each command, without its tag, has
// its answer; T in an answer is the tag.
type talker map[string]string

func (a talker) listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				fmt.Fprint(c, "* OK hello\r\n")
				r := bufio.NewReader(c)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					tag, cmd, _ := strings.Cut(strings.TrimSpace(line), " ")
					out, ok := a[cmd]
					if !ok {
						out = "T OK fine\r\n"
					}
					if out == "hang up" {
						return
					}
					fmt.Fprint(c, strings.ReplaceAll(out, "T OK", tag+" OK"))
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// TestSkipping: the reader finds the end of an answer whatever is in it.
func TestSkipping(t *testing.T) {
	big := strings.Repeat("x", 600<<10)
	numbers := "* SEARCH" + strings.Repeat(" 123456", 100_000)
	sel := talker{
		`SELECT "INBOX"`:                      "* 3 EXISTS\r\n* FLAGS ()\r\nT OK [READ-WRITE] done\r\n",
		"FETCH 1:* (UID FLAGS)":               "* 1 FETCH (UID 1 FLAGS ())\r\n* 2 FETCH (UID 2 FLAGS ())\r\n* 4 EXISTS\r\nT OK done\r\n",
		"FETCH 1:* (BODY.PEEK[])":             "* 1 FETCH (BODY[] {20}\r\n1 OK trap\r\n2 OK trap\r FLAGS ())\r\n* 2 FETCH (BODY[] ~{0}\r\n)\r\n* 3 FETCH (BODY[] {" + strconv.Itoa(len(big)) + "}\r\n" + big + " BODY[1] {3}\r\na\r\n)\r\nT OK done\r\n",
		"FETCH 1:* (ENVELOPE)":                "* 1 FETCH (ENVELOPE (" + big + "))\r\nT OK done\r\n",
		"FETCH 1:* (BODYSTRUCTURE)":           "* 1 FETCH (BODYSTRUCTURE \"{9}\" {a} {})\r\nT OK done\r\n",
		`SEARCH SUBJECT "meeting"`:            numbers + "\r\nT OK done\r\n",
		`SEARCH FROM "example.com"`:           "* SEARCH\r\nT OK done\r\n",
		`SEARCH TEXT "meeting"`:               "* SEARCH 5 7\r\nT OK done\r\n",
		`SEARCH BODY "` + corpus.NoWord + `"`: "T OK done\r\n",
	}
	target := &Target{Accounts: accounts(1), IMAP: IMAP{Addrs: []string{sel.listen(t)}}}
	rs, err := Read(t.Context(), target, ReadOptions{
		Repeat: 2, Works: []string{"flags", "body-all", "envelope", "bodystructure", "search-subject", "search-from", "search-text", "search-body"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct{ ops, bytes int64 }{
		{3, 0}, {3, 20 + int64(len(big)) + 3}, {1, 0}, {1, 0}, {100_000, 0}, {0, 0}, {2, 0}, {0, 0},
	} {
		if rs[i].Ops != want.ops || rs[i].Bytes != want.bytes || rs[i].Failed() > 0 {
			t.Errorf("%s: %d answers, %d bytes, errors %v; want %d and %d", rs[i].Work, rs[i].Ops, rs[i].Bytes, rs[i].Errors, want.ops, want.bytes)
		}
	}
}

// TestBadAnswers: what is no IMAP, or a "no", ends a work with its kind.
func TestBadAnswers(t *testing.T) {
	const flags = "FETCH 1:* (UID FLAGS)"
	for answer, want := range map[string]string{
		"hang up":                       "read: connection closed",
		"* BYE [UNAVAILABLE] later\r\n": "read: BYE [UNAVAILABLE]",
		"? what\r\n":                    "read: " + errProtocol.Error(),
		"+ go on\r\n":                   "read: " + errProtocol.Error(),
		"3 NO [LIMIT] x\r\n":            "read: NO [LIMIT]",
		"3 BAD secret@x\r\n":            "read: BAD",
		"3 PERHAPS\r\n":                 "read: no status",
	} {
		s := talker{`SELECT "INBOX"`: "* 3 EXISTS\r\nT OK done\r\n", flags: answer}
		target := &Target{Accounts: accounts(1), IMAP: IMAP{Addrs: []string{s.listen(t)}}}
		_, err := Read(t.Context(), target, ReadOptions{Works: []string{"flags"}})
		if err == nil || kind(err) != want {
			t.Errorf("%q: %v, kind %q, want %q", answer, err, kind(err), want)
		}
	}
}

// TestCancelled: a work ends with its context although a server says nothing.
func TestCancelled(t *testing.T) {
	s := talker{`SELECT "INBOX"`: ""}
	target := &Target{Accounts: accounts(1), IMAP: IMAP{Addrs: []string{s.listen(t)}}}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := Store(ctx, target, StoreOptions{Options: Options{Count: 1}}); err == nil {
		t.Error("no error")
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %s to notice", d)
	}
}

func FuzzNext(f *testing.F) {
	for _, s := range []string{"* 1 FETCH (BODY[] {3}\r\nabc)\r\n", "* SEARCH 1 2\r\n", "1 OK\r\n", "{9999999999999}\r\n", "+ \r\n", "* 5 EXISTS\r\n", "* x EXISTS\r\n", "{\r\n", "\n", "1 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := &imapClient{line: &line{r: bufio.NewReaderSize(strings.NewReader(s), 64)}}
		for range 100 {
			a, err := c.finish("fuzz", "1", nil)
			if a.literal < 0 || a.bytes < a.literal || a.hits < -1 || a.untagged < 0 {
				t.Errorf("%+v", a)
			}
			var no *refusal
			if err != nil && !errors.As(err, &no) {
				return
			}
		}
	})
}
