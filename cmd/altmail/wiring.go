package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/group"
	"altmail.se/altmail/cluster/journal"
	"altmail.se/altmail/cluster/member"
	"altmail.se/altmail/cluster/node"
	"altmail.se/altmail/cluster/transport"
	"altmail.se/altmail/cmd/altmail/config"
	"altmail.se/altmail/crypto/cryptfs"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/crypto/pki"
	"altmail.se/altmail/frontend/admin"
	"altmail.se/altmail/frontend/auth"
	"altmail.se/altmail/frontend/fulltext"
	"altmail.se/altmail/frontend/imap"
	"altmail.se/altmail/frontend/sasl"
	"altmail.se/altmail/frontend/smtp"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/backup/source"
	"altmail.se/altmail/mailstore/body"
	"altmail.se/altmail/mailstore/change"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/roster"
	"altmail.se/altmail/mailstore/search"
	"altmail.se/altmail/mailstore/state"
)

// nodeProc is a node with everything it runs.
type nodeProc struct {
	ctx context.Context
	end context.CancelCauseFunc
	cfg *config.Config
	log *slog.Logger

	ring    *keyring.Ring
	local   *member.Local
	db      *state.DB
	journal *journal.Journal
	states  states
	bodies  *body.Store
	search  *search.Index
	port    *transport.Transport
	node    *node.Node
	lookup  *lookup.Door
	commit  *commit.Door
	feed    *change.Feed
	members *member.Manager
	auth    *auth.Authenticator
	backup  *source.Server
	// throttle is that of all frontends.
	throttle *auth.Throttle
	smtp     []*smtp.Server
	imap     *imap.Server
	admin    []*http.Server
	clock    *clock

	bg sync.WaitGroup
	// wired is set when every field above is: the directory's group runs, and
	// may call back, before membership and the doors over it are made.
	wired atomic.Bool
}

// errNotWired answers the port until then; whoever asks tries again.
var errNotWired = fmt.Errorf("%w: the node is starting", cluster.ErrUnavailable)

// openNode opens the stores and joins the rooms. Nothing runs until start.
func openNode(ctx context.Context, end context.CancelCauseFunc, cfg *config.Config, ring *keyring.Ring, local *member.Local, log *slog.Logger) (_ *nodeProc, err error) {
	n := &nodeProc{ctx: ctx, end: end, cfg: cfg, log: log, ring: ring, local: local, feed: change.New(), clock: new(clock)}
	die := fatal(log)
	id := local.Identity()
	n.states.mail = map[cluster.GroupID]*state.Mail{}

	n.db, err = state.Open(cryptfs.New(vfs.Default, ring.Files()), stateDir(cfg), state.Options{
		CacheBytes: int64(cfg.Store.Cache), Logger: log, Fatal: die,
	})
	if err != nil {
		return nil, err
	}
	// What is open is closed in the order that stop closes it: the groups
	// write to the stores below them.
	var opened []func() error
	defer func() {
		if err == nil {
			return
		}
		for _, f := range slices.Backward(opened) {
			err = errors.Join(err, f())
		}
	}()
	opened = append(opened, n.db.Close)
	if n.journal, err = node.OpenJournal(cfg.DataDir, die, log); err != nil {
		return nil, err
	}
	opened = append(opened, n.journal.Close)
	if n.port, err = n.openPort(id); err != nil {
		return nil, err
	}
	erase := time.Duration(cfg.Store.EraseWithin)
	if n.bodies, err = body.Open(vfs.Default, bodyDir(cfg), body.Options{
		Fatal: die, Live: &n.states, Peers: n.port, Members: n.others, Logger: log,
		EraseAfter: erase / 2, Journal: n.journal, LogInJournal: true,
	}); err != nil {
		return nil, err
	}
	opened = append(opened, n.bodies.Close, n.port.Close)
	if n.search, err = search.Open(cryptfs.New(vfs.Default, ring.Files()), searchDir(cfg), search.Options{
		Text: fulltext.Version, Logger: log,
	}); err != nil {
		return nil, err
	}
	opened = append(opened, n.search.Close)
	n.node = node.New(node.Config{
		Dir: cfg.DataDir, Local: local, Peers: n.port, Layer: n.port.RaftLayer,
		Gate: n.bodies, Keys: ring.Logs(), Tuning: tuning(cfg), Journal: n.journal,
		Machine: n.machine, Started: n.started, Fatal: die,
		Drain: n.drain, Cut: n.port.Disconnect, Log: log, Wall: n.clock.now,
	})
	opened = append(opened, n.node.Close)
	// The directory is opened first: everything else asks it.
	if err = n.node.EnsureGroup(cluster.Directory); err != nil {
		return nil, err
	}
	dir := n.states.directory()
	n.lookup = lookup.New(lookup.Config{
		Groups: n.node, Ring: ring, Bodies: n.bodies, Search: n.search, Directory: dir, Mail: n.states.get, Stale: cfg.StaleReads,
	})
	n.commit = commit.New(commit.Config{
		Groups: n.node, Members: n.others, Bodies: n.bodies, Lookup: n.lookup, Ring: ring,
		Directory: dir, Mail: n.states.get, Logger: log, Now: n.clock.now,
		SealedMemory: int64(cfg.Limits.MemoryInFlight),
	})
	n.members = member.New(member.Config{
		Self: id.Node, Version: version, Level: featureLevel, Local: local,
		Roster: roster.New(n.node, dir), Host: n.node, Peers: n.port, Ring: ring, Log: log, Now: n.clock.now,
		Removed: func() { end(coded(exitNotAllowed, member.ErrRemoved)) },
	})
	if n.auth, err = auth.New(n.lookup, cores(), n.commit.UpgradeCredential, log); err != nil {
		return nil, err
	}
	n.backup = n.newBackup(id, dir)
	if err = n.frontends(); err != nil {
		return nil, err
	}
	n.wired.Store(true)
	return n, nil
}

