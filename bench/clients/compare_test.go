//go:build e2e

package clients

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"altmail.se/altmail/bench/faults"
)

// lf is a message as clients keep it on Unix.
func lf(b []byte) []byte { return bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")) }

// raws are the octets of messages.
func raws(seen []faults.Seen) [][]byte {
	out := make([][]byte, len(seen))
	for i, m := range seen {
		out[i] = m.Raw
	}
	return out
}

// unix are the octets of messages with ends of line as Unix has them.
func unix(seen []faults.Seen) [][]byte {
	out := raws(seen)
	for i := range out {
		out[i] = lf(out[i])
	}
	return out
}

// same demands that the client holds exactly these messages, each once.
func (s *seat) same(what string, got, want [][]byte) {
	s.Helper()
	if err := compare(got, want, 1); err != nil {
		s.Errorf("%s: %s: %v", s.cl.name, what, err)
	}
}

// compare looks for every message of want in got, each once and at most often
// times, and for others.
func compare(got, want [][]byte, often int) error {
	count := map[string]int{}
	for _, g := range got {
		count[string(g)]++
	}
	var missing []string
	for _, w := range want {
		switch n := count[string(w)]; {
		case n == 0:
			missing = append(missing, string(w))
		case n > often:
			return fmt.Errorf("%d times:\n%s", n, head(w))
		}
	}
	for _, w := range want {
		delete(count, string(w))
	}
	if len(missing) == 0 && len(count) == 0 {
		return nil
	}
	text := fmt.Sprintf("%d missing, %d unknown of %d", len(missing), len(count), len(got))
	if len(missing) > 0 {
		text += "\nmissing: " + head([]byte(missing[0]))
	}
	for g := range count {
		text += "\nunknown: " + head([]byte(g))
		near := slices.MaxFunc(append(missing, ""), func(a, b string) int { return differ(a, g) - differ(b, g) })
		at := differ(near, g)
		text += fmt.Sprintf("\nthe nearest missing one differs from octet %d:\nwant %q\ngot  %q", at, around(near, at), around(g, at))
		break
	}
	return errors.New(text)
}

func head(b []byte) string { return fmt.Sprintf("%d octets, %.300q", len(b), b) }

func differ(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func around(s string, at int) string { return s[max(0, min(len(s), at)-40):min(len(s), at+60)] }

// files reads all regular files that match patterns.
func (s *seat) files(patterns ...string) [][]byte {
	s.Helper()
	var out [][]byte
	for _, path := range s.paths(patterns...) {
		b, err := os.ReadFile(path)
		if err != nil {
			s.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// paths are the files that match patterns below the home.
func (s *seat) paths(patterns ...string) []string {
	s.Helper()
	var out []string
	for _, p := range patterns {
		got, err := filepath.Glob(filepath.Join(s.dir, p))
		if err != nil {
			s.Fatal(err)
		}
		out = append(out, got...)
	}
	slices.Sort(out)
	return out
}

// maildir are the messages of a Maildir.
func (s *seat) maildir(dir string) [][]byte {
	s.Helper()
	return s.files(dir+"/cur/*", dir+"/new/*")
}
