package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// v2 makes a header of version 2.
func v2(command, family byte, body string) string {
	h := append([]byte(signature), command, family)
	return string(binary.BigEndian.AppendUint16(h, uint16(len(body)))) + body
}

const (
	tcp4 = "\xc0\x00\x02\x01" + "\xc6\x33\x64\x01" + "\x30\x39" + "\x03\xe1" // 192.0.2.1:12345 to 198.51.100.1:993
	tcp6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02" + "\x00\x07" + "\x03\xe1"
	mapped = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x01" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x02" + "\x00\x07" + "\x03\xe1"
)

// summed adds a checksum to a header whose last value is an empty one.
func summed(h string) string {
	b := []byte(h)
	binary.BigEndian.PutUint32(b[len(b)-4:], crc32.Checksum(b, castagnoli))
	return string(b)
}

var good = map[string]string{
	"PROXY TCP4 192.0.2.1 198.51.100.1 12345 993\r\n":        "192.0.2.1:12345",
	"PROXY TCP4 192.0.2.1 198.51.100.1 0 65535\r\n":          "192.0.2.1:0",
	"PROXY TCP6 2001:db8::1 2001:db8::2 7 993\r\n":           "[2001:db8::1]:7",
	"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 7 993\r\n": "192.0.2.1:7",
	"PROXY UNKNOWN\r\n": "",
	"PROXY UNKNOWN " + strings.Repeat("f", maxLine-16) + "\r\n": "",
	v2(0x21, 0x11, tcp4):                                        "192.0.2.1:12345",
	v2(0x21, 0x21, tcp6):                                        "[2001:db8::1]:7",
	v2(0x21, 0x21, mapped):                                      "192.0.2.1:7",
	v2(0x21, 0x11, tcp4+"\x02\x00\x04name\xee\x00\x00"):         "192.0.2.1:12345",
	v2(0x21, 0x31, strings.Repeat("\x00", 216)):                 "",
	v2(0x21, 0x00, ""):                                          "",
	v2(0x21, 0x00, "anything"):                                  "",
	v2(0x20, 0x00, ""):                                          "",
	v2(0x20, 0x11, tcp4):                                        "",
	v2(0x20, 0x77, "x"):                                         "",
	summed(v2(0x21, 0x11, tcp4+"\x03\x00\x04\x00\x00\x00\x00")): "192.0.2.1:12345",
	v2(0x21, 0x11, tcp4+"\x04"+"\x0f\xf1"+strings.Repeat("\x00", maxBody-15)): "192.0.2.1:12345",
}

var wrong = []string{
	"GET / HTTP/1.0\r\n\r\n", "a LOGIN x y\r\n0123456789", "EHLO example.org\r\n", "PROXYTCP4 192.0.2.1 198.51.100.1 1 2\r\n",
	"PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 1 65536\r\n",
	"PROXY TCP4 192.0.2.1 198.51.100.1 01 2\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 -1 2\r\n", "PROXY TCP4 192.0.2.1  198.51.100.1 1 2\r\n",
	"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n", "PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n", "PROXY TCP6 fe80::1%lo fe80::2 1 2\r\n",
	"PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n", "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n", "PROXY tcp4 192.0.2.1 198.51.100.1 1 2\r\n",
	"PROXY TCP4 192.0.2.1 198.51.100.1 1 2 \r\n", "PROXY unknown\r\n", "PROXY \r\nTCP4 192.0.2.1 198.51.100.1 1 2\r\n",
	"PROXY UNKNOWN " + strings.Repeat("f", 200) + "\r\n", "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n" + strings.Repeat("x", 100),
	v2(0x11, 0x11, tcp4), v2(0x22, 0x11, tcp4), v2(0x01, 0x11, tcp4), v2(0x21, 0x12, tcp4), v2(0x21, 0x22, tcp6), v2(0x21, 0x41, tcp6), v2(0x21, 0x01, tcp4),
	v2(0x21, 0x11, tcp4[1:]), v2(0x21, 0x21, tcp4), v2(0x21, 0x11, ""), v2(0x21, 0x31, strings.Repeat("\x00", 215)),
	v2(0x21, 0x11, tcp4+"\x02\x00"), v2(0x21, 0x11, tcp4+"\x02\x00\x05name"), v2(0x21, 0x11, tcp4+"\x03\x00\x04\x00\x00\x00\x00"),
	v2(0x21, 0x11, tcp4+"\x03\x00\x03\x00\x00\x00"), v2(0x21, 0x11, tcp4+strings.Repeat("\x00", maxBody)),
	signature[:11] + "x\x21\x11\x00\x0c" + tcp4,
}

