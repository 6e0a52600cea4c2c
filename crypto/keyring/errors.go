package keyring

import "errors"

var (
	// ErrNoKeyring is returned by Open when there is no keyring file.
	ErrNoKeyring = errors.New("keyring: no keyring file")
	// ErrExists is returned by Create and CreateFileKey rather than replacing
	// a file.
	ErrExists = errors.New("keyring: file exists already")
	// ErrWrongKey means that the bytes are whole but were not sealed under
	// the key at hand.
	ErrWrongKey = errors.New("keyring: wrong key")
	// ErrDamaged means that sealed bytes were cut or altered, or belong to
	// another account, kind or object than the one they were opened for.
	ErrDamaged = errors.New("keyring: damaged")
	// ErrVersion means that the bytes were written by a newer version.
	ErrVersion = errors.New("keyring: unknown format version")
	// ErrNoEpoch means that the key epoch a value names is not held here.
	ErrNoEpoch = errors.New("keyring: key epoch not held")
	// ErrEpochInUse is returned when the epoch to drop is the current one.
	ErrEpochInUse = errors.New("keyring: key epoch is the current one")
	// ErrConflict means that a key is held already with another value.
	ErrConflict = errors.New("keyring: another key is held under this epoch")
	// ErrNoRoot means that this node holds no root key yet.
	ErrNoRoot = errors.New("keyring: no root key")
	// ErrKeySource means that a Source could not give an unlock key.
	ErrKeySource = errors.New("keyring: unlock key not available")
	// ErrKeyFileMode means that others than the owner may read a key file.
	ErrKeyFileMode = errors.New("keyring: key file is open to group or others (want mode 0600 or 0400)")
	// ErrTooLarge is returned for a name or value beyond the stated limits.
	ErrTooLarge = errors.New("keyring: name or value too large")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("keyring: closed")
	// ErrSlot means that an account's content key is of a kind that this
	// version cannot use.
	ErrSlot = errors.New("keyring: kind of account key not supported")
)
