// Package proxyproto takes connections that come through a proxy under the
// address of the client behind it (the PROXY protocol, versions 1 and 2, of
// HAProxy's proxy-protocol.txt).
package proxyproto
