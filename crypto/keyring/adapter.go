package keyring

// FileKeys shows a ring's file keys with plain numbers for epochs, which is
// what packages that must not know this one ask for.
type FileKeys struct{ ring *Ring }

// Files returns the ring's file keys.
func (r *Ring) Files() FileKeys { return FileKeys{r} }

// FileKey returns the key that new files are encrypted under.
func (k FileKeys) FileKey() (epoch uint32, key *[KeySize]byte) {
	e, key := k.ring.FileKey()
	return uint32(e), key
}

// FileKeyAt returns the file key of an epoch, or ErrNoEpoch.
func (k FileKeys) FileKeyAt(epoch uint32) (*[KeySize]byte, error) {
	return k.ring.FileKeyAt(Epoch(epoch))
}

// LogKeys shows a ring's log keys in the same way.
type LogKeys struct{ ring *Ring }

// Logs returns the ring's log keys.
func (r *Ring) Logs() LogKeys { return LogKeys{r} }

// LogKey returns the key that new log entries are sealed under.
func (k LogKeys) LogKey() (epoch uint32, key *[KeySize]byte) {
	e, key := k.ring.LogKey()
	return uint32(e), key
}

// LogKeyAt returns the log key of an epoch, or ErrNoEpoch.
func (k LogKeys) LogKeyAt(epoch uint32) (*[KeySize]byte, error) {
	return k.ring.LogKeyAt(Epoch(epoch))
}
