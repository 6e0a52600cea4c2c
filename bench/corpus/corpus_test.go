package corpus

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"os"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestGolden: the same mix, seed and index give the same bytes on every
// machine and for ever, or figures of different days can't be compared.
func TestGolden(t *testing.T) {
	var b strings.Builder
	for _, m := range Mixes {
		for _, seed := range []uint64{0, 1, 1 << 63} {
			for _, i := range []int{0, 1, 17, 63, 64, 12345, 1 << 40} {
				msg := New(m, seed).Message(i)
				sum := sha256.Sum256(msg)
				fmt.Fprintf(&b, "%s %d %d %d %s\n", m, seed, i, len(msg), hex.EncodeToString(sum[:8]))
			}
		}
	}
	const path = "testdata/golden.txt"
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the corpus has changed; figures measured with it can't be compared with older ones.\ngot:\n%s\nwant:\n%s", b.String(), want)
	}
}

// TestConcurrent: a message does not depend on who else asks.
func TestConcurrent(t *testing.T) {
	c := New(Mixed, 3)
	var want [16][]byte
	for i := range want {
		want[i] = c.Message(i)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range want {
				if !bytes.Equal(c.Message(i), want[i]) {
					t.Errorf("message %d differs when made beside others", i)
				}
			}
		})
	}
	wg.Wait()
}

// TestSizes: the mixes are what they are said to be.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		mix              Mix
		n                int
		min, max         int
		minMean, maxMean int
	}{
		{Text, 2000, 2000, 12700, 6900, 7500},
		{Mixed, 1500, 4000, 2_100_000, 75_000, 105_000},
		{List, 1000, 1500, 20000, 4000, 8000},
	} {
		src := New(c.mix, 5)
		sum, small, middle, large := 0, 0, 0, 0
		for i := range c.n {
			n := len(src.Message(i))
			if n < c.min || n > c.max {
				t.Errorf("%s: message %d has %d bytes, outside %d to %d", c.mix, i, n, c.min, c.max)
			}
			sum += n
			switch {
			case n < 11_000:
				small++
			case n < 105_000:
				middle++
			default:
				large++
			}
		}
		if mean := sum / c.n; mean < c.minMean || mean > c.maxMean {
			t.Errorf("%s: %d bytes in the mean, want %d to %d", c.mix, mean, c.minMean, c.maxMean)
		}
		if c.mix == Mixed {
			for _, s := range []struct {
				what      string
				got, want int
			}{{"text", small, 60}, {"HTML", middle, 30}, {"attachments", large, 10}} {
				if pc := s.got * 100 / c.n; pc < s.want-4 || pc > s.want+4 {
					t.Errorf("mixed: %d %% %s, want about %d", pc, s.what, s.want)
				}
			}
		}
	}
}

// TestWellFormed reads messages with a parser that is not ours.
func TestWellFormed(t *testing.T) {
	for _, m := range Mixes {
		c := New(m, 9)
		ids := map[string]bool{}
		subjects, bodies := 0, 0
		n := 150
		if m != Mixed {
			n = 600
		}
		for i := range n {
			raw := c.Message(i)
			checkLines(t, m, i, raw)
			msg, err := mail.ReadMessage(bytes.NewReader(raw))
			if err != nil {
				t.Fatalf("%s %d: %v", m, i, err)
			}
			if _, err := msg.Header.Date(); err != nil {
				t.Errorf("%s %d: %v", m, i, err)
			}
			for _, h := range []string{"From", "To"} {
				if _, err := msg.Header.AddressList(h); err != nil {
					t.Errorf("%s %d: %s: %v", m, i, h, err)
				}
			}
			id := msg.Header.Get("Message-Id")
			if id == "" || ids[id] {
				t.Errorf("%s %d: Message-ID %q is missing or used before", m, i, id)
			}
			ids[id] = true
			subject, err := new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject"))
			if err != nil || !utf8.ValidString(subject) || strings.Contains(subject, "=?") {
				t.Errorf("%s %d: subject %q: %v", m, i, subject, err)
			}
			if strings.Contains(strings.ToLower(subject), Word) {
				subjects++
			}
			if bytes.Contains(raw, []byte(Word)) {
				bodies++
			}
			if bytes.Contains(bytes.ToLower(raw), []byte(NoWord)) {
				t.Errorf("%s %d holds the word that none holds", m, i)
			}
			readPart(t, fmt.Sprintf("%s %d", m, i), msg.Header.Get("Content-Type"), msg.Header.Get("Content-Transfer-Encoding"), msg.Body)
		}
		if subjects == 0 && m != Mixed || bodies == 0 {
			t.Errorf("%s: %q is in %d subjects and %d messages of %d", m, Word, subjects, bodies, n)
		}
	}
}

// checkLines: CRLF only, no octet that SMTP or IMAP refuses, lines within RFC
// 5322 section 2.1.1, and the quoted-printable ones within RFC 2045.
func checkLines(t *testing.T, m Mix, i int, raw []byte) {
	t.Helper()
	if !bytes.HasSuffix(raw, []byte("\r\n")) {
		t.Errorf("%s %d: the last line has no end", m, i)
	}
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		if bytes.ContainsAny(line, "\r\n\x00") {
			t.Errorf("%s %d: a bare CR, LF or NUL in %q", m, i, line)
		}
		if len(line) > 998 {
			t.Errorf("%s %d: a line of %d octets", m, i, len(line))
		}
	}
}

