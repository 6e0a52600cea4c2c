package group

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// ServerName is the raft id and address of a member: the node id, and the
// number of its membership in this group. A member that lost its log comes back
// under the next number, because the old one may have voted.
func ServerName(node cluster.NodeID, incarnation uint32) string {
	return node.String() + "." + strconv.FormatUint(uint64(incarnation), 10)
}

// ParseServer reads a ServerName. A name without a number is incarnation 0.
func ParseServer(s string) (cluster.NodeID, uint32, error) {
	id, num, ok := strings.Cut(s, ".")
	node, err := cluster.ParseNodeID(id)
	if err != nil {
		return node, 0, err
	}
	if !ok {
		return node, 0, nil
	}
	inc, err := strconv.ParseUint(num, 10, 32)
	if err != nil {
		return node, 0, fmt.Errorf("group: %q is not a server name", s)
	}
	return node, uint32(inc), nil
}

// nodeOf returns the node of a raft server, the zero id if the name is not ours.
func nodeOf(id raft.ServerID) cluster.NodeID {
	node, _, err := ParseServer(string(id))
	if err != nil {
		return cluster.NodeID{}
	}
	return node
}

func hasVote(c raft.Configuration, id raft.ServerID) bool {
	for _, s := range c.Servers {
		if s.ID == id {
			return s.Suffrage == raft.Voter
		}
	}
	return false
}

func findNode(c raft.Configuration, node cluster.NodeID) (raft.Server, bool) {
	for _, s := range c.Servers {
		if nodeOf(s.ID) == node {
			return s, true
		}
	}
	return raft.Server{}, false
}

func countVoters(c raft.Configuration) (n int) {
	for _, s := range c.Servers {
		if s.Suffrage == raft.Voter {
			n++
		}
	}
	return n
}
