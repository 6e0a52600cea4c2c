package peers

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// TestReap: what a killed comparison left behind ends before the next start.
func TestReap(t *testing.T) {
	dir := t.TempDir()
	pid := filepath.Join(dir, "pid")
	first, err := run(t.Context(), pid, filepath.Join(dir, "log"), exec.Command("sleep", "600"))
	if err != nil {
		t.Fatal(err)
	}
	second, err := run(t.Context(), pid, filepath.Join(dir, "log"), exec.Command("sleep", "600"))
	if err != nil {
		t.Fatal(err)
	}
	if first.ended() == nil {
		t.Error("the first one still runs")
	}
	if second.ended() != nil {
		t.Error("the second one does not run")
	}
	if err := second.stop(t.Context()); err != nil {
		t.Error(err)
	}
}
