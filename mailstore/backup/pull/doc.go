// Package pull brings a backup from a node into a repository. It knows no key:
// what it gets is sealed. Whatever ends it, what it has brought is kept, and
// the next pull brings the rest.
package pull
