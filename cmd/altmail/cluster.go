package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"altmail.se/altmail/cluster/member"
	"altmail.se/altmail/cmd/altmail/config"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/crypto/pki"
	"altmail.se/altmail/frontend/admin/adminpb"
)

// clusterCmd is the noun cluster.
type clusterCmd struct {
	Init     clusterInitCmd     `cmd:"" help:"Make this node the first of a new cluster."`
	Token    clusterTokenCmd    `cmd:"" help:"Print a one-time token for a new node."`
	Join     clusterJoinCmd     `cmd:"" help:"Make this node a member of a running cluster."`
	Status   clusterStatusCmd   `cmd:"" help:"Members, groups, leaders, lag, health."`
	Leave    clusterLeaveCmd    `cmd:"" help:"Drain this node and take it out of the cluster."`
	Evict    clusterEvictCmd    `cmd:"" help:"Take a dead or stolen node out of the cluster."`
	Transfer clusterTransferCmd `cmd:"" help:"Hand leadership to another node."`
	Compare  clusterCompareCmd  `cmd:"" help:"Compare all replicas at one index."`
}

type clusterInitCmd struct {
	configFlag
	MailGroups uint32 `help:"Raft groups that share the mailboxes; fixed for the life of the cluster." default:"3"`
}

func (c *clusterInitCmd) Run(e *env) error {
	cfg, ring, err := newKeyring(e, c.Config)
	if err != nil {
		return err
	}
	defer ring.Close()
	id, err := member.Init(ring, cfg.Name, cfg.Cluster.AdvertiseAddr(), c.MailGroups, featureLevel)
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "cluster %s begun by node %s (%s)\n", id.Cluster, cfg.Name, id.Node)
	fmt.Fprintf(e.stderr, "Keep a copy of %s where no disk thief finds it: without it this node's data is noise.\nNow start it: altmail serve --config %s\n", keyPlace(cfg), c.Config)
	return nil
}

type clusterJoinCmd struct {
	configFlag
	TokenFile string `help:"File with the token; - is standard input." required:"" placeholder:"FILE"`
}

func (c *clusterJoinCmd) Run(e *env) error {
	text, err := readToken(e, c.TokenFile)
	if err != nil {
		return err
	}
	tok, err := pki.ParseToken(text)
	if err != nil {
		return coded(exitData, err)
	}
	cfg, ring, err := newKeyring(e, c.Config)
	if err != nil {
		return err
	}
	defer ring.Close()
	id, err := member.Join(e.ctx, ring, tok, cfg.Name, cfg.Cluster.AdvertiseAddr(), featureLevel)
	if err != nil {
		return coded(exitUnavailable, err)
	}
	fmt.Fprintf(e.stdout, "node %s (%s) is a member of cluster %s\n", cfg.Name, id.Node, id.Cluster)
	fmt.Fprintf(e.stderr, "Now start it: altmail serve --config %s\nIt becomes a voter when it holds everything; see altmail cluster status.\n", c.Config)
	return nil
}

// newKeyring makes the data directory and keyring of a node that has none, or
// opens the keyring of a join that was cut short.
func newKeyring(e *env, path string) (*config.Config, *keyring.Ring, error) {
	cfg, err := loadConfig(path)
	if err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, nil, err
	}
	_, none := os.Stat(keyringPath(cfg))
	if cfg.Key.Source == "file" {
		// A keyring that is there has its key: a new one in the place of a
		// key that is away would only hide what is missing.
		if errors.Is(none, os.ErrNotExist) {
			err := keyring.CreateFileKey(cfg.Key.File)
			if err == nil {
				fmt.Fprintf(e.stderr, "made the unlock key %s\n", cfg.Key.File)
			} else if !errors.Is(err, os.ErrExist) && !errors.Is(err, keyring.ErrExists) {
				return nil, nil, err
			}
		}
		if same, err := keyring.SameDevice(cfg.Key.File, cfg.DataDir); err == nil && same {
			fmt.Fprintln(e.stderr, "warning: the unlock key lies on the same device as the data; whoever takes the disk can read it")
		}
	}
	ring, err := keyring.Create(keyringPath(cfg), keySource(e, cfg))
	if errors.Is(err, keyring.ErrExists) {
		ring, err = keyring.Open(keyringPath(cfg), keySource(e, cfg))
	}
	if err != nil {
		return nil, nil, err
	}
	if _, is, err := member.LoadLocal(ring); err != nil || is {
		ring.Close()
		if err == nil {
			err = codedf(exitNotAllowed, "%s belongs to a node of a cluster already", cfg.DataDir)
		}
		return nil, nil, err
	}
	return cfg, ring, nil
}

// noNode says that a data directory was never made one.
func noNode(cfg *config.Config) error {
	return codedf(exitConfig, "%s is not a node yet: altmail cluster init or cluster join comes first", cfg.DataDir)
}

func keyringPath(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "keyring") }

func keyPlace(cfg *config.Config) string {
	switch cfg.Key.Source {
	case "passphrase":
		return "the passphrase"
	case "credential":
		return "the credential " + cfg.Key.Credential
	}
	return cfg.Key.File
}

func keySource(e *env, cfg *config.Config) keyring.Source {
	switch cfg.Key.Source {
	case "passphrase":
		return keyring.PassphraseSource{Read: func() ([]byte, error) { return readPassphrase(e) }}
	case "credential":
		return keyring.CredentialSource{Name: cfg.Key.Credential}
	}
	return keyring.FileSource{Path: cfg.Key.File}
}

func readToken(e *env, file string) (string, error) {
	r := e.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		r = f
	}
	b, err := io.ReadAll(io.LimitReader(r, 16<<10))
	return string(b), err
}

