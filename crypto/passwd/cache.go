package passwd

import (
	"container/list"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"sync"
	"time"
)

// Cache remembers which passwords were right a while ago, so that a client
// which logs in by PLAIN again and again costs one HMAC each time. It holds
// neither passwords nor anything that helps to find one without the key, which
// lives in this process only. Wrong passwords are never remembered. It is safe
// for concurrent use.
type Cache struct {
	key [32]byte
	max int
	ttl time.Duration

	mu    sync.Mutex
	byKey map[[32]byte]*list.Element
	order *list.List // of cached, last used first
	hits  uint64
	miss  uint64
}

type cached struct {
	key   [32]byte
	until time.Time
}

// NewCache makes a cache of at most size passwords, each trusted for ttl after
// it was last proved against its verifier.
func NewCache(size int, ttl time.Duration) (*Cache, error) {
	if size < 1 {
		return nil, fmt.Errorf("passwd: cache of %d", size)
	}
	c := &Cache{max: size, ttl: ttl, byKey: make(map[[32]byte]*list.Element), order: list.New()}
	if _, err := rand.Read(c.key[:]); err != nil {
		return nil, fmt.Errorf("passwd: random cache key: %w", err)
	}
	return c, nil
}

// entry names a password of a credential. The version counts the changes of
// the account's credentials, so that none outlives a change.
func (c *Cache) entry(account, version uint64, pw []byte) (key [32]byte) {
	var fixed [16]byte
	binary.BigEndian.PutUint64(fixed[:], account)
	binary.BigEndian.PutUint64(fixed[8:], version)
	h := hmac.New(sha256.New, c.key[:])
	h.Write(fixed[:])
	h.Write(pw)
	h.Sum(key[:0])
	return key
}

// Has tells whether Add was called for the same within the time to live.
func (c *Cache) Has(account, version uint64, pw []byte) bool {
	if len(pw) > MaxPassword {
		return false
	}
	key := c.entry(account, version, pw)
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byKey[key]
	if e != nil && time.Now().Before(e.Value.(*cached).until) {
		c.order.MoveToFront(e)
		c.hits++
		return true
	}
	if e != nil {
		c.remove(e)
	}
	c.miss++
	return false
}

// Add remembers that pw was just proved right.
func (c *Cache) Add(account, version uint64, pw []byte) {
	if len(pw) > MaxPassword {
		return
	}
	key := c.entry(account, version, pw)
	until := time.Now().Add(c.ttl)
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[key]; e != nil {
		e.Value.(*cached).until = until
		c.order.MoveToFront(e)
		return
	}
	for c.order.Len() >= c.max {
		c.remove(c.order.Back())
	}
	c.byKey[key] = c.order.PushFront(&cached{key, until})
}

func (c *Cache) remove(e *list.Element) {
	delete(c.byKey, e.Value.(*cached).key)
	c.order.Remove(e)
}

// CacheStats counts what a Cache did.
type CacheStats struct {
	Hits, Misses uint64
	Entries      int
}

// Stats returns the counts since the start.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return CacheStats{c.hits, c.miss, c.order.Len()}
}
