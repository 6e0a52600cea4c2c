package transport

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"altmail.se/altmail/cluster"
)

var update = flag.Bool("update", false, "rewrite golden files")

var goldenFrames = []struct {
	name    string
	head    header
	payload []byte
}{
	{"client hello, push lane", header{kind: kindHello, size: 10}, hello{version: 1, lane: lanePush}.payload()},
	{"server hello", header{kind: kindHello, size: 10}, hello{version: 1, lane: lanePush, calls: 256, bytes: 80 << 20}.payload()},
	{"request", header{kind: kindRequest, method: cluster.MethodForward, id: 7, timeout: 1500, size: 3}, []byte("req")},
	{"request without limit", header{kind: kindRequest, method: cluster.MethodPing, id: 1 << 40}, nil},
	{"response", header{kind: kindResponse, method: cluster.MethodForward, id: 7, size: 4}, []byte("resp")},
	{"error", header{kind: kindError, code: 9, method: cluster.MethodBodyFetch, id: 8, size: 4}, []byte("gone")},
	{"cancel", header{kind: kindCancel, id: 7}, nil},
	{"ping", header{kind: kindPing}, nil},
	{"pong", header{kind: kindPong}, nil},
	{"alive", header{kind: kindAlive}, nil},
}

// TestGoldenFrames pins the bytes on the wire and the codes of errors.
func TestGoldenFrames(t *testing.T) {
	var out strings.Builder
	for _, g := range goldenFrames {
		b := g.head.append(nil)
		got, err := parseHeader(b)
		if err != nil || got != g.head || int(g.head.size) != len(g.payload) {
			t.Errorf("%s: read back as %+v, %v", g.name, got, err)
		}
		fmt.Fprintf(&out, "%s: %s %s\n", g.name, hex.EncodeToString(b), hex.EncodeToString(g.payload))
	}
	for _, c := range codes {
		fmt.Fprintf(&out, "code %d: %s\n", c.code, c.err)
	}
	path := filepath.Join("testdata", "frames-v1.txt")
	if *update {
		noErr(t, errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(path, []byte(out.String()), 0o644)))
	}
	if want := must[[]byte](t)(os.ReadFile(path)); string(want) != out.String() {
		t.Fatalf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestBadHeaders(t *testing.T) {
	for name, h := range map[string]header{
		"kind 0":                  {},
		"kind 9":                  {kind: 9},
		"request too long":        {kind: kindRequest, method: cluster.MethodForward, id: 1, size: MaxFrame + 1},
		"body too long":           {kind: kindRequest, method: cluster.MethodBodyPush, id: 1, size: MaxBulkFrame + 1},
		"error text too long":     {kind: kindError, code: 1, method: 1, id: 1, size: maxErrorText + 1},
		"hello too long":          {kind: kindHello, size: maxHello + 1},
		"ping with payload":       {kind: kindPing, size: 1},
		"request without id":      {kind: kindRequest, method: 1},
		"request without method":  {kind: kindRequest, id: 1},
		"request with code":       {kind: kindRequest, method: 1, id: 1, code: 1},
		"response with timeout":   {kind: kindResponse, method: 1, id: 1, timeout: 1},
		"error without code":      {kind: kindError, method: 1, id: 1},
		"cancel without id":       {kind: kindCancel},
		"cancel with method":      {kind: kindCancel, id: 1, method: 1},
		"ping with id":            {kind: kindPing, id: 1},
		"hello with a method, id": {kind: kindHello, method: 1, id: 1, size: 10},
	} {
		if _, err := parseHeader(h.append(nil)); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, b := range [][]byte{nil, make([]byte, 9), {0, 0, 0, 0, 0, 1, 0, 0, 0, 1}, {1, lanes, 0, 0, 0, 1, 0, 0, 0, 1}} {
		if _, err := parseHello(b); !errors.Is(err, ErrProtocol) {
			t.Errorf("hello %x: %v", b, err)
		}
	}
	// A later version may say more.
	if h, err := parseHello(append(hello{version: 2, calls: 1, bytes: 1}.payload(), 1, 2, 3)); err != nil || h.version != 2 {
		t.Errorf("longer hello: %+v, %v", h, err)
	}
}

// FuzzFrame: a header either is refused or says exactly what it was.
func FuzzFrame(f *testing.F) {
	for _, g := range goldenFrames {
		f.Add(append(g.head.append(nil), g.payload...))
	}
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(b), readBuffer)
		for {
			h, err := readHeader(r)
			if err != nil {
				return
			}
			if int(h.size) > maxPayload(h.method) {
				t.Fatalf("payload of %d bytes let through", h.size)
			}
			again := h.append(nil)
			at := bytes.Index(b, again)
			if at < 0 {
				t.Fatalf("header %+v is not what was read", h)
			}
			payload := make([]byte, min(int(h.size), r.Buffered()))
			if _, err := r.Read(payload); err != nil {
				return
			}
			if h.kind == kindHello {
				if p, err := parseHello(payload); err == nil && !bytes.HasPrefix(payload, p.payload()) {
					t.Fatalf("hello %x read as %+v", payload, p)
				}
			}
		}
	})
}

func TestBuffers(t *testing.T) {
	for _, n := range []int{0, 1, 1023, 1024, 1025, 64 << 10, 64<<10 + 1, 1 << 20, 1<<20 + 1, 5 << 20} {
		b := getBuffer(n)
		if len(*b) < n || (n <= 1<<20 && len(*b) > max(1024, 2*n)) {
			t.Errorf("buffer of %d bytes for %d", len(*b), n)
		}
		putBuffer(b)
	}
}
