package main

import (
	"context"
	"time"

	"altmail.se/altmail/bench/load"
)

type benchDeliverCmd struct {
	benchTarget `group:"Target:"`
	benchRun    `group:"Amount:"`
	benchMail   `group:"Mail:"`
	jsonFlag
	BDAT bool   `name:"bdat" help:"Send by BDAT (CHUNKING) instead of DATA."`
	From string `help:"Envelope sender." default:"bench@example.org"`
}

func (c *benchDeliverCmd) Run(e *env) error {
	return c.mail(e, c.JSON, load.TLSNone, c.benchMail, func(ctx context.Context, t *load.Target, m mail) ([]*load.Result, error) {
		r, err := load.Deliver(ctx, t, load.DeliverOptions{Options: c.options(e), Source: m, From: c.From, BDAT: c.BDAT})
		return one(r), err
	})
}

type benchAppendCmd struct {
	benchTarget `group:"Target:"`
	benchRun    `group:"Amount:"`
	benchMail   `group:"Mail:"`
	jsonFlag
	Mailbox string `help:"Mailbox to append to." default:"INBOX"`
}

func (c *benchAppendCmd) Run(e *env) error {
	return c.mail(e, c.JSON, load.TLSNone, c.benchMail, func(ctx context.Context, t *load.Target, m mail) ([]*load.Result, error) {
		r, err := load.Append(ctx, t, load.AppendOptions{Options: c.options(e), Source: m, Mailbox: c.Mailbox})
		return one(r), err
	})
}

type benchStoreCmd struct {
	benchTarget `group:"Target:"`
	benchRun    `group:"Amount:"`
	benchMail   `group:"Mail:"`
	jsonFlag
	Mailbox     string `help:"Mailbox whose messages are flagged." default:"INBOX"`
	SameAccount bool   `help:"All connections change the first account's mailbox; else each its own."`
	Silent      bool   `help:"Use FLAGS.SILENT."`
	Fill        int    `help:"Deliver so many messages to each mailbox first." default:"0"`
}

func (c *benchStoreCmd) Run(e *env) error {
	return c.mail(e, c.JSON, load.TLSNone, c.benchMail, func(ctx context.Context, t *load.Target, m mail) ([]*load.Result, error) {
		accounts := min(c.Connections, len(t.Accounts))
		if c.SameAccount {
			accounts = 1
		}
		for a := range accounts {
			if err := fill(ctx, e, t, m, a, c.Fill); err != nil {
				return nil, err
			}
		}
		r, err := load.Store(ctx, t, load.StoreOptions{Options: c.options(e), Mailbox: c.Mailbox, SameAccount: c.SameAccount, Silent: c.Silent})
		return one(r), err
	})
}

type benchIMAPCmd struct {
	benchTarget `group:"Target:"`
	benchMail   `group:"Mail:"`
	jsonFlag
	Mailbox string        `help:"Mailbox to read, of the first account." default:"INBOX"`
	Node    int           `help:"Which IMAP address, from 0." default:"0"`
	Fill    int           `help:"Deliver so many messages to it first." default:"0"`
	Repeat  int           `help:"How often each work is done, the first time included." default:"5"`
	Readers int           `help:"Connections that read the whole mailbox at the same time." default:"1"`
	Random  int           `help:"Single messages fetched by body-random." default:"500"`
	Works   []string      `help:"Of select, flags, envelope, bodystructure, headers, search-subject, search-from, search-text, search-body, body-random, body-all." placeholder:"WORK"`
	Word    string        `help:"What the searches look for." placeholder:"WORD"`
	Timeout time.Duration `help:"Of one command." default:"10m"`
}

func (c *benchIMAPCmd) Run(e *env) error {
	return c.mail(e, c.JSON, load.TLSNone, c.benchMail, func(ctx context.Context, t *load.Target, m mail) ([]*load.Result, error) {
		if err := fill(ctx, e, t, m, 0, c.Fill); err != nil {
			return nil, err
		}
		return load.Read(ctx, t, load.ReadOptions{
			Mailbox: c.Mailbox, Node: c.Node, Repeat: c.Repeat, Connections: c.Readers, Random: c.Random,
			Works: c.Works, Word: c.Word, Timeout: c.Timeout, Progress: progressLine(e),
		})
	})
}

