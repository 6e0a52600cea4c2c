package corpus

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, path string) Imported {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestMbox(t *testing.T) {
	long := strings.Repeat("x", 300<<10) // longer than the reader's buffer
	for _, c := range []struct {
		name, file string
		want       []string
	}{
		{"one", "From a Mon\nSubject: x\n\nbody\n", []string{"Subject: x\r\n\r\nbody\r\n"}},
		{"two", "From a Mon\nA: 1\n\none\n\nFrom b Tue\nB: 2\n\ntwo\n\n", []string{"A: 1\r\n\r\none\r\n", "B: 2\r\n\r\ntwo\r\n"}},
		{"CRLF", "From a Mon\r\nA: 1\r\n\r\none\r\n\r\nFrom b Tue\r\nB: 2\r\n\r\ntwo\r\n", []string{"A: 1\r\n\r\none\r\n", "B: 2\r\n\r\ntwo\r\n"}},
		{"quoted", "From a Mon\nA: 1\n\n>From x\n>>From y\n>Fromage\n> From z\n", []string{"A: 1\r\n\r\nFrom x\r\n>From y\r\n>Fromage\r\n> From z\r\n"}},
		{"From within a paragraph", "From a Mon\nA: 1\n\ntext\nFrom here on\n", []string{"A: 1\r\n\r\ntext\r\nFrom here on\r\n"}},
		{"no last newline", "From a Mon\nA: 1\n\nend", []string{"A: 1\r\n\r\nend\r\n"}},
		{"bare CR", "From a Mon\nA: 1\n\na\rb\n", []string{"A: 1\r\n\r\na\r\nb\r\n"}},
		{"long line", "From a Mon\nA: 1\n\n" + long + "\n\nFrom b Tue\nB: 2\n\n", []string{"A: 1\r\n\r\n" + long + "\r\n", "B: 2\r\n"}},
		{"From right behind a long line", "From a Mon\nA: 1\n\n" + long + "From b\n", []string{"A: 1\r\n\r\n" + long + "From b\r\n"}},
		{"noise before", "noise\n\nFrom a Mon\nA: 1\n\none\n", []string{"A: 1\r\n\r\none\r\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "mbox")
			write(t, path, c.file)
			s := open(t, path)
			if s.Len() != len(c.want) {
				t.Fatalf("%d messages, want %d", s.Len(), len(c.want))
			}
			for i := range 2 * len(c.want) { // past the end it begins again
				if got, want := string(s.Message(i)), c.want[i%len(c.want)]; got != want {
					t.Errorf("message %d: %.200q, want %.200q", i, got, want)
				}
			}
		})
	}
}

func TestMaildir(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "cur", "200.b:2,S"), "B: 2\n\nFrom here\n")
	write(t, filepath.Join(dir, "new", "100.a"), "A: 1\n\n>From\n")
	write(t, filepath.Join(dir, ".Sent", "cur", "300.c:2,"), "C: 3\r\n\r\n")
	write(t, filepath.Join(dir, "tmp", "400.d"), "not whole")
	write(t, filepath.Join(dir, "new", "500.empty"), "")
	s := open(t, dir)
	want := []string{"A: 1\r\n\r\n>From\r\n", "B: 2\r\n\r\nFrom here\r\n", "C: 3\r\n\r\n"}
	if s.Len() != len(want) {
		t.Fatalf("%d messages, want %d", s.Len(), len(want))
	}
	for i, w := range want {
		if got := string(s.Message(i)); got != w {
			t.Errorf("message %d: %q, want %q", i, got, w)
		}
	}
	if err := os.Remove(filepath.Join(dir, "new", "100.a")); err != nil {
		t.Fatal(err)
	}
	if got := s.Message(0); got != nil {
		t.Errorf("a message that has gone: %q", got)
	}
}

func TestNothingToImport(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "text"), "Subject: no mbox\n\nFrom: nobody\n")
	write(t, filepath.Join(dir, "empty"), "")
	for _, p := range []string{dir, filepath.Join(dir, "text"), filepath.Join(dir, "empty"), filepath.Join(dir, "none")} {
		if _, err := Open(p); err == nil {
			t.Errorf("%s: opened", p)
		}
	}
}

// FuzzMbox: whatever a file holds, what comes out can go over the wire.
func FuzzMbox(f *testing.F) {
	for _, s := range []string{"From a\nA: 1\n\nx\n", "From a\r\n\r\n>From b\r\n\r\nFrom c\r\n", "\nFrom ", "From a", "From a\n\n\nFrom b\n\r\r\n"} {
		f.Add(s)
	}
	path := filepath.Join(f.TempDir(), "mbox")
	f.Fuzz(func(t *testing.T, s string) {
		write(t, path, s)
		m, err := OpenMbox(path)
		if err != nil {
			return
		}
		defer m.Close()
		for i := range m.Len() {
			b := string(m.Message(i))
			if !strings.HasSuffix(b, "\r\n") || strings.ContainsAny(strings.ReplaceAll(b, "\r\n", ""), "\r\n") {
				t.Errorf("message %d of %q: %q", i, s, b)
			}
		}
	})
}