// tuning is how the groups are run, as far as an operator can say.
func tuning(cfg *config.Config) group.Tuning {
	keep := uint64(cfg.Store.LogEntries)
	return group.Tuning{
		EraseWithin: time.Duration(cfg.Store.EraseWithin),
		TrailingMax: keep, SnapshotThreshold: max(keep/10, 32), Upkeep: 10 * time.Second,
	}
}

// openPort makes the port between nodes.
func (n *nodeProc) openPort(id member.Identity) (*transport.Transport, error) {
	ca, err := pki.ParseCACert(id.CA)
	if err != nil {
		return nil, err
	}
	return transport.New(transport.Config{
		Self: id.Node, ClusterID: id.Cluster, Log: n.log,
		Certificate: func() (*tls.Certificate, error) {
			keyDER, cert, ok := n.ring.Identity()
			if !ok {
				return nil, errors.New("the node has no certificate")
			}
			key, err := x509.ParsePKCS8PrivateKey(keyDER)
			if err != nil {
				return nil, err
			}
			return &tls.Certificate{Certificate: [][]byte{cert, id.CA}, PrivateKey: key}, nil
		},
		CAs:      func() []*x509.Certificate { return []*x509.Certificate{ca} },
		Resolver: resolver{n},
		Admit: func(node cluster.NodeID, spki []byte) error {
			if !n.wired.Load() {
				return errNotWired
			}
			return n.members.Admit(node, spki)
		},
		Join: n.serveJoin, Guest: n.backupGuest(),
	})
}

// resolver finds members' addresses; membership is wired after the port.
type resolver struct{ n *nodeProc }

func (r resolver) Addr(id cluster.NodeID) (string, error) {
	if !r.n.wired.Load() {
		return "", errNotWired
	}
	return r.n.members.Addr(id)
}

// others lists the other members of a group.
func (n *nodeProc) others(g cluster.GroupID) []cluster.NodeID {
	return slices.DeleteFunc(n.node.Members(g), func(id cluster.NodeID) bool { return id == n.port.Self() })
}

