package group

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/snapshot"
)

// maxAppendBytes bounds one AppendEntries request; raft itself counts entries.
const maxAppendBytes = 4 << 20

var (
	errSilent = errors.New("group: this leader's disk hangs: it keeps silent")
	errNotYet = errors.New("group: state not yet fetched")
	errGate   = errors.New("group: bodies are not durable here")
)

// transport stands between raft and the network. It must embed
// *raft.NetworkTransport: raft turns pre-vote off, without a word, for a type
// that lacks RequestPreVote (guard G1).
type transport struct {
	*raft.NetworkTransport
	g    *Group
	addr raft.ServerAddress
	s    *streams

	out  chan raft.RPC
	stop chan struct{}
	wg   sync.WaitGroup

	mu    sync.Mutex
	known commitNotice // the newest commit a leader told us beside raft
	busy  atomic.Bool  // an injected notice is on its way through raft

	reach reach
}

// commitNotice is "leader of term says that its log up to index, whose entry
// there is of that term, is committed".
type commitNotice struct {
	leader      raft.ServerID
	term, index uint64
}

func newTransport(g *Group, inner *raft.NetworkTransport, s *streams) *transport {
	return &transport{
		NetworkTransport: inner, g: g, s: s,
		addr: raft.ServerAddress(g.self),
		out:  make(chan raft.RPC), stop: make(chan struct{}),
	}
}

// SetHeartbeatHandler does nothing (guard G1): the fast path would handle
// heartbeats beside raft's main loop, and a deposed leader's next entry would
// carry the new leader's term. Heartbeats go through the main loop instead.
func (t *transport) SetHeartbeatHandler(f func(raft.RPC)) {
	if t.g.o.test.fastHeartbeats {
		t.NetworkTransport.SetHeartbeatHandler(f)
	}
}

// Consumer gives raft the requests that passed the gate.
func (t *transport) Consumer() <-chan raft.RPC { return t.out }

// LocalAddr is this member's server name, whatever the stream layer calls it.
func (t *transport) LocalAddr() raft.ServerAddress { return t.addr }

// EncodePeer and DecodePeer: an address is a server name.
func (t *transport) EncodePeer(_ raft.ServerID, a raft.ServerAddress) []byte { return []byte(a) }

// Close does nothing: raft closes its transport when it shuts down, and an
// install restarts raft on the same one. The group closes it.
func (t *transport) Close() error { return nil }

func (t *transport) shut() error {
	close(t.stop)
	err := t.NetworkTransport.Close()
	t.s.cut(true)
	t.wg.Wait()
	return err
}

// AppendEntries cuts the request to maxAppendBytes. Raft reads args again after
// the call to learn what was sent, and goes on from there.
func (t *transport) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	if t.g.silent() {
		return errSilent
	}
	if f := t.g.o.test.onAppend; f != nil {
		if err := f(target, args); err != nil {
			return err
		}
	}
	size := 0
	for i, e := range args.Entries {
		size += len(e.Data) + len(e.Extensions)
		if size > maxAppendBytes && i > 0 {
			args.Entries = args.Entries[:i]
			break
		}
	}
	if heartbeat(args) {
		err := t.NetworkTransport.AppendEntries(id, target, args, resp)
		t.reach.told(id, err)
		return err
	}
	if err := t.hold(id, args.Term); err != nil {
		return err
	}
	node := nodeOf(id)
	t.g.notices.appending(node)
	err := t.NetworkTransport.AppendEntries(id, target, args, resp)
	t.g.notices.appended(node, err == nil && resp.Success, tells(args), t.g.appliedIndex())
	return err
}

// AppendEntriesPipeline refuses (guard G2): a pipeline wedges the follower for
// good after one failed append.
func (t *transport) AppendEntriesPipeline(raft.ServerID, raft.ServerAddress) (raft.AppendPipeline, error) {
	return nil, raft.ErrPipelineReplicationNotSupported
}

// InstallSnapshot sends a ticket.
func (t *transport) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if t.g.silent() {
		return errSilent
	}
	return t.NetworkTransport.InstallSnapshot(id, target, args, resp, data)
}

// pump takes requests from the network and gives them to raft, each as soon as
// it may pass. What has to wait, waits beside: a heartbeat or a vote never
// queues behind it.
func (t *transport) pump() {
	defer t.wg.Done()
	in := t.NetworkTransport.Consumer()
	for {
		select {
		case <-t.stop:
			return
		case rpc := <-in:
			switch req := rpc.Command.(type) {
			case *raft.AppendEntriesRequest:
				if len(req.Entries) > 0 {
					t.spawn(func() { t.serveAppend(rpc, req) })
					continue
				}
				t.prove(req)
			case *raft.InstallSnapshotRequest:
				t.spawn(func() { t.serveInstall(rpc, req) })
				continue
			}
			t.pass(rpc)
		}
	}
}

func (t *transport) spawn(f func()) {
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		f()
	}()
}

// pass gives a request to raft, which answers it.
func (t *transport) pass(rpc raft.RPC) bool {
	select {
	case t.out <- rpc:
		return true
	case <-t.stop:
		return false
	}
}

// ask gives a request to raft and waits for its answer.
func (t *transport) ask(cmd any) (raft.RPCResponse, bool) {
	ch := make(chan raft.RPCResponse, 1)
	if !t.pass(raft.RPC{Command: cmd, RespChan: ch}) {
		return raft.RPCResponse{}, false
	}
	select {
	case resp := <-ch:
		return resp, true
	case <-t.stop:
		return raft.RPCResponse{}, false
	}
}

