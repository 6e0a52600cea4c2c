package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/member"
	"altmail.se/altmail/cmd/altmail/config"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/crypto/pki"
	"altmail.se/altmail/frontend/admin"
	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/frontend/fulltext"
)

// mailTLSFact is where a self-signed certificate lies in the keyring.
const mailTLSFact = "mail-tls"

type mailTLS struct {
	Cert []byte `json:"cert"` // DER
	Key  []byte `json:"key"`  // PKCS #8
}

// mailCertificate returns what mail clients are shown: the configured
// certificate, or a self-signed one that is made once and kept.
func mailCertificate(cfg *config.Config, ring *keyring.Ring) (*tls.Certificate, error) {
	if cfg.TLS.CertFile != "" {
		c, err := tls.LoadX509KeyPair(cfg.TLS.CertFile, cfg.TLS.KeyFile)
		if err != nil {
			return nil, coded(exitConfig, fmt.Errorf("tls: %w", err))
		}
		return &c, nil
	}
	if b, ok := ring.Get(mailTLSFact); ok {
		var m mailTLS
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, fmt.Errorf("certificate in the keyring: %w", err)
		}
		leaf, err := x509.ParseCertificate(m.Cert)
		if err != nil {
			return nil, fmt.Errorf("certificate in the keyring: %w", err)
		}
		key, err := x509.ParsePKCS8PrivateKey(m.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate in the keyring: %w", err)
		}
		if time.Now().Before(leaf.NotAfter.Add(-30*24*time.Hour)) && leaf.VerifyHostname(cfg.Host()) == nil {
			return &tls.Certificate{Certificate: [][]byte{m.Cert}, PrivateKey: key, Leaf: leaf}, nil
		}
	}
	hosts := []string{cfg.Host(), "localhost", "127.0.0.1", "::1"}
	if h, _, err := net.SplitHostPort(cfg.Cluster.AdvertiseAddr()); err == nil {
		hosts = append(hosts, h)
	}
	c, err := pki.SelfSigned(hosts, time.Now())
	if err != nil {
		return nil, err
	}
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(mailTLS{c.Certificate[0], key})
	if err != nil {
		return nil, err
	}
	return c, ring.Put(mailTLSFact, b)
}

// renewals replaces this node's certificate between nodes when it is due.
func (n *nodeProc) renewals() {
	t := time.NewTicker(time.Hour)
	defer t.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case now := <-t.C:
			cert, err := n.members.Renew(now)
			switch {
			case err != nil:
				n.log.Error("the node's certificate is due and was not renewed", "err", err)
			case cert != nil:
				n.log.Info("the node's certificate was renewed")
			}
		}
	}
}

// serveJoin answers a node that wants to join.
func (n *nodeProc) serveJoin(ctx context.Context, conn net.Conn, exporter []byte) {
	n.members.ServeJoin(ctx, conn, exporter)
}

// check is the admin API's consistency check.
func (n *nodeProc) check(ctx context.Context, read bool) (*adminpb.CheckResponse, error) {
	out, err := n.states.check(ctx, n.bodies, read)
	if err == nil {
		err = n.states.checkIndex(ctx, n.search, n.ring, n.lookup.Indexed(fulltext.Extract), read, out)
	}
	return out, err
}

// probes are the lines of /readyz.
func (n *nodeProc) probes() []admin.Probe {
	return []admin.Probe{
		{Name: "leader", Ask: func(context.Context) error {
			for _, r := range n.node.Replicas() {
				if _, ok := r.Leader(); !ok {
					return fmt.Errorf("group %s has none", r.ID())
				}
			}
			return nil
		}},
		{Name: "applied", Ask: func(context.Context) error {
			for _, r := range n.node.Replicas() {
				if rep := r.Report(); rep.Commit > rep.Applied+10000 {
					return fmt.Errorf("group %s is %d entries behind", r.ID(), rep.Commit-rep.Applied)
				} else if rep.Alarm != "" {
					return errors.New(rep.Alarm)
				}
			}
			return nil
		}},
		{Name: "disk", Ask: func(context.Context) error {
			for _, g := range n.node.Mail() {
				if !n.bodies.Room(g) {
					return cluster.ErrNoRoom
				}
			}
			return nil
		}},
	}
}

func mustLocal(ring *keyring.Ring) (*member.Local, error) {
	l, ok, err := member.LoadLocal(ring)
	if err == nil && !ok {
		err = codedf(exitConfig, "not a node yet: altmail cluster init or cluster join comes first")
	}
	return l, err
}
