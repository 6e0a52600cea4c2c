package peers

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
)

// allocated returns the bytes of disk in use below directories. Files that go
// away while it counts don't count.
func allocated(dirs []string) (int64, error) {
	var sum int64
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			fi, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if st, ok := fi.Sys().(*syscall.Stat_t); ok {
				sum += st.Blocks * 512
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return sum, nil
}