type clusterTokenCmd struct {
	configFlag
	jsonFlag
	TTL time.Duration `help:"How long it can be used." default:"1h"`
}

func (c *clusterTokenCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	r, err := unary(e.ctx, a.CreateToken, &adminpb.CreateTokenRequest{TtlSeconds: uint32(c.TTL / time.Second)})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.stdout, r)
	}
	fmt.Fprintln(e.stdout, r.Token)
	fmt.Fprintf(e.stderr, "Good for one node until %s. On it: altmail cluster join --token-file FILE\n", time.Unix(r.Expires, 0).Format(time.RFC3339))
	return nil
}

type clusterStatusCmd struct {
	configFlag
	jsonFlag
}

func (c *clusterStatusCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	r, err := unary(e.ctx, a.ClusterStatus, &adminpb.ClusterStatusRequest{})
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(e.stdout, r)
	} else {
		err = printStatus(e, r)
	}
	if err == nil && !r.Healthy {
		return codedf(exitPartly, "the cluster is degraded")
	}
	return err
}

func printStatus(e *env, r *adminpb.ClusterStatusResponse) error {
	fmt.Fprintf(e.stdout, "cluster %s\n\n", r.Cluster)
	names := map[string]string{}
	var rows [][]string
	for _, n := range r.Nodes {
		names[n.Id] = n.Name
		state := "up"
		switch {
		case !n.Reachable:
			state = "DOWN"
		case n.Leaving:
			state = "leaving"
		case !n.Whole:
			state = "filling"
		}
		self := ""
		if n.Id == r.Self {
			self = "*"
		}
		rows = append(rows, []string{n.Name + self, n.Id[:12], n.Address, state, fmt.Sprint(n.VoterIn), fmt.Sprint(n.Leads), n.Version})
	}
	if err := table(e.stdout, []string{"NODE", "ID", "ADDRESS", "STATE", "VOTES IN", "LEADS", "VERSION"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(e.stdout)
	rows = nil
	for _, g := range r.Groups {
		what := "mail"
		if g.Group == 0 {
			what = "directory"
		}
		leader := names[g.Leader]
		if leader == "" {
			leader = "none"
		}
		for _, p := range g.Replicas {
			role := "copy"
			if p.Voter {
				role = "voter"
			}
			if p.Node == g.Leader {
				role = "leader"
			}
			lag := fmt.Sprint(p.Lag)
			if !p.Reachable {
				lag = "?"
			}
			rows = append(rows, []string{fmt.Sprint(g.Group), what, leader, fmt.Sprint(g.Term), names[p.Node], role, fmt.Sprint(p.Applied), lag})
		}
	}
	if err := table(e.stdout, []string{"GROUP", "HOLDS", "LEADER", "TERM", "REPLICA", "ROLE", "APPLIED", "LAG"}, rows); err != nil {
		return err
	}
	for _, p := range r.Problems {
		fmt.Fprintln(e.stdout, "! "+p)
	}
	return nil
}

type clusterLeaveCmd struct {
	configFlag
	AcceptRisk []string `help:"Leave in spite of a named risk: lose-quorum, lose-copies." placeholder:"RISK"`
}

func (c *clusterLeaveCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	if _, err := unary(e.ctx, a.Leave, &adminpb.LeaveRequest{AcceptRisk: c.AcceptRisk}); err != nil {
		return err
	}
	fmt.Fprintln(e.stdout, "this node has left the cluster; its data directory can be wiped")
	return nil
}

type clusterEvictCmd struct {
	configFlag
	Node       string   `arg:"" help:"Name or id of the node."`
	Stolen     bool     `help:"The node may be in foreign hands."`
	AcceptRisk []string `help:"Evict in spite of a named risk: lose-quorum, lose-copies." placeholder:"RISK"`
}

func (c *clusterEvictCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	r, err := unary(e.ctx, a.Evict, &adminpb.EvictRequest{Node: c.Node, Stolen: c.Stolen, AcceptRisk: c.AcceptRisk})
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "node %s is evicted; its certificate is admitted no more\n", r.Node)
	return nil
}

type clusterTransferCmd struct {
	configFlag
	Node  string  `arg:"" optional:"" help:"Name or id of the node to lead; none: any other."`
	Group *uint32 `help:"Only this group."`
}

func (c *clusterTransferCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	r, err := unary(e.ctx, a.Transfer, &adminpb.TransferRequest{Node: c.Node, Group: c.Group})
	if err != nil {
		return err
	}
	var gs []string
	for _, g := range r.Groups {
		gs = append(gs, fmt.Sprint(g))
	}
	if len(gs) == 0 {
		fmt.Fprintln(e.stdout, "nothing to hand over")
		return nil
	}
	fmt.Fprintf(e.stdout, "handed over: group %s\n", strings.Join(gs, ", "))
	return nil
}

type clusterCompareCmd struct {
	configFlag
	jsonFlag
}

func (c *clusterCompareCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	r, err := unary(e.ctx, a.CompareReplicas, &adminpb.CompareReplicasRequest{})
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(e.stdout, r)
	} else {
		var rows [][]string
		for _, g := range r.Groups {
			verdict := "equal"
			if !g.Equal {
				verdict = "NOT EQUAL"
			}
			rows = append(rows, []string{fmt.Sprint(g.Group), fmt.Sprint(g.Index), fmt.Sprint(g.Agree), fmt.Sprint(g.Differ), fmt.Sprint(g.Unknown), verdict})
		}
		err = table(e.stdout, []string{"GROUP", "INDEX", "AGREE", "DIFFER", "SILENT", "VOTERS ARE"}, rows)
	}
	if err == nil && !r.Equal {
		return codedf(exitPartly, "the replicas differ or not all answered")
	}
	return err
}
