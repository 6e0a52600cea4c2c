// Package admin serves the operator's API of one node on its unix socket
// (Connect protocol, see admin.proto) and its health, metrics and profiles.
// Whoever can open the socket may do everything; it is made mode 0600.
package admin

//go:generate sh generate.sh