func TestHeader(t *testing.T) {
	for in, want := range good {
		// What follows is left where it is, in whatever pieces it comes.
		for _, cut := range []func(io.Reader) io.Reader{func(r io.Reader) io.Reader { return r }, iotest.OneByteReader} {
			rest := strings.NewReader(in + "a NOOP\r\n")
			client, err := readHeader(cut(rest))
			got := ""
			if client != nil {
				got = client.String()
			}
			if left, _ := io.ReadAll(rest); err != nil || got != want || string(left) != "a NOOP\r\n" {
				t.Errorf("%q: %q, %v, %q left; want %q", in, got, err, left, want)
			}
		}
		// A header that ends early is none.
		for n := range len(in) {
			if client, err := readHeader(strings.NewReader(in[:n])); client != nil || err == nil || errors.Is(err, ErrHeader) {
				t.Errorf("%q: %v, %v", in[:n], client, err)
			}
		}
	}
	for _, in := range wrong {
		if client, err := readHeader(strings.NewReader(in)); client != nil && err == nil || !errors.Is(err, ErrHeader) {
			t.Errorf("%q: %v, %v", in, client, err)
		}
	}
}

func FuzzHeader(f *testing.F) {
	for in := range good {
		f.Add([]byte(in + "rest"))
	}
	for _, in := range wrong {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r := bytes.NewReader(in)
		client, err := readHeader(r)
		if err != nil {
			return
		}
		// The same octets alone are the same header.
		used := in[:len(in)-r.Len()]
		if !bytes.HasPrefix(used, []byte(signature)) && !bytes.HasPrefix(used, []byte(prefix)) || len(used) > 16+maxBody {
			t.Fatalf("%q is a header", used)
		}
		again, err := readHeader(bytes.NewReader(used))
		if err != nil || (client == nil) != (again == nil) || client != nil && client.String() != again.String() {
			t.Fatalf("%v, then %v, %v", client, again, err)
		}
		if client != nil && !client.AddrPort().IsValid() {
			t.Fatalf("%v", client)
		}
	})
}

// listen returns a listener for which the loopback is a proxy, or is not.
func listen(t *testing.T, from string, wait time.Duration) net.Listener {
	t.Helper()
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(raw, Config{From: []netip.Prefix{netip.MustParsePrefix(from)}, Timeout: wait})
	t.Cleanup(func() { l.Close() })
	return l
}

func dial(t *testing.T, l net.Listener, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

func accept(t *testing.T, l net.Listener) (remote, text string) {
	t.Helper()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 4)
	if _, err := io.ReadFull(c, b); err != nil {
		t.Fatal(err)
	}
	return c.RemoteAddr().String(), string(b)
}

func TestListener(t *testing.T) {
	l := listen(t, "127.0.0.0/8", time.Minute)
	// One that says nothing holds up nobody.
	silent := dial(t, l, "")
	one := dial(t, l, v2(0x21, 0x11, tcp4)+"abcd")
	if remote, text := accept(t, l); remote != "192.0.2.1:12345" || text != "abcd" {
		t.Errorf("%s %s", remote, text)
	}
	one.Close()
	dial(t, l, "PROXY TCP6 2001:db8::1 2001:db8::2 7 993\r\nabcd")
	if remote, text := accept(t, l); remote != "[2001:db8::1]:7" || text != "abcd" {
		t.Errorf("%s %s", remote, text)
	}
	local := dial(t, l, v2(0x20, 0, "")+"abcd")
	if remote, text := accept(t, l); remote != local.LocalAddr().String() || text != "abcd" {
		t.Errorf("%s %s", remote, text)
	}
	// A header is a must: others are cut off, and nobody sees them.
	for _, in := range []string{"a001 NOOP\r\n       ", v2(0x21, 0x12, tcp4)} {
		c := dial(t, l, in)
		if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("%q is not cut off", in)
		}
	}
	done := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		done <- err
	}()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if n, err := silent.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("a silent one after Close: %v", err)
	}
	if err := l.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second Close: %v", err)
	}
}

func TestDeadline(t *testing.T) {
	l := listen(t, "127.0.0.1/32", 50*time.Millisecond)
	for _, in := range []string{"", "PROXY TCP4 ", v2(0x21, 0x11, tcp4)[:20]} {
		c := dial(t, l, in)
		var ne net.Error
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.As(err, &ne) && ne.Timeout() {
			t.Errorf("%q is waited for: %v", in, err)
		}
	}
	// The deadline is the header's alone.
	dial(t, l, v2(0x21, 0x11, tcp4)+"abcd")
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if _, err := c.Read(make([]byte, 1)); err == nil || time.Since(begin) < 150*time.Millisecond {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
}

// From others a header is what they say, not who they are.
func TestOthers(t *testing.T) {
	l := listen(t, "192.0.2.0/24", time.Minute)
	c := dial(t, l, "PROXY TCP4 192.0.2.1 198.51.100.1 12345 993\r\n")
	if remote, text := accept(t, l); remote != c.LocalAddr().String() || text != "PROX" {
		t.Errorf("%s %s", remote, text)
	}
	raw, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if Listen(raw, Config{}) != raw {
		t.Error("without proxies nothing is to be done")
	}
}
