package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"altmail.se/altmail/bench/corpus"
	"altmail.se/altmail/bench/load"
)

// benchCmd is the noun bench: drivers for any mail server.
type benchCmd struct {
	Deliver  benchDeliverCmd  `cmd:"" help:"Deliver mail by SMTP or LMTP."`
	Append   benchAppendCmd   `cmd:"" help:"Add messages by IMAP APPEND."`
	Store    benchStoreCmd    `cmd:"" help:"Change flags of single messages by IMAP STORE."`
	IMAP     benchIMAPCmd     `cmd:"" name:"imap" help:"Read a filled mailbox: SELECT, FETCH and SEARCH of many kinds."`
	Idle     benchIdleCmd     `cmd:"" help:"Time from a delivery's answer to its EXISTS on an IDLE; with --memory, what idle connections cost; with --all, when each of very many is told."`
	Login    benchLoginCmd    `cmd:"" help:"Log in and out by IMAP over new connections."`
	Failover benchFailoverCmd `cmd:"" help:"Kill the node that leads, again and again, and time the first answered write on every survivor."`
	Backfill benchBackfillCmd `cmd:"" help:"Stop a node, deliver mail, start it again, and time how long it takes until it holds everything, and what that costs the others."`
	Growth   benchGrowthCmd   `cmd:"" help:"Fill a mailbox and make accounts, and measure delivery, SELECT, memory and disk at each power of ten."`
	Faults   benchFaultsCmd   `cmd:"" help:"Run a cluster of this binary, hurt it in every way, and compare what clients were answered with what it shows."`
	Compare  benchCompareCmd  `cmd:"" help:"Start other mail servers and this one in turn, do the same work with each, and report figures, ratios and plots."`
}

// benchTarget says what is measured: servers that run, or a demo.
type benchTarget struct {
	SMTP     []string `help:"Deliver by SMTP to these, one a node: host:port or unix:/path." placeholder:"ADDR" xor:"delivery"`
	LMTP     []string `help:"Deliver by LMTP to these." placeholder:"ADDR" xor:"delivery"`
	SMTPTLS  string   `name:"smtp-tls" help:"Encryption of deliveries: none, starttls, implicit." enum:"none,starttls,implicit" default:"none"`
	IMAP     []string `help:"IMAP addresses, one a node." placeholder:"ADDR"`
	IMAPTLS  string   `name:"imap-tls" help:"Encryption of IMAP: none, starttls, implicit. Default: none, and implicit for login, idle --memory and idle --all." enum:",none,starttls,implicit" default:""`
	Accounts string   `help:"File of accounts, a line each: address, password, and the login name when it is not the address. Nobody else may read it." placeholder:"FILE" type:"path"`
	Insecure bool     `help:"Accept any certificate."`
	PID      []int    `help:"Processes of the server, with all their children: for CPU and memory." placeholder:"PID"`
	DataDir  []string `help:"Where the server keeps mail, one a node: for disk use." placeholder:"DIR" type:"path"`
	Name     string   `help:"What the report calls the target." default:""`

	Demo         bool   `help:"Start a demo of this binary in a scratch directory and measure it."`
	Nodes        int    `help:"Nodes of the demo." default:"3"`
	DemoAccounts int    `help:"Accounts of the demo." default:"32"`
	DemoDir      string `help:"Keep the demo here, for another run to find it as it was. Default: a temporary directory, removed at the end." placeholder:"DIR" type:"path"`
}

// benchRun is how much and how fast.
type benchRun struct {
	Connections int           `short:"c" help:"Connections at the same time." default:"16"`
	Duration    time.Duration `help:"How long to measure." default:"10s"`
	Count       int           `help:"Stop after so many operations; then a --duration counts only when it is given too." default:"0"`
	Warmup      time.Duration `help:"Work so long before measuring." default:"1s"`
	Rate        float64       `help:"Operations begun per second over all connections; latency then counts from when each was due. 0: each connection goes on when it has its answer." default:"0"`
}

func (r benchRun) options(e *env) load.Options {
	o := load.Options{Connections: r.Connections, Duration: r.Duration, Count: r.Count, Warmup: r.Warmup, Rate: r.Rate, Progress: progressLine(e)}
	if r.Count > 0 && r.Duration == 10*time.Second {
		o.Duration = 0
	}
	return o
}

// benchMail is what mail there is.
type benchMail struct {
	Mix    string `help:"Mail of the built-in corpus: text, mixed, list." enum:"text,mixed,list" default:"mixed"`
	Seed   uint64 `help:"Seed of the corpus." default:"1"`
	Corpus string `help:"Own mail instead: an mbox file or a Maildir." placeholder:"PATH" type:"path"`
}

func (m benchMail) source() (corpus.Source, func(), error) {
	if m.Corpus != "" {
		s, err := corpus.Open(m.Corpus)
		if err != nil {
			return nil, nil, coded(exitData, err)
		}
		return s, func() { s.Close() }, nil
	}
	mix, err := corpus.ParseMix(m.Mix)
	if err != nil {
		return nil, nil, coded(exitUsage, err)
	}
	return corpus.New(mix, m.Seed), func() {}, nil
}

