package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/member"
	"altmail.se/altmail/cmd/altmail/config"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/frontend/admin"
	"altmail.se/altmail/frontend/imap"
	"altmail.se/altmail/frontend/proxyproto"
	"altmail.se/altmail/frontend/smtp"
)

// serveCmd runs a node until SIGTERM, SIGINT, or something it must not go on
// after.
type serveCmd struct {
	configFlag
	Verbose bool `short:"v" help:"Log more."`
}

// Times of an orderly stop.
const (
	drainTime    = 5 * time.Second  // for clients to take their goodbye
	handOverTime = 3 * time.Second  // for others to take the leadership
	closeTime    = 15 * time.Second // for the stores
)

func (c *serveCmd) Run(e *env) error {
	cfg, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	level := slog.LevelInfo
	if c.Verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: level}))
	lock, err := lockData(cfg.DataDir)
	if errors.Is(err, os.ErrNotExist) {
		return codedf(exitConfig, "%s is not a node yet: altmail cluster init or cluster join comes first", cfg.DataDir)
	}
	if err != nil {
		return coded(exitTryAgain, err)
	}
	defer lock.Close()
	ring, err := keyring.Open(keyringPath(cfg), keySource(e, cfg))
	if errors.Is(err, keyring.ErrNoKeyring) {
		return codedf(exitConfig, "%s is not a node yet: altmail cluster init or cluster join comes first", cfg.DataDir)
	}
	if err != nil {
		return err
	}
	defer ring.Close()
	local, is, err := member.LoadLocal(ring)
	if err != nil {
		return err
	}
	switch {
	case !is:
		return codedf(exitConfig, "%s is not a node yet: altmail cluster init or cluster join comes first", cfg.DataDir)
	case local.Identity().Removed:
		return coded(exitNotAllowed, member.ErrRemoved)
	}
	if cfg.Key.Source == "file" {
		if same, err := keyring.SameDevice(cfg.Key.File, cfg.DataDir); err == nil && same {
			log.Warn("the unlock key lies on the same device as the data", "key", cfg.Key.File)
		}
	}
	ctx, end := context.WithCancelCause(e.ctx)
	defer end(nil)
	n, err := openNode(ctx, end, cfg, ring, local, log)
	if err != nil {
		return err
	}
	if err := n.start(); err != nil {
		return errors.Join(err, n.stop())
	}
	notify("READY=1")
	log.Info("serving", "node", cfg.Name, "id", local.Identity().Node, "version", version)
	<-ctx.Done()
	notify("STOPPING=1")
	cause := context.Cause(ctx)
	log.Info("stopping", "cause", cause)
	if err := n.stop(); err != nil {
		return err
	}
	if errors.Is(cause, context.Canceled) || errors.Is(cause, errLeft) {
		return nil
	}
	return cause
}

// errLeft ends a node that left its cluster in good order.
var errLeft = errors.New("left the cluster")

// service is a listener with what serves it.
type service struct {
	name  string
	addr  string
	serve func(net.Listener) error
}

// listen opens the listeners of all services, then serves each.
func (n *nodeProc) listen(services []service) error {
	proxies, err := n.cfg.Proxy.Prefixes()
	if err != nil {
		return err
	}
	var opened []net.Listener
	for _, s := range services {
		l, err := listenAddr(s.addr)
		if err != nil {
			for _, o := range opened {
				o.Close()
			}
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if s.name != "lmtp" { // which has no strangers for clients
			l = proxyproto.Listen(l, proxyproto.Config{From: proxies, Logger: n.log})
		}
		opened = append(opened, l)
	}
	for i, s := range services {
		l := opened[i]
		n.bg.Go(func() {
			err := s.serve(l)
			if errors.Is(err, smtp.ErrClosed) || errors.Is(err, imap.ErrClosed) {
				return // drained
			}
			if err != nil && n.ctx.Err() == nil {
				n.end(fmt.Errorf("%s on %s: %w", s.name, s.addr, err))
			}
		})
	}
	return nil
}

func listenAddr(a string) (net.Listener, error) {
	if p, ok := strings.CutPrefix(a, "unix:"); ok {
		if c, err := net.DialTimeout("unix", p, time.Second); err == nil {
			c.Close()
			return nil, fmt.Errorf("%s is in use", p)
		}
		if err := os.Remove(p); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		return net.Listen("unix", p)
	}
	return net.Listen("tcp", a)
}

// fatal ends the process at once: a write or sync failed, or the log can't be
// trusted, and nothing may be answered after that. The log line says why.
func fatal(log *slog.Logger) func(error) {
	var once sync.Once
	return func(err error) {
		once.Do(func() {
			log.Error("this node can not go on", "err", err, "stack", string(debug.Stack()))
			os.Exit(exitFailed)
		})
	}
}

// serveAdmin opens the operator's socket and the loopback port.
func (n *nodeProc) serveAdmin(cfg *config.Config, s *admin.Server) error {
	l, err := admin.Listen(cfg.AdminSocket())
	if err != nil {
		return err
	}
	n.admin = []*http.Server{{Handler: n.clock.routes(s.API()), ReadHeaderTimeout: 10 * time.Second}}
	n.serveHTTP(l, n.admin[0])
	if cfg.Admin.HTTP == "" {
		return nil
	}
	l, err = net.Listen("tcp", cfg.Admin.HTTP)
	if err != nil {
		return err
	}
	o := &http.Server{Handler: s.Observe(), ReadHeaderTimeout: 10 * time.Second}
	n.admin = append(n.admin, o)
	n.serveHTTP(l, o)
	return nil
}

func (n *nodeProc) serveHTTP(l net.Listener, s *http.Server) {
	n.bg.Go(func() {
		if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			n.end(fmt.Errorf("admin: %w", err))
		}
	})
}

// notify tells systemd (sd_notify(3)); without it, nobody listens.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if strings.HasPrefix(path, "@") {
		path = "\x00" + path[1:]
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		slog.Warn("systemd does not listen", "err", err)
		return
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		slog.Warn("systemd does not listen", "err", err)
	}
}

func stateDir(cfg *config.Config) string  { return filepath.Join(cfg.DataDir, "state") }
func searchDir(cfg *config.Config) string { return filepath.Join(cfg.DataDir, "search") }
func bodyDir(cfg *config.Config) string   { return filepath.Join(cfg.DataDir, "bodies") }

// cores is how many passwords may be derived at a time.
func cores() int { return max(runtime.GOMAXPROCS(0)/2, 1) }

// wait waits for background work, but not for ever.
func wait(d time.Duration, f func()) error {
	done := make(chan struct{})
	go func() { f(); close(done) }()
	select {
	case <-done:
		return nil
	case <-time.After(d):
		return fmt.Errorf("still busy after %s", d)
	}
}

// groupText is how a group is named in a metric.
func groupText(g cluster.GroupID) string { return g.String() }
