package client

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestReadLine(t *testing.T) {
	for _, c := range []struct {
		in   string
		want line
	}{
		{"* 12 EXISTS\r\n", line{tag: "*", values: []any{"12", "EXISTS"}}},
		{"* OK [UIDNEXT 7] next\r\n", line{tag: "*", values: []any{"OK"}, code: "UIDNEXT 7", text: "next"}},
		{"c1 NO [UNAVAILABLE] later\r\n", line{tag: "c1", values: []any{"NO"}, code: "UNAVAILABLE", text: "later"}},
		{"+ go on\r\n", line{tag: "+", text: "go on"}},
		{"* 1 FETCH (UID 5 FLAGS (\\Seen kwa) BODY[HEADER.FIELDS (SUBJECT)] {5}\r\na\r\nb) MODSEQ (9))\r\n", line{tag: "*", values: []any{
			"1", "FETCH", []any{"UID", "5", "FLAGS", []any{`\Seen`, "kwa"}, "BODY[HEADER.FIELDS (SUBJECT)]", []byte("a\r\nb)"), "MODSEQ", []any{"9"}}}}},
		{"* LIST () \"/\" \"a \\\"b\"\r\n", line{tag: "*", values: []any{"LIST", []any{}, []byte("/"), []byte(`a "b`)}}},
		{"* VANISHED (EARLIER) 1:3\r\n", line{tag: "*", values: []any{"VANISHED", []any{"EARLIER"}, "1:3"}}},
	} {
		r := bufio.NewReader(strings.NewReader(c.in + "x"))
		got, err := readLine(r)
		if err != nil || !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%q: %+v, %v", c.in, got, err)
		}
		if rest, err := io.ReadAll(r); err != nil || string(rest) != "x" {
			t.Errorf("%q: left %q, %v", c.in, rest, err)
		}
	}
	for _, bad := range []string{"", "*", "* 1 FETCH (", "* x {99999999999}\r\n", "* \"a\r\n", "* a\rb", "* )\r\n"} {
		if l, err := readLine(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("%q is read as %+v", bad, l)
		}
	}
}

func TestJudge(t *testing.T) {
	for _, size := range []int{0, 300, 70_000} {
		raw := Octets("m1", size)
		trace := append([]byte("Received: x\r\n"), raw...)
		flipped := bytes.Clone(raw)
		flipped[len(flipped)-3] ^= 1
		for _, c := range []struct {
			raw       []byte
			delivered bool
			good      bool
		}{
			{raw, false, true}, {raw, true, true}, {trace, true, true}, {trace, false, false},
			{append([]byte("torn"), raw...), true, false}, {flipped, true, false}, {raw[:len(raw)-1], true, false}, {append(bytes.Clone(raw), '\n'), true, false},
		} {
			name, bad := Judge(c.raw, c.delivered)
			if (bad == "") != c.good || c.good && name != "m1" {
				t.Errorf("size %d, %d octets, delivered %v: %q %q", size, len(c.raw), c.delivered, name, bad)
			}
		}
	}
}

func TestSets(t *testing.T) {
	got, err := ParseSet("1,5:3,9")
	if err != nil || FormatSet(got) != "1,3,4,5,9" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "a", "1:", "1:4000000000", "4294967296"} {
		if got, err := ParseSet(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}

// serve plays a server that answers each expected line, tags cut off.
func serve(t *testing.T, greeting string, script ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		if _, err := io.WriteString(c, greeting); err != nil {
			return
		}
		for i := 0; i+1 < len(script); i += 2 {
			got, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if got = strings.TrimSpace(got); !strings.HasSuffix(got, script[i]) {
				t.Errorf("asked %q, want %q", got, script[i])
				return
			}
			tag, _, _ := strings.Cut(got, " ")
			if _, err := io.WriteString(c, strings.ReplaceAll(script[i+1], "TAG", tag)); err != nil {
				return
			}
		}
	}()
	return l.Addr().String()
}

