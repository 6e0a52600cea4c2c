package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"

	"connectrpc.com/connect"

	"altmail.se/altmail/cluster"
)

// TestExitCode: scripts and mail servers act on these numbers.
func TestExitCode(t *testing.T) {
	plain := errors.New("x")
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{plain, 1},
		{codedf(exitPartly, "x"), 3},
		{coded(exitUsage, plain), 64},
		{fmt.Errorf("more: %w", codedf(exitConfig, "x")), 78},
		{coded(exitConfig, nil), 0},
		{fmt.Errorf("more: %w", cluster.ErrUnavailable), 69},
		{cluster.ErrQuorum, 77},
		// The code that was chosen counts, not what it wraps.
		{coded(exitTryAgain, cluster.ErrUnavailable), 75},
		{connect.NewError(connect.CodeUnavailable, plain), 69},
		{connect.NewError(connect.CodeDeadlineExceeded, plain), 69},
		{connect.NewError(connect.CodeNotFound, plain), 67},
		{connect.NewError(connect.CodeInvalidArgument, plain), 65},
		{connect.NewError(connect.CodeAlreadyExists, plain), 65},
		{connect.NewError(connect.CodeOutOfRange, plain), 65},
		{connect.NewError(connect.CodeFailedPrecondition, plain), 77},
		{connect.NewError(connect.CodePermissionDenied, plain), 77},
		{connect.NewError(connect.CodeAborted, plain), 75},
		{connect.NewError(connect.CodeResourceExhausted, plain), 75},
		{connect.NewError(connect.CodeInternal, plain), 1},
		{context.Canceled, 1},
		{os.ErrNotExist, 1},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

// TestMessage: an operator reads what went wrong, without the protocol's words.
func TestMessage(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("disk full"), "disk full"},
		{connect.NewError(connect.CodeNotFound, errors.New("no such account")), "no such account"},
		{coded(exitUnavailable, connect.NewError(connect.CodeUnavailable, errors.New("no leader"))), "no leader"},
	} {
		if got := message(c.err); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// TestDemoJSON: the line demo --json prints, which fault runs and people's
// scripts read. Keys may be added at the end; none may change.
func TestDemoJSON(t *testing.T) {
	b, err := json.Marshal(demoInfo{
		Nodes: []*demoNode{{
			Name: "node1", PID: 4711, DataDir: "/d/node1/data", Config: "/d/node1/altmail.toml",
			SMTP: "127.0.0.1:1", Submission: "127.0.0.1:2", Submissions: "127.0.0.1:3",
			IMAP: "127.0.0.1:4", IMAPS: "127.0.0.1:5", LMTP: "127.0.0.1:6",
			Admin: "127.0.0.1:7", Socket: "/d/node1/data/admin.sock",
		}},
		Account: demoAccount{Address: "demo@altmail.example", Password: "secret"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"nodes":[{"name":"node1","pid":4711,"data_dir":"/d/node1/data","config":"/d/node1/altmail.toml",` +
		`"smtp":"127.0.0.1:1","submission":"127.0.0.1:2","submissions":"127.0.0.1:3",` +
		`"imap":"127.0.0.1:4","imaps":"127.0.0.1:5","lmtp":"127.0.0.1:6","admin":"127.0.0.1:7",` +
		`"socket":"/d/node1/data/admin.sock"}],` +
		`"account":{"address":"demo@altmail.example","password":"secret"}}`
	if string(b) != want {
		t.Errorf("demo --json prints\n%s\nwant\n%s", b, want)
	}
}