// machine opens a group's state.
func (n *nodeProc) machine(g cluster.GroupID, reset bool) (cluster.Machine, error) {
	if reset {
		if err := n.db.Drop(g); err != nil {
			return nil, err
		}
	}
	return n.states.open(n.db, g, hooks{
		events: func(evs []mailstore.Event) {
			n.feed.Publish(evs)
			for _, e := range evs {
				if e.Reset { // a whole state came: which of its bodies are here?
					n.reconcile(e.Group)
					if n.wired.Load() {
						n.lookup.Reset()
					}
				}
			}
		},
		dead: func(g cluster.GroupID, index uint64, ids []cluster.BodyID) {
			n.bodies.Dead(g, index, ids...)
		},
		directory: func() {
			if n.wired.Load() {
				n.members.Kick()
			}
		},
	})
}

// started is told of a group that runs now. Open has pinned the bodies that
// entries not yet applied name, so that comparing may begin.
func (n *nodeProc) started(g cluster.Group) { n.reconcile(g.ID()) }

// reconcile compares a group's bodies with its state, in the background: what
// is missing is fetched, and the node is not whole until it has come.
func (n *nodeProc) reconcile(g cluster.GroupID) {
	n.bg.Go(func() {
		if err := n.bodies.Reconcile(n.ctx, g, n.states.live(g)); err != nil && n.ctx.Err() == nil {
			n.log.Error("bodies not compared with the state", "group", g, "err", err)
		}
	})
}

// frontends makes the servers of the mail protocols.
func (n *nodeProc) frontends() error {
	cert, err := mailCertificate(n.cfg, n.ring)
	if err != nil {
		return err
	}
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}}
	leaf, err := x509.ParseCertificate(cert.Certificate[0])
	if err != nil {
		return err
	}
	index, ok := n.ring.IndexKey()
	if !ok {
		return errors.New("the keyring has no index key")
	}
	saslOptions := &sasl.Options{Auth: n.auth, FakeSecret: sha256.Sum256(append([]byte("altmail unknown logins"), index[:]...))}
	n.throttle = auth.NewSharedThrottle(n.port, func() []cluster.NodeID { return n.others(cluster.Directory) })
	memory := smtp.NewBudget(int64(n.cfg.Limits.MemoryInFlight))
	n.smtp = nil
	for _, r := range []struct {
		role     smtp.Role
		implicit bool
	}{{smtp.MX, false}, {smtp.Submission, false}, {smtp.Submission, true}, {smtp.LMTP, false}} {
		c := smtp.Config{
			Role: r.role, Implicit: r.implicit, Hostname: n.cfg.Host(), Directory: smtp.NewDirectory(n.lookup, n.lookup.HasDomain), Deliverer: n.commit,
			Log: n.log, TLS: tlsConfig, Memory: memory, InsecureAuth: n.cfg.Limits.AllowPlaintext,
			MaxMessage: int64(n.cfg.Limits.MessageSize), MaxRecipients: n.cfg.Limits.Recipients,
			MaxConns: 20000, MaxConnsPerIP: n.cfg.Limits.ConnectionsPerIP,
			Certificate: func(string) *x509.Certificate { return leaf },
		}
		if r.role == smtp.Submission {
			c.Auth, c.Throttle = saslOptions, n.throttle
		}
		if r.role == smtp.LMTP {
			c.TLS = nil
		}
		s, err := smtp.New(c)
		if err != nil {
			return err
		}
		n.smtp = append(n.smtp, s)
	}
	n.imap = imap.New(imap.Config{
		Lookup: n.lookup, Commit: n.commit, Feed: n.feed, Auth: n.auth, FakeSecret: saslOptions.FakeSecret,
		Certificate: func(string) *x509.Certificate { return leaf }, Throttle: n.throttle,
		TLS: tlsConfig, AllowPlaintext: n.cfg.Limits.AllowPlaintext, StaleReads: n.cfg.StaleReads, Logger: n.log,
		Limits: imap.Limits{
			ConnectionsPerAccount: n.cfg.Limits.SessionsPerAccount, ConnectionsPerIP: n.cfg.Limits.ConnectionsPerIP,
			MessagesPerCommand: n.cfg.Limits.MessagesPerCommand, MessageSize: int64(n.cfg.Limits.MessageSize),
			AppendMemory: int64(n.cfg.Limits.MemoryInFlight),
		},
	})
	return nil
}

