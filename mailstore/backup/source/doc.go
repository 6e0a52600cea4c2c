// Package source gives backups: it serves, on a node, who holds a grant. A
// session pins every group at one index, cuts its rows into runs that are the
// same as long as the rows are, and seals those that the puller lacks to the
// grant's recipients. Bodies are given as they lie on the disk.
package source