func TestIMAP(t *testing.T) {
	addr := serve(t, "* OK hello\r\n",
		"LOGIN \"a\" \"b\"", "TAG OK [CAPABILITY IMAP4rev1 QRESYNC] in\r\n",
		"SELECT \"INBOX\" (CONDSTORE)", "* 2 EXISTS\r\n* OK [UIDVALIDITY 5] v\r\n* OK [UIDNEXT 9] n\r\n* OK [HIGHESTMODSEQ 77] h\r\n* VANISHED (EARLIER) 3,4\r\n* 1 FETCH (UID 1 FLAGS (kwa) MODSEQ (70))\r\nTAG OK [READ-WRITE] done\r\n",
		"UID STORE 1 (UNCHANGEDSINCE 3) FLAGS (kwb)", "* 1 FETCH (UID 1 FLAGS (kwa) MODSEQ (70))\r\nTAG OK [MODIFIED 1] no\r\n",
		"UID MOVE 1 \"Done\"", "* OK [COPYUID 6 1:2 8:9] moved\r\n* 1 EXPUNGE\r\nTAG OK done\r\n",
		"UID EXPUNGE 7", "TAG NO [UNAVAILABLE] later\r\n",
		"UID EXPUNGE 7", "TAG NO never\r\n",
		"IDLE", "+ idling\r\n* 3 EXISTS\r\n",
		"DONE", "* 2 EXPUNGE\r\nc7 OK done\r\n",
		"NOOP", "* BYE out\r\n",
	)
	c, err := DialIMAP(addr, "a", "b", 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if !c.Can("QRESYNC") || c.Can("X") {
		t.Error("capabilities")
	}
	m, err := c.Select("INBOX", "CONDSTORE")
	if err != nil || m.Exists != 2 || m.Validity != 5 || m.Next != 9 || m.Highest != 77 || len(m.Vanished) != 2 || len(m.Changed) != 1 || m.Changed[0].ModSeq != 70 {
		t.Errorf("%+v, %v", m, err)
	}
	shown, modified, err := c.Store(1, "FLAGS", []string{"kwb"}, 3)
	if err != nil || !modified || shown == nil || shown.ModSeq != 70 {
		t.Errorf("%+v %v %v", shown, modified, err)
	}
	cp, err := c.Copy(true, "1", "Done")
	if err != nil || cp.Validity != 6 || len(cp.To) != 2 || cp.To[1] != 9 {
		t.Errorf("%+v %v", cp, err)
	}
	if err := c.Expunge("7"); err == nil || Refused(err) {
		t.Errorf("UNAVAILABLE refuses: %v", err)
	}
	if err := c.Expunge("7"); !Refused(err) {
		t.Errorf("NO does not refuse: %v", err)
	}
	var exists, expunged uint32
	c.OnUpdate = func(u Update) {
		if u.Exists != nil {
			exists = *u.Exists
		}
		expunged += u.Expunged
	}
	if err := c.Idle(5*time.Second, nil); err != nil || exists != 3 || expunged != 2 {
		t.Errorf("%v: %d exist, %d expunged", err, exists, expunged)
	}
	_, err = c.Do("NOOP")
	var se *StatusError
	if !errors.As(err, &se) || se.Kind != "BYE" || Refused(err) {
		t.Errorf("BYE: %v", err)
	}
}

func TestDeliver(t *testing.T) {
	ehlo, mail := "EHLO faults.example.org", "MAIL FROM:<writer@example.org>"
	begin := []string{ehlo, "250 x\r\n", mail, "250 ok\r\n", "RCPT TO:<a@x>", "250 ok\r\n", "DATA", "354 go\r\n", "A: b", "", "", "", "..x", ""}
	for _, c := range []struct {
		name   string
		script []string
		want   Answer
	}{
		{"taken", append(begin[:len(begin):len(begin)], ".", "250 2.0.0 ok\r\n"), Answer{Done: true}},
		{"later", append(begin[:len(begin):len(begin)], ".", "451 later\r\n"), Answer{}},
		{"never", append(begin[:len(begin):len(begin)], ".", "554 no\r\n"), Answer{Refused: true}},
		{"lost", begin, Answer{}},
		{"no such", []string{ehlo, "250 x\r\n", mail, "250 ok\r\n", "RCPT TO:<a@x>", "550 no\r\n"}, Answer{Refused: true}},
	} {
		got := Deliver(serve(t, "220 hi\r\n", c.script...), false, []string{"a@x"}, []byte("A: b\r\n\r\n.x\r\n"), 5*time.Second)
		if len(got) != 1 || got[0].Done != c.want.Done || got[0].Refused != c.want.Refused || (got[0].Err == nil) != c.want.Done {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
	got := Deliver(serve(t, "220 hi\r\n", "LHLO faults.example.org", "250 x\r\n", mail, "250 ok\r\n", "RCPT TO:<a@x>", "250 ok\r\n", "RCPT TO:<b@x>", "250 ok\r\n",
		"DATA", "354 go\r\n", "A: b", "", ".", "250 ok\r\n451 not you\r\n"), true, []string{"a@x", "b@x"}, []byte("A: b\r\n"), 5*time.Second)
	if len(got) != 2 || !got[0].Done || got[1].Done || got[1].Refused {
		t.Errorf("LMTP: %+v", got)
	}
}

func FuzzReadLine(f *testing.F) {
	f.Add([]byte("* 1 FETCH (UID 5 FLAGS (\\Seen) BODY[] {3}\r\nabc MODSEQ (9))\r\n"))
	f.Add([]byte("c1 OK [COPYUID 1 2:3 4:5] done\r\n"))
	f.Add([]byte("* VANISHED (EARLIER) 1:9,11\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := readLine(bufio.NewReader(bytes.NewReader(b))); err == nil && len(l.values) > 0 {
			if _, _, err := update(l); err != nil {
				return
			}
		}
	})
}
