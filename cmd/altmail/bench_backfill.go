package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"altmail.se/altmail/bench/corpus"
	"altmail.se/altmail/bench/load"
	"altmail.se/altmail/frontend/admin/adminpb"
)

type benchBackfillCmd struct {
	benchTarget `group:"Target:"`
	benchMail   `group:"Mail:"`
	jsonFlag
	Messages    int           `help:"Delivered while the node is away." default:"10000"`
	Connections int           `short:"c" help:"Connections that deliver them." default:"16"`
	Node        int           `help:"Who is away, from 0 in the order of the delivery addresses; -1 is the last." default:"-1"`
	Rate        float64       `help:"Of a steady delivery to the other nodes, before, meanwhile and after, per second." default:"50"`
	Quiet       time.Duration `help:"How long nothing else is done, before the node is stopped and before it is started." default:"10s"`
	Timeout     time.Duration `help:"For being whole again." default:"10m"`
	NodeConfig  []string      `name:"node-config" help:"Configuration of each node, on this machine, in the order of the delivery addresses: they are asked over their admin sockets." placeholder:"FILE" type:"path"`
	Stop        string        `help:"Shell command that stops a node, its number from 0 in $$NODE, and returns once it has ended." placeholder:"COMMAND"`
	Start       string        `help:"Shell command that starts it and returns at once." placeholder:"COMMAND"`
}

func (c *benchBackfillCmd) Run(e *env) error {
	if !c.Demo && (len(c.NodeConfig) == 0 || c.Stop == "" || c.Start == "") {
		return codedf(exitUsage, "--node-config, --stop and --start say whom to ask and how to stop and start it; or use --demo")
	}
	return c.mail(e, c.JSON, load.TLSNone, c.benchMail, func(ctx context.Context, t *load.Target, m mail) ([]*load.Result, error) {
		nodes, err := c.absences(t)
		if err != nil {
			return nil, err
		}
		node := c.Node
		if node == -1 {
			node = len(t.Delivery.Addrs) - 1
		}
		r, err := load.Backfill(ctx, t, load.BackfillOptions{
			Nodes: nodes, Node: node, Messages: c.Messages, Source: m, Connections: c.Connections,
			Rate: c.Rate, SteadySource: corpus.New(corpus.Text, c.Seed+1), Quiet: c.Quiet, Timeout: c.Timeout, Progress: progressLine(e),
		})
		return one(r), err
	})
}

func (c *benchBackfillCmd) absences(t *load.Target) (load.Absences, error) {
	if d, ok := t.Nodes.(*demoNodes); ok {
		return d, nil
	}
	if len(c.NodeConfig) != len(t.Delivery.Addrs) {
		return nil, codedf(exitUsage, "%d --node-config for %d delivery addresses", len(c.NodeConfig), len(t.Delivery.Addrs))
	}
	n := &shellAbsences{stop: c.Stop, start: c.Start}
	for _, path := range c.NodeConfig {
		cfg, err := loadConfig(path)
		if err != nil {
			return nil, err
		}
		n.sockets = append(n.sockets, cfg.AdminSocket())
	}
	return n, nil
}

// Stop ends a node of the demo as an operator does.
func (n *demoNodes) Stop(ctx context.Context, node int) error {
	x := n.d.info.Nodes[node]
	n.d.mu.Lock()
	p := n.d.procs[x.Name]
	n.d.mu.Unlock()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(time.Minute):
		return fmt.Errorf("%s does not end", x.Name)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Start starts a node of the demo that has ended.
func (n *demoNodes) Start(_ context.Context, node int) error { return n.d.serve(n.d.info.Nodes[node]) }

// Holding asks a node of the demo.
func (n *demoNodes) Holding(ctx context.Context, node int) (load.Holding, error) {
	return holding(ctx, n.d.info.Nodes[node].Socket)
}

// Verify checks a node of the demo.
func (n *demoNodes) Verify(ctx context.Context, node int) error {
	return verifyNode(ctx, n.d.info.Nodes[node].Socket)
}

// shellAbsences are nodes that commands stop and start.
type shellAbsences struct {
	sockets     []string
	stop, start string
}

func (n *shellAbsences) run(ctx context.Context, command string, node int) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Env = append(os.Environ(), "NODE="+strconv.Itoa(node))
	// What it starts may keep its output open, so it gets none.
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%q for node %d: %w", command, node, err)
	}
	return nil
}

func (n *shellAbsences) Stop(ctx context.Context, node int) error  { return n.run(ctx, n.stop, node) }
func (n *shellAbsences) Start(ctx context.Context, node int) error { return n.run(ctx, n.start, node) }
func (n *shellAbsences) Holding(ctx context.Context, node int) (load.Holding, error) {
	return holding(ctx, n.sockets[node])
}

func (n *shellAbsences) Verify(ctx context.Context, node int) error {
	return verifyNode(ctx, n.sockets[node])
}

// holding reads from a node's statistics what it holds.
func holding(ctx context.Context, socket string) (load.Holding, error) {
	a, err := dialSocket(socket)
	if err != nil {
		return load.Holding{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	r, err := unary(ctx, a.Stats, &adminpb.StatsRequest{})
	if err != nil {
		return load.Holding{}, err
	}
	return holdingOf(r.Stats)
}

func holdingOf(stats []*adminpb.StatsResponse_Stat) (load.Holding, error) {
	h := load.Holding{Applied: map[uint32]uint64{}, Commit: map[uint32]uint64{}}
	groups, whole, counted := 0, 0, false
	for _, s := range stats {
		name, label, _ := strings.Cut(s.Name, ".")
		group, err := strconv.ParseUint(label, 10, 32)
		grouped := err == nil
		switch {
		case name == "altmail_body_bodies":
			h.Bodies, counted = int64(s.Value), true
		case name == "altmail_body_live_bytes":
			h.Bytes = int64(s.Value)
		case name == "altmail_body_whole" && grouped:
			groups++
			whole += int(s.Value)
		case name == "altmail_raft_applied_index" && grouped:
			h.Applied[uint32(group)] = uint64(s.Value)
		case name == "altmail_raft_commit_index" && grouped:
			h.Commit[uint32(group)] = uint64(s.Value)
		}
	}
	if !counted || len(h.Applied) == 0 {
		return h, errors.New("the node's statistics don't tell what it holds")
	}
	h.Whole = groups > 0 && whole == groups
	return h, nil
}

// verifyNode has a node look for every body its state names.
func verifyNode(ctx context.Context, socket string) error {
	a, err := dialSocket(socket)
	if err != nil {
		return err
	}
	r, err := unary(ctx, a.Check, &adminpb.CheckRequest{})
	if err != nil {
		return err
	}
	if len(r.Problems) > 0 {
		return fmt.Errorf("%d problems, the first: %s", len(r.Problems), r.Problems[0])
	}
	return nil
}
