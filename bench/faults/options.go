package faults

import (
	"io"
	"log/slog"
	"time"

	"altmail.se/altmail/bench/faults/check"
	"altmail.se/altmail/bench/faults/disk"
)

// Options says how to run.
type Options struct {
	Bin        string        // the altmail to run
	Dir        string        // where everything is kept; must be empty
	Seed       uint64        // of all that is left to chance
	Duration   time.Duration // rounds begin until it is over
	Round      time.Duration // of faults in a round; 0 is 20 s
	Nodes      int           // 0 is 3
	Accounts   int           // 0 is 3
	Faults     []string      // kinds; none is all that the machine allows
	Plain      bool          // loopback without a network of our own
	NoDisks    bool          // leave out the faults of disks, which cost a file system in user space
	Nordic     bool          // wires like Stockholm, Oslo, Helsinki
	Heal       time.Duration // for a cluster to be healthy again; 0 is 2 min
	Rules      string        // of unsynced directory operations: posix, loose, ext4; none: by the seed
	LogEntries int           // entries a log keeps; 0 is 256
	Erase      time.Duration // how soon deleted mail leaves the disks; 0 is 2 min
	Think      time.Duration // mean pause of a client; 0 is 150 ms
	Progress   io.Writer     // a line a round
	Log        *slog.Logger
}

// Result is what a run showed. Fields are only added.
type Result struct {
	Seed       uint64            `json:"seed"`
	Rounds     int               `json:"rounds"`
	Seconds    float64           `json:"seconds"`
	Answered   int               `json:"answered"`
	Refused    int               `json:"refused"`
	Unknown    int               `json:"unknown"`
	Faults     map[string]int    `json:"faults"`
	Left       []string          `json:"left_out,omitempty"` // kinds this machine does not allow, and why
	Dir        string            `json:"dir,omitempty"`      // of what is kept of a failure
	Violations []check.Violation `json:"violations,omitempty"`
	Failure    string            `json:"failure,omitempty"` // what went wrong besides
}

// Held reports whether every promise was kept.
func (r *Result) Held() bool { return len(r.Violations) == 0 && r.Failure == "" }

const (
	settleTime = 30 * time.Second // for what was handed over, and IDLE, to arrive
	keepRows   = 60               // messages of a mailbox that live on into the next round
)

var diskRules = map[string]disk.Rules{"posix": disk.POSIX, "loose": disk.Loose, "ext4": disk.Ext4}

// KindNames are the names of all kinds of faults.
func KindNames() []string {
	var out []string
	for _, k := range kinds() {
		out = append(out, k.name)
	}
	return out
}