func readPart(t *testing.T, where, typ, cte string, r io.Reader) {
	t.Helper()
	media, params, err := mime.ParseMediaType(typ)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	if strings.HasPrefix(media, "multipart/") {
		mr := multipart.NewReader(r, params["boundary"])
		for n := 0; ; n++ {
			p, err := mr.NextRawPart()
			if err == io.EOF {
				if n < 2 {
					t.Errorf("%s: %d parts", where, n)
				}
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", where, err)
			}
			readPart(t, where, p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p)
		}
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	text := raw
	switch cte {
	case "7bit":
		for _, b := range raw {
			if b >= utf8.RuneSelf {
				t.Fatalf("%s: 8-bit octets in a 7bit part", where)
			}
		}
	case "8bit":
	case "quoted-printable":
		for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
			if len(line) > 76 {
				t.Errorf("%s: a quoted-printable line of %d octets", where, len(line))
			}
		}
		if text, err = io.ReadAll(quotedprintable.NewReader(bytes.NewReader(raw))); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
	case "base64":
		if text, err = io.ReadAll(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(raw))); err != nil {
			t.Fatalf("%s: %v", where, err)
		}
	default:
		t.Fatalf("%s: transfer encoding %q", where, cte)
	}
	if len(text) == 0 {
		t.Errorf("%s: an empty part", where)
	}
	if strings.EqualFold(params["charset"], "utf-8") && !utf8.Valid(text) {
		t.Errorf("%s: not UTF-8", where)
	}
}

// TestThreads: every answer names a message of its list that came before, with
// the same subject, and quotes it.
func TestThreads(t *testing.T) {
	c := New(List, 2)
	type post struct{ subject, list, text string }
	seen := map[string]post{}
	answers, quotes, deep := 0, 0, 0
	for i := range 4 * block {
		m, err := mail.ReadMessage(bytes.NewReader(c.Message(i)))
		if err != nil {
			t.Fatal(err)
		}
		h := m.Header
		body, err := io.ReadAll(m.Body)
		if err != nil {
			t.Fatal(err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(h.Get("Subject"))
		if err != nil {
			t.Fatal(err)
		}
		p := post{strings.TrimPrefix(subject, "Re: "), h.Get("List-Id"), string(body)}
		if p.list == "" {
			t.Errorf("%d has no List-Id", i)
		}
		if to := h.Get("In-Reply-To"); to != "" {
			answers++
			parent, ok := seen[to]
			if !ok {
				t.Fatalf("%d answers %s, which did not come before", i, to)
			}
			if parent.subject != p.subject || parent.list != p.list {
				t.Errorf("%d answers another thread: %q %q", i, parent.subject, p.subject)
			}
			refs := strings.Fields(h.Get("References"))
			if len(refs) == 0 || refs[len(refs)-1] != to {
				t.Errorf("%d: References %q do not end with what it answers", i, refs)
			}
			if len(refs) > 2 {
				deep++
			}
			for line := range strings.SplitSeq(p.text, "\r\n") {
				if q, ok := strings.CutPrefix(line, "> "); ok && len(q) > 40 && !strings.HasPrefix(q, ">") {
					quotes++
					if !strings.Contains(parent.text, q) {
						t.Errorf("%d quotes what its parent does not say: %q", i, q)
					}
				}
			}
		}
		seen[h.Get("Message-Id")] = p
	}
	if answers < 2*block || quotes < answers || deep < block/2 {
		t.Errorf("%d answers, %d quoted lines, %d deep in a thread", answers, quotes, deep)
	}
}

// TestUnlike: servers that compress or keep single copies must gain no more
// than in life.
func TestUnlike(t *testing.T) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithAllLitEntropyCompression(true))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	for _, c := range []struct {
		mix      Mix
		n        int
		min, max float64 // compressed to raw, each message alone
		all      float64 // all in one, at least so much of that
	}{{Text, 400, 0.40, 0.53, 0.7}, {Mixed, 200, 0.55, 0.75, 0.85}, {List, 400, 0.40, 0.56, 0.6}} {
		src := New(c.mix, 4)
		raw, alone := 0, 0
		var all []byte
		for i := range c.n {
			m := src.Message(i)
			raw += len(m)
			alone += len(enc.EncodeAll(m, nil))
			all = append(all, m...)
		}
		ratio := float64(alone) / float64(raw)
		together := float64(len(enc.EncodeAll(all, nil))) / float64(alone)
		t.Logf("%s: %.3f of raw, all in one %.2f of that", c.mix, ratio, together)
		if ratio < c.min || ratio > c.max {
			t.Errorf("%s: compresses to %.3f, want %.2f to %.2f", c.mix, ratio, c.min, c.max)
		}
		if together < c.all {
			t.Errorf("%s: messages are too alike: in one stream they take %.2f of what they take alone", c.mix, together)
		}
	}
}

func TestParseMix(t *testing.T) {
	for _, m := range Mixes {
		if got, err := ParseMix(string(m)); err != nil || got != m {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	if _, err := ParseMix("spam"); err == nil {
		t.Error("takes a mix that is none")
	}
}

func BenchmarkMessage(b *testing.B) {
	for _, m := range Mixes {
		b.Run(string(m), func(b *testing.B) {
			c := New(m, 1)
			n := 0
			for i := range 300 { // all languages are learnt
				c.Message(i)
			}
			for i := 0; b.Loop(); i++ {
				n += len(c.Message(i))
			}
			b.SetBytes(int64(n / b.N))
		})
	}
}
