//go:build e2e

package clients

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// marionette drives a program of Mozilla's over the protocol of that name:
// JSON, each after its length and a colon.
type marionette struct {
	s    *seat
	conn net.Conn
	r    *bufio.Reader
	id   int
}

// drive connects to a program that listens at a port, and takes its first
// window.
func (s *seat) drive(p *process, port int) *marionette {
	s.Helper()
	m := &marionette{s: s}
	s.until(2*time.Minute, "it does not start", func() bool {
		select {
		case <-p.done:
			s.Fatalf("it has ended: %v\n%s", p.err, p.out.String())
		default:
		}
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		m.conn = c
		return err == nil
	})
	s.Cleanup(func() { m.conn.Close() })
	m.r = bufio.NewReader(m.conn)
	if _, err := m.read(); err != nil {
		s.Fatal(err)
	}
	// It would wait for a word that Thunderbird spells in another way.
	m.call("WebDriver:NewSession", map[string]any{"capabilities": map[string]any{"alwaysMatch": map[string]any{"moz:windowless": true}}})
	m.call("Marionette:SetContext", map[string]any{"value": "chrome"})
	var windows []string
	s.until(time.Minute, "no window opens", func() bool {
		if err := json.Unmarshal(m.call("WebDriver:GetWindowHandles", nil), &windows); err != nil {
			s.Fatal(err)
		}
		return len(windows) > 0
	})
	m.call("WebDriver:SwitchToWindow", map[string]any{"handle": windows[0], "focus": false})
	m.call("WebDriver:SetTimeouts", map[string]any{"script": 60_000})
	return m
}

func (m *marionette) read() (json.RawMessage, error) {
	if err := m.conn.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return nil, err
	}
	length, err := m.r.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(length, ":"))
	if err != nil || n > 64<<20 {
		return nil, fmt.Errorf("marionette: length %q", length)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(m.r, b)
	return b, err
}

// call gives a command and returns its result.
func (m *marionette) call(name string, params any) json.RawMessage {
	m.s.Helper()
	m.id++
	if params == nil {
		params = struct{}{}
	}
	b, err := json.Marshal([]any{0, m.id, name, params})
	if err != nil {
		m.s.Fatal(err)
	}
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(b), b); err != nil {
		m.s.Fatal(err)
	}
	raw, err := m.read()
	if err != nil {
		m.s.Fatalf("%s: %v", name, err)
	}
	var answer [4]json.RawMessage
	if err := json.Unmarshal(raw, &answer); err != nil {
		m.s.Fatal(err)
	}
	if string(answer[2]) != "null" {
		m.s.Fatalf("%s: %.2000s", name, answer[2])
	}
	return answer[3]
}

// js runs the body of an asynchronous function in the program itself and
// stores what it returns.
func (m *marionette) js(result any, body string, args ...any) {
	m.s.Helper()
	if args == nil {
		args = []any{}
	}
	raw := m.call("WebDriver:ExecuteAsyncScript", map[string]any{
		"script": `const [args, done] = [[...arguments].slice(0, -1), arguments[arguments.length - 1]];
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
(async () => {` + body + `})().then(ok => done({ ok }), err => done({ err: err + "\n" + err.stack }));`,
		"args": args, "newSandbox": false, "sandbox": "system",
	})
	var v struct {
		Value struct {
			OK  json.RawMessage
			Err string
		}
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		m.s.Fatalf("%v: %.500s", err, raw)
	}
	if v.Value.Err != "" {
		m.s.Fatalf("a script failed: %s", v.Value.Err)
	}
	if result != nil && len(v.Value.OK) > 0 {
		if err := json.Unmarshal(v.Value.OK, result); err != nil {
			m.s.Fatalf("%v: %.500s", err, v.Value.OK)
		}
	}
}
