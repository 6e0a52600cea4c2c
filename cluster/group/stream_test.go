package group

import (
	"net"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// faultyStream can refuse to dial.
type faultyStream struct {
	raft.StreamLayer
	refuse atomic.Bool
}

func (s *faultyStream) Dial(a raft.ServerAddress, d time.Duration) (net.Conn, error) {
	if s.refuse.Load() {
		return nil, net.ErrClosed
	}
	return s.StreamLayer.Dial(a, d)
}
