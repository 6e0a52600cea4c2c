// Command altmail runs and operates a replicated mail store.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"connectrpc.com/connect"
	"github.com/alecthomas/kong"

	"altmail.se/altmail/cluster"
)

// Exit codes: sysexits where one fits, because MTAs and cron read them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitPartly      = 3
	exitUsage       = 64
	exitData        = 65
	exitNoAccount   = 67
	exitUnavailable = 69
	exitTryAgain    = 75
	exitNotAllowed  = 77
	exitConfig      = 78
)

// cli is the whole command line: one field per noun.
type cli struct {
	Demo    demoCmd    `cmd:"" help:"Three nodes on loopback, an account, its settings printed; Ctrl-C ends it."`
	Serve   serveCmd   `cmd:"" help:"Run a node."`
	Cluster clusterCmd `cmd:"" help:"Members of the cluster."`
	Account accountCmd `cmd:"" help:"Mail accounts."`
	Address addressCmd `cmd:"" help:"Further addresses of an account."`
	Backup  backupCmd  `cmd:"" help:"Backups: who may pull them, pulling, checking, restoring."`
	Check   checkCmd   `cmd:"" help:"Check the consistency of a node's stores."`
	Stats   statsCmd   `cmd:"" help:"A node's counters as key=value lines."`
	Bench   benchCmd   `cmd:"" help:"Measure a mail server, this one or another."`
	Config  configCmd  `cmd:"" help:"The configuration file."`
	Version versionCmd `cmd:"" help:"What this binary is."`
}

// configFlag is the flag every verb that talks of a node takes.
type configFlag struct {
	Config string `help:"Configuration file of the node." default:"/etc/altmail/altmail.toml" type:"path" placeholder:"FILE"`
}

// jsonFlag is taken by every verb that reads.
type jsonFlag struct {
	JSON bool `help:"Print JSON."`
}

// env is what a command gets besides its flags.
type env struct {
	ctx            context.Context
	stdin          io.Reader
	stdout, stderr io.Writer
}

// codedError is an error with the exit code it ends the process with.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func coded(code int, err error) error {
	if err == nil {
		return nil
	}
	return &codedError{code, err}
}

func codedf(code int, format string, a ...any) error {
	return &codedError{code, fmt.Errorf(format, a...)}
}

// exitCode maps an error to the exit code of its kind.
func exitCode(err error) int {
	var ce *codedError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &ce):
		return ce.code
	case errors.Is(err, cluster.ErrUnavailable):
		return exitUnavailable
	case errors.Is(err, cluster.ErrQuorum):
		return exitNotAllowed
	}
	switch connect.CodeOf(err) {
	case connect.CodeUnavailable, connect.CodeDeadlineExceeded:
		return exitUnavailable
	case connect.CodeNotFound:
		return exitNoAccount
	case connect.CodeInvalidArgument, connect.CodeAlreadyExists, connect.CodeOutOfRange:
		return exitData
	case connect.CodeFailedPrecondition, connect.CodePermissionDenied:
		return exitNotAllowed
	case connect.CodeAborted, connect.CodeResourceExhausted:
		return exitTryAgain
	}
	return exitFailed
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process: tests call it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c cli
	done := -1
	p, err := kong.New(&c,
		kong.Name("altmail"),
		kong.Description("A replicated, sealed mail store. Exit codes: 0 done, 1 failed, 3 partly, 64 usage, 65 bad data, 67 no such account, 69 no quorum or unreachable, 75 try again, 77 not allowed, 78 bad configuration."),
		kong.Writers(stdout, stderr),
		kong.UsageOnError(),
		kong.Exit(func(code int) {
			if done < 0 {
				done = code
			}
		}),
	)
	if err != nil {
		fmt.Fprintln(stderr, "altmail:", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := p.Parse(args)
	if done >= 0 {
		return done
	}
	if err != nil {
		fmt.Fprintln(stderr, "altmail:", err)
		return exitUsage
	}
	if err := kctx.Run(&env{ctx, stdin, stdout, stderr}); err != nil {
		fmt.Fprintln(stderr, "altmail:", message(err))
		return exitCode(err)
	}
	return exitDone
}

// message is an error as an operator should read it.
func message(err error) string {
	var ce *connect.Error
	if errors.As(err, &ce) && ce.Message() != "" {
		return ce.Message()
	}
	return err.Error()
}
