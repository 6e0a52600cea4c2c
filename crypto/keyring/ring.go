package keyring

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Epoch numbers the keys of one purpose, from 1.
type Epoch uint32

// Limits of what a ring holds.
const (
	// MaxFactName and MaxFact bound the name and value given to Put.
	MaxFactName = 255
	MaxFact     = 256 << 10
	maxFacts    = 1024
	// maxEpochs bounds the keys of one purpose; a rotation a day for a year
	// without ever dropping one stays below it.
	maxEpochs   = 1024
	maxIdentity = 64 << 10
)

// contents is what the file holds. Once published it is never changed.
type contents struct {
	roots       map[Epoch]*[KeySize]byte
	currentRoot Epoch // 0: no root yet
	index       *[KeySize]byte
	logKeys     map[Epoch]*[KeySize]byte
	fileKeys    map[Epoch]*[KeySize]byte

	identityKey, identityCert []byte

	facts map[string][]byte
}

func newContents() *contents {
	return &contents{
		roots:    map[Epoch]*[KeySize]byte{},
		logKeys:  map[Epoch]*[KeySize]byte{},
		fileKeys: map[Epoch]*[KeySize]byte{},
		facts:    map[string][]byte{},
	}
}

func (c *contents) clone() *contents {
	d := *c
	d.roots = maps.Clone(c.roots)
	d.logKeys = maps.Clone(c.logKeys)
	d.fileKeys = maps.Clone(c.fileKeys)
	d.facts = maps.Clone(c.facts)
	return &d
}

// view is the contents with what is derived from them.
type view struct {
	*contents
	logEpoch, fileEpoch Epoch
	rootSeals           map[Epoch]*contentKey
	indexMACs           *macPool
}

func newView(c *contents) (*view, error) {
	v := &view{contents: c, rootSeals: make(map[Epoch]*contentKey, len(c.roots)),
		logEpoch: newest(c.logKeys), fileEpoch: newest(c.fileKeys)}
	for e, key := range c.roots {
		k, err := newContentKey(e, key, "root")
		if err != nil {
			return nil, err
		}
		v.rootSeals[e] = k
	}
	if c.index != nil {
		sub, err := deriveKey(c.index, "altmail directory index 1")
		if err != nil {
			return nil, err
		}
		v.indexMACs = newMACPool(&sub)
	}
	return v, nil
}

func newest(keys map[Epoch]*[KeySize]byte) (e Epoch) {
	for k := range keys {
		e = max(e, k)
	}
	return e
}

// Ring is an open keyring. It is safe for concurrent use: readers never wait,
// and a change is durable before it is seen. The key pointers it hands out
// point at keys that must not be altered. One process at a time may have a
// keyring file open (the node's lock on its data directory sees to that).
type Ring struct {
	fs   fileSystem
	path string

	mu     sync.Mutex // held by writers
	unlock unlock
	view   atomic.Pointer[view]
}

// Create makes a new keyring file, durable when it returns, with a first log
// key and a first file key and no root key. It fails with ErrExists rather
// than replace one.
func Create(path string, src Source) (*Ring, error) { return create(diskFS{}, path, src) }

func create(fs fileSystem, path string, src Source) (*Ring, error) {
	exists, err := fs.Exists(path)
	if err != nil {
		return nil, fmt.Errorf("keyring: create: %w", err)
	}
	if exists {
		return nil, fmt.Errorf("%w: %s", ErrExists, path)
	}
	r := &Ring{fs: fs, path: path}
	if r.unlock, err = newUnlock(src); err != nil {
		return nil, err
	}
	c := newContents()
	for _, keys := range []map[Epoch]*[KeySize]byte{c.logKeys, c.fileKeys} {
		key, err := newKey()
		if err != nil {
			return nil, err
		}
		keys[1] = &key
	}
	if err := r.publish(c); err != nil {
		return nil, err
	}
	return r, nil
}

func newUnlock(src Source) (u unlock, err error) {
	u.method = src.Method()
	if _, err = rand.Read(u.params.Salt[:]); err != nil {
		return u, fmt.Errorf("keyring: random salt: %w", err)
	}
	switch u.method {
	case MethodKey:
	case MethodArgon2id:
		u.params.Time, u.params.MemoryKiB, u.params.Threads = argonTime, argonMemoryKiB, argonThreads
	default:
		return u, fmt.Errorf("%w: %v", ErrKeySource, u.method)
	}
	u.key, err = src.UnlockKey(u.params)
	return u, err
}

// Open opens the keyring file. Its error is ErrNoKeyring where there is none,
// ErrWrongKey when the source's key does not fit, ErrDamaged, ErrVersion, or
// the source's own error (ErrKeySource).
func Open(path string, src Source) (*Ring, error) { return open(diskFS{}, path, src) }

