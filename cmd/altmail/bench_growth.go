package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"altmail.se/altmail/bench/load"
	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/frontend/admin/adminpb/adminpbconnect"
)

type benchGrowthCmd struct {
	benchTarget `group:"Target:"`
	benchMail   `group:"Mail:"`
	jsonFlag
	FromMessages int `help:"Messages of the mailbox at first." default:"10000"`
	FromAccounts int `help:"Accounts at first." default:"100"`
	Messages     int `help:"Messages of the mailbox at last." default:"100000"`
	GrowAccounts int `name:"to-accounts" help:"Accounts at last." default:"10000"`
	Size         int `help:"Cut messages to about so many octets; 0: as the corpus has them." default:"1500"`

	Connections int    `short:"c" help:"Connections of the deliveries that are measured." default:"16"`
	Fillers     int    `help:"Connections that fill the mailbox." default:"64"`
	Count       int    `help:"Deliveries of one measurement." default:"2000"`
	Rounds      int    `help:"Measurements of each kind, in turn." default:"3"`
	Points      string `help:"File of what was measured; a run that finds it goes on from there. Default: in --demo-dir." placeholder:"FILE" type:"path"`
}

func (c *benchGrowthCmd) Run(e *env) error {
	if c.Demo {
		c.DemoAccounts = 1 // the others come when they are needed
		if c.Points == "" && c.DemoDir != "" {
			c.Points = filepath.Join(c.DemoDir, "growth.json")
		}
	}
	from, to := load.GrowthStage{Messages: c.FromMessages, Accounts: c.FromAccounts}, load.GrowthStage{Messages: c.Messages, Accounts: c.GrowAccounts}
	if from.Messages < 1 || from.Accounts < 1 || to.Messages < from.Messages || to.Accounts < from.Accounts {
		return codedf(exitUsage, "from %d messages and %d accounts to %d and %d is no growth", from.Messages, from.Accounts, to.Messages, to.Accounts)
	}
	had, err := readPoints(c.Points)
	if err != nil {
		return err
	}
	src, end, err := c.source()
	if err != nil {
		return err
	}
	defer end()
	if c.Size > 0 {
		src = load.Short{Of: src, Size: c.Size}
	}
	t, stop, err := c.target(e, load.TLSNone)
	if err != nil {
		return err
	}
	defer stop()
	o := load.GrowthOptions{
		Stages: load.GrowthStages(from, to), Source: src, Connections: c.Connections, Fillers: c.Fillers,
		Count: c.Count, Rounds: c.Rounds, Had: had, Progress: progressLine(e),
		Keep: func(p load.GrowthPoint) error {
			clearLine(e)
			fmt.Fprintf(e.stderr, "%d messages, %d accounts: %.0f deliveries/s to one, %.0f/s to all, SELECT %.2f ms\n",
				p.Stage.Messages, p.Stage.Accounts, p.One.Rate, p.All.Rate, p.First)
			had = append(had, p)
			return writePoints(c.Points, had)
		},
	}
	if d, ok := t.Nodes.(*demoNodes); ok {
		o.Grow = func(ctx context.Context, n int) ([]load.Account, error) { return d.d.grow(ctx, t.Accounts, n) }
	}
	rs, err := load.Growth(e.ctx, t, o)
	clearLine(e)
	if c.JSON || len(rs) == 0 {
		return finish(e, c.JSON, rs, err)
	}
	if werr := load.WriteGrowthTable(e.stdout, rs...); werr != nil {
		return errors.Join(err, werr)
	}
	return finish(e, false, nil, err)
}

// readPoints reads what an earlier run has measured.
func readPoints(path string) ([]load.GrowthPoint, error) {
	if path == "" {
		return nil, nil
	}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []load.GrowthPoint
	if err := json.Unmarshal(b, &out); err != nil {
		return nil, codedf(exitData, "%s: %v", path, err)
	}
	return out, nil
}

func writePoints(path string, ps []load.GrowthPoint) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(ps, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}

// growWorkers make accounts at the same time: each takes the server the
// derivation of a password and two commands one after the other.
const growWorkers = 16

// grow sees to it that the demo has the first n bench accounts. Only the first
// one's password is known, from had: the others are only delivered to.
func (d *demo) grow(ctx context.Context, had []load.Account, n int) ([]load.Account, error) {
	a, err := adminOf(d.info.Nodes[0])
	if err != nil {
		return nil, err
	}
	there := map[string]bool{}
	for after := ""; ; {
		r, err := unary(ctx, a.ListAccounts, &adminpb.ListAccountsRequest{After: after})
		if err != nil {
			return nil, err
		}
		for _, acct := range r.Accounts {
			for _, addr := range acct.Addresses {
				there[addr] = true
			}
		}
		if after = r.Next; after == "" {
			break
		}
	}
	out := make([]load.Account, max(n, len(had)))
	copy(out, had)
	todo := make(chan int)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range growWorkers {
		wg.Go(func() {
			for i := range todo {
				if err := addBenchAccount(ctx, a, out[i]); err != nil {
					cancel(fmt.Errorf("%s: %w", out[i].Address, err))
					return
				}
			}
		})
	}
feed:
	for i := len(had); i < n; i++ {
		out[i] = load.Account{Address: benchAddress(i), Password: had[0].Password}
		if there[out[i].Address] {
			continue
		}
		select {
		case todo <- i:
		case <-ctx.Done():
			break feed
		}
	}
	close(todo)
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

func benchAddress(i int) string { return fmt.Sprintf("bench%d@altmail.example", i) }

func addBenchAccount(ctx context.Context, a adminpbconnect.AdminClient, acct load.Account) error {
	_, err := unary(ctx, a.AddAccount, &adminpb.AddAccountRequest{Address: acct.Address, Password: []byte(acct.Password)})
	return err
}
