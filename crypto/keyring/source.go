package keyring

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/crypto/argon2"
)

// Method says how a keyring's unlock key is made; it is in the keyring's
// header. Frozen.
type Method byte

// The methods.
const (
	MethodKey      Method = 1 // 32 random bytes, used as they are
	MethodArgon2id Method = 2 // a passphrase through argon2id (RFC 9106)
)

func (m Method) String() string {
	switch m {
	case MethodKey:
		return "key file"
	case MethodArgon2id:
		return "passphrase"
	}
	return fmt.Sprintf("method %d", byte(m))
}

// Params are the public inputs of the unlock key, kept in the keyring's
// header. For MethodKey all but the salt are zero and the salt is not used.
type Params struct {
	Salt      [16]byte
	Time      uint32 // passes
	MemoryKiB uint32
	Threads   uint8
}

// New keyrings take RFC 9106 section 4's second recommendation with more
// memory: unlocking is once per start, guessing is for ever.
const (
	argonTime      = 3
	argonMemoryKiB = 256 << 10
	argonThreads   = 2

	// What a header may ask for, because it is read before anything in it
	// can be authenticated.
	maxArgonTime      = 64
	maxArgonMemoryKiB = 2 << 20
	maxArgonThreads   = 64

	maxKeyFile    = 4096
	maxPassphrase = 4096
)

func (p Params) check(m Method) error {
	if m != MethodArgon2id {
		return nil
	}
	if p.Time == 0 || p.Time > maxArgonTime || p.MemoryKiB < 8 || p.MemoryKiB > maxArgonMemoryKiB ||
		p.Threads == 0 || p.Threads > maxArgonThreads {
		return fmt.Errorf("%w: argon2id parameters out of bounds", ErrDamaged)
	}
	return nil
}

// Source gives the key that opens a keyring file. An implementation wraps
// ErrKeySource when it has none to give.
type Source interface {
	Method() Method
	// UnlockKey returns the key for a keyring with these parameters. It may
	// wait for a person or a peer.
	UnlockKey(Params) ([KeySize]byte, error)
}

// FileSource reads the unlock key from a file of 32 bytes, raw or as 64
// hexadecimal digits, that only its owner may read.
type FileSource struct{ Path string }

// Method returns MethodKey.
func (FileSource) Method() Method { return MethodKey }

// UnlockKey reads the file.
func (s FileSource) UnlockKey(Params) ([KeySize]byte, error) { return readKeyFile(s.Path, true) }

// CredentialSource reads the unlock key from a systemd credential: the file
// Name in the directory that the service manager names in
// $CREDENTIALS_DIRECTORY (systemd.exec(5)).
type CredentialSource struct{ Name string }

// Method returns MethodKey.
func (CredentialSource) Method() Method { return MethodKey }

// UnlockKey reads the credential. Its mode is not looked at: the service
// manager grants access by an ACL, which shows as group bits.
func (s CredentialSource) UnlockKey(Params) ([KeySize]byte, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" {
		return [KeySize]byte{}, fmt.Errorf("%w: no $CREDENTIALS_DIRECTORY: not started by systemd with LoadCredential", ErrKeySource)
	}
	if s.Name == "" || s.Name != filepath.Base(s.Name) || s.Name == "." || s.Name == ".." {
		return [KeySize]byte{}, fmt.Errorf("%w: %q is not a credential's name", ErrKeySource, s.Name)
	}
	return readKeyFile(filepath.Join(dir, s.Name), false)
}

// PassphraseSource makes the unlock key from a passphrase.
type PassphraseSource struct {
	// Read returns the passphrase, from a terminal for instance. The bytes
	// are cleared after use.
	Read func() ([]byte, error)
}

// Method returns MethodArgon2id.
func (PassphraseSource) Method() Method { return MethodArgon2id }

// UnlockKey asks for the passphrase and derives the key: about a second of
// work in MemoryKiB of memory.
func (s PassphraseSource) UnlockKey(p Params) (key [KeySize]byte, err error) {
	if s.Read == nil {
		return key, fmt.Errorf("%w: no way to ask for a passphrase", ErrKeySource)
	}
	pw, err := s.Read()
	if err != nil {
		return key, fmt.Errorf("%w: passphrase: %w", ErrKeySource, err)
	}
	defer clear(pw)
	if len(pw) == 0 {
		return key, fmt.Errorf("%w: empty passphrase", ErrKeySource)
	}
	if len(pw) > maxPassphrase {
		return key, fmt.Errorf("%w: passphrase longer than %d bytes", ErrKeySource, maxPassphrase)
	}
	copy(key[:], argon2.IDKey(pw, p.Salt[:], p.Time, p.MemoryKiB, p.Threads, KeySize))
	return key, nil
}

// readKeyFile reads a key file. The mode is taken from the open file, so that
// it is the file that is read.
func readKeyFile(path string, private bool) (key [KeySize]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return key, fmt.Errorf("%w: %w", ErrKeySource, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return key, fmt.Errorf("%w: %w", ErrKeySource, err)
	}
	if !info.Mode().IsRegular() {
		return key, fmt.Errorf("%w: %s is not a regular file", ErrKeySource, path)
	}
	if private && info.Mode().Perm()&0o077 != 0 {
		return key, fmt.Errorf("%w: %w: %s has mode %04o", ErrKeySource, ErrKeyFileMode, path, info.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	defer clear(b)
	if err != nil {
		return key, fmt.Errorf("%w: read %s: %w", ErrKeySource, path, err)
	}
	if !parseKey(&key, b) {
		return [KeySize]byte{}, fmt.Errorf("%w: %s is neither 32 bytes nor 64 hexadecimal digits", ErrKeySource, path)
	}
	return key, nil
}

// parseKey reads 32 raw bytes or 64 hexadecimal digits, the latter with white
// space around. A key of zeros is refused: it is a file never filled.
func parseKey(key *[KeySize]byte, b []byte) bool {
	if len(b) == KeySize {
		copy(key[:], b)
		return *key != [KeySize]byte{}
	}
	digits := []byte(strings.TrimSpace(string(b)))
	defer clear(digits)
	if len(digits) != hex.EncodedLen(KeySize) {
		return false
	}
	if _, err := hex.Decode(key[:], digits); err != nil {
		return false
	}
	return *key != [KeySize]byte{}
}

// CreateFileKey makes a new key file of mode 0600 with a random key as
// hexadecimal digits, durable when it returns. It never replaces a file.
func CreateFileKey(path string) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w: %s", ErrExists, path)
	}
	if err != nil {
		return fmt.Errorf("keyring: create key file: %w", err)
	}
	text := hex.AppendEncode(nil, key[:])
	text = append(text, '\n')
	_, err = f.Write(text)
	clear(text)
	clear(key[:])
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = diskFS{}.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		// A key file that is not whole must not be found later.
		return fmt.Errorf("keyring: create key file: %w", errors.Join(err, os.Remove(path)))
	}
	return nil
}

// SameDevice tells whether two paths lie on one file system: a key beside the
// data it opens protects nothing when the disk is taken.
func SameDevice(a, b string) (bool, error) {
	var dev [2]uint64
	for i, p := range []string{a, b} {
		var st syscall.Stat_t
		if err := syscall.Stat(p, &st); err != nil {
			return false, fmt.Errorf("keyring: %w", &fs.PathError{Op: "stat", Path: p, Err: err})
		}
		dev[i] = uint64(st.Dev)
	}
	return dev[0] == dev[1], nil
}
