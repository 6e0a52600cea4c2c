package peers

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"altmail.se/altmail/bench/load"
)

// ticksPerSecond is USER_HZ, 100 on every Linux that Go runs on.
const ticksPerSecond = 100

// busy is processor time used up to a moment, in ticks.
type busy struct {
	all, own int64
	known    bool
}

// busyNow reads how busy the machine and ours, server and client, have been.
func busyNow(t *load.Target) busy {
	b, err := os.ReadFile("/proc/stat")
	if err != nil || t.PIDs == nil {
		return busy{}
	}
	first, _, _ := bytes.Cut(b, []byte("\n"))
	f := strings.Fields(string(first)) // cpu user nice system idle iowait irq softirq steal …, proc(5)
	if len(f) < 9 || f[0] != "cpu" {
		return busy{}
	}
	out := busy{known: true}
	for i, s := range f[1:9] {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return busy{}
		}
		if i != 3 && i != 4 { // idle, iowait
			out.all += n
		}
	}
	seen := map[int]bool{}
	for _, root := range append(t.PIDs(), os.Getpid()) {
		for _, p := range tree(root) {
			if !seen[p.pid] {
				seen[p.pid] = true
				out.own += ticks(p.pid)
			}
		}
	}
	return out
}

// ticks is the time of a process and of the children it has waited for.
func ticks(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0 // it has ended
	}
	i := bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[i+1:]))
	if i < 0 || len(f) < 15 {
		return 0
	}
	var sum int64
	for _, s := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0
		}
		sum += n
	}
	return sum
}

// others is how many cores everybody else kept busy since; nil: not known.
func (b busy) others(t *load.Target, took time.Duration) *float64 {
	now := busyNow(t)
	if !b.known || !now.known || took < time.Second/2 {
		return nil
	}
	ticks := max(0, (now.all-b.all)-(now.own-b.own))
	cores := float64(ticks) / ticksPerSecond / took.Seconds()
	return &cores
}
