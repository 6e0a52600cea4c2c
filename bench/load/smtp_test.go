package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
)

// TestDeliver: what arrives is what was sent, to whom it was sent, by every way
// of sending.
func TestDeliver(t *testing.T) {
	src := script{
		"Message-ID: <1@x>\r\n\r\n.\r\n..\r\n.a\r\nend\r\n",
		"Subject: no id\r\n\r\n\xe5\r\n",
		"message-id:\r\n <folded@x>\r\n\r\nMessage-ID: <no@header>\r\n",
		string(text.Message(0)),
	}
	for _, c := range []struct {
		name string
		lmtp bool
		tls  TLSMode
		bdat bool
	}{
		{"SMTP", false, TLSNone, false},
		{"LMTP", true, "", false},
		{"SMTP STARTTLS", false, TLSStartTLS, false},
		{"LMTP implicit TLS", true, TLSImplicit, false},
		{"SMTP BDAT", false, TLSNone, true},
		{"SMTP BDAT TLS", false, TLSImplicit, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, _ := newFakes()
			cert := certificate(t)
			target := &Target{Name: "fake", Accounts: accounts(3), InsecureTLS: true}
			target.Delivery.TLS = c.tls
			if c.lmtp {
				target.Delivery.Proto = LMTP
			}
			for range 2 {
				target.Delivery.Addrs = append(target.Delivery.Addrs, f.listen(t, c.lmtp, cert, c.tls == TLSImplicit))
			}
			r, err := Deliver(t.Context(), target, DeliverOptions{Options: Options{Connections: 4, Count: 12}, Source: src, BDAT: c.bdat})
			if err != nil {
				t.Fatal(err)
			}
			if r.Ops != 12 || r.Failed() > 0 || r.Latency.Count != 12 || r.Answer == nil || r.Answer.Count != 12 || r.Rate <= 0 {
				t.Fatalf("%+v", r)
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			ids, bytesIn := map[string]int{}, 0
			for to, list := range f.got {
				if !slices.ContainsFunc(target.Accounts, func(a Account) bool { return a.Address == to }) {
					t.Errorf("mail to %s", to)
				}
				for _, b := range list {
					bytesIn += len(b)
					ids[string(b)]++
					body := b[bytes.Index(b, []byte("\r\n\r\n")):]
					if !slices.ContainsFunc(src, func(m string) bool { return m[strings.Index(m, "\r\n\r\n"):] == string(body) }) {
						t.Errorf("a body that was not sent: %q", body)
					}
				}
			}
			if len(ids) != 12 {
				t.Errorf("%d different messages arrived, want 12", len(ids))
			}
			for _, m := range src {
				if ids[m] != 1 {
					t.Errorf("the corpus' own message arrived %d times: %.60q", ids[m], m)
				}
			}
			if int64(bytesIn) != r.Bytes {
				t.Errorf("%d bytes counted, %d arrived", r.Bytes, bytesIn)
			}
			if f.hellos < 4 || len(f.from) != 12 || f.from[0] != defaultFrom {
				t.Errorf("%d connections, senders %q", f.hellos, f.from)
			}
		})
	}
}

// TestDeliverRefused: a refusal is counted under its step and code, and the
// connection goes on.
func TestDeliverRefused(t *testing.T) {
	for _, bdat := range []bool{false, true} {
		f, _ := newFakes()
		n := 0
		f.refuse = func(string) error {
			if n++; n%3 == 0 {
				return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "secret@example.org unknown"}
			}
			return nil
		}
		m := 0
		f.answer = func() error {
			if m++; m%4 == 0 {
				return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 2}, Message: "later"}
			}
			return nil
		}
		target := &Target{Accounts: accounts(1), Delivery: Delivery{Addrs: []string{f.listen(t, false, nil, false)}}}
		r, err := Deliver(t.Context(), target, DeliverOptions{Options: Options{Count: 12}, Source: text, BDAT: bdat})
		if err != nil {
			t.Fatal(err)
		}
		step := "message"
		if bdat {
			step = "BDAT"
		}
		want := map[string]int64{"RCPT 550 5.1.1": 4, step + " 451 4.3.2": 2}
		got := map[string]int64{}
		for k, v := range r.Errors {
			got[strings.Replace(k, ": ", " ", 1)] = v
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || r.Ops != 6 || f.count() != 6 {
			t.Errorf("bdat %t: errors %v, want %v; %d answered, %d arrived", bdat, got, want, r.Ops, f.count())
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.hellos != 1 {
			t.Errorf("bdat %t: %d connections for refusals", bdat, f.hellos)
		}
	}
}

// plain is a server of the year 1982: no extensions, and it hangs up with 421
// after so many messages.
type plain struct {
	after int
	mu    sync.Mutex
	seen  []string // commands
	conns int
}

