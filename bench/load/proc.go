package load

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// ticksPerSecond is USER_HZ, 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// procStat is what is used of /proc/PID/stat, proc(5).
type procStat struct {
	parent int
	ticks  uint64 // of itself and of children it has waited for
}

func readStat(pid int) (procStat, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return procStat{}, err
	}
	return parseStat(b)
}

func parseStat(b []byte) (procStat, error) {
	// The name in parentheses may hold anything, parentheses too.
	i := bytes.LastIndexByte(b, ')')
	if i < 0 {
		return procStat{}, errors.New("load: /proc/PID/stat without a name")
	}
	f := bytes.Fields(b[i+1:])
	if len(f) < 15 {
		return procStat{}, errors.New("load: /proc/PID/stat is too short")
	}
	var s procStat
	var err error
	if s.parent, err = strconv.Atoi(string(f[1])); err != nil {
		return s, err
	}
	for _, field := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil {
			return s, err
		}
		s.ticks += n
	}
	return s, nil
}

// ProcessTree returns the processes and all their living descendants, in
// ascending order.
func ProcessTree(roots []int) []int {
	children := map[int][]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	alive := map[int]bool{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		// A process may end while it is looked at.
		if s, err := readStat(pid); err == nil {
			alive[pid] = true
			children[s.parent] = append(children[s.parent], pid)
		}
	}
	seen := map[int]bool{}
	var out []int
	for todo := slices.Clone(roots); len(todo) > 0; {
		pid := todo[0]
		todo = todo[1:]
		if seen[pid] || !alive[pid] {
			continue
		}
		seen[pid] = true
		out = append(out, pid)
		todo = append(todo, children[pid]...)
	}
	slices.Sort(out)
	return out
}

// tree is the target's processes; none when they are not known.
func (t *Target) tree() []int {
	if t.PIDs == nil {
		return nil
	}
	return ProcessTree(t.PIDs())
}

// cpuMark is the processor time used up to a moment.
type cpuMark struct {
	server uint64
	self   time.Duration
	at     time.Time
}

func markCPU(t *Target) *cpuMark {
	m := &cpuMark{self: selfCPU(), at: time.Now()}
	for _, pid := range t.tree() {
		if s, err := readStat(pid); err == nil {
			m.server += s.ticks
		}
	}
	return m
}

// since is what was used after the mark. A process that ended was waited for
// by its parent, which carries its time on.
func (m *cpuMark) since(t *Target) *CPU {
	now := markCPU(t)
	c := &CPU{Client: (now.self - m.self).Seconds(), Processes: len(t.tree())}
	if now.server > m.server {
		c.Server = float64(now.server-m.server) / ticksPerSecond
	}
	if s := now.at.Sub(m.at).Seconds(); s > 0 {
		c.Busy = (c.Server + c.Client) / s
	}
	return c
}

// per fills in what is relative to the work.
func (c *CPU) per(ops int64, seconds float64) {
	if ops > 0 {
		c.ServerPerOp = c.Server / float64(ops)
	}
	if all := c.Server + c.Client; all > 0 {
		c.ClientShare = c.Client / all
	}
}

// memory sums up what processes hold in memory, shared pages by their share
// (PSS) and in full (RSS), in bytes.
func memory(pids []int) (pss, rss int64, err error) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			continue // it has ended
		}
		if err != nil {
			return 0, 0, fmt.Errorf("load: memory of a server's process: %w", err)
		}
		p, r := parseRollup(b)
		pss, rss = pss+p, rss+r
	}
	return pss, rss, nil
}

func parseRollup(b []byte) (pss, rss int64) {
	for l := range bytes.Lines(b) {
		f := bytes.Fields(l)
		if len(f) != 3 || string(f[2]) != "kB" {
			continue
		}
		n, err := strconv.ParseInt(string(f[1]), 10, 64)
		if err != nil {
			continue
		}
		switch string(f[0]) {
		case "Pss:":
			pss = n << 10
		case "Rss:":
			rss = n << 10
		}
	}
	return pss, rss
}

// DiskUse sums up the files below directories, each file once: bytes in blocks
// and by length. Files that vanish meanwhile are left out.
func DiskUse(dirs []string) (allocated, apparent, files int64, err error) {
	type id struct{ dev, ino uint64 }
	seen := map[id]bool{}
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				if path != dir && errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			}
			if !d.Type().IsRegular() {
				return nil
			}
			info, err := d.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			files++
			apparent += info.Size()
			st, ok := info.Sys().(*syscall.Stat_t)
			if !ok {
				allocated += info.Size()
				return nil
			}
			k := id{uint64(st.Dev), st.Ino}
			if st.Nlink > 1 && seen[k] {
				files--
				apparent -= info.Size()
				return nil
			}
			seen[k] = true
			allocated += st.Blocks * 512
			return nil
		})
		if err != nil {
			return 0, 0, 0, fmt.Errorf("load: disk use: %w", err)
		}
	}
	return allocated, apparent, files, nil
}

type diskMark struct{ allocated, apparent, files int64 }

func diskBefore(t *Target) (m diskMark, err error) {
	m.allocated, m.apparent, m.files, err = DiskUse(t.DataDirs)
	return m, err
}

// growth is what raw bytes of mail made the data directories grow by.
func (m diskMark) growth(t *Target, raw int64) (*Disk, error) {
	if len(t.DataDirs) == 0 || raw == 0 {
		return nil, nil
	}
	al, ap, files, err := DiskUse(t.DataDirs)
	if err != nil {
		return nil, err
	}
	d := &Disk{Raw: raw, Allocated: al - m.allocated, Apparent: ap - m.apparent, Files: files - m.files, Dirs: len(t.DataDirs)}
	per := float64(raw) * float64(d.Dirs)
	d.AllocatedPerRaw, d.ApparentPerRaw = float64(d.Allocated)/per, float64(d.Apparent)/per
	return d, nil
}