func open(fs fileSystem, path string, src Source) (*Ring, error) {
	exists, err := fs.Exists(path)
	if err == nil && !exists {
		return nil, fmt.Errorf("%w: %s", ErrNoKeyring, path)
	}
	if err != nil {
		return nil, fmt.Errorf("keyring: open: %w", err)
	}
	b, err := fs.Read(path, maxFile)
	if err != nil {
		return nil, fmt.Errorf("keyring: open: %w", err)
	}
	c, u, err := decodeFile(b, src)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := dropLeftover(fs, path); err != nil {
		return nil, fmt.Errorf("keyring: open: %w", err)
	}
	r := &Ring{fs: fs, path: path, unlock: *u}
	v, err := newView(c)
	if err != nil {
		return nil, err
	}
	r.view.Store(v)
	return r, nil
}

// Close forgets the keys. Key pointers given out before stay as they are:
// clearing them under a user would have it seal with a key of zeros.
func (r *Ring) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.unlock.key[:])
	empty := newContents()
	r.view.Store(&view{contents: empty, rootSeals: map[Epoch]*contentKey{}})
}

// change applies edit to a copy of the contents, makes the copy durable and
// publishes it. When it fails nothing has changed in memory; the file is then
// the old or the new one, and the next change writes it whole again.
func (r *Ring) change(edit func(*contents) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.view.Load()
	if old.fileEpoch == 0 {
		return ErrClosed
	}
	c := old.clone()
	if err := edit(c); err != nil {
		return err
	}
	return r.publish(c)
}

// publish writes c to the disk, then shows it. Callers hold mu or have the
// ring to themselves.
func (r *Ring) publish(c *contents) error {
	v, err := newView(c)
	if err != nil {
		return err
	}
	if err := r.write(c, &r.unlock); err != nil {
		return err
	}
	r.view.Store(v)
	return nil
}

func (r *Ring) write(c *contents, u *unlock) error {
	nonce, err := newNonce()
	if err != nil {
		return err
	}
	b, err := encodeFile(c, u, &nonce)
	if err != nil {
		return err
	}
	if err := replaceFile(r.fs, r.path, b); err != nil {
		return fmt.Errorf("keyring: write: %w", err)
	}
	return nil
}

// Reseal makes another source's key the one that opens the file.
func (r *Ring) Reseal(src Source) error {
	u, err := newUnlock(src)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.view.Load()
	if v.fileEpoch == 0 {
		return ErrClosed
	}
	if err := r.write(v.contents, &u); err != nil {
		return err
	}
	r.unlock = u
	return nil
}

// NewRoot makes a root key of the next epoch and stores it. The first one is
// made together with the cluster's index key and is current at once; a later
// one becomes current by UseRoot, when every member has it.
func (r *Ring) NewRoot() (Epoch, error) {
	var e Epoch
	err := r.change(func(c *contents) error {
		key, err := newKey()
		if err != nil {
			return err
		}
		last := newest(c.roots)
		if last == math.MaxUint32 {
			return fmt.Errorf("%w: root epochs", ErrTooLarge)
		}
		e = last + 1
		if c.index == nil {
			if e != 1 {
				return fmt.Errorf("%w: roots without an index key", ErrNoRoot)
			}
			index, err := newKey()
			if err != nil {
				return err
			}
			c.index = &index
		}
		return c.addRoot(e, &key)
	})
	if err != nil {
		return 0, err
	}
	return e, nil
}

func (c *contents) addRoot(e Epoch, key *[KeySize]byte) error {
	if e == 0 {
		return fmt.Errorf("%w: root epoch 0", ErrNoEpoch)
	}
	if have := c.roots[e]; have != nil {
		if *have != *key {
			return fmt.Errorf("%w: root epoch %d", ErrConflict, e)
		}
		return nil
	}
	if len(c.roots) >= maxEpochs {
		return fmt.Errorf("%w: root epochs", ErrTooLarge)
	}
	c.roots[e] = key
	if c.currentRoot == 0 {
		c.currentRoot = e
	}
	return nil
}

// AddRoot stores a root key received from the cluster. In a ring without one
// it becomes current. Adding one that is held already does nothing.
func (r *Ring) AddRoot(e Epoch, key [KeySize]byte) error {
	if have := r.view.Load().roots[e]; have != nil && *have == key {
		return nil
	}
	return r.change(func(c *contents) error { return c.addRoot(e, &key) })
}

// UseRoot makes a root key that is held the one to seal under.
func (r *Ring) UseRoot(e Epoch) error {
	return r.change(func(c *contents) error {
		if c.roots[e] == nil {
			return fmt.Errorf("%w: root epoch %d", ErrNoEpoch, e)
		}
		c.currentRoot = e
		return nil
	})
}

