package lookup

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup/pack"
)

var update = flag.Bool("update", false, "write the golden files")

func newKeys(t testing.TB, id uint64) Keys {
	a, err := keyring.NewAccount(id)
	if err != nil {
		t.Fatal(err)
	}
	return Keys{a}
}

func TestValuesAreBound(t *testing.T) {
	k, other := newKeys(t, 7), newKeys(t, 8)
	name, second := k.SealName("Sent"), k.SealName("Spam")
	if got, err := k.openName(name.Hash, name.Sealed); err != nil || got != "Sent" {
		t.Fatalf("%q, %v", got, err)
	}
	word := k.SealKeyword("$Forwarded")
	if got, err := k.openKeyword(word.Hash, word.Sealed); err != nil || got != "$Forwarded" {
		t.Fatalf("%q, %v", got, err)
	}
	if word.Hash != k.KeywordHash("$forwarded") || word.Hash == k.KeywordHash("$forwarde") {
		t.Error("keywords are matched by other than ASCII case")
	}
	if k.NameHash("a") == k.NameHash("A") || k.NameHash("a") == other.NameHash("a") {
		t.Error("hashes of names meet")
	}
	for what, open := range map[string]func() (string, error){
		"a name under another's hash": func() (string, error) { return k.openName(second.Hash, name.Sealed) },
		"a name of another account":   func() (string, error) { return other.openName(name.Hash, name.Sealed) },
		"a keyword as a name":         func() (string, error) { return k.openName(word.Hash, word.Sealed) },
		"an address as a keyword":     func() (string, error) { return k.openKeyword(name.Hash, k.SealAddress(name.Hash, "a@b").Sealed) },
		"a verifier of another credential": func() (string, error) {
			return k.openVerifier([]byte("0123456789abcdef"), k.SealVerifier([16]byte{1}, "x"))
		},
	} {
		if got, err := open(); !errors.Is(err, mailstore.ErrDamaged) {
			t.Errorf("%s opens: %q, %v", what, got, err)
		}
	}
}

func TestSummary(t *testing.T) {
	k := newKeys(t, 7)
	id := mailstore.ContentID{1, 2, 3}
	for _, tc := range []struct{ prefix, summary string }{
		{"", ""}, {"", "index"}, {"Return-Path: <a@b>\r\n", "index"}, {strings.Repeat("p", 300), ""},
	} {
		sealed := k.SealSummary(id, []byte(tc.prefix), []byte(tc.summary))
		plain, p, s, err := k.openSummary([]byte("before"), id, sealed)
		if err != nil || string(p) != tc.prefix || string(s) != tc.summary || !bytes.HasPrefix(plain, []byte("before")) {
			t.Errorf("%q, %q: %q, %q, %v", tc.prefix, tc.summary, p, s, err)
		}
		if bytes.Contains(sealed, []byte("index")) {
			t.Error("the summary is not sealed")
		}
		if _, _, _, err := k.openSummary(nil, mailstore.ContentID{9}, sealed); !errors.Is(err, mailstore.ErrDamaged) {
			t.Errorf("opens under another id: %v", err)
		}
	}
}

// What a recipient and a message of ordinary mail bring.
var goldenPrefix, goldenSummary = []byte("Return-Path: <anna@example.org>\r\nDelivered-To: bo@example.com\r\n"),
	[]byte("\x01\x00\xa5-\xa1\x17'\x00\x01Mon, 05 Jan 2026 08:00:13 +0100\x03Anna Berg <anna.berg@example.org>\x06\"Bo\" <bo@example.com>")

// The plaintext of a summary is stored: its bytes are pinned.
func TestSummaryGolden(t *testing.T) {
	k := newKeys(t, 7)
	id := mailstore.ContentID{1}
	for name, of := range map[string]struct{ prefix, summary []byte }{
		"summary.golden":        {[]byte("Return-Path: <>\r\n"), []byte{0xca, 0xfe}},
		"summary-packed.golden": {goldenPrefix, goldenSummary},
	} {
		sealed := k.SealSummary(id, of.prefix, of.summary)
		plain, err := k.Account.Open(nil, keyring.KindSummary, id[:], sealed)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		got := hex.EncodeToString(plain) + "\n"
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

// Summaries as they were sealed before they were packed still open, and so do
// those too long to be packed.
func TestSummaryPlain(t *testing.T) {
	k := newKeys(t, 7)
	id := mailstore.ContentID{1}
	old := append([]byte("\x01\x11Return-Path: <>\r\n"), 0xca, 0xfe)
	_, p, s, err := k.openSummary(nil, id, k.Seal(nil, keyring.KindSummary, id[:], old))
	if err != nil || string(p) != "Return-Path: <>\r\n" || string(s) != "\xca\xfe" {
		t.Errorf("%q, %q, %v", p, s, err)
	}
	long := bytes.Repeat([]byte("a header "), pack.Max/9+1)
	_, p, s, err = k.openSummary(nil, id, k.SealSummary(id, long, long))
	if err != nil || !bytes.Equal(p, long) || !bytes.Equal(s, long) {
		t.Errorf("%d and %d bytes, %v", len(p), len(s), err)
	}
}

func FuzzCutSummary(f *testing.F) {
	f.Add([]byte{1, 0})
	f.Add([]byte{1, 2, 'a', 'b', 'c'})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{2})
	f.Add([]byte{3, 0})
	if packed, ok := pack.Append([]byte{2}, append([]byte{byte(len(goldenPrefix))}, string(goldenPrefix)+string(goldenSummary)...)); ok {
		f.Add(packed)
	} else {
		f.Fatal("not packed")
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		plain, err := unpackSummary(nil, b)
		if err != nil {
			return
		}
		if len(plain) > max(len(b), pack.Max) {
			t.Fatalf("%d bytes from %d", len(plain), len(b))
		}
		p, s, err := cutSummary(plain)
		if err != nil {
			if !errors.Is(err, mailstore.ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if len(p)+len(s) >= len(plain) || !bytes.HasSuffix(plain, s) {
			t.Fatalf("%x: %x, %x", b, p, s)
		}
	})
}

func BenchmarkSummary(b *testing.B) {
	k := newKeys(b, 7)
	id := mailstore.ContentID{1}
	sealed := k.SealSummary(id, goldenPrefix, goldenSummary)
	b.Run("open", func(b *testing.B) {
		var room []byte
		b.ReportAllocs()
		for b.Loop() {
			var err error
			if room, _, _, err = k.openSummary(room[:0], id, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("seal", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			k.SealSummary(id, goldenPrefix, goldenSummary)
		}
	})
}
