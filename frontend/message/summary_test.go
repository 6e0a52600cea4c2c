package message

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden summaries anew")

var typical = crlf(`Return-Path: <anna@example.se>
Received: from mx.example.se (mx.example.se [192.0.2.1])
	by mail.example.no with ESMTPS id 4711;
	Mon, 23 Nov 2026 21:20:01 +0100
Date: Mon, 23 Nov 2026 21:20:00 +0100
From: Anna Andersson <anna@example.se>
To: Nils Nilsen <nils@example.no>
Cc: drift@example.no
Subject: Re: Byte av disk i rack 4
Message-ID: <20261123202000.GA4711@mx.example.se>
References: <20261123180000.GA17@mail.example.no> <20261123190000.GA18@mail.example.no>
In-Reply-To: <20261123190000.GA18@mail.example.no>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit
User-Agent: Mutt/2.2.12

Klart.
`)

// TestGolden keeps the format what it was: summaries of years ago are read.
func TestGolden(t *testing.T) {
	for name, raw := range map[string][]byte{"typical": typical, "nested": nested, "empty": nil, "odd": crlf("date:x\nSUBJECT : y\n folded\nContent-Type: image/png; name=a.png\nContent-ID: <1>\nContent-Description: d\nContent-MD5: m\nContent-Disposition: inline; filename=f\nContent-Language: en\nContent-Location: l\n\nx")} {
		b, err := Parse(raw).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "summary-"+name+".hex")
		if *update {
			if err := os.WriteFile(file, []byte(hex.Dump(b)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if hex.Dump(b) != string(want) {
			t.Errorf("%s: the summary is not the golden one:\n%s", name, hex.Dump(b))
		}
	}
}

func TestSummary(t *testing.T) {
	b, err := Parse(typical).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 500 {
		t.Errorf("the summary of a plain mail has %d bytes", len(b))
	}
	s, err := OpenSummary(b)
	if err != nil {
		t.Fatal(err)
	}
	// What Thunderbird asks for, and mutt.
	for _, list := range []string{
		"From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To",
		"DATE FROM SENDER SUBJECT TO CC MESSAGE-ID REFERENCES CONTENT-TYPE CONTENT-DESCRIPTION IN-REPLY-TO REPLY-TO LINES LIST-POST LIST-SUBSCRIBE LIST-UNSUBSCRIBE X-LABEL X-ORIGINAL-TO",
	} {
		names := strings.Fields(list)
		got, ok := s.AppendFields(nil, names)
		if want := AppendFields(nil, names, false, typical); !ok || !bytes.Equal(got, want) {
			t.Errorf("%v %q, want %q", ok, got, want)
		}
	}
	if _, ok := s.AppendFields(nil, []string{"Subject", "Received"}); ok || s.Kept("received") || !s.Kept("SUBJECT") {
		t.Error("a field that is not kept was answered for")
	}
	if v, ok := s.Value("subject"); !ok || string(v) != "Re: Byte av disk i rack 4" {
		t.Errorf("subject %q", v)
	}
	if v, ok := s.Value("sender"); !ok || v != nil {
		t.Errorf("sender %q", v)
	}
	if _, err := (&Index{}).AppendBinary(nil); err == nil {
		t.Error("a summary of nothing was made")
	}
}

func TestSummaryBounds(t *testing.T) {
	// A field too large is left out under all its occurrences.
	big := "To: " + strings.Repeat("someone@example.org,\r\n ", 1000) + "x@y\r\n"
	raw := []byte("Subject: s\r\nTo: first@x\r\n" + big + "From: a@b\r\n\r\nx\r\n")
	x := Parse(raw)
	check(t, x)
	b, err := x.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenSummary(b)
	if err != nil {
		t.Fatal(err)
	}
	var e Envelope
	if s.Envelope(&e) {
		t.Error("an envelope without its To was given")
	}
	if _, ok := s.AppendFields(nil, []string{"to"}); ok {
		t.Error("a field that was dropped was answered for")
	}
	if got, ok := s.AppendFields(nil, []string{"from", "subject"}); !ok || string(got) != "Subject: s\r\nFrom: a@b\r\n\r\n" {
		t.Errorf("the others: %v %q", ok, got)
	}
	// A tree too large is left out.
	raw = []byte("Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: image/png; name=something.png\r\n\r\nx\r\n", 5000))
	b, err = Parse(raw).AppendBinary(nil)
	if err != nil || len(b) > 200 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	y, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := y.AppendBodyStructure(nil, true, false); ok {
		t.Error("a structure without a tree was given")
	}
	if sec, ok := y.Section(nil, Text); !ok || sec.Off != 45 {
		t.Errorf("TEXT without a tree: %v %v", sec, ok)
	}
	if _, ok := y.Section([]int{1}, Whole); ok {
		t.Error("a part without a tree was found")
	}
	// The header goes on behind the first MiB: HEADER.FIELDS is not for the
	// summary then, but ENVELOPE is.
	raw = []byte("Subject: s\r\nX: " + strings.Repeat("x", maxHeader) + "\r\nTo: a@b\r\nReferences: <a@b>\r\n\r\n")
	b, err = Parse(raw).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if s, err = OpenSummary(b); err != nil {
		t.Fatal(err)
	}
	if !s.Envelope(&e) || string(e.Subject) != "s" || s.Kept("References") {
		t.Error("a long header is not answered from its first MiB")
	}
}

func TestDecodeDamaged(t *testing.T) {
	good, err := Parse(nested).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := Decode(good[:n]); !errors.Is(err, ErrSummary) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
	if _, err := Decode(append(good[:len(good):len(good)], 0)); !errors.Is(err, ErrSummary) {
		t.Errorf("a byte more: %v", err)
	}
	bad := bytes.Clone(good)
	bad[0]++
	if _, err := Decode(bad); !errors.Is(err, ErrSummary) {
		t.Errorf("another version: %v", err)
	}
}

func seeds(f *testing.F) {
	for _, c := range structures {
		f.Add(crlf(c.raw))
		f.Add([]byte(c.raw))
	}
	f.Add(typical)
	f.Add(nested)
}

func FuzzParse(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		x := Parse(raw)
		check(t, x)
		for i := range x.Parts {
			p := &x.Parts[i]
			if p.Kind == Leaf {
				if r, err := p.NewTextReader(bytes.NewReader(p.Body.Of(raw))); err == nil {
					var b bytes.Buffer
					if _, err := b.ReadFrom(r); err != nil && !errors.Is(err, ErrBadEncoding) {
						t.Fatal(err)
					}
				}
			}
		}
		for _, n := range fieldNames[1:] {
			v := Lookup(raw[:x.HeaderLen], n)
			ParseDate(v)
			BaseSubject(v)
			MessageIDs(v)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, c := range structures {
		b, err := Parse(crlf(c.raw)).AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := OpenSummary(b)
		if err != nil {
			return
		}
		var e Envelope
		s.Envelope(&e)
		s.AppendFields(nil, fieldNames[1:])
		s.Thread()
		x, err := s.Index()
		if err != nil {
			return
		}
		structure(x, true)
		x.Section([]int{1, 1, 2}, Whole)
		// What was decoded is written so that it decodes to the same.
		c, err := x.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		y, err := Decode(c)
		if err != nil {
			t.Fatal(err)
		}
		if len(y.Parts) > 0 && structure(y, true) != structure(x, true) {
			t.Fatal("the structure changed")
		}
	})
}

func body(kind string, size int) []byte {
	var b bytes.Buffer
	switch kind {
	case "base64":
		b.WriteString("Content-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\n--=_x\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		for b.Len() < size {
			b.WriteString("QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n")
		}
		b.WriteString("--=_x--\r\n")
	case "text":
		b.WriteString("Content-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\n--=_x\r\n\r\n")
		for b.Len() < size {
			b.WriteString("Kanskje kommer det regn i morgen - eller snart.\r\n-- \r\nHilsen\r\n")
		}
	case "dashes":
		b.WriteString("Content-Type: multipart/mixed; boundary=\"=_x\"\r\n\r\n--=_x\r\n\r\n")
		for b.Len() < size {
			b.WriteString("--\r\n")
		}
	case "deep dashes":
		for i := range 127 {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=\"%s%03d\"\r\n\r\n--%s%03d\r\n", strings.Repeat("x", 60), i, strings.Repeat("x", 60), i)
		}
		for b.Len() < size {
			b.WriteString("--" + strings.Repeat("x", 60) + "abc\r\n")
		}
	}
	return b.Bytes()
}

