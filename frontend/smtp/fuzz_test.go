package smtp

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	gosasl "github.com/emersion/go-sasl"
)

// pipeListener hands out one end of in-memory connections.
type pipeListener struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipeListener) Close() error   { close(p.done); return nil }
func (p *pipeListener) Addr() net.Addr { return &net.UnixAddr{} }

// FuzzData sends any bytes as a message, by DATA and by BDAT. They are stored
// as they were, and nothing of them is answered as a command.
func FuzzData(f *testing.F) {
	for _, s := range []string{"", ".", "..", "A: b\r\n\r\nx", "\r\n.\r\nMAIL FROM:<evil@x>", "\n.\nQUIT", "x\r.\rQUIT", "\r\r\n.\rQ", "\r\n.\n", "\r"} {
		f.Add([]byte(s), uint16(1))
		f.Add([]byte(s), uint16(9000))
	}
	w := &world{}
	s, _ := start(f, w, LMTP, func(c *Config) { c.MaxMessage = 1 << 20 })
	ln := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
	go s.Serve(ln) //nolint:errcheck // ends with the server
	f.Fuzz(func(t *testing.T, body []byte, piece uint16) {
		if low := bytes.ToLower(body); bytes.Contains(low, []byte("received")) || bytes.Contains(low, []byte("return-path")) ||
			bytes.IndexByte(body, 0) >= 0 || len(body) > 100000 {
			t.Skip("is refused or edited")
		}
		ours, theirs := net.Pipe()
		ln.conns <- theirs
		if err := ours.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		before := len(w.got())
		var in bytes.Buffer
		const tx = "MAIL FROM:<good@x>\r\nRCPT TO:<anna@here.example>\r\n"
		data := append(bytes.Clone(body), "\r\n"...)
		in.WriteString("LHLO x\r\n" + tx + "DATA\r\n")
		if data[0] == '.' {
			in.WriteByte('.')
		}
		in.Write(bytes.ReplaceAll(data, []byte("\r\n."), []byte("\r\n..")))
		in.WriteString(".\r\n" + tx)
		half := len(body) / 2
		fmt.Fprintf(&in, "BDAT %d\r\n%sBDAT %d LAST\r\n%sQUIT\r\n", half, body[:half], len(body)-half, body[half:])
		go func() {
			for b := in.Bytes(); len(b) > 0; {
				n := min(int(piece)+1, len(b))
				if _, err := ours.Write(b[:n]); err != nil {
					return
				}
				b = b[n:]
			}
		}()
		out, err := io.ReadAll(ours)
		if err != nil {
			t.Fatalf("%v after %q", err, out)
		}
		var codes []string
		for _, line := range strings.Split(strings.TrimSpace(string(out)), "\r\n") {
			if line[3] == ' ' {
				codes = append(codes, line[:3])
			}
		}
		if got := strings.Join(codes, " "); got != "220 250 250 250 354 250 250 250 250 250 221" {
			t.Fatalf("answers %s\n%s", got, out)
		}
		mails := w.got()[before:]
		if len(mails) != 2 || !strings.HasSuffix(mails[0].raw, "+0100\r\n"+string(data)) || !strings.HasSuffix(mails[1].raw, "+0100\r\n"+string(body)) {
			t.Fatalf("stored %+v", mails)
		}
		w.mu.Lock()
		w.mails = nil
		w.mu.Unlock()
	})
}