// prove makes a request say no more than it proves, and no less than is known.
//
// Raft commits min(LeaderCommitIndex, own last index), also past the entries
// the request has matched; the paper's rule is the last of those. And what lies
// under this node's marker is committed, so it matches: a leader that still
// counts from below is taken up to the marker, where raft would refuse it for
// ever because the log no longer has that entry.
func (t *transport) prove(req *raft.AppendEntriesRequest) {
	if heartbeat(req) {
		return
	}
	if base := t.g.base.Load(); base != nil && req.PrevLogEntry < base.index && req.Term >= t.g.term() {
		for len(req.Entries) > 0 && req.Entries[0].Index <= base.index {
			req.Entries = req.Entries[1:]
		}
		req.PrevLogEntry, req.PrevLogTerm = base.index, base.term
	}
	proven := req.PrevLogEntry
	if n := len(req.Entries); n > 0 {
		proven = req.Entries[n-1].Index
	}
	t.mu.Lock()
	if known := t.known; known.term == req.Term && known.index > req.LeaderCommitIndex {
		req.LeaderCommitIndex = known.index
	}
	t.mu.Unlock()
	if req.LeaderCommitIndex > proven && !t.g.o.test.looseCommit {
		req.LeaderCommitIndex = proven
	}
}

// serveAppend holds a request with entries until this node has the bodies it
// must have to acknowledge it.
func (t *transport) serveAppend(rpc raft.RPC, req *raft.AppendEntriesRequest) {
	t.prove(req)
	pins, err := t.g.admit(req)
	if err != nil {
		rpc.Respond(&raft.AppendEntriesResponse{Term: t.g.term()}, err)
		return
	}
	resp, ok := t.ask(req)
	if !ok {
		t.g.pins.drop(pins)
		return
	}
	if a, ok := resp.Response.(*raft.AppendEntriesResponse); ok && a.Success && resp.Error == nil {
		t.g.pins.keep(pins)
	} else {
		t.g.pins.drop(pins)
	}
	rpc.RespChan <- resp
	t.inject()
}

// learn takes a commit notice that came beside raft, pushed or in the answer to
// a forwarded proposal or a read index, and gives it to raft at once: raft's own
// would come with the next entry or after up to two commit timeouts.
func (t *transport) learn(n commitNotice) {
	t.mu.Lock()
	if n.term < t.known.term || n.term == t.known.term && n.index <= t.known.index {
		t.mu.Unlock()
		return
	}
	t.known = n
	t.mu.Unlock()
	t.inject()
}

// inject lets raft handle the empty AppendEntries that the leader could have
// sent with the notice. Raft checks its term and that the log has the entry.
//
// A log that ends below the notice is committed to its end, if its last entry is
// of the notice's term: that leader wrote it, never takes back what it wrote,
// and has committed past it.
func (t *transport) inject() {
	for {
		t.mu.Lock()
		n := t.known
		t.mu.Unlock()
		r := t.g.raft.Load()
		if r == nil {
			return
		}
		index := min(n.index, r.LastIndex())
		if index <= r.CommitIndex() || n.term != r.CurrentTerm() || r.State() == raft.Leader {
			return
		}
		if !t.busy.CompareAndSwap(false, true) {
			return // the one under way looks again when it is done
		}
		resp, ok := t.ask(&raft.AppendEntriesRequest{
			RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(n.leader), Addr: []byte(n.leader)},
			Term:      n.term, PrevLogEntry: index, PrevLogTerm: n.term, LeaderCommitIndex: index,
		})
		t.busy.Store(false)
		if !ok {
			return
		}
		if a, isA := resp.Response.(*raft.AppendEntriesResponse); !isA || !a.Success {
			t.mu.Lock()
			same := t.known == n
			t.mu.Unlock()
			if same {
				return
			}
		}
	}
}

// serveInstall answers a ticket. It never reaches raft: the group installs a
// fetched state with raft stopped, and until then the answer is "not yet".
func (t *transport) serveInstall(rpc raft.RPC, req *raft.InstallSnapshotRequest) {
	term := t.g.term()
	resp := &raft.InstallSnapshotResponse{Term: term}
	ticket, err := readTicket(rpc.Reader, req)
	switch {
	case err != nil:
	case ticket.Group != t.g.o.Group || ticket.Index != req.LastLogIndex || ticket.Source == t.g.o.Node:
		err = fmt.Errorf("group: ticket for group %s at %d", ticket.Group, ticket.Index)
	case req.Term < term:
		// An old leader: the term tells it.
	case ticket.Index <= t.g.appliedIndex():
		// This node holds that prefix already, whoever it is from.
		resp.Success = true
	default:
		t.g.startFetch(ticket)
		err = errNotYet
	}
	rpc.Respond(resp, err)
}

func readTicket(r io.Reader, req *raft.InstallSnapshotRequest) (snapshot.Ticket, error) {
	b, err := io.ReadAll(io.LimitReader(r, int64(snapshot.TicketSize)+1))
	if err != nil {
		return snapshot.Ticket{}, fmt.Errorf("group: ticket: %w", err)
	}
	if req.Size != int64(len(b)) {
		return snapshot.Ticket{}, fmt.Errorf("group: ticket of %d bytes", req.Size)
	}
	return snapshot.DecodeTicket(b)
}

// notInLog is the index of a body check before the entry has one: no node can
// prove a body gone that an entry yet to be proposed will name.
const notInLog = ^uint64(0)

var _ raft.Transport = (*transport)(nil)
var _ raft.WithPreVote = (*transport)(nil)
var _ cluster.Group = (*Group)(nil)
