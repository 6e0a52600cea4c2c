package logstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// makeDir makes a directory and what is above it, durably.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	parent := filepath.Dir(dir)
	if parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("logstore: %w", err)
	}
	return syncDir(parent)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("logstore: %w", err)
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("logstore: sync %s: %w", filepath.Base(dir), err), d.Close())
	}
	return d.Close()
}
