package imap

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// filled returns a client on a mailbox with n messages, about as large as
// ordinary text mail.
func filled(b testing.TB, n int) (*kit, *client) {
	k := newKit(b, nil)
	c := k.login("alice")
	body := strings.Repeat("Some line of ordinary text, as mail has it.\r\n", 80)
	for i := 0; i < n; {
		var cmd strings.Builder
		cmd.WriteString("APPEND INBOX")
		for range min(500, n-i) {
			raw := fmt.Sprintf("Received: from a.example.org by b.example.org; Mon, 23 Nov 2026 10:00:00 +0100\r\nDate: Mon, 23 Nov 2026 10:%02d:%02d +0100\r\nFrom: Some One <someone%d@example.org>\r\nTo: Alice <alice@example.org>\r\nSubject: message number %d of the benchmark\r\nMessage-ID: <%d.bench@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nX-Mailer: bench\r\n\r\n%s", i/60%60, i%60, i%97, i, i, body)
			fmt.Fprintf(&cmd, " {%d+}\r\n%s", len(raw), raw)
			i++
		}
		c.ok(cmd.String())
	}
	c.ok("SELECT INBOX")
	c.r = bufio.NewReaderSize(c.conn, 1<<20)
	return k, c
}

// drain reads to the tagged response without looking at what comes before.
func (c *client) drain(tag string) int64 {
	var n int64
	want := []byte(tag + " OK")
	for {
		line, err := c.r.ReadSlice('\n')
		n += int64(len(line))
		if err != nil && err != bufio.ErrBufferFull {
			c.t.Fatal(err)
		}
		if len(line) > len(want) && string(line[:len(want)]) == string(want) {
			return n
		}
	}
}

func BenchmarkFetch10k(b *testing.B) {
	_, c := filled(b, 10000)
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	for _, items := range []string{"(UID FLAGS)", "ENVELOPE", "BODYSTRUCTURE", "BODY.PEEK[HEADER.FIELDS (From To Subject Date Message-ID)]",
		"BODY.PEEK[HEADER.FIELDS (From X-Mailer)]", "BODY.PEEK[]"} {
		b.Run(items, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.send("f FETCH 1:* " + items + "\r\n")
				b.SetBytes(c.drain("f"))
			}
		})
	}
}

func BenchmarkSearch10k(b *testing.B) {
	_, c := filled(b, 10000)
	if err := c.conn.SetReadDeadline(time.Time{}); err != nil {
		b.Fatal(err)
	}
	for _, key := range []string{"ALL", "UNSEEN", "SUBJECT \"number 77\"", "TEXT \"not to be found\""} {
		b.Run(key, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.send("s SEARCH " + key + "\r\n")
				c.drain("s")
			}
		})
	}
}

func BenchmarkStore(b *testing.B) {
	_, c := filled(b, 1000)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		c.send(fmt.Sprintf("s STORE %d %cFLAGS (\\Seen)\r\n", i%1000+1, "+-"[i/1000%2]))
		c.drain("s")
		i++
	}
}

func BenchmarkSelect10k(b *testing.B) {
	_, c := filled(b, 10000)
	for b.Loop() {
		c.send("s SELECT INBOX\r\n")
		c.drain("s")
	}
}

// What a connection that idles under TLS holds, its goroutines' stacks
// included, client's side not.
func BenchmarkIdleMemory(b *testing.B) {
	server, cl := testTLS(b)
	k := newKit(b, nil)
	k.serve(func(c *Config) { c.TLS = server; c.Limits.ConnectionsPerAccount = 10000 }, true)
	const n = 400
	measure := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	var conns []io.Closer
	before := measure()
	for range n {
		conn, err := tls.Dial("tcp", k.addr, cl)
		if err != nil {
			b.Fatal(err)
		}
		conns = append(conns, conn)
		if _, err := io.WriteString(conn, "a LOGIN alice@example.org secret\r\nb SELECT INBOX\r\nc IDLE\r\n"); err != nil {
			b.Fatal(err)
		}
		one := make([]byte, 4096)
		for seen := ""; !strings.Contains(seen, "+ idling"); {
			m, err := conn.Read(one)
			if err != nil {
				b.Fatal(err)
			}
			seen += string(one[:m])
		}
	}
	after := measure()
	for b.Loop() {
	}
	// Both ends are in this process: this is the upper bound.
	b.ReportMetric(float64(after-before)/n/1024, "KiB/conn-both-ends")
	for _, c := range conns {
		if err := c.Close(); err != nil {
			b.Log(err)
		}
	}
}