// FuzzSession sends any bytes in any pieces. Whatever they are, the server
// answers in lines with codes and does not hang.
func FuzzSession(f *testing.F) {
	const hello = "EHLO x\r\n"
	const tx = "MAIL FROM:<good@x>\r\nRCPT TO:<anna@here.example>\r\n"
	for _, s := range []string{
		hello + tx + "DATA\r\nA: b\r\n\r\nx\r\n.\r\nQUIT\r\n",
		hello + tx + "BDAT 5\r\nA: b\nBDAT 0 LAST\r\n",
		hello + tx + "BDAT 100000 LAST\r\nMAIL FROM:<evil@x>\r\n",
		hello + tx + "DATA\r\nx\r\n.\nMAIL FROM:<evil@x>\r\n",
		hello + "AUTH PLAIN AGFubmEAc2VjcmV0\r\nAUTH LOGIN\r\nYW5uYQ==\r\n*\r\n",
		"LHLO x\r\n" + tx + "RCPT TO:<postmaster>\r\nDATA\r\n..\r\n.\r\n",
		"STARTTLS\r\nNOOP\r\n", "HELP\r\nVRFY x\r\nRSET\r\nNOOP\r\n", strings.Repeat("x", 9000) + "\r\n",
		hello + "MAIL FROM:<a@b> SIZE=99 BODY=BINARYMIME SMTPUTF8 AUTH=<> RET=HDRS\r\n",
	} {
		f.Add([]byte(s), uint8(0), uint8(7))
		f.Add([]byte(s), uint8(2), uint8(1))
	}
	w := &world{}
	type serving struct {
		s  *Server
		ln *pipeListener
	}
	var servers []serving
	for role := MX; role <= LMTP; role++ {
		s, _ := start(f, w, role, func(c *Config) {
			c.MaxMessage = 64 << 10
			c.CommandTimeout, c.DataTimeout = 2*time.Second, 2*time.Second
			if role != LMTP {
				c.TLS = serverTLS()
			}
		})
		ln := &pipeListener{conns: make(chan net.Conn), done: make(chan struct{})}
		go s.Serve(ln) //nolint:errcheck // ends with the server
		servers = append(servers, serving{s, ln})
	}
	f.Fuzz(func(t *testing.T, in []byte, role, piece uint8) {
		sv := servers[int(role)%len(servers)]
		ours, theirs := net.Pipe()
		sv.ln.conns <- theirs
		if err := ours.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		go func() {
			step := int(piece)*8 + 1
			for len(in) > 0 {
				n := min(step, len(in))
				if _, err := ours.Write(in[:n]); err != nil {
					return
				}
				in = in[n:]
			}
			ours.Write([]byte("\r\nQUIT\r\n")) //nolint:errcheck // it may be gone
			// Inside a message QUIT is data, and the server waits for more.
			time.Sleep(time.Millisecond)
			ours.Close()
		}()
		out, err := io.ReadAll(ours)
		if err != nil && os.IsTimeout(err) {
			t.Fatal("the server hangs")
		}
		for _, line := range bytes.SplitAfter(out, []byte("\n")) {
			if len(line) == 0 || len(line) < 5 && line[len(line)-1] != '\n' || bytes.HasPrefix(line, []byte{0x15}) {
				continue // cut off, or a TLS alert
			}
			if len(line) < 4 || line[0] < '2' || line[0] > '5' || line[3] != ' ' && line[3] != '-' {
				t.Fatalf("reply %q", line)
			}
		}
	})
}

func TestSCRAM(t *testing.T) {
	// The exchange itself is tested in frontend/sasl; here only that its
	// messages go through the engine.
	_, addr := start(t, &world{}, Submission, nil)
	c := dial(t, addr)
	c.talk("S: 220\nC: EHLO x\nS: 250\nC: AUTH SCRAM-SHA-256 " + b64("n,,n=anna,r=abc") + "\nS: 334 \nC: " + b64("c=biws,r=wrong,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=") + "\nS: 535 5.7.8")
	c.talk("C: AUTH SCRAM-SHA-256 " + b64("n,,n=nobody,r=abc") + "\nS: 334 ")
	var _ gosasl.Server = &authentication{}
}

// TestSwaks talks with a client that is not ours.
func TestSwaks(t *testing.T) {
	swaks, err := exec.LookPath("swaks")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("swaks is not installed: .ci/run installs it, and a missing client fails")
		}
		t.Skip("swaks is not installed")
	}
	dir := t.TempDir()
	w := &world{}
	_, mx := start(t, w, MX, func(c *Config) { c.TLS = serverTLS() })
	_, lmtp := start(t, w, LMTP, nil)
	_, sub := start(t, w, Submission, nil)
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, []byte("Subject: big\n\n"+strings.Repeat("a line of text\n", 50000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--server", mx, "--tls-optional", "--from", "a@far.example", "--to", "anna@here.example"},
		{"--server", mx, "--pipeline", "--from", "<>", "--to", "anna@here.example,bo@here.example", "--data", "@" + big},
		{"--server", lmtp, "--protocol", "LMTP", "--from", "a@far.example", "--to", "anna@here.example,bo@here.example"},
		{"--server", sub, "--protocol", "ESMTPA", "--auth", "LOGIN", "--auth-user", "anna", "--auth-password", "secret", "--from", "anna@here.example", "--to", "bo@here.example"},
	} {
		before := len(w.got())
		out, err := exec.Command(swaks, append(args, "--timeout", "10")...).CombinedOutput()
		if err != nil || len(w.got()) != before+1 {
			t.Errorf("swaks %v: %v\n%.2000s", args, err, out)
		}
	}
}

func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20} {
		b.Run(map[int]string{4 << 10: "4KiB", 1 << 20: "1MiB"}[size], func(b *testing.B) {
			w := &world{}
			_, addr := start(b, w, MX, func(c *Config) { c.Deliverer = discard{w} })
			c := dial(b, addr)
			c.talk("S: 220\nC: EHLO x\nS: 250")
			body := "Subject: x\r\n\r\n" + strings.Repeat("Kanskje kommer det regn i morgen, eller snart.\r\n", size/48) + ".\r\n"
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := c.nc.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
					b.Fatal(err)
				}
				c.send("MAIL FROM:<a@b>\r\nRCPT TO:<anna@here.example>\r\nDATA\r\n")
				c.want("250", "250", "354")
				c.send(body)
				c.want("250")
			}
		})
	}
}
