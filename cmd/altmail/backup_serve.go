package main

import (
	"context"
	"net"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/member"
	"altmail.se/altmail/cluster/transport"
	"altmail.se/altmail/mailstore/backup/source"
	"altmail.se/altmail/mailstore/backup/wire"
	"altmail.se/altmail/mailstore/state"
)

// newBackup makes what serves backups to who holds a grant.
func (n *nodeProc) newBackup(id member.Identity, dir *state.Directory) *source.Server {
	return source.New(source.Config{
		Cluster: id.Cluster, Node: id.Node, CACert: id.CA, Ring: n.ring,
		Groups: n.node.Mail, Group: n.node.Group, Bodies: n.bodies,
		Machine: func(g cluster.GroupID) (source.Machine, bool) {
			if g == cluster.Directory {
				return dir, true
			}
			m, ok := n.states.get(g)
			return m, ok
		},
		Referenced: n.states.Referenced, Whole: n.bodies.Whole, Directory: dir, Log: n.log, Now: n.clock.now,
	})
}

// backupGuest lets pullers in at the port between nodes.
func (n *nodeProc) backupGuest() *transport.Guest {
	return &transport.Guest{
		Proto: wire.Proto,
		Admit: func(spki []byte) error {
			if !n.wired.Load() {
				return errNotWired
			}
			return n.backup.Admit(spki)
		},
		Serve: func(ctx context.Context, c net.Conn, spki []byte) { n.backup.Serve(ctx, c, spki) },
	}
}
