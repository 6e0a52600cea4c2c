package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBackupUsage: what can't be meant is refused, with the code that cron and
// scripts read.
func TestBackupUsage(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	if err := os.Mkdir(other, 0o700); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
	}{
		{"backup list --repo " + other, exitData},
		{"backup verify --repo " + other, exitData},
		{"backup verify --repair --repo " + other, exitUsage},
		{"backup prune --repo " + other, exitUsage},
		{"backup prune --keep-within soon --repo " + other, exitUsage},
		{"backup list --repo s3://host/bucket", exitUsage},
		{"backup list --repo s3://host --s3-keys " + bad, exitData},
		{"backup pull --repo " + other + " --credential " + bad, exitData},
		{"backup pull --repo " + other + " --credential " + filepath.Join(dir, "none"), exitUsage},
		{"backup restore --repo " + other + " --identity " + bad, exitData},
		{"backup restore --repo " + other + " --identity " + bad + " --uid 3", exitUsage},
		{"backup grant x --out " + filepath.Join(dir, "out"), exitUsage},
	} {
		if got := run(t.Context(), strings.Fields(c.args), strings.NewReader(""), io.Discard, io.Discard); got != c.code {
			t.Errorf("%s: exit code %d, want %d", c.args, got, c.code)
		}
	}
}
