package search

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenKeys seal by adding a mark: what they seal is always the same.
type goldenKeys struct{}

func (goldenKeys) Seal(dst []byte, kind keyring.Kind, object, plain []byte) []byte {
	return append(append(append(append(dst, byte(kind)), object...), '|'), plain...)
}

func (goldenKeys) Open(dst []byte, kind keyring.Kind, object, sealed []byte) ([]byte, error) {
	head := append(append([]byte{byte(kind)}, object...), '|')
	if !bytes.HasPrefix(sealed, head) {
		return dst, keyring.ErrDamaged
	}
	return append(dst, sealed[len(head):]...), nil
}

func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	if *update {
		noErr(t, os.WriteFile(path, []byte(hex.Dump(got)), 0o644))
	}
	var want []byte
	for line := range strings.Lines(string(must[[]byte](t)(os.ReadFile(path)))) {
		if len(line) < 60 {
			continue
		}
		for _, f := range strings.Fields(line[10:58]) {
			want = append(want, must[[]byte](t)(hex.DecodeString(f))...)
		}
	}
	return want
}

func goldenFoot() *foot {
	return &foot{
		text: 3, replaces: []uint64{1, 300},
		texts: []block{{off: 100, n: 50, plain: 30}, {off: 150, n: 7, plain: 9}},
		words: []block{{off: 157, n: 1000, plain: 70000}},
		docs: []document{
			{id: mailstore.ContentID{1}, block: 0, off: 0, n: 20, body: 5},
			{id: mailstore.ContentID{1, 2}, block: 0, off: 20, n: 10, body: 10},
			{id: mailstore.ContentID{1, 3}, unknown: true},
			{id: mailstore.ContentID{9}, block: 1, off: 0, n: 9, body: 0},
		},
	}
}

func goldenVocabulary() *vocabulary {
	v := newVocabulary()
	v.add(0, []byte("SUBJECT: BANANA"))
	v.add(1, []byte("A BANANA "+strings.Repeat("X", 70)))
	v.add(300, []byte("BANANA SMO\u0308R"))
	return v
}

// TestGoldenPlain: what is sealed is written as FORMAT.md draws it.
func TestGoldenPlain(t *testing.T) {
	v := goldenVocabulary()
	words, taken := appendWords(nil, v, v.sorted())
	if taken != len(v.terms) {
		t.Fatalf("%d words of %d", taken, len(v.terms))
	}
	var key [keySize]byte
	var id [segmentIDSize]byte
	for i := range key {
		key[i] = byte(i)
	}
	copy(id[:], "segment id 16 b.")
	for name, got := range map[string][]byte{
		"foot": goldenFoot().encode(nil), "words": words,
		"head": appendHead(nil, &id, &key, goldenKeys{}), "trailer": appendTrailer(nil, 1000, 70000),
	} {
		if want := golden(t, name, got); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, want %x", name, got, want)
		}
	}
	var f foot
	noErr(t, f.decode(goldenFoot().encode(nil), 100, 1157))
	if !slices.Equal(f.docs, goldenFoot().docs) || !slices.Equal(f.texts, goldenFoot().texts) || !slices.Equal(f.words, goldenFoot().words) || !slices.Equal(f.replaces, goldenFoot().replaces) {
		t.Errorf("%+v", f)
	}
}

// goldenBuilder has three documents, one of which is too long.
func goldenBuilder() *builder {
	b := &builder{}
	for _, l := range []*letter{
		{id: mailstore.ContentID{2}, head: []string{"SUBJECT: BANANA", "FROM: A@B"}, body: []string{"THE QUICK BROWN FOX", "SMO\u0308RGA\u030aS"}},
		{id: mailstore.ContentID{1}, head: []string{"SUBJECT: FOX"}},
		{id: mailstore.ContentID{3}, long: true},
	} {
		if l.long {
			b.addUnknown(l.id)
			continue
		}
		text, body := l.text()
		off := len(b.text)
		b.text = append(b.text, text...)
		b.add(l.id, off, body)
	}
	return b
}

func goldenSegment(t testing.TB, raw []byte) *segment {
	t.Helper()
	s, err := segmentOf(raw)
	noErr(t, err)
	return s
}

func segmentOf(raw []byte) (*segment, error) { return openOther(raw, 3) }

func goldenFile(t testing.TB) []byte {
	fs := vfs.NewMem()
	f := must[vfs.File](t)(fs.Create("s", category))
	noErr(t, goldenBuilder().write(f, goldenKeys{}, 3, nil, &seeds{id: [16]byte{1}, key: [32]byte{2}}))
	noErr(t, f.Close())
	f = must[vfs.File](t)(fs.Open("s"))
	info := must[vfs.FileInfo](t)(f.Stat())
	b := make([]byte, info.Size())
	noErr(t, readAt(f, b, 0))
	return b
}