type benchIdleCmd struct {
	benchTarget `group:"Target:"`
	benchRun    `group:"Amount:"`
	benchMail   `group:"Mail:"`
	jsonFlag
	Memory      int           `help:"Open so many idle connections and measure the server's memory instead." default:"0"`
	All         int           `help:"Open so many idle connections over all accounts and nodes, deliver to every account and measure when each connection is told; with their memory." default:"0"`
	Rounds      int           `help:"With --all: messages to every account." default:"3"`
	Settle      time.Duration `help:"With --memory and --all: wait so long before each measurement." default:"2s"`
	DeliverNode int           `help:"Which delivery address, from 0." default:"0"`
	IMAPNode    int           `name:"imap-node" help:"Which IMAP address, from 0; -1 is the last." default:"-1"`
	Timeout     time.Duration `help:"An EXISTS later than this is missed." default:"10s"`
}

func (c *benchIdleCmd) Run(e *env) error {
	if c.Memory > 0 {
		return c.with(e, c.JSON, load.TLSImplicit, func(ctx context.Context, t *load.Target) ([]*load.Result, error) {
			r, err := load.IdleMemory(ctx, t, load.IdleMemoryOptions{Connections: c.Memory, Settle: c.Settle, Progress: progressLine(e)})
			return one(r), err
		})
	}
	if c.All > 0 {
		return c.mail(e, c.JSON, load.TLSImplicit, c.benchMail, func(ctx context.Context, t *load.Target, m mail) ([]*load.Result, error) {
			o := load.IdleCrowdOptions{Source: m, Rounds: c.Rounds, Timeout: c.Timeout}
			o.Connections, o.Settle, o.Progress = c.All, c.Settle, progressLine(e)
			r, err := load.IdleCrowd(ctx, t, o)
			return one(r), err
		})
	}
	return c.mail(e, c.JSON, load.TLSNone, c.benchMail, func(ctx context.Context, t *load.Target, m mail) ([]*load.Result, error) {
		node := c.IMAPNode
		if node == -1 {
			node = len(t.IMAP.Addrs) - 1
		}
		r, err := load.Idle(ctx, t, load.IdleOptions{Options: c.options(e), Source: m, DeliverNode: c.DeliverNode, IMAPNode: node, Timeout: c.Timeout})
		return one(r), err
	})
}

type benchLoginCmd struct {
	benchTarget `group:"Target:"`
	benchRun    `group:"Amount:"`
	jsonFlag
	Plain bool `help:"AUTHENTICATE PLAIN instead of LOGIN."`
}

func (c *benchLoginCmd) Run(e *env) error {
	return c.with(e, c.JSON, load.TLSImplicit, func(ctx context.Context, t *load.Target) ([]*load.Result, error) {
		r, err := load.Login(ctx, t, load.LoginOptions{Options: c.options(e), Plain: c.Plain})
		return one(r), err
	})
}

type benchFailoverCmd struct {
	benchTarget `group:"Target:"`
	benchMail   `group:"Mail:"`
	jsonFlag
	Kills   int           `help:"How often." default:"10"`
	Probes  int           `help:"Connections that write at every survivor." default:"2"`
	Timeout time.Duration `help:"A kill not survived within it is a failure." default:"30s"`
	Pause   time.Duration `help:"How long all nodes work together before each kill." default:"1s"`
	NodePID []int         `name:"node-pid" help:"Process of each node, in the order of the delivery addresses; they are killed in turn." placeholder:"PID"`
	Restart string        `help:"Shell command that starts a killed node, its number from 0 in $$NODE, returns once it is whole, and prints its new process id." placeholder:"COMMAND"`
}

func (c *benchFailoverCmd) Run(e *env) error {
	if !c.Demo && (len(c.NodePID) == 0 || c.Restart == "") {
		return codedf(exitUsage, "--node-pid and --restart say what to kill and how to start it again; or use --demo")
	}
	return c.mail(e, c.JSON, load.TLSNone, c.benchMail, func(ctx context.Context, t *load.Target, m mail) ([]*load.Result, error) {
		if !c.Demo {
			if len(c.NodePID) != len(t.Delivery.Addrs) {
				return nil, codedf(exitUsage, "%d --node-pid for %d delivery addresses", len(c.NodePID), len(t.Delivery.Addrs))
			}
			t.Nodes = &shellNodes{pids: c.NodePID, restart: c.Restart}
		}
		r, err := load.Failover(ctx, t, load.FailoverOptions{
			Kills: c.Kills, Source: m, Probes: c.Probes, Timeout: c.Timeout, Pause: c.Pause, Progress: progressLine(e),
		})
		return one(r), err
	})
}
