//go:build !linux

package lan

import (
	"errors"
	"log/slog"
	"net/netip"
	"os/exec"
)

// errUnsupported says that there are no network namespaces here.
var errUnsupported = errors.New("lan: needs Linux")

// Host is one namespace of a Network.
type Host struct {
	Name string
	Addr netip.Addr
}

// Network is a set of hosts and the switch between them.
type Network struct{}

// Stats counts packets since the Network was opened.
type Stats struct{ Passed, Dropped int64 }

// Open fails on this system.
func Open(uint64, *slog.Logger) (*Network, error) { return nil, errUnsupported }

// AddHost fails on this system.
func (n *Network) AddHost(string) (*Host, error) { return nil, errUnsupported }

// Start fails on this system.
func (h *Host) Start(*exec.Cmd) error { return errUnsupported }

// Here is nothing on this system.
func (n *Network) Here() *Host { return nil }

// Set does nothing on this system.
func (n *Network) Set(_, _ *Host, _ Rule) {}

// Rule returns the rule of a wire.
func (n *Network) Rule(_, _ *Host) Rule { return Rule{} }

// Stats returns nothing on this system.
func (n *Network) Stats() Stats { return Stats{} }

// Close does nothing on this system.
func (n *Network) Close() error { return nil }
