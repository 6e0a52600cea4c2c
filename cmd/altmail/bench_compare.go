package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"altmail.se/altmail/bench/load"
	"altmail.se/altmail/bench/peers"
)

// benchCompareCmd measures this binary and other mail servers side by side.
type benchCompareCmd struct {
	jsonFlag
	Rounds   int           `help:"How often each peer is measured, all in turn." default:"5"`
	Peers    []string      `help:"Which, in order; 'list' prints them. Default: all but the rarer ones." placeholder:"PEER"`
	Works    []string      `help:"What is done, by name or by the part before a dot; 'list' prints them. Default: all." placeholder:"WORK"`
	Duration time.Duration `help:"How long each work is measured." default:"4s"`
	Messages int           `help:"Messages of the large mailbox that is read." default:"10000"`
	Idle     int           `help:"Idle connections whose memory is measured." default:"500"`
	Seed     uint64        `help:"Seed of the mail." default:"1"`
	Out      string        `help:"Directory of runs, report and plots; none: a new one below the temporary directory." placeholder:"DIR" type:"path"`
	Scratch  string        `help:"Directory on the disk to be measured, for the servers; none: in --out. Its path must be short, and others must be able to enter it." placeholder:"DIR" type:"path"`
	Resume   string        `help:"Continue an interrupted comparison in this directory, as it began; what failed is tried again." placeholder:"DIR" type:"path"`
	Report   bool          `help:"With --resume: measure nothing, report what is there."`
	Full     bool          `help:"Measure every work at every peer in every round. Default: what no target compares is measured in the first round only."`
	Quick    bool          `help:"A smoke test of under three minutes: few works, one round of two seconds, a small mailbox, Dovecot and three nodes."`
	PeerRoot []string      `help:"Directory with packages unpacked in it (dpkg -x), searched for the peers' programs first." placeholder:"DIR" type:"path"`

	WriteResults string `help:"Also write the report to this file, with its plots beside it." placeholder:"FILE" type:"path"`
}

func (c *benchCompareCmd) Run(e *env) error {
	switch {
	case slices.Equal(c.Peers, []string{"list"}):
		for _, name := range sortedPeers() {
			fmt.Fprintf(e.stdout, "%-26s %s\n", name, peers.All(peers.Config{})[name].Note())
		}
		return nil
	case slices.Equal(c.Works, []string{"list"}):
		_, err := fmt.Fprintln(e.stdout, strings.Join(peers.Works(), "\n"))
		return err
	case c.Report && c.Resume == "":
		return codedf(exitUsage, "--report needs --resume DIR")
	case c.Resume != "" && c.Out != "":
		return codedf(exitUsage, "--resume goes on in its own directory: leave out --out")
	}
	cmp, dir, err := c.open(e)
	if errors.Is(err, load.ErrTarget) {
		return coded(exitUsage, err)
	}
	if err != nil {
		return err
	}
	var runErr error
	if !c.Report {
		runErr = cmp.Run(e.ctx)
		clearLine(e)
		if runErr != nil {
			fmt.Fprintf(e.stderr, "cut off; go on with: altmail bench compare --resume %s\n", dir)
		}
	}
	r, err := cmp.Report()
	if err != nil {
		return errors.Join(runErr, err)
	}
	if err := cmp.Write(r); err != nil {
		return errors.Join(runErr, err)
	}
	if c.WriteResults != "" {
		if err := peers.WriteResults(r, c.WriteResults); err != nil {
			return errors.Join(runErr, err)
		}
	}
	show := r.Text
	if c.JSON {
		show = r.JSON
	}
	if err := show(e.stdout); err != nil {
		return errors.Join(runErr, err)
	}
	fmt.Fprintf(e.stderr, "report, plots and every run: %s\n", dir)
	if runErr != nil {
		return runErr
	}
	for _, run := range r.Runs {
		if run.Error != "" {
			return codedf(exitPartly, "some runs failed: see the end of the report; --resume %s tries them again", dir)
		}
	}
	return nil
}

// open begins or continues a comparison.
func (c *benchCompareCmd) open(e *env) (*peers.Comparison, string, error) {
	o := peers.Options{
		Peers: c.Peers, Works: c.Works, Rounds: c.Rounds, Duration: c.Duration, Messages: c.Messages, Idle: c.Idle,
		Repeat: 5, Seed: c.Seed, Full: c.Full, Baseline: "dovecot-sdbox-zstd", Scratch: c.Scratch,
		Command:  commandLine(os.Args[1:]),
		Progress: progressLine(e),
		Log: func(s string) {
			clearLine(e)
			fmt.Fprintln(e.stderr, s)
		},
	}
	o.Peer.Roots = c.PeerRoot
	if c.Resume != "" {
		cmp, err := peers.Resume(c.Resume, o)
		return cmp, c.Resume, err
	}
	if c.Quick {
		c.quick(&o)
	}
	if len(o.Peers) == 0 {
		o.Peers = peers.Names
	}
	if !slices.Contains(o.Peers, o.Baseline) {
		o.Baseline = o.Peers[0]
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, "", err
	}
	o.Peer.Altmail = exe
	dir := c.Out
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "compare-"+time.Now().Format("0102-150405"))
	}
	cmp, err := peers.New(context.WithoutCancel(e.ctx), dir, o)
	return cmp, dir, err
}

// commandLine is what a report says it was made by: without the paths of one
// machine, which change nothing that is measured and are nobody else's.
func commandLine(args []string) string {
	out := []string{"altmail"}
	for i := 0; i < len(args); i++ {
		name, _, whole := strings.Cut(args[i], "=")
		switch name {
		case "--out", "--scratch", "--resume", "--peer-root", "--write-results":
			if !whole {
				i++
			}
			continue
		}
		out = append(out, args[i])
	}
	return strings.Join(out, " ")
}

// quick lowers whatever was left at its default.
func (c *benchCompareCmd) quick(o *peers.Options) {
	o.Rounds, o.Repeat = 1, 3
	o.Duration = min(o.Duration, 2*time.Second)
	o.Messages = min(o.Messages, 500)
	o.Idle = min(o.Idle, 64)
	if len(o.Peers) == 0 {
		o.Peers = []string{"dovecot-sdbox-zstd", "altmail-3"}
	}
	if len(o.Works) == 0 {
		o.Works = []string{"deliver.text.c16", "deliver.mixed.c16", "store.c16", "login", "idle", "read"}
	}
}

func sortedPeers() []string {
	out := slices.Clone(peers.Names)
	for name := range peers.All(peers.Config{}) {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
