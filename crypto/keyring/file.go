package keyring

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// The keyring file, drawn in FORMAT.md. Frozen.
const (
	fileMagic   = "altmail-keyring\n"
	fileVersion = 1

	offVersion = 16
	offMethod  = 17
	offThreads = 18
	offZero    = 19
	offTime    = 20
	offMemory  = 24
	offSalt    = 28
	offCheck   = 44
	offNonce   = 60
	offBody    = offNonce + chacha20poly1305.NonceSizeX // 84

	crcSize = 4
	// maxFile bounds what is read before anything is authenticated.
	maxFile = 16 << 20
)

// The records inside. Frozen; a version that does not know one must not open
// the ring, since it would drop the record at the next write.
const (
	recRoot        = 1 // epoch, key
	recCurrentRoot = 2 // epoch
	recIndexKey    = 3 // key
	recLogKey      = 4 // epoch, key
	recFileKey     = 5 // epoch, key
	recIdentity    = 6 // length of private key, private key, certificate
	recFact        = 7 // length of name, name, value
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// unlock is what opens and writes the file: the key, and the header's fields
// it came from.
type unlock struct {
	method Method
	params Params
	key    [KeySize]byte
}

func (u *unlock) subkeys() (seal [KeySize]byte, check [16]byte, err error) {
	if seal, err = deriveKey(&u.key, "altmail keyring file 1"); err != nil {
		return seal, check, err
	}
	ck, err := deriveKey(&u.key, "altmail keyring check 1")
	if err != nil {
		return seal, check, err
	}
	m := hmac.New(sha256.New, ck[:])
	m.Write(u.params.Salt[:])
	copy(check[:], m.Sum(nil))
	return seal, check, nil
}

// encodeFile seals the contents into the file's bytes.
func encodeFile(c *contents, u *unlock, nonce *[chacha20poly1305.NonceSizeX]byte) ([]byte, error) {
	sealKey, check, err := u.subkeys()
	if err != nil {
		return nil, err
	}
	aead, err := chacha20poly1305.NewX(sealKey[:])
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	b := make([]byte, offBody)
	copy(b, fileMagic)
	b[offVersion] = fileVersion
	b[offMethod] = byte(u.method)
	b[offThreads] = u.params.Threads
	binary.BigEndian.PutUint32(b[offTime:], u.params.Time)
	binary.BigEndian.PutUint32(b[offMemory:], u.params.MemoryKiB)
	copy(b[offSalt:], u.params.Salt[:])
	copy(b[offCheck:], check[:])
	copy(b[offNonce:], nonce[:])
	plain := c.encode()
	b = aead.Seal(b, nonce[:], plain, b[:offBody:offBody])
	clear(plain)
	if len(b)+crcSize > maxFile {
		return nil, fmt.Errorf("%w: keyring of %d bytes", ErrTooLarge, len(b))
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, crcTable)), nil
}

// decodeFile opens the file's bytes. The checksum tells damage from a wrong
// key; the seal is what vouches for the contents.
func decodeFile(b []byte, src Source) (*contents, *unlock, error) {
	if len(b) > maxFile {
		return nil, nil, fmt.Errorf("%w: keyring file larger than %d bytes", ErrDamaged, maxFile)
	}
	if len(b) < offBody+boxTagSize+crcSize || string(b[:len(fileMagic)]) != fileMagic {
		return nil, nil, fmt.Errorf("%w: not a keyring file", ErrDamaged)
	}
	if v := b[offVersion]; v != fileVersion {
		return nil, nil, fmt.Errorf("%w: keyring file of version %d", ErrVersion, v)
	}
	body := b[:len(b)-crcSize]
	if crc32.Checksum(body, crcTable) != binary.BigEndian.Uint32(b[len(body):]) {
		return nil, nil, fmt.Errorf("%w: keyring file's checksum", ErrDamaged)
	}
	u := &unlock{method: Method(b[offMethod]), params: Params{
		Salt:      [16]byte(b[offSalt:]),
		Time:      binary.BigEndian.Uint32(b[offTime:]),
		MemoryKiB: binary.BigEndian.Uint32(b[offMemory:]),
		Threads:   b[offThreads],
	}}
	if b[offZero] != 0 {
		return nil, nil, fmt.Errorf("%w: keyring header", ErrVersion)
	}
	if u.method != MethodKey && u.method != MethodArgon2id {
		return nil, nil, fmt.Errorf("%w: keyring unlocked by %v", ErrVersion, u.method)
	}
	if u.method != src.Method() {
		return nil, nil, fmt.Errorf("%w: the keyring is unlocked by a %v, not by a %v", ErrWrongKey, u.method, src.Method())
	}
	if err := u.params.check(u.method); err != nil {
		return nil, nil, err
	}
	var err error
	if u.key, err = src.UnlockKey(u.params); err != nil {
		return nil, nil, err
	}
	sealKey, check, err := u.subkeys()
	if err != nil {
		return nil, nil, err
	}
	if !hmac.Equal(check[:], b[offCheck:offCheck+len(check)]) {
		return nil, nil, fmt.Errorf("%w: %v does not open the keyring", ErrWrongKey, u.method)
	}
	aead, err := chacha20poly1305.NewX(sealKey[:])
	if err != nil {
		return nil, nil, fmt.Errorf("keyring: %w", err)
	}
	plain, err := aead.Open(nil, b[offNonce:offBody], body[offBody:], b[:offBody])
	if err != nil {
		return nil, nil, fmt.Errorf("%w: keyring file does not open", ErrDamaged)
	}
	defer clear(plain)
	c, err := decodeContents(plain)
	if err != nil {
		return nil, nil, err
	}
	return c, u, nil
}