// DropRoot forgets a root key that is not current. What is still sealed under
// it cannot be opened again.
func (r *Ring) DropRoot(e Epoch) error {
	return r.change(func(c *contents) error {
		if e == c.currentRoot {
			return fmt.Errorf("%w: root %d", ErrEpochInUse, e)
		}
		return drop(c.roots, e)
	})
}

func drop(keys map[Epoch]*[KeySize]byte, e Epoch) error {
	if keys[e] == nil {
		return fmt.Errorf("%w: epoch %d", ErrNoEpoch, e)
	}
	delete(keys, e)
	return nil
}

// Roots returns the root keys held, to hand to a node that joins.
func (r *Ring) Roots() map[Epoch][KeySize]byte {
	v := r.view.Load()
	out := make(map[Epoch][KeySize]byte, len(v.roots))
	for e, k := range v.roots {
		out[e] = *k
	}
	return out
}

// CurrentRoot returns the root epoch that is sealed under, 0 without a root.
func (r *Ring) CurrentRoot() Epoch { return r.view.Load().currentRoot }

// IndexKey returns the cluster's index key, which survives every rotation,
// and false where there is none yet.
func (r *Ring) IndexKey() ([KeySize]byte, bool) {
	if k := r.view.Load().index; k != nil {
		return *k, true
	}
	return [KeySize]byte{}, false
}

// SetIndexKey stores the cluster's index key, received at join. It never
// replaces another one.
func (r *Ring) SetIndexKey(key [KeySize]byte) error {
	return r.change(func(c *contents) error {
		if c.index != nil && *c.index != key {
			return fmt.Errorf("%w: index key", ErrConflict)
		}
		c.index = &key
		return nil
	})
}

// SetIdentity stores this node's TLS private key (PKCS #8) and certificate.
func (r *Ring) SetIdentity(keyPKCS8, certDER []byte) error {
	if len(keyPKCS8) == 0 {
		return fmt.Errorf("keyring: identity without a private key")
	}
	if len(keyPKCS8)+len(certDER) > maxIdentity {
		return fmt.Errorf("%w: identity", ErrTooLarge)
	}
	return r.change(func(c *contents) error {
		c.identityKey, c.identityCert = slices.Clone(keyPKCS8), append([]byte{}, certDER...)
		return nil
	})
}

// Identity returns copies of what SetIdentity stored, and false where there
// is nothing yet.
func (r *Ring) Identity() (keyPKCS8, certDER []byte, ok bool) {
	v := r.view.Load()
	return slices.Clone(v.identityKey), slices.Clone(v.identityCert), v.identityKey != nil
}

// Put stores a small fact of this node's (an address of a peer, an id). A nil
// value removes it. Storing what is there already costs no write.
func (r *Ring) Put(name string, value []byte) error {
	if name == "" || len(name) > MaxFactName || len(value) > MaxFact {
		return fmt.Errorf("%w: fact", ErrTooLarge)
	}
	if have, ok := r.view.Load().facts[name]; ok == (value != nil) && string(have) == string(value) {
		return nil
	}
	return r.change(func(c *contents) error {
		if value == nil {
			delete(c.facts, name)
			return nil
		}
		if _, ok := c.facts[name]; !ok && len(c.facts) >= maxFacts {
			return fmt.Errorf("%w: %d facts", ErrTooLarge, len(c.facts))
		}
		c.facts[name] = append([]byte{}, value...)
		return nil
	})
}

// Get returns a copy of the fact stored under name.
func (r *Ring) Get(name string) ([]byte, bool) {
	v, ok := r.view.Load().facts[name]
	return slices.Clone(v), ok
}

// LogKey returns the key that new log entries are sealed under.
func (r *Ring) LogKey() (Epoch, *[KeySize]byte) {
	v := r.view.Load()
	return v.logEpoch, v.logKeys[v.logEpoch]
}

// LogKeyAt returns the log key of an epoch, or ErrNoEpoch.
func (r *Ring) LogKeyAt(e Epoch) (*[KeySize]byte, error) { return at(r.view.Load().logKeys, "log", e) }

// LogKeyEpochs returns the epochs of the log keys held, ascending.
func (r *Ring) LogKeyEpochs() []Epoch { return slices.Sorted(maps.Keys(r.view.Load().logKeys)) }

// NewLogKey makes a log key of the next epoch, durable and current on return.
func (r *Ring) NewLogKey() (Epoch, error) {
	return r.newEpoch(func(c *contents) map[Epoch]*[KeySize]byte { return c.logKeys })
}

// DropLogKey destroys a log key that is not current: what was sealed under it
// is noise from then on, wherever pieces of it are left.
func (r *Ring) DropLogKey(e Epoch) error {
	return r.dropEpoch(e, func(c *contents) map[Epoch]*[KeySize]byte { return c.logKeys })
}

