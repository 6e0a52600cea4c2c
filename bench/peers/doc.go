// Package peers starts mail servers side by side and measures them with the
// same work: Dovecot, Cyrus, Postfix and altmail itself, each on loopback in a
// scratch directory, one at a time.
//
// A peer is configured as a careful operator of it would for durability
// (mail is fsynced before it is answered) and as its own manual says for many
// connections; what was chosen, and what was left at the default, is in
// DESIGN.md and in each peer's Note, which the report prints.
package peers
