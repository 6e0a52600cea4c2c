package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/term"

	"altmail.se/altmail/cmd/altmail/config"
	"altmail.se/altmail/frontend/admin/adminpb"
)

// featureLevel is the newest level of commands and rows this binary knows.
const featureLevel = 1

// version is the release, set by the linker.
var version = "devel"

type versionCmd struct{ jsonFlag }

func (c *versionCmd) Run(e *env) error {
	v := version
	if bi, ok := debug.ReadBuildInfo(); ok && v == "devel" && bi.Main.Version != "" {
		v = bi.Main.Version
	}
	if c.JSON {
		_, err := fmt.Fprintf(e.stdout, "{\"version\": %s, \"level\": %d, \"go\": %s}\n", strconv.Quote(v), featureLevel, strconv.Quote(runtime.Version()))
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "altmail %s, feature level %d, %s %s/%s\n", v, featureLevel, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// configCmd is the noun config.
type configCmd struct {
	Check  configCheckCmd  `cmd:"" help:"Check a configuration file."`
	Show   configShowCmd   `cmd:"" help:"Print the configuration with every default."`
	Sample configSampleCmd `cmd:"" help:"Print a commented configuration."`
}

type configCheckCmd struct{ configFlag }

func (c *configCheckCmd) Run(e *env) error {
	if _, err := loadConfig(c.Config); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.stdout, "%s: good\n", c.Config)
	return err
}

type configShowCmd struct{ configFlag }

func (c *configShowCmd) Run(e *env) error {
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	b, err := cfg.Encode()
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(b)
	return err
}

type configSampleCmd struct{}

func (c *configSampleCmd) Run(e *env) error {
	b, err := config.Sample()
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(b)
	return err
}

type checkCmd struct {
	configFlag
	jsonFlag
	Bodies bool `help:"Also read every body and compare its hash."`
}

func (c *checkCmd) Run(e *env) error {
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	var r *adminpb.CheckResponse
	if listens(cfg.AdminSocket()) {
		a, err := dialSocket(cfg.AdminSocket())
		if err != nil {
			return err
		}
		r, err = unary(e.ctx, a.Check, &adminpb.CheckRequest{Bodies: c.Bodies})
		if err != nil {
			return err
		}
	} else if r, err = checkOffline(e, cfg, c.Bodies); err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(e.stdout, r)
	} else {
		for _, p := range r.Problems {
			fmt.Fprintln(e.stdout, p)
		}
		_, err = fmt.Fprintf(e.stdout, "%d accounts, %d mailboxes, %d messages, %d bodies: %d problems\n",
			r.Accounts, r.Mailboxes, r.Messages, r.Bodies, len(r.Problems))
	}
	if err == nil && len(r.Problems) > 0 {
		return codedf(exitFailed, "the stores are not consistent")
	}
	return err
}

// listens tells whether a node answers on its socket. One that crashed leaves
// the file behind; whether its stores are free is for their lock to say.
func listens(socket string) bool {
	c, err := net.DialTimeout("unix", socket, time.Second)
	if err != nil {
		return !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED)
	}
	c.Close()
	return true
}

type statsCmd struct {
	configFlag
	jsonFlag
}

func (c *statsCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	r, err := unary(e.ctx, a.Stats, &adminpb.StatsRequest{})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, r)
	}
	for _, s := range r.Stats {
		if _, err := fmt.Fprintf(e.stdout, "%s=%s\n", s.Name, strconv.FormatFloat(s.Value, 'f', -1, 64)); err != nil {
			return err
		}
	}
	return nil
}

// readPassphrase asks for the keyring's passphrase on the terminal, or takes
// the first line of standard input.
func readPassphrase(e *env) ([]byte, error) {
	if f, ok := e.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(e.stderr, "Passphrase of the keyring: ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(e.stderr)
		return b, err
	}
	return readPassword(e, "-")
}