// start runs everything: the port first, then the groups, then the services.
func (n *nodeProc) start() error {
	l, err := transport.Listen(n.ctx, n.cfg.Cluster.Listen)
	if err != nil {
		return err
	}
	n.bg.Go(func() {
		if err := n.port.Serve(l); err != nil && !errors.Is(err, cluster.ErrStopped) {
			n.end(fmt.Errorf("cluster port: %w", err))
		}
	})
	if err := n.node.Start(); err != nil {
		return err
	}
	// All that redo anything have: the rest is of groups that are not here.
	if err := n.journal.Settle(); err != nil {
		return err
	}
	n.members.Start()
	n.bg.Go(func() { n.bodies.Run(n.ctx) })
	n.bg.Go(func() { n.commit.NewDriver().Run(n.ctx) })
	n.bg.Go(n.renewals)
	n.bg.Go(n.erase)
	n.index()

	var services []service
	add := func(name string, addrs []string, s *smtp.Server) {
		for _, a := range addrs {
			services = append(services, service{name, a, s.Serve})
		}
	}
	add("smtp", n.cfg.SMTP.Listen, n.smtp[0])
	add("submission", n.cfg.Submission.Listen, n.smtp[1])
	add("submissions", n.cfg.Submissions.Listen, n.smtp[2])
	add("lmtp", n.cfg.LMTP.Listen, n.smtp[3])
	for _, a := range n.cfg.IMAP.Listen {
		services = append(services, service{"imap", a, n.serveIMAP(false)})
	}
	for _, a := range n.cfg.IMAPS.Listen {
		services = append(services, service{"imaps", a, n.serveIMAP(true)})
	}
	if err := n.listen(services); err != nil {
		return err
	}
	return n.serveAdmin(n.cfg, admin.New(admin.Config{
		Lookup: n.lookup, Commit: n.commit, Members: n.members, Check: n.check,
		Left: func() { n.end(errLeft) }, Metrics: n.metrics(), Log: n.log,
		Live:  []admin.Probe{{Name: "process", Ask: func(context.Context) error { return nil }}},
		Ready: n.probes(),
	}))
}

func (n *nodeProc) serveIMAP(implicit bool) func(net.Listener) error {
	return func(l net.Listener) error { return n.imap.Serve(l, implicit) }
}

// drain says goodbye to clients and takes no new ones.
func (n *nodeProc) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	var wg sync.WaitGroup
	for _, s := range n.smtp {
		wg.Go(func() {
			if err := s.Shutdown(ctx); err != nil {
				n.log.Info("smtp clients were cut off", "err", err)
			}
		})
	}
	if n.imap != nil {
		wg.Go(func() {
			if err := n.imap.Shutdown(ctx); err != nil {
				n.log.Info("imap clients were cut off", "err", err)
			}
		})
	}
	wg.Wait()
	return nil
}

// stop ends everything in order: clients, leadership, membership, groups,
// stores. Each store is closed even when one before it fails to.
func (n *nodeProc) stop() error {
	ctx := context.Background()
	n.end(nil)
	var errs []error
	errs = append(errs, n.drain(ctx))
	hctx, cancel := context.WithTimeout(ctx, handOverTime)
	n.node.HandOver(hctx)
	cancel()
	n.members.Close()
	n.commit.Close()
	for _, s := range n.admin {
		// The answer to a leave is still on its way.
		sctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		if err := s.Shutdown(sctx); err != nil {
			errs = append(errs, s.Close())
		}
		cancel()
	}
	errs = append(errs, n.backup.Close(), n.node.Close())
	if err := n.port.Close(); err != nil && !errors.Is(err, cluster.ErrStopped) {
		errs = append(errs, err)
	}
	errs = append(errs, n.bodies.Close(), n.journal.Close())
	errs = append(errs, wait(closeTime, n.bg.Wait))
	errs = append(errs, n.search.Close(), n.db.Close())
	return errors.Join(errs...)
}
