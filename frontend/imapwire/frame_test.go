package imapwire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// pipe is a connection that gives a fixed input in pieces.
type pipe struct {
	net.Conn
	in   *bytes.Reader
	step int
}

func (p *pipe) Read(b []byte) (int, error) {
	if p.step > 0 && len(b) > p.step {
		b = b[:p.step]
	}
	return p.in.Read(b)
}

func (p *pipe) SetReadDeadline(time.Time) error { return nil }

// testGate takes or refuses literals and remembers what it was asked.
type testGate struct {
	lim     Limits
	refuse  func(f *Frame, l *Literal) error
	place   bool
	waits   int
	literal int
}

func (g *testGate) Limits() Limits { return g.lim }

func (g *testGate) Literal(f *Frame, l *Literal) error {
	g.literal++
	if g.refuse != nil {
		if err := g.refuse(f, l); err != nil {
			return err
		}
	}
	if g.place {
		l.Data = make([]byte, l.Size)
	}
	return nil
}

func (g *testGate) Continue() error { g.waits++; return nil }

var usual = Limits{Command: 1000, Literal: 400, Drain: 100000}

// frames reads all commands of an input and describes them.
func frames(t *testing.T, in string, step int, g *testGate) (out []string, end error) {
	t.Helper()
	rd := NewReader(&pipe{in: bytes.NewReader([]byte(in)), step: step}, func() error { return nil })
	var f Frame
	for {
		err := rd.ReadFrame(&f, g)
		var refused *Refused
		switch {
		case errors.As(err, &refused):
			out = append(out, fmt.Sprintf("%s %s REFUSED %v", f.Tag, f.Name, refused.Err))
		case err != nil:
			return out, err
		default:
			s := fmt.Sprintf("%s %s %q", f.Tag, f.Name, f.Text)
			for _, l := range f.Literals {
				s += fmt.Sprintf(" %d-%d:%q", l.Pos, l.Next, l.Data)
			}
			out = append(out, s)
		}
	}
}

func TestFrames(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		name, in string
		want     []string
		end      error
	}{
		{"plain", "a NOOP\r\nb uid fetch 1 FLAGS\nc\r\n\r\n", []string{
			`a NOOP "a NOOP\r\n"`, `b UID FETCH "b uid fetch 1 FLAGS\n"`, `  "c\r\n"`, `  "\r\n"`}, io.EOF},
		{"literals", "a LOGIN {3}\r\nfoo {4+}\r\nb\r\nr\r\n", []string{
			`a LOGIN "a LOGIN {3}\r\n {4+}\r\n\r\n" 8-13:"foo" 14-20:"b\r\nr"`}, io.EOF},
		{"binary", "a APPEND x ~{2}\r\n\x00\x01\r\n", []string{`a APPEND "a APPEND x ~{2}\r\n\r\n" 11-17:"\x00\x01"`}, io.EOF},
		{"zero", "a X {0}\r\n\r\n", []string{`a X "a X {0}\r\n\r\n" 4-9:""`}, io.EOF},
		// A non-synchronizing literal that is too long is thrown away, and
		// what follows it still belongs to the command.
		{"long literal", "a SEARCH TEXT {401+}\r\n" + strings.Repeat("y", 381) + "\r\nEVIL DELETE Victi more\r\nb NOOP\r\n", nil, nil},
		{"long line", "a SEARCH " + long + "\r\nb NOOP\r\n", []string{"a SEARCH REFUSED command line too long", `b NOOP "b NOOP\r\n"`}, io.EOF},
		{"long line with literal", "a SEARCH " + long + " {12+}\r\nx\r\nEVIL NO\r\n more\r\nb NOOP\r\n",
			[]string{"a SEARCH REFUSED command line too long", `b NOOP "b NOOP\r\n"`}, io.EOF},
		{"long line with synchronizing literal", "a SEARCH " + long + " {12}\r\nb NOOP\r\n",
			[]string{"a SEARCH REFUSED command line too long", `b NOOP "b NOOP\r\n"`}, io.EOF},
		{"no end", "a SEARCH " + strings.Repeat(long, 100), nil, ErrTooMuch},
		{"literal without end", "a X {999999999999999999999999+}\r\n", nil, ErrTooMuch},
		{"synchronizing literal too long", "a X {500}\r\nb NOOP\r\n",
			[]string{"a X REFUSED literal too long", `b NOOP "b NOOP\r\n"`}, io.EOF},
		{"huge synchronizing literal", "a X {99999999999999999999999999}\r\nb NOOP\r\n",
			[]string{"a X REFUSED literal too long", `b NOOP "b NOOP\r\n"`}, io.EOF},
		{"many literals", "a X {400+}\r\n" + strings.Repeat("z", 400) + " {400+}\r\n" + strings.Repeat("z", 400) + " {400+}\r\n" +
			strings.Repeat("z", 400) + "\r\nb NOOP\r\n", []string{"a X REFUSED command too long", `b NOOP "b NOOP\r\n"`}, io.EOF},
		{"no tag", "{5+}\r\nhello\r\nb NOOP\r\n", []string{`  REFUSED expected a tag and a command`, `b NOOP "b NOOP\r\n"`}, io.EOF},
		{"not a literal", "a X 5+}\r\nb X {+}\r\nc X {5 }\r\nd X {x5}\r\n", []string{
			`a X "a X 5+}\r\n"`, `b X "b X {+}\r\n"`, `c X "c X {5 }\r\n"`, `d X "d X {x5}\r\n"`}, io.EOF},
		{"cut", "a NOOP\r\nb NO", []string{`a NOOP "a NOOP\r\n"`}, io.EOF},
	} {
		if c.want == nil && c.end == nil {
			c.want, c.end = []string{"a SEARCH REFUSED literal too long", `b NOOP "b NOOP\r\n"`}, io.EOF
		}
		for _, step := range []int{0, 1, 7} {
			g := &testGate{lim: usual}
			got, end := frames(t, c.in, step, g)
			if fmt.Sprint(got) != fmt.Sprint(c.want) || !errors.Is(end, c.end) {
				t.Errorf("%s, %d octets at a time:\n got %q, %v\nwant %q, %v", c.name, step, got, end, c.want, c.end)
			}
		}
	}
}

