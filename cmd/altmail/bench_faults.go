package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"altmail.se/altmail/bench/faults"
)

// benchFaultsCmd runs a cluster of this binary and tries to break its
// promises.
type benchFaultsCmd struct {
	jsonFlag
	Seed     uint64        `help:"Seed of all that is left to chance; none: a new one, printed."`
	Duration time.Duration `help:"Rounds begin until it is over." default:"5m"`
	Round    time.Duration `help:"Length of the faults in a round." default:"20s"`
	Nodes    int           `help:"3 or 5." default:"3"`
	Accounts int           `help:"Mail accounts." default:"3"`
	Faults   []string      `help:"Only these kinds; 'list' prints them." placeholder:"KIND"`
	Nordic   bool          `help:"Wires as long as from Stockholm to Oslo and Helsinki."`
	NoDisks  bool          `help:"Leave out the faults of disks: /dev/fuse is not needed."`
	Plain    bool          `help:"Loopback ports in place of network namespaces: no root needed, no wire is hurt."`
	Dir      string        `help:"Directory for everything; none: a temporary one, kept only after a failure." type:"path"`
	Bin      string        `help:"The altmail to run; none: this one." type:"path" placeholder:"FILE"`
}

func (c *benchFaultsCmd) Run(e *env) error {
	if len(c.Faults) == 1 && c.Faults[0] == "list" {
		_, err := fmt.Fprintln(e.stdout, strings.Join(faults.KindNames(), "\n"))
		return err
	}
	if c.Nodes != 3 && c.Nodes != 5 {
		return codedf(exitUsage, "--nodes: 3 or 5")
	}
	if c.Seed == 0 {
		c.Seed = rand.Uint64()
	}
	var err error
	if c.Bin == "" {
		if c.Bin, err = os.Executable(); err != nil {
			return err
		}
	}
	dir := c.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "altmail-faults-"); err != nil {
			return err
		}
	}
	fmt.Fprintf(e.stderr, "seed %d\n", c.Seed)
	res, err := faults.Run(e.ctx, faults.Options{
		Bin: c.Bin, Dir: dir, Seed: c.Seed, Duration: c.Duration, Round: c.Round, Nodes: c.Nodes, Accounts: c.Accounts,
		Faults: c.Faults, Nordic: c.Nordic, Plain: c.Plain, NoDisks: c.NoDisks, Progress: e.stderr,
		Log: slog.New(slog.NewTextHandler(e.stderr, nil)),
	})
	if err == nil && res.Held() && c.Dir == "" {
		err = os.RemoveAll(dir)
	}
	if perr := c.print(e.stdout, res); err == nil {
		err = perr
	}
	if err != nil {
		return fmt.Errorf("seed %d, in %s: %w", c.Seed, dir, err)
	}
	if !res.Held() {
		return codedf(exitFailed, "a promise was broken: seed %d, everything is kept in %s", c.Seed, res.Dir)
	}
	return nil
}

func (c *benchFaultsCmd) print(w io.Writer, r *faults.Result) error {
	if c.JSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	for _, l := range r.Left {
		if _, err := fmt.Fprintln(w, "left out:", l); err != nil {
			return err
		}
	}
	for _, v := range r.Violations {
		if _, err := fmt.Fprintln(w, "violation:", v); err != nil {
			return err
		}
	}
	if r.Failure != "" {
		if _, err := fmt.Fprintln(w, "failure:", r.Failure); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "seed %d: %d rounds in %.0f s, %d answered, %d refused, %d without an answer, %d violations\n",
		r.Seed, r.Rounds, r.Seconds, r.Answered, r.Refused, r.Unknown, len(r.Violations))
	return err
}
