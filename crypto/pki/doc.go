// Package pki makes and checks the certificates nodes show each other, the
// one-time tokens new nodes join with, and a stand-in certificate for mail
// listeners that were given none.
//
// A certificate of the cluster's CA says "this key was once given this node
// id", no more. Who may connect is decided by membership: the peer's public
// key must be the one the directory holds for a present node. So expiry does
// not cut members off: it is reported, and a cluster that slept for a year
// can meet again.
package pki
