// Package keyring holds every key a node has, and seals the small things that
// the replicated state keeps: directory values under the cluster's root key,
// account values under each account's own keys.
//
// The order of keys is: an unlock key, from a [Source], opens the node's
// keyring file; that file holds the cluster's root keys (by epoch), the
// cluster's index key, and what belongs to this node alone (log keys, file
// keys, TLS identity, named facts). A root key opens account keys, which live
// wrapped in the directory; an account key opens that account's values and
// message keys.
//
// Every sealed value names the epoch of the key it was sealed under, so keys
// can change without touching what is already written. The bytes are drawn in
// FORMAT.md.
package keyring