func newNonce() (n [chacha20poly1305.NonceSizeX]byte, err error) {
	if _, err = rand.Read(n[:]); err != nil {
		return n, fmt.Errorf("keyring: random nonce: %w", err)
	}
	return n, nil
}

// encode returns the records in a fixed order.
func (c *contents) encode() []byte {
	var b []byte
	rec := func(kind byte, parts ...[]byte) {
		n := 0
		for _, p := range parts {
			n += len(p)
		}
		b = append(b, kind)
		b = binary.BigEndian.AppendUint32(b, uint32(n))
		for _, p := range parts {
			b = append(b, p...)
		}
	}
	u32 := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
	epochs := func(kind byte, keys map[Epoch]*[KeySize]byte) {
		for _, e := range slices.Sorted(maps.Keys(keys)) {
			rec(kind, u32(uint32(e)), keys[e][:])
		}
	}
	epochs(recRoot, c.roots)
	if c.currentRoot != 0 {
		rec(recCurrentRoot, u32(uint32(c.currentRoot)))
	}
	if c.index != nil {
		rec(recIndexKey, c.index[:])
	}
	epochs(recLogKey, c.logKeys)
	epochs(recFileKey, c.fileKeys)
	if c.identityKey != nil {
		rec(recIdentity, u32(uint32(len(c.identityKey))), c.identityKey, c.identityCert)
	}
	for _, name := range slices.Sorted(maps.Keys(c.facts)) {
		rec(recFact, []byte{byte(len(name))}, []byte(name), c.facts[name])
	}
	return b
}

// decodeContents reads the records. They are authenticated, so anything odd
// is a newer version or a defect of ours.
func decodeContents(b []byte) (*contents, error) {
	c := newContents()
	bad := func(what string) (*contents, error) {
		return nil, fmt.Errorf("%w: keyring record: %s", ErrDamaged, what)
	}
	for len(b) > 0 {
		if len(b) < 5 {
			return bad("cut short")
		}
		kind, n := b[0], uint64(binary.BigEndian.Uint32(b[1:]))
		if n > uint64(len(b)-5) {
			return bad("longer than the file")
		}
		rec := b[5 : 5+n]
		b = b[5+n:]
		switch kind {
		case recRoot, recLogKey, recFileKey:
			if len(rec) != 4+KeySize {
				return bad("length of key")
			}
			e, key := Epoch(binary.BigEndian.Uint32(rec)), [KeySize]byte(rec[4:])
			into := map[byte]map[Epoch]*[KeySize]byte{recRoot: c.roots, recLogKey: c.logKeys, recFileKey: c.fileKeys}[kind]
			if e == 0 || into[e] != nil {
				return bad("key epoch")
			}
			into[e] = &key
		case recCurrentRoot:
			if len(rec) != 4 || c.currentRoot != 0 {
				return bad("current root")
			}
			c.currentRoot = Epoch(binary.BigEndian.Uint32(rec))
		case recIndexKey:
			if len(rec) != KeySize || c.index != nil {
				return bad("index key")
			}
			key := [KeySize]byte(rec)
			c.index = &key
		case recIdentity:
			if len(rec) < 4 || c.identityKey != nil {
				return bad("identity")
			}
			k := uint64(binary.BigEndian.Uint32(rec))
			if k == 0 || k > uint64(len(rec)-4) {
				return bad("length of private key")
			}
			c.identityKey = slices.Clone(rec[4 : 4+k])
			c.identityCert = slices.Clone(rec[4+k:])
		case recFact:
			if len(rec) < 1 || int(rec[0]) > len(rec)-1 {
				return bad("fact")
			}
			name := string(rec[1 : 1+int(rec[0])])
			if _, ok := c.facts[name]; ok {
				return bad("fact twice")
			}
			c.facts[name] = append([]byte{}, rec[1+int(rec[0]):]...)
		default:
			return nil, fmt.Errorf("%w: keyring record of kind %d", ErrVersion, kind)
		}
	}
	if (c.currentRoot != 0) != (len(c.roots) > 0) || c.currentRoot != 0 && c.roots[c.currentRoot] == nil {
		return bad("current root is not among the roots")
	}
	if len(c.logKeys) == 0 || len(c.fileKeys) == 0 {
		return bad("no log or file key")
	}
	return c, nil
}