// TestGoldenSegment: a segment written once is opened for ever, whatever a
// compressor of today would have made of it.
func TestGoldenSegment(t *testing.T) {
	s := goldenSegment(t, golden(t, "segment", goldenFile(t)))
	for _, c := range []struct {
		needle string
		body   bool
		want   []int
	}{
		{"FOX", false, []int{0, 1}}, {"FOX", true, []int{1}}, {"ANAN", false, []int{1}}, {"ANAN", true, nil},
		{"K BROWN F", false, []int{1}}, {"FOXSM", false, nil}, {"\u0308RGA", true, []int{1}}, {"@", false, []int{1}},
		{"BFROM", false, nil}, {"ZEBRA", false, nil},
	} {
		hits, err := s.search(t.Context(), newQuery([]byte(c.needle), c.body))
		noErr(t, err)
		var got []int
		for i := range s.foot.docs {
			if hits.has(i) {
				got = append(got, i)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %v, want %v", c.needle, got, c.want)
		}
	}
	if !s.foot.docs[2].unknown {
		t.Error("the document without text is known")
	}
}

// TestEveryFlip: no damage to a file changes an answer.
func TestEveryFlip(t *testing.T) {
	raw := goldenFile(t)
	q := newQuery([]byte("K BROWN F"), false)
	look := func(b []byte) error {
		s, err := segmentOf(b)
		if err != nil {
			return err
		}
		hits, err := s.search(t.Context(), q)
		if err == nil && (hits.has(0) || !hits.has(1)) {
			t.Fatal("another answer")
		}
		return err
	}
	noErr(t, look(raw))
	for i := range raw {
		b := bytes.Clone(raw)
		b[i] ^= 1 << (i % 8)
		if err := look(b); !errors.Is(err, errDamaged) {
			t.Fatalf("octet %d of %d: %v", i, len(raw), err)
		}
		if err := look(raw[:i]); !errors.Is(err, errDamaged) {
			t.Fatalf("cut to %d: %v", i, err)
		}
	}
	if err := look(append(bytes.Clone(raw), 0)); !errors.Is(err, errDamaged) {
		t.Fatal(err)
	}
	if _, err := openOther(raw, 4); !errors.Is(err, errDamaged) {
		t.Fatalf("texts of another version: %v", err)
	}
}

func openOther(raw []byte, text uint32) (*segment, error) {
	fs := vfs.NewMem()
	f, err := fs.Create("s", category)
	if err == nil {
		_, err = f.Write(bytes.Clone(raw))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if f, err = fs.Open("s"); err != nil {
		return nil, err
	}
	return openSegment(f, 1, goldenKeys{}, text)
}

func FuzzFoot(f *testing.F) {
	f.Add(goldenFoot().encode(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		var ft foot
		if err := ft.decode(b, 100, 1157); err != nil {
			if !errors.Is(err, errDamaged) {
				t.Fatal(err)
			}
			return
		}
		// What is read is written the same, but for numbers written long.
		var again foot
		noErr(t, again.decode(ft.encode(nil), 100, 1157))
		if !slices.Equal(ft.docs, again.docs) || !slices.Equal(ft.texts, again.texts) || !slices.Equal(ft.words, again.words) {
			t.Fatalf("%+v, %+v", ft, again)
		}
		for i := range ft.docs {
			d := &ft.docs[i]
			if !d.unknown && (int(d.block) >= len(ft.texts) || d.off+d.n > ft.texts[d.block].plain || d.body > d.n) {
				t.Fatalf("document %+v", d)
			}
		}
	})
}

func FuzzWords(f *testing.F) {
	v := goldenVocabulary()
	words, _ := appendWords(nil, v, v.sorted())
	f.Add(words, []byte("BANANA"))
	f.Add(words, []byte("\x00A\x00"))
	f.Add(words, []byte("A\x00"))
	f.Fuzz(func(t *testing.T, b, pattern []byte) {
		text, places, err := cutWords(b)
		if err == nil && len(pattern) > 0 && !bytes.Equal(pattern, zero) {
			err = mark(text, places, pattern, newBits(700))
		}
		if err != nil && !errors.Is(err, errDamaged) {
			t.Fatal(err)
		}
	})
}

func FuzzHead(f *testing.F) {
	raw := goldenFile(f)
	f.Add(raw[:100], raw[len(raw)-trailerSize:])
	f.Fuzz(func(t *testing.T, head, trailer []byte) {
		if key, n, err := parseHead(head, goldenKeys{}); err == nil && (key == nil || n > len(head)) {
			t.Fatal(n)
		}
		if foot, plain, err := parseTrailer(trailer); err == nil && (foot < 0 || plain > maxBlock) {
			t.Fatal(foot)
		}
	})
}

// FuzzNeedle holds the index against a text for any of both.
func FuzzNeedle(f *testing.F) {
	f.Add("THE QUICK BROWN FOX", "K BR", uint8(3))
	f.Add(strings.Repeat("ABCDEFGHIJ", 20)+" X", "JABC", uint8(0))
	f.Add("A\x00B", "\x00", uint8(1))
	f.Fuzz(func(t *testing.T, text, needle string, cut uint8) {
		text, needle = strings.ToValidUTF8(text, "?"), strings.ToValidUTF8(needle, "?")
		if needle == "" {
			return
		}
		l := &letter{id: mailstore.ContentID{1}}
		r := []rune(text)
		at := min(int(cut), len(r))
		l.head, l.body = []string{string(r[:at])}, []string{string(r[at:])}
		b := &builder{}
		var body int
		b.text, body = l.text()
		b.add(l.id, 0, body)
		mem := vfs.NewMem()
		file := must[vfs.File](t)(mem.Create("s", category))
		noErr(t, b.write(file, goldenKeys{}, 3, nil, &seeds{}))
		noErr(t, file.Close())
		s := must[*segment](t)(openSegment(must[vfs.File](t)(mem.Open("s")), 1, goldenKeys{}, 3))
		for _, inBody := range []bool{false, true} {
			hits, err := s.search(t.Context(), newQuery([]byte(needle), inBody))
			noErr(t, err)
			if hits.has(0) != l.has(needle, inBody) {
				t.Fatalf("%q in %q, %q: %v", needle, l.head, l.body, hits.has(0))
			}
		}
	})
}