// target finds or starts what is measured. Stop must be called at the end.
func (b *benchTarget) target(e *env, tls load.TLSMode) (t *load.Target, stop func(), err error) {
	if b.IMAPTLS != "" {
		tls = load.TLSMode(b.IMAPTLS)
	}
	if b.Demo {
		if len(b.SMTP)+len(b.LMTP)+len(b.IMAP)+len(b.PID)+len(b.DataDir) > 0 || b.Accounts != "" {
			return nil, nil, codedf(exitUsage, "--demo knows its own addresses, accounts, processes and directories")
		}
		return b.demo(e, tls)
	}
	t = &load.Target{
		Name:     b.Name,
		Delivery: load.Delivery{Proto: load.SMTP, Addrs: b.SMTP, TLS: load.TLSMode(b.SMTPTLS)},
		IMAP:     load.IMAP{Addrs: b.IMAP, TLS: tls}, DataDirs: b.DataDir, InsecureTLS: b.Insecure,
	}
	if len(b.LMTP) > 0 {
		t.Delivery.Proto, t.Delivery.Addrs = load.LMTP, b.LMTP
	}
	if len(t.Delivery.Addrs)+len(t.IMAP.Addrs) == 0 {
		return nil, nil, codedf(exitUsage, "nothing to measure: give --smtp or --lmtp, --imap and --accounts, or --demo")
	}
	if b.Accounts == "" {
		return nil, nil, codedf(exitUsage, "--accounts: whose mailboxes?")
	}
	if t.Name == "" {
		t.Name = append(append([]string{}, t.Delivery.Addrs...), t.IMAP.Addrs...)[0]
	}
	if t.Accounts, err = readAccounts(b.Accounts); err != nil {
		return nil, nil, err
	}
	if len(b.PID) > 0 {
		t.PIDs = func() []int { return b.PID }
	}
	return t, func() {}, nil
}

// readAccounts reads a file of accounts. It holds passwords, so it must be
// nobody else's to read.
func readAccounts(path string) ([]load.Account, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, coded(exitData, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, codedf(exitNotAllowed, "%s holds passwords and others may read it: chmod 600 it", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, 16<<20))
	if err != nil {
		return nil, err
	}
	var out []load.Account
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		w := strings.Fields(line)
		if len(w) == 0 || strings.HasPrefix(w[0], "#") {
			continue
		}
		if len(w) != 2 && len(w) != 3 {
			return nil, codedf(exitData, "%s:%d: want an address, a password and perhaps a login name", path, n)
		}
		a := load.Account{Address: w[0], Password: w[1]}
		if len(w) == 3 {
			a.User = w[2]
		}
		out = append(out, a)
	}
	if len(out) == 0 {
		return nil, codedf(exitData, "%s: no account", path)
	}
	return out, nil
}

// finish prints results and tells how it went: done, partly, or an error.
func finish(e *env, asJSON bool, rs []*load.Result, err error) error {
	if len(rs) > 0 && rs[0] != nil {
		write := load.WriteTable
		if asJSON {
			write = load.WriteJSON
		}
		if err := write(e.stdout, rs...); err != nil {
			return err
		}
	}
	switch {
	case errors.Is(err, load.ErrTarget):
		return coded(exitUsage, err)
	case errors.Is(err, load.ErrUnreachable):
		return coded(exitUnavailable, err)
	case err != nil:
		return err
	}
	var failed int64
	for _, r := range rs {
		failed += r.Failed()
	}
	if failed > 0 {
		return codedf(exitPartly, "%d operations failed", failed)
	}
	return nil
}

func one(r *load.Result) []*load.Result {
	if r == nil {
		return nil
	}
	return []*load.Result{r}
}

// progressLine rewrites one line on a terminal; elsewhere there is none.
func progressLine(e *env) func(load.Progress) {
	f, ok := e.stderr.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return func(p load.Progress) {
		of := ""
		if p.Total > 0 {
			of = fmt.Sprintf(" of %d", p.Total)
		}
		state := ""
		if p.Warming {
			state = "warming up, "
		}
		fmt.Fprintf(f, "\r\x1b[K%s: %s%d%s, %d failed, %.0f s", p.Work, state, p.Done, of, p.Errors, max(0, p.Seconds))
	}
}

// clearLine ends the progress line.
func clearLine(e *env) {
	if f, ok := e.stderr.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(f, "\r\x1b[K")
	}
}

// with runs a work on a target.
func (b *benchTarget) with(e *env, asJSON bool, tls load.TLSMode, work func(context.Context, *load.Target) ([]*load.Result, error)) error {
	t, stop, err := b.target(e, tls)
	if err != nil {
		return err
	}
	defer stop()
	rs, err := work(e.ctx, t)
	clearLine(e)
	return finish(e, asJSON, rs, err)
}
