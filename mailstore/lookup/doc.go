// Package lookup is the read door of the mail store. Its directory side finds
// the account behind an address or a login and opens the account's keys; its
// mail side reads mailboxes, messages, summaries and bodies from the state and
// the bodies on this node, opened. Nothing below it can read what it returns.
//
// Everything but Sync, Route, Login, Owns, Open and OpenBody is local and does
// not wait. A view is one consistent state; it is to be short-lived, because
// what it pins cannot be erased (R17).
package lookup
