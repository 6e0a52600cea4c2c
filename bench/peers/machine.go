package peers

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"altmail.se/altmail/bench/report"
)

// machine describes where a comparison runs. What the system does not tell is
// "unknown"; only the disk must answer.
func machine(ctx context.Context, dir string) (report.Machine, error) {
	m := report.Machine{
		CPU:        field("/proc/cpuinfo", "model name", ":"),
		Cores:      runtime.NumCPU(),
		System:     strings.Trim(field("/etc/os-release", "PRETTY_NAME", "="), `"`),
		Kernel:     "unknown",
		FileSystem: fileSystem(dir),
	}
	var kb int64
	if _, err := fmt.Sscan(field("/proc/meminfo", "MemTotal", ":"), &kb); err == nil {
		m.Memory = kb << 10
	}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(b))
	}
	var err error
	if m.Syncs, err = syncRate(ctx, dir, 1); err != nil {
		return m, err
	}
	m.Syncs16, err = syncRate(ctx, dir, 16)
	return m, err
}

// field returns the value of the first line of a file that has the key.
func field(path, key, sep string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), sep); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

// fileSystem returns the type of the file system that a directory is on: that
// of the longest mount point above it, proc(5).
func fileSystem(dir string) string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return "unknown"
	}
	best, kind := -1, "unknown"
	for line := range strings.Lines(string(b)) {
		left, right, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if !ok || len(f) < 5 || len(g) < 1 {
			continue
		}
		at := f[4]
		if (dir == at || at == "/" || strings.HasPrefix(dir, at+"/")) && len(at) >= best {
			best, kind = len(at), g[0]
		}
	}
	return kind
}

// syncTime is how long each rate of syncs is measured.
const syncTime = time.Second

// syncRate measures how often a second writers can make 4 KB durable, each in
// a file of its own that it writes over and over.
func syncRate(ctx context.Context, dir string, writers int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	counts := make([]int, writers)
	errs := make([]error, writers)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { counts[i], errs[i] = syncLoop(ctx, filepath.Join(dir, fmt.Sprintf("sync-probe-%d", i))) })
	}
	wg.Wait()
	took := time.Since(began).Seconds()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	return float64(sum) / took, errors.Join(errs...)
}

func syncLoop(ctx context.Context, path string) (n int, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	// Random, so that nothing below can leave out what does not change.
	var block [4096]byte
	_, _ = rand.Read(block[:])
	if _, err := f.WriteAt(block[:], 0); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	for ; ctx.Err() == nil; n++ {
		block[n%len(block)]++
		if _, err := f.WriteAt(block[:], 0); err != nil {
			return n, err
		}
		if err := datasync(f); err != nil {
			return n, err
		}
	}
	return n, nil
}
