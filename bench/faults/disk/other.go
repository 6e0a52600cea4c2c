//go:build !linux

package disk

import (
	"context"
	"errors"
)

// FS is served on Linux only.
type FS struct{}

// Mount returns errors.ErrUnsupported.
func Mount(context.Context, string, string, Options) (*FS, error) {
	return nil, errors.ErrUnsupported
}

func (*FS) Mountpoint() string               { return "" }
func (*FS) Backing() string                  { return "" }
func (*FS) Set(...Fault) error               { return errors.ErrUnsupported }
func (*FS) Clear()                           {}
func (*FS) SetCapacity(int64)                {}
func (*FS) Cut()                             {}
func (*FS) PowerLoss(uint64) (Report, error) { return Report{}, errors.ErrUnsupported }
func (*FS) Sync()                            {}
func (*FS) Stats() Stats                     { return Stats{} }
func (*FS) Unmount() error                   { return errors.ErrUnsupported }
