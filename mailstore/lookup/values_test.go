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

// The plaintext of a summary is stored: its bytes are pinned.
func TestSummaryGolden(t *testing.T) {
	k := newKeys(t, 7)
	id := mailstore.ContentID{1}
	sealed := k.SealSummary(id, []byte("Return-Path: <>\r\n"), []byte{0xca, 0xfe})
	plain, err := k.Account.Open(nil, keyring.KindSummary, id[:], sealed)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "summary.golden")
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
		t.Errorf("got %s, want %s", got, want)
	}
}

func FuzzCutSummary(f *testing.F) {
	f.Add([]byte{1, 0})
	f.Add([]byte{1, 2, 'a', 'b', 'c'})
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{2})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, s, err := cutSummary(b)
		if err != nil {
			if !errors.Is(err, mailstore.ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		if len(p)+len(s) >= len(b) || !bytes.HasSuffix(b, s) {
			t.Fatalf("%x: %x, %x", b, p, s)
		}
	})
}

func BenchmarkSummary(b *testing.B) {
	k := newKeys(b, 7)
	id := mailstore.ContentID{1}
	sealed := k.SealSummary(id, []byte("Return-Path: <a@example.org>\r\nDelivered-To: b@example.org\r\n"), make([]byte, 400))
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
			k.SealSummary(id, nil, make([]byte, 400))
		}
	})
}