func BenchmarkParse(b *testing.B) {
	for _, k := range []string{"base64", "text", "dashes", "deep dashes"} {
		raw := body(k, 4<<20)
		b.Run(k, func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			for b.Loop() {
				Parse(raw)
			}
		})
	}
	b.Run("small", func(b *testing.B) {
		b.SetBytes(int64(len(typical)))
		b.ReportAllocs()
		for b.Loop() {
			Parse(typical)
		}
	})
}

func BenchmarkSummary(b *testing.B) {
	x := Parse(typical)
	sum, err := x.AppendBinary(nil)
	if err != nil {
		b.Fatal(err)
	}
	var dst []byte
	b.Run("AppendBinary", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			dst, _ = x.AppendBinary(dst[:0])
		}
	})
	var e Envelope
	b.Run("Envelope", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s, err := OpenSummary(sum)
			if err != nil || !s.Envelope(&e) {
				b.Fatal(err)
			}
			dst = AppendEnvelope(dst[:0], &e, false)
		}
	})
	b.Run("Structure", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			x, err := Decode(sum)
			if err != nil {
				b.Fatal(err)
			}
			dst, _ = x.AppendBodyStructure(dst[:0], true, false)
		}
	})
	b.Run("Fields", func(b *testing.B) {
		b.ReportAllocs()
		names := []string{"From", "To", "Subject", "Date", "Message-ID", "References"}
		for b.Loop() {
			s, err := OpenSummary(sum)
			if err != nil {
				b.Fatal(err)
			}
			dst, _ = s.AppendFields(dst[:0], names)
		}
	})
}
