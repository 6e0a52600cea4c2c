package restore

import (
	"fmt"
	"maps"
	"slices"

	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore/backup/wire"
)

// TakeKeys gives a ring the roots and the index key of a snapshot.
func TakeKeys(ring *keyring.Ring, h *wire.Head) error {
	for _, epoch := range slices.Sorted(maps.Keys(h.Roots)) {
		k := h.Roots[epoch]
		if len(k) != keyring.KeySize {
			return fmt.Errorf("%w: a root key of a wrong size", wire.ErrSealed)
		}
		if err := ring.AddRoot(keyring.Epoch(epoch), [keyring.KeySize]byte(k)); err != nil {
			return err
		}
	}
	if err := ring.UseRoot(keyring.Epoch(h.Current)); err != nil {
		return err
	}
	if len(h.Index) != keyring.KeySize {
		return fmt.Errorf("%w: an index key of a wrong size", wire.ErrSealed)
	}
	return ring.SetIndexKey([keyring.KeySize]byte(h.Index))
}
