// Package lan is a network of hosts on one machine whose every wire can be
// hurt. Each host is a network namespace with one TUN device; a switch in this
// process carries IP packets between them and cuts, delays, drops, doubles or
// reorders them, for each pair of hosts and each direction on its own. The
// kernels used for this need neither netem nor firewall rules.
//
// A namespace has no name: it lives as long as a process or the Network uses
// it, so that nothing is left behind, whatever ends the harness. To look into
// one: nsenter --net=/proc/PID/ns/net.
package lan