// FileKey returns the key that new files are encrypted under.
func (r *Ring) FileKey() (Epoch, *[KeySize]byte) {
	v := r.view.Load()
	return v.fileEpoch, v.fileKeys[v.fileEpoch]
}

// FileKeyAt returns the file key of an epoch, or ErrNoEpoch.
func (r *Ring) FileKeyAt(e Epoch) (*[KeySize]byte, error) {
	return at(r.view.Load().fileKeys, "file", e)
}

// FileKeyEpochs returns the epochs of the file keys held, ascending.
func (r *Ring) FileKeyEpochs() []Epoch { return slices.Sorted(maps.Keys(r.view.Load().fileKeys)) }

// NewFileKey makes a file key of the next epoch, durable and current on
// return.
func (r *Ring) NewFileKey() (Epoch, error) {
	return r.newEpoch(func(c *contents) map[Epoch]*[KeySize]byte { return c.fileKeys })
}

// DropFileKey destroys a file key that is not current.
func (r *Ring) DropFileKey(e Epoch) error {
	return r.dropEpoch(e, func(c *contents) map[Epoch]*[KeySize]byte { return c.fileKeys })
}

func at(keys map[Epoch]*[KeySize]byte, what string, e Epoch) (*[KeySize]byte, error) {
	if k := keys[e]; k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("%w: %s key epoch %d", ErrNoEpoch, what, e)
}

func (r *Ring) newEpoch(of func(*contents) map[Epoch]*[KeySize]byte) (e Epoch, err error) {
	err = r.change(func(c *contents) error {
		keys := of(c)
		if len(keys) >= maxEpochs {
			return fmt.Errorf("%w: %d key epochs", ErrTooLarge, len(keys))
		}
		key, err := newKey()
		if err != nil {
			return err
		}
		e = newest(keys) + 1
		keys[e] = &key
		return nil
	})
	if err != nil {
		return 0, err
	}
	return e, nil
}

func (r *Ring) dropEpoch(e Epoch, of func(*contents) map[Epoch]*[KeySize]byte) error {
	return r.change(func(c *contents) error {
		keys := of(c)
		if e == newest(keys) {
			return fmt.Errorf("%w: epoch %d", ErrEpochInUse, e)
		}
		return drop(keys, e)
	})
}

// SealRoot seals a value under the current root key, bound to kind and
// object; the result names the root's epoch.
func (r *Ring) SealRoot(kind Kind, object, plaintext []byte) ([]byte, error) {
	v := r.view.Load()
	k := v.rootSeals[v.currentRoot]
	if k == nil {
		return nil, ErrNoRoot
	}
	return k.seal(make([]byte, 0, len(plaintext)+Overhead), 0, kind, object, plaintext, nil), nil
}

// OpenRoot opens what SealRoot made for the same kind and object. Its error is
// ErrDamaged, ErrNoEpoch or ErrVersion.
func (r *Ring) OpenRoot(kind Kind, object, sealed []byte) ([]byte, error) {
	e, err := boxEpoch(sealed)
	if err != nil {
		return nil, err
	}
	k := r.view.Load().rootSeals[e]
	if k == nil {
		return nil, fmt.Errorf("%w: root epoch %d", ErrNoEpoch, e)
	}
	return k.open(make([]byte, 0, len(sealed)-Overhead), 0, kind, object, sealed)
}

// DirectoryHash returns HMAC(cluster index key, kind ‖ data) cut to 16 bytes:
// how the directory matches addresses and logins without showing them. It is
// the same on every node and after every rotation. Without an index key it
// fails with ErrNoRoot.
func (r *Ring) DirectoryHash(kind Kind, data []byte) ([16]byte, error) {
	v := r.view.Load()
	if v.indexMACs == nil {
		return [16]byte{}, ErrNoRoot
	}
	return v.indexMACs.hash16(kind, data), nil
}

// WrapAccount returns the account's keys wrapped under the current root key.
func (r *Ring) WrapAccount(a *Account) ([]byte, error) {
	plain := a.encode()
	defer clear(plain)
	return r.SealRoot(KindAccountKeys, accountObject(a.id), plain)
}

// UnwrapAccount opens what WrapAccount made for the account with this id.
// Errors are those of OpenRoot, and ErrSlot.
func (r *Ring) UnwrapAccount(id uint64, wrapped []byte) (*Account, error) {
	plain, err := r.OpenRoot(KindAccountKeys, accountObject(id), wrapped)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return decodeAccount(id, plain)
}

func accountObject(id uint64) []byte { return binary.BigEndian.AppendUint64(nil, id) }

// IsUnlockError tells whether Open failed for want of the right key, so that
// asking again may help, rather than for the state of the file.
func IsUnlockError(err error) bool {
	return errors.Is(err, ErrWrongKey) || errors.Is(err, ErrKeySource)
}
