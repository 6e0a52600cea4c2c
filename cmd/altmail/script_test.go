package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"altmail.se/altmail/cmd/altmail/config"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"altmail": main})
}

// TestScripts plays testdata/script: the command as an operator types it, each
// call a process of its own. Beyond testscript's own commands:
//
//	exits CODE args...     runs altmail and wants that exit code
//	await CODE args...     runs altmail again and again until it exits so
//	nodeconfig NAME [SOURCE]  writes NAME.toml for a node on free loopback
//	                       ports, with its data in NAME and its key in NAME.key;
//	                       the key comes from SOURCE: file, credential, passphrase
//	term NAME              sends SIGTERM to the node that runs in NAME
//	mailtree, dovecot, holds  are for migrations, see script_import_test.go
//	crash NAME             sends SIGKILL and waits until it is gone
//	$MESSAGES              how many a script that moves mail moves
//	greets NAME SERVICE TEXT [CLIENT]  reads the first line of smtp, imap or
//	                       lmtp, as a proxy of a client's address if there is one
//	guess NAME COUNT AT-LEAST  logs in wrongly; the last time has to take a while
//	drain NAME USER PASSWORD  sends SIGTERM under clients in every state, which
//	                       have to be told at once
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": cmdExits, "await": cmdAwait, "nodeconfig": cmdNodeConfig,
			"term": cmdTerm, "crash": cmdCrash, "greets": cmdGreets, "guess": cmdGuess, "drain": cmdDrain,
			"mailtree": cmdMailTree, "dovecot": cmdDovecot, "holds": cmdHolds,
		},
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			n := 5000
			if raceDetector {
				n = 2000
			}
			env.Setenv("MESSAGES", strconv.Itoa(n))
			return nil
		},
		// A node that does not end when it is told to fails the test, not the
		// machine that runs it. All scripts together, on a busy machine.
		Deadline: time.Now().Add(10 * time.Minute),
	})
}

// patience is how long a script waits for a node: long, for busy machines.
const patience = 30 * time.Second

// altmail runs the command and returns its exit code.
func altmail(ts *testscript.TestScript, args []string) int {
	err := ts.Exec("altmail", args...)
	var ee *exec.ExitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &ee):
		return ee.ExitCode()
	}
	ts.Fatalf("altmail did not run: %v", err)
	return -1
}

func codeArg(ts *testscript.TestScript, neg bool, args []string) int {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: exits|await CODE args...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	return want
}

func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	want := codeArg(ts, neg, args)
	if got := altmail(ts, args[1:]); got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func cmdAwait(ts *testscript.TestScript, neg bool, args []string) {
	want := codeArg(ts, neg, args)
	got := -1
	poll(ts, func() bool {
		got = altmail(ts, args[1:])
		return got == want
	}, func() { ts.Fatalf("exit code %d after %s, want %d", got, patience, want) })
}

// poll asks until the answer is yes or patience ends.
func poll(ts *testscript.TestScript, ask func() bool, fail func()) {
	end := time.Now().Add(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ask() {
		if time.Now().After(end) {
			fail()
			return
		}
		<-tick.C
	}
}

func cmdNodeConfig(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: nodeconfig NAME [SOURCE]")
	}
	name := args[0]
	var ports portList
	defer ports.release()
	p, err := ports.take(8)
	ts.Check(err)
	c := config.Default()
	c.Name, c.DataDir, c.Hostname = name, ts.MkAbs(name), name+".altmail.example"
	c.Key.File = ts.MkAbs(name + ".key")
	if len(args) == 2 {
		c.Key.Source, c.Key.Credential = args[1], name+".key"
	}
	c.Cluster.Listen = p[0]
	c.SMTP.Listen, c.Submission.Listen, c.Submissions.Listen = p[1:2], p[2:3], p[3:4]
	c.LMTP.Listen, c.IMAP.Listen, c.IMAPS.Listen = p[4:5], p[5:6], p[6:7]
	c.Admin.HTTP = p[7]
	b, err := c.Encode()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(name+".toml"), b, 0o600))
}

// holder is the process that serves a node, by its lock file.
func holder(ts *testscript.TestScript, neg bool, args []string) int {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: term|crash NAME")
	}
	pid, ok := lockHolder(ts.MkAbs(args[0]))
	if !ok {
		ts.Fatalf("no process runs in %s", args[0])
	}
	return pid
}

func cmdTerm(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(syscall.Kill(holder(ts, neg, args), syscall.SIGTERM))
}

func cmdCrash(ts *testscript.TestScript, neg bool, args []string) {
	pid := holder(ts, neg, args)
	ts.Check(syscall.Kill(pid, syscall.SIGKILL))
	poll(ts, func() bool {
		_, ok := lockHolder(ts.MkAbs(args[0]))
		return !ok
	}, func() { ts.Fatalf("%d outlives SIGKILL", pid) })
}

func cmdGreets(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 || len(args) > 4 {
		ts.Fatalf("usage: greets NAME SERVICE TEXT [CLIENT]")
	}
	conn, err := net.DialTimeout("tcp", plain(ts, args[0], args[1]), patience)
	ts.Check(err)
	defer conn.Close()
	ts.Check(conn.SetDeadline(time.Now().Add(patience)))
	if len(args) == 4 {
		_, err := fmt.Fprintf(conn, "PROXY TCP4 %s 127.0.0.1 4711 143\r\n", args[3])
		ts.Check(err)
	}
	b := make([]byte, 512)
	n, err := conn.Read(b)
	ts.Check(err)
	if !bytes.Contains(b[:n], []byte(args[2])) {
		ts.Fatalf("%s greets %q, not with %q", args[1], b[:n], args[2])
	}
}
