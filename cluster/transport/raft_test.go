package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// TestRaftLayer: connections reach their group, and only groups that are here.
func TestRaftLayer(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	la := map[cluster.GroupID]raft.StreamLayer{1: a.RaftLayer(1), 2: a.RaftLayer(2), 3: a.RaftLayer(3)}
	lb := map[cluster.GroupID]raft.StreamLayer{1: b.RaftLayer(1), 2: b.RaftLayer(2)}
	if got := la[1].Addr().String(); got != a.id.String() {
		t.Fatalf("own address %q", got)
	}
	for g, l := range lb {
		for _, suffix := range []string{"", ".1", ".2.x"} {
			c := must[net.Conn](t)(la[g].Dial(raft.ServerAddress(b.id.String()+suffix), time.Second))
			must[int](t)(fmt.Fprintf(c, "for group %s", g))
			in := must[net.Conn](t)(l.Accept())
			got := make([]byte, len("for group 1"))
			must[int](t)(io.ReadFull(in, got))
			if string(got) != "for group "+g.String() {
				t.Fatalf("group %s got %q", g, got)
			}
			if p := in.(interface{ Peer() cluster.NodeID }).Peer(); p != a.id {
				t.Fatalf("peer %s", p)
			}
			must[int](t)(in.Write(make([]byte, 100_000)))
			must[int](t)(io.ReadFull(c, make([]byte, 100_000)))
			noErr(t, c.Close())
			if n, err := in.Read(make([]byte, 1)); err == nil {
				t.Fatalf("read %d bytes from a closed connection", n)
			}
			noErr(t, in.Close())
		}
	}
	c := must[net.Conn](t)(la[3].Dial(raft.ServerAddress(b.id.String()), time.Second))
	must[int](t)(c.Write([]byte("nobody here")))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Fatal("a group that is not there answered")
	}
	noErr(t, c.Close())
	if _, err := la[1].Dial("not a node", time.Second); err == nil {
		t.Fatal("dialed nonsense")
	}
	until(t, "no connection is left", func() bool { return a.Stats().Open == 0 && b.Stats().Open == 0 })

	accepted := make(chan error, 1)
	go func() { _, err := lb[1].Accept(); accepted <- err }()
	noErr(t, lb[1].Close())
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Accept after Close: %v", err)
	}
	if _, err := lb[1].Dial(raft.ServerAddress(a.id.String()), time.Second); !errors.Is(err, cluster.ErrStopped) {
		t.Fatalf("Dial after Close: %v", err)
	}
	again := b.RaftLayer(1)
	c = must[net.Conn](t)(la[1].Dial(raft.ServerAddress(b.id.String()), time.Second))
	must[int](t)(c.Write([]byte("x")))
	in := must[net.Conn](t)(again.Accept())
	b.Disconnect(a.id)
	if _, err := io.ReadAll(in); err == nil {
		t.Fatal("eviction left a raft connection open")
	}
	noErr(t, c.Close())
}

// TestRaftBacklog: connections of a group that never accepts do not pile up.
func TestRaftBacklog(t *testing.T) {
	w := newWorld(t)
	a, b := w.pair()
	l := b.RaftLayer(1)
	var conns []net.Conn
	for range raftBacklog + 5 {
		c := must[net.Conn](t)(a.RaftLayer(1).Dial(raft.ServerAddress(b.id.String()), time.Second))
		must[int](t)(c.Write([]byte("x")))
		conns = append(conns, c)
	}
	until(t, "the rest is refused", func() bool { return b.Stats().Open == raftBacklog })
	noErr(t, l.Close())
	until(t, "the backlog is closed", func() bool { return b.Stats().Open == 0 })
	for _, c := range conns {
		noErr(t, c.Close())
	}
}

// TestRealRaft runs hashicorp/raft on three nodes, two groups each.
func TestRealRaft(t *testing.T) {
	w := newWorld(t)
	nodes := []*testNode{w.start(w.config(1)), w.start(w.config(2)), w.start(w.config(3))}
	for g := cluster.GroupID(0); g < 2; g++ {
		var servers []raft.Server
		for _, n := range nodes {
			servers = append(servers, raft.Server{ID: raft.ServerID(n.id.String() + ".1"), Address: raft.ServerAddress(n.id.String() + ".1")})
		}
		var rafts []*raft.Raft
		for i, n := range nodes {
			conf := raft.DefaultConfig()
			conf.LocalID = servers[i].ID
			conf.HeartbeatTimeout, conf.ElectionTimeout = 300*time.Millisecond, 300*time.Millisecond
			conf.LeaderLeaseTimeout, conf.CommitTimeout = 200*time.Millisecond, 10*time.Millisecond
			conf.LogLevel = "OFF"
			trans := raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
				Stream: n.RaftLayer(g), MaxPool: 3, Timeout: time.Second, MaxRPCsInFlight: 1, Logger: hclog.NewNullLogger()})
			store := raft.NewInmemStore()
			r := must[*raft.Raft](t)(raft.NewRaft(conf, &raft.MockFSM{}, store, store, raft.NewInmemSnapshotStore(), trans))
			if i == 0 {
				noErr(t, r.BootstrapCluster(raft.Configuration{Servers: servers}).Error())
			}
			rafts = append(rafts, r)
			t.Cleanup(func() {
				noErr(t, r.Shutdown().Error())
				noErr(t, trans.Close())
			})
		}
		leader := func() *raft.Raft {
			var l *raft.Raft
			until(t, "a leader", func() bool {
				for _, r := range rafts {
					if r.State() == raft.Leader {
						l = r
						return true
					}
				}
				return false
			})
			return l
		}
		for i := range 50 {
			for {
				if err := leader().Apply([]byte(fmt.Sprint("entry ", i)), time.Second).Error(); err == nil {
					break
				}
			}
		}
		last := leader().LastIndex()
		until(t, "all have applied it", func() bool {
			for _, r := range rafts {
				if r.AppliedIndex() < last {
					return false
				}
			}
			return true
		})
	}
	if s := w.log.String(); strings.Contains(s, "refused") {
		t.Fatal(s)
	}
}
