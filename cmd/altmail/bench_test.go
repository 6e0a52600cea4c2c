package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"altmail.se/altmail/bench/load"
)

func TestReadAccounts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts")
	for _, c := range []struct {
		file string
		mode os.FileMode
		want string
		code int
	}{
		{"a@x one\n\n# no account\nb@x two bob\r\n", 0o600, "[{a@x  one} {b@x bob two}]", exitDone},
		{"a@x one\n", 0o640, "", exitNotAllowed},
		{"a@x one\n", 0o604, "", exitNotAllowed},
		{"a@x\n", 0o600, "", exitData},
		{"a@x b c d\n", 0o600, "", exitData},
		{"", 0o600, "", exitData},
	} {
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(c.file), c.mode); err != nil {
			t.Fatal(err)
		}
		got, err := readAccounts(path)
		if exitCode(err) != c.code || err == nil && fmt.Sprint(got) != c.want {
			t.Errorf("%q: %v, %v (exit code %d)", c.file, got, err, exitCode(err))
		}
		if err != nil && strings.Contains(err.Error(), "one") {
			t.Errorf("%q: the error shows the password: %v", c.file, err)
		}
	}
	if _, err := readAccounts(path + "-none"); exitCode(err) != exitData {
		t.Errorf("no file: %v", err)
	}
}

// TestBenchUsage: what can't be measured is said before anything is started.
func TestBenchUsage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "accounts")
	if err := os.WriteFile(path, []byte("a@x one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
	}{
		{"bench deliver", exitUsage},
		{"bench deliver --mix spam --demo", exitUsage},
		{"bench deliver --smtp 127.0.0.1:1", exitUsage},
		{"bench deliver --demo --smtp 127.0.0.1:1", exitUsage},
		{"bench deliver --smtp 127.0.0.1:1 --lmtp 127.0.0.1:2 --accounts " + path, exitUsage},
		{"bench deliver --demo --nodes 0", exitUsage},
		{"bench deliver --smtp 127.0.0.1:1 --duration=-1s --accounts " + path, exitUsage},
		{"bench deliver --smtp 127.0.0.1:1 --corpus " + path + " --accounts " + path, exitData},
		{"bench deliver --smtp unix:/nowhere/sock --count 1 --accounts " + path, exitUnavailable},
		{"bench append --smtp 127.0.0.1:1 --accounts " + path, exitUsage},
		{"bench imap --imap unix:/nowhere/sock --works minds --accounts " + path, exitUsage},
		{"bench imap --imap unix:/nowhere/sock --accounts " + path, exitUnavailable},
		{"bench idle --memory 5 --imap unix:/nowhere/sock --accounts " + path, exitUsage},
		{"bench login --imap unix:/nowhere/sock --count 1 --warmup 0s --accounts " + path, exitPartly},
		{"bench failover --smtp 127.0.0.1:1 --accounts " + path, exitUsage},
		{"bench failover --smtp 127.0.0.1:1,127.0.0.1:2 --node-pid 7 --restart true --accounts " + path, exitUsage},
	} {
		var stdout, stderr bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		if got := run(ctx, strings.Fields(c.args), strings.NewReader(""), &stdout, &stderr); got != c.code {
			t.Errorf("altmail %s: exit code %d, want %d: %s", c.args, got, c.code, stderr.String())
		}
		cancel()
		if stderr.Len() == 0 {
			t.Errorf("altmail %s fails without a word", c.args)
		}
	}
}

func TestBenchFinish(t *testing.T) {
	var out bytes.Buffer
	e := &env{stdout: &out}
	good := &load.Result{Work: "deliver", Ops: 1}
	bad := &load.Result{Work: "deliver", Errors: map[string]int64{"RCPT: 550": 2}}
	for _, c := range []struct {
		rs   []*load.Result
		err  error
		code int
	}{
		{one(good), nil, exitDone},
		{one(bad), nil, exitPartly},
		{nil, fmt.Errorf("%w: x", load.ErrTarget), exitUsage},
		{nil, fmt.Errorf("%w: x", load.ErrUnreachable), exitUnavailable},
		{one(good), errors.New("broke off"), exitFailed},
	} {
		if got := exitCode(finish(e, false, c.rs, c.err)); got != c.code {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.code)
		}
	}
	if n := strings.Count(out.String(), "TARGET"); n != 3 {
		t.Errorf("%d tables for three results:\n%s", n, out.String())
	}
}

func TestBenchOptions(t *testing.T) {
	e := &env{stderr: &bytes.Buffer{}}
	for _, c := range []struct {
		run      benchRun
		duration time.Duration
	}{
		{benchRun{Duration: 10 * time.Second}, 10 * time.Second},
		{benchRun{Duration: 10 * time.Second, Count: 5}, 0},
		{benchRun{Duration: 3 * time.Second, Count: 5}, 3 * time.Second},
	} {
		if o := c.run.options(e); o.Duration != c.duration || o.Progress != nil {
			t.Errorf("%+v: %+v", c.run, o)
		}
	}
}

// TestShellNodes: a restart command tells the new process.
func TestShellNodes(t *testing.T) {
	ctx := t.Context()
	n := &shellNodes{pids: []int{100, 200}, restart: "echo 4$NODE"}
	for want := range 3 {
		if got, err := n.Leader(ctx, load.Account{}); err != nil || got != want%2 {
			t.Errorf("node %d, %v", got, err)
		}
	}
	if err := n.Restart(ctx, 1); err != nil || n.pids[1] != 41 || n.pids[0] != 100 {
		t.Errorf("%v, %v", n.pids, err)
	}
	n.restart = "echo oops >&2; exit 3"
	if err := n.Restart(ctx, 0); err == nil || !strings.Contains(err.Error(), "oops") {
		t.Errorf("a command that fails: %v", err)
	}
	for _, out := range []string{"true", "echo x", "echo 1", "echo -5"} {
		n.restart = out
		if err := n.Restart(ctx, 0); exitCode(err) != exitData {
			t.Errorf("%s: %v", out, err)
		}
	}
	n.pids = []int{0, 1}
	for i := range n.pids {
		if err := n.Kill(i); err == nil {
			t.Errorf("killed process %d", n.pids[i])
		}
	}
}