func (p *plain) listen(t *testing.T) string {
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
			wg.Go(func() { p.talk(c) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

func (p *plain) talk(c net.Conn) {
	defer c.Close()
	p.mu.Lock()
	p.conns++
	p.mu.Unlock()
	r := bufio.NewReader(c)
	say := func(s string) { fmt.Fprintf(c, "%s\r\n", s) }
	say("220-hello\r\n220 there")
	data, messages := false, 0
	for {
		l, err := r.ReadString('\n')
		if err != nil {
			return
		}
		l = strings.TrimSpace(l)
		if data {
			if l == "." {
				data = false
				if messages++; messages == p.after {
					say("421 4.3.2 enough")
					return
				}
				say("250 taken")
			}
			continue
		}
		if r.Buffered() > 0 {
			say("500 you pipeline")
			return
		}
		p.mu.Lock()
		p.seen = append(p.seen, l)
		p.mu.Unlock()
		switch verb, _, _ := strings.Cut(l, " "); verb {
		case "DATA":
			data = true
			say("354 go on")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 fine")
		}
	}
}

func TestWithoutExtensions(t *testing.T) {
	p := &plain{after: 3}
	target := &Target{Accounts: accounts(1), Delivery: Delivery{Addrs: []string{p.listen(t)}}}
	src := script{"Message-ID: <1@x>\r\n\r\n\xe5\r\n"}
	r, err := Deliver(t.Context(), target, DeliverOptions{Options: Options{Count: 7}, Source: src, From: "me@example.org"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Ops != 5 || r.Errors["message: 421 4.3.2"] != 2 || len(r.Errors) != 1 {
		t.Errorf("%d answered, errors %v", r.Ops, r.Errors)
	}
	p.mu.Lock()
	seen, conns := slices.Clone(p.seen), p.conns
	p.mu.Unlock()
	if conns != 3 {
		t.Errorf("%d connections, want a new one after each 421", conns)
	}
	if !slices.Contains(seen, "MAIL FROM:<me@example.org>") || !slices.Contains(seen, "RCPT TO:<a@example.org>") {
		t.Errorf("commands %q", seen)
	}
	if _, err := Deliver(t.Context(), target, DeliverOptions{Options: Options{Count: 1}, Source: src, BDAT: true}); !errors.Is(err, ErrTarget) {
		t.Errorf("BDAT without CHUNKING: %v", err)
	}
}

func TestCode(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"550 5.1.1 <me@example.org> unknown", "550 5.1.1"},
		{"451 4.3.2", "451 4.3.2"},
		{"451 4.3.2 x", "451 4.3.2"},
		{"554 10.0.0.1 is listed", "554"},
		{"554 me@example.org", "554"},
		{"500", "500"},
		{"552 5.2.123 full", "552 5.2.123"},
	} {
		if got := code([]byte(c.line)); got != c.want {
			t.Errorf("%q: %q, want %q", c.line, got, c.want)
		}
	}
}

func TestTargetChecks(t *testing.T) {
	full := func() *Target {
		return &Target{Accounts: accounts(1), Delivery: Delivery{Addrs: []string{"127.0.0.1:1"}}, IMAP: IMAP{Addrs: []string{"127.0.0.1:1"}}}
	}
	opt := Options{Count: 1}
	for name, try := range map[string]func(*Target) error{
		"no accounts": func(t *Target) error {
			t.Accounts = nil
			_, err := Deliver(context.Background(), t, DeliverOptions{Options: opt, Source: text})
			return err
		},
		"no address": func(t *Target) error {
			t.Delivery.Addrs = nil
			_, err := Deliver(context.Background(), t, DeliverOptions{Options: opt, Source: text})
			return err
		},
		"no corpus": func(t *Target) error {
			_, err := Deliver(context.Background(), t, DeliverOptions{Options: opt})
			return err
		},
		"no end": func(t *Target) error {
			_, err := Deliver(context.Background(), t, DeliverOptions{Source: text})
			return err
		},
		"protocol": func(t *Target) error {
			t.Delivery.Proto = "uucp"
			_, err := Deliver(context.Background(), t, DeliverOptions{Options: opt, Source: text})
			return err
		},
		"TLS": func(t *Target) error {
			t.IMAP.TLS = "perhaps"
			_, err := Login(context.Background(), t, LoginOptions{Options: opt})
			return err
		},
		"accounts past the end": func(t *Target) error {
			_, err := Deliver(context.Background(), t, DeliverOptions{Options: opt, Source: text, FirstAccount: 1})
			return err
		},
		"read work": func(t *Target) error {
			_, err := Read(context.Background(), t, ReadOptions{Works: []string{"minds"}})
			return err
		},
		"idle accounts": func(t *Target) error {
			_, err := Idle(context.Background(), t, IdleOptions{Options: Options{Connections: 2, Count: 1}, Source: text})
			return err
		},
		"memory of nobody": func(t *Target) error {
			_, err := IdleMemory(context.Background(), t, IdleMemoryOptions{})
			return err
		},
		"crowd without mail": func(t *Target) error {
			t.Delivery.Addrs = nil
			_, err := IdleCrowd(context.Background(), t, IdleCrowdOptions{Source: text})
			return err
		},
		"crowd of too many": func(t *Target) error {
			o := IdleCrowdOptions{Source: text}
			o.Connections = 20_001
			_, err := IdleCrowd(context.Background(), t, o)
			return err
		},
		"failover without nodes": func(t *Target) error {
			_, err := Failover(context.Background(), t, FailoverOptions{Source: text})
			return err
		},
		"fill account": func(t *Target) error {
			_, err := Fill(context.Background(), t, FillOptions{Count: 1, Source: text, Account: 1})
			return err
		},
	} {
		if err := try(full()); !errors.Is(err, ErrTarget) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Deliver(t.Context(), full(), DeliverOptions{Options: opt, Source: text}); !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody listens: %v", err)
	}
}

// FuzzReply: no server's words can do harm.
func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "250\r\n", "2\r\n", "999 x\n", "421 4.3.2 bye\r\n", "250-\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c := &smtpClient{line: &line{r: bufio.NewReaderSize(strings.NewReader(s), 64)}}
		for range 20 {
			err := c.reply("fuzz", '2', func([]byte) {})
			var no *refusal
			if errors.As(err, &no) && (len(no.code) < 3 || len(no.code) > 16) {
				t.Errorf("code %q", no.code)
			}
			if err != nil && no == nil {
				return
			}
		}
	})
}
