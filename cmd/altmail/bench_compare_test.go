package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// TestCompareUsage: what can't be compared is told before anything starts.
func TestCompareUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		out  string
	}{
		{"--peers list", exitDone, "dovecot-sdbox-zstd-crypt"},
		{"--works list", exitDone, "deliver.text.c16\n"},
		{"--report", exitUsage, "--resume"},
		{"--resume DIR --out DIR", exitUsage, "--out"},
		{"--resume DIR", exitUsage, "holds no comparison"},
		{"--out DIR --peers exim", exitUsage, `"exim"`},
		{"--out DIR --works deliver.tex", exitUsage, `"deliver.tex"`},
		{"--out DIR --rounds 0", exitUsage, "0 rounds"},
	} {
		var out bytes.Buffer
		args := strings.Fields(strings.ReplaceAll("bench compare "+c.args, "DIR", filepath.Join(t.TempDir(), "x")))
		if code := run(t.Context(), args, nil, &out, &out); code != c.code || !strings.Contains(out.String(), c.out) {
			t.Errorf("%s: %d\n%s", c.args, code, out.String())
		}
	}
}

// TestCommandLine: a report tells how it was made, not where.
func TestCommandLine(t *testing.T) {
	args := strings.Fields("bench compare --peer-root /opt/a --rounds 5 --out=/b --scratch /c --works read --write-results d.md --full")
	if got, want := commandLine(args), "altmail bench compare --rounds 5 --works read --full"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