// A gate that refuses is asked before the client is told to send, and the
// octets of a literal that come all the same are never a command.
func TestGate(t *testing.T) {
	no := errors.New("no")
	for _, c := range []struct {
		in    string
		waits int
		want  string
	}{
		{"a APPEND x {9}\r\nb NOOP\r\n", 0, `[a APPEND REFUSED no b NOOP "b NOOP\r\n"]`},
		{"a APPEND x {20+}\r\nX\r\nEVIL DELETE box\r\n\r\nb NOOP\r\n", 0, `[a APPEND REFUSED no b NOOP "b NOOP\r\n"]`},
		// The second literal of the refused command is thrown away as well.
		{"a APPEND x {5+}\r\n12345 {6+}\r\n\r\nE X\r\nb NOOP\r\n", 0, `[a APPEND REFUSED no b NOOP "b NOOP\r\n"]`},
		{"a APPEND x {5+}\r\n12345 {6}\r\nb NOOP\r\n", 0, `[a APPEND REFUSED no b NOOP "b NOOP\r\n"]`},
	} {
		g := &testGate{lim: usual, refuse: func(f *Frame, l *Literal) error { return no }}
		got, end := frames(t, c.in, 0, g)
		if fmt.Sprint(got) != c.want || end != io.EOF || g.waits != c.waits {
			t.Errorf("%q: %s, %v, %d waits, want %s", c.in, got, end, g.waits, c.want)
		}
	}
	g := &testGate{lim: usual, place: true}
	big := strings.Repeat("m", 50000)
	got, _ := frames(t, "a APPEND x {50000}\r\n"+big+"\r\nb NOOP\r\n", 1000, g)
	if len(got) != 2 || !strings.Contains(got[0], big) || g.waits != 1 {
		t.Errorf("placed literal: %d frames, %d waits", len(got), g.waits)
	}
}

// Nothing large is held by a reader that waits.
func TestReaderLetsGo(t *testing.T) {
	rd := NewReader(&pipe{in: bytes.NewReader([]byte("a X " + strings.Repeat("y", 900) + "\r\nb NOOP\r\n"))}, func() error { return nil })
	var f Frame
	g := &testGate{lim: usual}
	for range 2 {
		if err := rd.ReadFrame(&f, g); err != nil {
			t.Fatal(err)
		}
	}
	if err := rd.ReadFrame(&f, g); err != io.EOF {
		t.Fatal(err)
	}
	if rd.pooled != nil || len(rd.buf) != idleBuffer || cap(f.Text) > 1<<10 {
		t.Errorf("holds %d octets and a frame of %d", len(rd.buf), cap(f.Text))
	}
}

func TestWatch(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	rd := NewReader(server, func() error { return nil })
	news := rd.Watch(false)
	select {
	case <-news:
		t.Fatal("news without any")
	default:
	}
	if err := rd.Unwatch(); err != nil {
		t.Fatal(err)
	}
	if err := server.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	news = rd.Watch(false)
	go func() {
		if _, err := client.Write([]byte("DONE\r\n")); err != nil {
			t.Error(err)
		}
	}()
	<-news
	if err := rd.Unwatch(); err != nil || !rd.HasLine() {
		t.Fatal(err, rd.HasLine())
	}
	if line, err := rd.ReadLine(nil, 100); err != nil || string(line) != "DONE" {
		t.Fatalf("%q, %v", line, err)
	}
	news = rd.Watch(true)
	client.Close()
	<-news
	if !rd.Broken() {
		t.Error("a closed connection is not noticed")
	}
	if err := rd.Unwatch(); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
}

func FuzzFramer(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint8) {
		// The frames together with what was thrown away are the input, in
		// order: no octet is seen twice, and the pieces it comes in change
		// nothing.
		g1 := &testGate{lim: usual}
		a, e1 := frames(t, string(in), int(step), g1)
		g2 := &testGate{lim: usual}
		b, e2 := frames(t, string(in), 0, g2)
		if fmt.Sprint(a) != fmt.Sprint(b) || !errors.Is(e1, e2) || g1.waits != g2.waits {
			t.Fatalf("differs with pieces of %d:\n%q %v\n%q %v", step, a, e1, b, e2)
		}
	})
}

func BenchmarkReadFrame(b *testing.B) {
	in := []byte(strings.Repeat("a123 UID STORE 4711 +FLAGS.SILENT (\\Seen)\r\n", 1000))
	p := &pipe{in: bytes.NewReader(in)}
	rd := NewReader(p, func() error { return nil })
	g := &testGate{lim: usual}
	var f Frame
	b.ReportAllocs()
	for b.Loop() {
		err := rd.ReadFrame(&f, g)
		if err == io.EOF {
			p.in.Reset(in)
			err = rd.ReadFrame(&f, g)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
