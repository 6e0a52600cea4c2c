package lookup

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"altmail.se/altmail/mailstore"
)

func TestCleanEntry(t *testing.T) {
	for in, want := range map[string]string{
		"/shared/comment": "/shared/comment", "/Private/Comment": "/private/comment", "/shared/vendor/cmu/Cyrus/color": "/shared/vendor/cmu/cyrus/color",
		"/private/a b(c)": "/private/a b(c)", "/private/vendors": "/private/vendors", "/private/" + strings.Repeat("x", MaxEntryName-9): "/private/" + strings.Repeat("x", MaxEntryName-9),
	} {
		if got, err := CleanEntry(in); got != want || err != nil {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
	for _, in := range []string{
		"", "/", "shared/comment", "/shared", "/shared/", "/shared//x", "/shared/x/", "/other/x", "/sharedx/y", "/shared/x*", "/shared/%", "/shared/x\x00",
		"/shared/x\r\n", "/shared/å", "/shared/vendor", "/shared/vendor/x", "/private/" + strings.Repeat("x", MaxEntryName-8),
	} {
		if got, err := CleanEntry(in); !errors.Is(err, mailstore.ErrBadName) {
			t.Errorf("%q: %q %v", in, got, err)
		}
	}
}

// The plaintext of a sealed annotation is frozen.
func TestMetadataGolden(t *testing.T) {
	path := filepath.Join("testdata", "metadata.golden")
	b := append([]byte{metadataVersion, 15}, "/shared/commentsome\x00value"...)
	if *update {
		if err := os.WriteFile(path, []byte(hex.EncodeToString(b)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || !bytes.Equal(b, want) {
		t.Fatalf("%x, %v", want, err)
	}
	name, value, err := cutMetadata(want)
	if name != "/shared/comment" || string(value) != "some\x00value" || err != nil {
		t.Errorf("%q %q %v", name, value, err)
	}
	for _, bad := range [][]byte{nil, {2, 0}, {1}, {1, 0x80}, {1, 5, 'x'}, {1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}} {
		if _, _, err := cutMetadata(bad); !errors.Is(err, mailstore.ErrDamaged) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte{1, 2, 'a', 'b', 'c'})
	f.Fuzz(func(t *testing.T, b []byte) {
		name, value, err := cutMetadata(b)
		if err == nil && len(name)+len(value) > len(b)-2 {
			t.Fatal(len(name), len(value), len(b))
		}
	})
}
