package repo

import (
	"context"
	"errors"
)

// File is one file of a Storage.
type File struct {
	Name string // below its folder
	Size int64
}

// Storage is where a repository lies. Names are "folder/name" or "name", of
// lower-case letters, digits, "-" and ".". It is safe for concurrent use.
type Storage interface {
	// String names the place to people.
	String() string
	// List returns the files of a folder; a folder that is not there is empty.
	List(ctx context.Context, folder string) ([]File, error)
	// Read returns n bytes of a file from off on, or all of it for n < 0.
	// ErrMissing: there is no such file; ErrDamaged: it ends before that.
	Read(ctx context.Context, name string, off, n int64) ([]byte, error)
	// Write makes a file, whole or not at all, and durable before it returns.
	// One of that name is replaced.
	Write(ctx context.Context, name string, parts ...[]byte) error
	// Remove removes a file; one that is not there is no error.
	Remove(ctx context.Context, name string) error
	// Lock keeps other writers out until release is called. A writer that
	// dies must not keep them out for long. ErrLocked: there is one.
	Lock(ctx context.Context) (release func() error, err error)
}

// The errors of this package.
var (
	ErrMissing = errors.New("repo: missing")
	ErrDamaged = errors.New("repo: damaged")
	ErrLocked  = errors.New("repo: another pull or prune is at work")
	ErrNoRepo  = errors.New("repo: not a backup repository")
	ErrExists  = errors.New("repo: not empty")
	ErrOther   = errors.New("repo: it holds another cluster's backups")
	ErrVersion = errors.New("repo: of a later version")
)
